"""What is wrong with data before a network sees it: leaks between the parts, classes that no network can learn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from nas.candidate import Candidate
from nas.dataset import Array, Dataset, Part
from nas.evaluate import Training
from nas.executor import JobFailed, Workers

WIDEST = 5.0  # points: half the 95 % interval of an accuracy measured on the validation part
ACCURACY = 0.8  # at which that interval is taken
UNEVEN = 5.0  # samples of the most frequent class for one of the rarest
WORTHLESS = 0.5  # of a part: more of it than this must not be known to the training, or unknown to it
USUAL, OUTLYING = 0.9, 20.0  # share of a feature's values; the deviation of all, in theirs, with which they vanish
LEAST_SAMPLES, LOOKED_AT = 20, 5_000_000  # to tell what is usual; numbers that are looked at
QUANTITY, SELDOM = 30, 20.0  # classes that are numbers; samples of each
MENTIONED = 3  # features
FAR = 0.5  # of log(classes): how far the first loss may be from it


def check(dataset: Dataset) -> list[str]:
    """Warnings about the data, a sentence each.

    Of frames, whole utterances are compared and not single frames, of which those of silence are often the same.

    Raises `ValueError` for what makes results worthless: a part of one class, a validation or test part most of which
    is in the training part too, or is of classes that the training part has not.
    """
    parts = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = {name: np.bincount(part.y, minlength=len(dataset.classes)) for name, part in parts.items()}
    for name, count in counts.items():
        if np.count_nonzero(count) < 2:
            only = [dataset.classes[i] for i in np.flatnonzero(count)]
            found = f"has samples of {len(only)} class: {', '.join(only)}"
            raise ValueError(f"{dataset.name}: the {name} part {found}; give it samples of at least two")
    return [
        *_copies(dataset, parts),
        *_namesakes(parts),
        *_one_origin(parts),
        *_absent(dataset, counts),
        *_uneven(dataset, counts),
        *_constant(dataset),
        *_outlying(dataset),
        *_many(dataset, counts["training"]),
        *_channels_last(dataset.train),
        *_few(dataset.validation),
    ]


def tried_training(executor: Workers, candidate: Candidate, chores: Iterable[None]) -> list[str]:
    """What a worker finds wrong with the training part, a sentence each; meanwhile chores are done.

    Raises `ValueError` where the recipe of `candidate` cannot be had on these data or the worker's device.
    """
    tried = executor.submit(Training.check, candidate)
    for _ in chores:
        if tried.done():
            break
    try:
        return tried.result()
    except JobFailed as error:
        kind, _, message = str(error).partition(": ")
        if kind == "ValueError":
            raise ValueError(message) from None
        return [f"the data could not be tried before the search: {error}"]


def loss_at_initialisation(loss: float, classes: int) -> str | None:
    """A warning where the loss of a network that has learned nothing is far from that of guessing, log(classes)."""
    guessing = math.log(classes)
    if math.isfinite(loss) and abs(loss - guessing) <= max(FAR * guessing, 1.0):
        return None
    return (
        f"before training the loss is {loss:.3g}, where guessing among {classes} classes costs {guessing:.3g}; "
        f"look at the scale of the data (--normalise)"
    )


def _copies(dataset: Dataset, parts: Mapping[str, Part]) -> list[str]:
    """Samples or utterances of one part that are, number by number, in another."""
    framed = bool(dataset.contexts) or dataset.train.groups is not None
    hashes = {name: _hashes(part, framed) for name, part in parts.items()}
    what, found = "utterances" if framed else "samples", []
    for one, other in (("training", "validation"), ("training", "test"), ("validation", "test")):
        known = set(hashes[one])
        copies, whole = sum(h in known for h in hashes[other]), len(hashes[other])
        if not copies:
            continue
        words = f"{copies:,} of {whole:,} {what} of the {other} part are in the {one} part too"
        common = len(known) < WORTHLESS * len(hashes[one])  # few different samples are possible: some must be alike
        if copies > WORTHLESS * whole and not common:
            raise ValueError(f"{dataset.name}: {words}; results on it would be worthless")
        found.append(words if common else f"{words}; remove copies before the split")
    return found


def _hashes(part: Part, framed: bool) -> list[int]:
    """Of each sample, or of each utterance."""
    if not framed:
        return [hash(sample.tobytes()) for sample in part.x]
    return [hash(rows.tobytes()) for rows in np.split(part.x, part.starts[1:])]


def _utterances(part: Part) -> list[str]:
    """The names of the groups that the part holds."""
    if part.groups is None or not part.names:
        return []
    return [part.names[group] for group in part.groups[part.starts]]


def _namesakes(parts: Mapping[str, Part]) -> list[str]:
    """Utterances of one name, the folder apart, in two parts."""
    found = []
    names = {part: {name.rpartition("/")[2]: name for name in _utterances(p)} for part, p in parts.items()}
    for one, other in (("training", "validation"), ("training", "test"), ("validation", "test")):
        if both := sorted(names[one].keys() & names[other].keys()):
            found.append(
                f"{len(both):,} of {len(names[other]):,} utterances of the {other} part have the name of one in the "
                f"{one} part, such as {names[one][both[0]]} and {names[other][both[0]]}; are they the same?"
            )
    return found


def _one_origin(parts: Mapping[str, Part]) -> list[str]:
    """Parts that had to be taken out of one folder."""
    origins = {part: [name.rpartition("/")[0] for name in _utterances(p)] for part, p in parts.items()}
    found = []
    for folder in sorted({origin for names in origins.values() for origin in names if origin}):
        sharing = {part: names.count(folder) for part, names in origins.items() if folder in names}
        if len(sharing) > 1:
            numbers = ", ".join(f"{count:,} utterances for the {part} part" for part, count in sharing.items())
            found.append(f"{folder} had to be split, {numbers}: a speaker may be in both, which flatters the result")
    return found


def _absent(dataset: Dataset, counts: Mapping[str, Array]) -> list[str]:
    """Classes that one part has and another has not."""
    found = []
    trained = counts["training"] > 0
    for name in ("validation", "test"):
        unknown, unused = (counts[name] > 0) & ~trained, (counts[name] == 0) & trained
        lost, whole = int(counts[name][unknown].sum()), int(counts[name].sum())
        if lost:
            words = f"{lost:,} of {whole:,} samples of the {name} part are of classes the training part has not"
            if lost > WORTHLESS * whole:
                raise ValueError(f"{dataset.name}: {words}: {_names(dataset, unknown)}")
            found.append(f"{words}, so they count as mistakes: {_names(dataset, unknown)}")
        if unused.any():
            found.append(f"the {name} part has no sample of {unused.sum()} classes: {_names(dataset, unused)}")
    empty = np.sum(list(counts.values()), axis=0) == 0
    if empty.any():
        found.append(f"{empty.sum()} of {len(dataset.classes)} classes have no sample at all: {_names(dataset, empty)}")
    return found


def _uneven(dataset: Dataset, counts: Mapping[str, Array]) -> list[str]:
    """Classes out of balance, and what a network that ignores its input gets."""
    count = counts["training"]
    most, least = int(count.argmax()), int(np.where(count > 0, count, count.max()).argmin())
    if count[most] < UNEVEN * count[least]:
        return []
    guess = 100 * counts["validation"][most] / counts["validation"].sum()
    words = (
        f"classes are out of balance: {count[most]:,} training samples of {dataset.classes[most]!r}, "
        f"{count[least]:,} of {dataset.classes[least]!r} ({count[most] / count[least]:.0f} to 1); "
        f"always answering {dataset.classes[most]!r} is right on {guess:.1f} % of the validation part"
    )
    return [words]


def _constant(dataset: Dataset) -> list[str]:
    """Features of flat data that say nothing; those of images have borders."""
    x = dataset.train.x
    if x.ndim != 2:
        return []
    positions = np.flatnonzero(x.min(axis=0) == x.max(axis=0))
    if not len(positions):
        return []
    where = _first(_features(dataset, positions))
    return [f"{len(positions):,} of {x.shape[1]:,} features are constant in the training part: {where}"]


def _outlying(dataset: Dataset) -> list[str]:
    """Features of flat data of which a few values are so far away that normalisation makes all others alike."""
    x = dataset.train.x
    if x.ndim != 2 or len(x) < LEAST_SAMPLES:
        return []
    some = x[:: -(-x.size // LOOKED_AT)].astype(np.float64)
    middle = np.median(some, axis=0)
    usual = np.quantile(np.abs(some - middle), USUAL, axis=0)
    ends = np.stack([x.min(axis=0), x.max(axis=0)]).astype(np.float64)
    furthest = np.abs(ends - middle).max(axis=0)
    spread = np.sqrt(some.var(axis=0) + furthest**2 / len(x))  # which normalisation divides by, at least
    found = np.flatnonzero((usual > 0) & (spread > OUTLYING * usual))
    far = ends[np.abs(ends - middle).argmax(axis=0), np.arange(x.shape[1])]
    most = f"{100 * USUAL:.0f} % of its values lie within"
    return [
        f"{name} has {far[p]:.3g}, and {most} {usual[p]:.3g} of {middle[p]:.3g}: beside it they are all alike; correct "
        "such rows"
        for p, name in zip(found, _features(dataset, found[:MENTIONED]), strict=False)
    ]


def _many(dataset: Dataset, count: Array) -> list[str]:
    """Classes that are rather a quantity."""
    numbers = [name for name in dataset.classes if name.removeprefix("-").replace(".", "", 1).isdigit()]
    each = count[count > 0].mean()
    if len(numbers) < len(dataset.classes) or len(numbers) < QUANTITY or each > SELDOM:
        return []
    found = f"the classes are {len(numbers)} numbers, with {each:.1f} training samples each on average"
    return [f"{found}: a quantity that is to be predicted? There is classification alone; make it a few ranges"]


def _features(dataset: Dataset, positions: Iterable[int]) -> list[str]:
    """What features of flat data are called: by the columns of a table, else by position."""
    columns = () if dataset.reading is None else dataset.reading.facts.get("columns", ())
    names = [f"column {c['name']!r}" for c in columns for _ in c.get("categories") or [None]]
    return [names[p] if names else f"feature {p}" for p in positions]


def _channels_last(train: Part) -> list[str]:
    """Images that lie as (height, width, channels)."""
    shape = train.x.shape[1:]
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or shape[0] <= 4:
        return []
    return [f"samples of shape {shape} look like (height, width, channels); here images are (channels, height, width)"]


def _few(validation: Part) -> list[str]:
    half = 100 * 1.96 * math.sqrt(ACCURACY * (1 - ACCURACY) / len(validation))
    if half <= WIDEST:
        return []
    words = (
        f"the validation part has {len(validation):,} samples: an accuracy of {100 * ACCURACY:.0f} % on it is known to "
        f"+-{half:.1f} points (95 %), so networks closer than that cannot be told apart"
    )
    return [words]


def _names(dataset: Dataset, which: Array) -> str:
    return _first([dataset.classes[i] for i in np.flatnonzero(which)])


def _first(words: list[str], most: int = 5) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most:,} more" if len(words) > most else "")
