"""A table: one row a sample, one column its class, the other columns numbers or words."""

from __future__ import annotations

import re
import warnings
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from nas.data._files import DAMAGE, one_line
from nas.dataset import Array, Dataset, Part, Reading, Source, as_float32, check_part, three_ways
from nas.ops import Shape
from nas.plugins import nearest

MOST_CATEGORIES = 100
NUMERIC = 0.8  # a column with words and with numbers in more of its rows than this is one of numbers
MARKERS = {"?", "-", "--", ".", "na", "n/a", "nan", "nil", "none", "null", "missing", "unknown"}  # beside numbers alone
DATE = r"(\d{1,4}[-/]\d{1,2}[-/]\d{1,4}|\d{1,2}\.\d{1,2}\.(\d{2}|\d{4}))([ T].*)?"
LEADING = r"[+-]?0\d"
Replaced = tuple[str, str]  # a pattern, and what stands for it in a number
SIGNS = r"[$€£¥] *(?=[\d-])|(?<=\d) *[%$€£¥]$", ""
COMMA = ",", "."
THOUSANDS = r"(?<=\d)[ ',\u00a0\u202f](?=\d{3}(\D|$))", ""
POINTS = r"(?<=\d)\.(?=\d{3}(\D|$))", ""
Spelling = tuple[tuple[Replaced, ...], str, str]  # what makes numbers of words, its name, what to do
SPELLINGS: tuple[Spelling, ...] = (
    ((), "", ""),
    ((SIGNS,), " with a sign beside them", "write them without"),
    ((SIGNS, COMMA), " with a decimal comma", "write it as a point, or leave it out where it parts thousands"),
    ((SIGNS, THOUSANDS), " with separators of thousands", "write them without"),
    ((SIGNS, POINTS, COMMA), " with points and a decimal comma", "write them as 1234.5"),
)
READ = '''
def read(path):
    """The rows of a table, (n, features): its columns are found by name, others passed over."""
    import csv
    import gzip

    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        try:
            lines = list(csv.reader(file, delimiter=CONFIG["reading"]["sep"]))
        except csv.Error as error:
            raise ValueError(f"not a table: {error}") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError("the table is empty")
    lines = [line for line in lines if line or len(lines[0]) == 1]  # of one column an empty line is a missing value
    names, rows = [name.strip() for name in lines[0]], lines[1:]
    if len(names) == 1 < len(CONFIG["reading"]["columns"]):
        raise ValueError(f"there is one column; they should have {CONFIG['reading']['sep']!r} between them")
    for number, row in enumerate(rows, 1):
        if len(row) > len(names):
            raise ValueError(f"row {number} has {len(row)} fields, and there are {len(names)} columns")
    features = []
    for column in CONFIG["reading"]["columns"]:
        if (times := names.count(column["name"])) != 1:
            raise ValueError(f"there is {'no' if not times else 'more than one'} column {column['name']!r}")
        place = names.index(column["name"])
        words = [row[place].strip() if place < len(row) else "" for row in rows]
        words = ["" if word in CONFIG["reading"]["missing"] else word for word in words]
        features += numbers(words, **column) if "median" in column else indicators(words, **column)
    return np.array(features, np.float64).T


def numbers(words, name, median):
    """One feature: the numbers, the median of the training part where one is missing."""
    known, found = {"": median, "true": 1, "false": 0}, []
    for row, word in enumerate(words, 1):
        try:
            found.append(float(known.get(word.lower(), word)))
        except ValueError:
            raise ValueError(f"column {name!r} has {word!r} in row {row}, which is no number") from None
    return [found]


def indicators(words, name, categories):
    """A feature for each category, 0 or 1; all 0 where the word is missing, or was not met in training."""
    if set(categories) <= {"True", "False"}:
        words = [word.capitalize() for word in words]
    if unknown := sorted(set(words) - {"", *categories}):
        print(f"column {name!r}: {unknown[0]!r} was not met in training", file=sys.stderr)
    return [[word == category for word in words] for category in categories]
'''
USAGE = "--data csv:FILE,target=COLUMN takes a table with a line of column names"

Column = tuple[str, list[str]]  # its name, and its categories, none where it is one of numbers


class Csv(Source):
    """`csv:FILE,target=COLUMN`. Samples (features,), split 60/20/20, stratified, by the seed.

    A column of numbers is a feature; where one is missing, it is the median of the training part, and nothing marks
    it. A column of words is one feature for each of its categories, 0 or 1, all 0 where it is missing. The categories
    are those of the whole file, whose number fixes the input shape; medians are of the training part alone.
    `task()` reads the file, which `load()` then does not read again.

    A column that cannot be a feature is refused and not passed over: more than 100 different words, words or
    consecutive whole numbers that are different in every row (an id), no value at all.

    target: the column of the classes, numbers or words.
    sep: what stands between columns; `tab` is written as a word.
    drop: columns that are left out, such as `id|name`.
    missing: what stands for a missing value, beside the empty field, such as `?|NA`.
    """

    def __init__(self, path: str = "", *, target: str = "", sep: str = ",", drop: str = "", missing: str = "") -> None:
        super().__init__(path)
        sep = {"tab": "\t"}.get(sep, sep)
        if len(sep) != 1:
            raise ValueError(f"sep must be one character or the word tab, got {sep!r}")
        self.target, self.sep, self.dropped = target, sep, [name for name in drop.split("|") if name]
        self.missing = [spelt for word in missing.split("|") if word.strip() for spelt in _spelt(word.strip())]
        if target and target in self.dropped:
            raise ValueError(f"drop={drop} leaves out {target}, and target={target} makes it the class; do one of them")

    def task(self) -> tuple[Shape, int]:
        x, y, _ = self._table
        return x.shape[1:], len(np.unique(y))

    def load(self, seed: int) -> Dataset:
        x, labels, columns = self._table
        classes, y = np.unique(labels, return_inverse=True)
        rows = three_ways(y, seed, self.path)
        medians = _medians(x[rows[0]])
        names = [name for name, categories in columns for _ in categories or [name]]
        x = as_float32(np.where(np.isnan(x), medians, x), self.path, names)
        train, validation, test = (Part(x[some], y[some].astype(np.int64)) for some in rows)
        facts = {"sep": self.sep, "missing": self.missing, "columns": _filled(columns, medians)}
        reading = Reading(READ, "rows.csv", "is a table with the columns that the search was given", facts)
        return Dataset(self.path, train, validation, test, tuple(map(str, classes)), reading=reading)

    @cached_property
    def _table(self) -> tuple[Array, Array, list[Column]]:
        """Features, float64 (n, features), NaN where a number is missing, labels (n,), and the columns."""
        frame = self._read()
        y = self._labels(frame.pop(self.target))
        names = [str(name) for name in frame.columns if name not in self.dropped]
        if not names:
            raise ValueError(f"{self.path} has no column beside {', '.join([self.target, *self.dropped])}")
        features, categories = zip(*(self._feature(name, frame[name]) for name in names), strict=True)
        x = np.concatenate(features, axis=1)
        check_part(x, y, f"{self.path}, column {self.target!r}")
        return x, y, list(zip(names, categories, strict=True))

    def _read(self) -> Any:
        """The table as pandas reads it, its columns checked by name."""
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise ValueError(f"there is no file {self.path!r}; {USAGE}")
        import pandas as pd  # 0.5 s, for this source alone

        blank: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "skipinitialspace": True}  # "  " too
        read = partial(pd.read_csv, sep=self.sep, encoding="utf-8-sig", **blank)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the line of names
                heads = read(path, header=None, nrows=1, dtype=str).iloc[0]
                names = heads.dropna()
                label = {name: str for name in names if name.strip() == self.target}
                called = [name if isinstance(name, str) else f"Unnamed: {n}" for n, name in enumerate(heads)]
                nothing = {name: [""] if name in label else ["", *self.missing] for name in called}
                frame = read(path, index_col=False, low_memory=False, dtype=label, na_values=nothing)
                names = names.str.strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is not UTF-8: {one_line(error)}; save it as UTF-8") from None
        except pd.errors.EmptyDataError:
            raise ValueError(f"{self.path} is empty; {USAGE}") from None
        except pd.errors.ParserError as error:
            longer = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
            if longer and longer[1] != "1":  # else it is the separator
                wanted, line, found = longer.groups()
                raise ValueError(
                    f"{self.path}: line {line} has {found} fields, and the lines before it have {wanted}; a field with "
                    f"{self.sep!r} in it must stand in quotes"
                ) from None
            raise self._unreadable(error) from None
        except (*DAMAGE, pd.errors.ParserWarning) as error:
            raise self._unreadable(error) from None
        frame.columns = [str(name).strip() for name in frame.columns]
        if not names.is_unique:  # pandas tells two of one name apart
            raise ValueError(f"{self.path} has two columns {names[names.duplicated()].iloc[0]!r}")
        if not self.target:
            raise ValueError(f"{self.path}: which column is the class? {USAGE}; columns: {', '.join(frame.columns)}")
        if len(frame.columns) == 1 and (between := [mark for mark in ";|\t" if mark in frame.columns[0]]):
            mark = "tab" if between[0] == "\t" else between[0]
            raise ValueError(f"{self.path} has one column, {frame.columns[0]!r}; add ,sep={mark} to --data")
        for name in (self.target, *self.dropped):
            if name not in frame.columns:
                raise ValueError(f"{self.path} has no column {name!r}; {nearest(name, frame.columns)}")
        if not len(frame):
            raise ValueError(f"{self.path} has {len(frame.columns)} columns and 0 rows")
        return frame

    def _unreadable(self, error: Exception) -> ValueError:
        if "Length of header" in str(error):
            return ValueError(f"{self.path}: rows have more fields than the line of names; give every column a name")
        return ValueError(
            f"{self.path} cannot be read as a table: {one_line(error)}; are its columns separated by {self.sep!r}? "
            f"Else say sep=; or sep=tab, as in --data 'csv:FILE,target=COLUMN,sep=;'"
        )

    def _labels(self, column: Any) -> Array:
        words = column.astype(str).str.strip()
        missing = np.flatnonzero(column.isna() | (words == ""))
        if len(missing):
            raise ValueError(
                f"{self.path}: column {self.target!r} is empty in {len(missing):,} of {len(column):,} rows, "
                f"first in row {missing[0] + 1}; remove them"
            )
        return _as_labels(words)

    def _feature(self, name: str, column: Any) -> tuple[Array, list[str]]:
        """The features of a column, float64 (n, one or one for each category), and its categories."""
        rows, known = len(column), column.dropna()
        if not len(known):
            raise self._refused(name, f"has no value in any of {rows:,} rows")
        if column.dtype.kind in "iufb":
            values: Array = column.to_numpy(np.float64)
            if np.isinf(values).any():
                raise self._refused(name, f"is infinite in {np.count_nonzero(np.isinf(values)):,} of {rows:,} rows")
            if column.dtype.kind in "iu" and rows > 2 and (np.abs(np.diff(np.sort(values)) - 1) < 0.5).all():
                raise self._refused(
                    name, f"has {rows:,} different whole numbers in {rows:,} rows, one after the other: an id"
                )
            return values[:, None], []
        words = np.array([str(word).strip() for word in known])
        categories = np.unique(words)
        self._check_words(name, words, np.flatnonzero(column.notna()))
        if len(categories) == len(known) > 2:
            raise self._refused(name, f"has {len(known):,} different words in {len(known):,} rows: an id")
        if len(categories) > MOST_CATEGORIES:
            found = f"has {len(categories):,} different words, such as {str(words[0])!r}"
            raise self._refused(name, f"{found}, and at most {MOST_CATEGORIES} will do")
        features = np.zeros((rows, len(categories)))
        features[column.notna().to_numpy()] = words[:, None] == categories
        return features, categories.tolist()

    def _check_words(self, name: str, words: Array, rows: Array) -> None:
        """Raise `ValueError` where most of the words are numbers, in whichever spelling most; `rows` are theirs."""
        dates = sum(bool(re.fullmatch(DATE, word)) for word in words.tolist())
        if dates > NUMERIC * len(words):
            why = f"has dates in {dates:,} of {len(words):,} rows, such as {str(words[0])!r}"
            raise self._refused(name, why, "make numbers of them, days since a first one or hours of the day")
        tried = [(_odd(words, made), called, remedy) for made, called, remedy in SPELLINGS]
        odd, called, remedy = min(tried, key=lambda one: len(one[0]))
        marked = len(odd) < len(words) and {word.lower() for word in words[odd].tolist()} <= MARKERS
        if marked or len(odd) <= (1 - NUMERIC) * len(words):
            why = f"has numbers{called} in {len(words) - len(odd):,} of {len(words):,} rows"
            for i in odd[:1]:
                why += f", and {str(words[i])!r} in row {rows[i] + 1}"
                stands = f"add missing={words[i]} if that is a missing value"
                remedy = f"{remedy}, {stands}" if remedy else stands
            raise self._refused(name, why, remedy)

    def _refused(self, name: str, why: str, remedy: str = "") -> ValueError:
        other = f"{remedy}, or " if remedy else ""
        return ValueError(f"{self.path}: column {name!r} {why}; {other}leave it out by drop={name}")


def _as_labels(words: Any) -> Array:
    """Labels that are all numbers as numbers, in their order; those that are true and false so; others as words."""
    import pandas as pd

    numbers = pd.to_numeric(words, errors="coerce").to_numpy()
    code = words.str.match(LEADING).any()  # 01 is not 1
    if numbers.dtype.kind in "iuf" and np.isfinite(numbers).all() and not code:
        return np.asarray(numbers)
    lower = words.str.lower()
    return np.asarray(lower == "true") if lower.isin(["true", "false"]).all() else np.array(words.tolist())


def _odd(words: Array, made: tuple[Replaced, ...]) -> Array:
    """Which of the words are no numbers after these replacements."""
    import pandas as pd

    for pattern, put in made:
        words = np.array([re.sub(pattern, put, word) for word in words])
    odd: Array = np.flatnonzero(np.isnan(pd.to_numeric(words, errors="coerce")))
    return odd


def _spelt(word: str) -> list[str]:
    """The word; of a number the ways in which tables write it."""
    try:
        number = float(word)
    except ValueError:
        return [word]
    return sorted({word, str(number), *([str(int(number))] if number.is_integer() else [])})


def _filled(columns: list[Column], medians: Array) -> list[dict[str, Any]]:
    """What predict.py wants to know of each column."""
    found: list[dict[str, Any]] = []
    position = 0
    for name, categories in columns:
        what = {"categories": categories} if categories else {"median": float(medians[position])}
        found.append({"name": name, **what})
        position += max(1, len(categories))
    return found


def _medians(x: Array) -> Array:
    """Of each column of the training part (n, features), its missing numbers left aside; 0 where all are missing."""
    empty = np.isnan(x).all(axis=0)
    medians: Array = np.nanmedian(np.where(empty, 0.0, x), axis=0)
    return medians
