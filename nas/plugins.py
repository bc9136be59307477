"""Plug-ins by name: a file of the plug-in folder, an entry point, or `package.module:Class`.

A specification is `NAME` or `NAME:key=value,...`; the keys are the keyword arguments of the class. Where an argument
is itself the specification of a plug-in, its options are given with a dot: `asha:inner=evolution,inner.population=20`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

NOUNS = {  # what the messages call a plug-in of a folder
    "strategies": "strategy",
    "search_spaces": "space",
    "nas.data": "kind of data",
    "nas.monitors": "monitor",
    "nas.formats": "format",
    "nas.executors": "executor",
}


def names(folder: str) -> list[str]:
    """The names found in `folder` (a package such as `strategies`) and among its entry points."""
    return sorted(_files(folder) | {point.name for point in installed().select(group=_group(folder))})


@lru_cache(maxsize=1)
def installed() -> Any:
    """The entry points of all packages there are, which take tens of milliseconds to find."""
    return entry_points()


def _files(folder: str) -> set[str]:
    package = importlib.import_module(folder)
    return {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}


def find(folder: str, name: str, kind: type) -> type[Any]:
    """The subclass of `kind` that `name` means. Raises `ValueError` with the nearest name."""
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        if module_name in names(folder):
            raise ValueError(f"{_noun(folder)} {module_name}: an option is written key=value, got {class_name!r}")
        try:
            return checked(getattr(importlib.import_module(module_name), class_name), kind, name)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{name!r} cannot be imported: {error}") from None
    for point in installed().select(group=_group(folder), name=name):
        return checked(point.load(), kind, name)
    if name not in _files(folder):
        raise ValueError(f"there is no {_noun(folder)} {name!r}; {nearest(name, names(folder))}")
    module = importlib.import_module(f"{folder}.{name}")
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and issubclass(cls, kind):
            return cls
    raise ValueError(f"{folder}/{name}.py has no subclass of {kind.__module__}.{kind.__name__}")


def split(spec: str) -> tuple[str, dict[str, Any]]:
    """`'evolution:population=20,sample=5' -> ('evolution', {'population': 20, 'sample': 5})`."""
    name, _, rest = spec.partition(":")
    if rest and "=" not in rest.split(",")[0].partition(":")[0]:  # package.module:Class[:key=value,...]
        class_name, _, rest = rest.partition(":")
        name = f"{name}:{class_name}"
    return name, {key: parse_value(value) for key, value in pairs(rest, repr(spec)).items()}


def pairs(text: str, owner: str) -> dict[str, str]:
    """`'population=20, sample=5' -> {'population': '20', 'sample': '5'}`."""
    found: dict[str, str] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"{owner}: an option is written key=value, got {item!r}")
        if key in found:
            raise ValueError(f"{owner} gives {key} twice; leave one out")
        found[key] = value
    return found


def make(folder: str, spec: str, kind: type, *args: Any) -> Any:
    """Build the plug-in that `spec` names: positional `args` first, the options of the specification by keyword."""
    name, options = split(spec)
    cls = find(folder, name, kind)
    options = folded(cls, options)
    check_options(cls, options, f"{_noun(folder)} {name}")
    return cls(*args, **options)


def folded(cls: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """`{'inner': 'random', 'inner.size': 2} -> {'inner': 'random:size=2'}`, where `inner` is a keyword of `cls`."""
    keywords = inspect.signature(cls).parameters
    found = {key: value for key, value in options.items() if "." not in key}
    for key, value in options.items():
        outer, dot, inner = key.partition(".")
        if dot and outer in keywords:
            spec = str(found.get(outer, keywords[outer].default))
            found[outer] = f"{spec}{',' if split(spec)[1] else ':'}{inner}={value}"
        elif dot:
            found[key] = value
    return found


def check_options(cls: type, options: Mapping[str, Any], owner: str) -> None:
    """Raise `ValueError` for an option that is not a keyword of `cls`, or not of the type of its default."""
    keywords = {p.name: p for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for key, value in options.items():
        if key not in keywords:
            raise ValueError(f"{owner} has no option {key!r}; {nearest(key, keywords)}")
        default = keywords[key].default
        fits = isinstance(value, int | float) if isinstance(default, float) else isinstance(value, type(default))
        if not fits or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ValueError(f"{owner}: {key} must be like its default {default!r}, got {value!r}")


def read_options(cls: type, words: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Options as written, of the types of their defaults. Raises `ValueError` as `check_options` does."""
    parameters = inspect.signature(cls).parameters
    texts = {name for name, parameter in parameters.items() if isinstance(parameter.default, str)}
    read = {name: word if name in texts else parse_value(word) for name, word in words.items()}
    check_options(cls, read, owner)
    return read


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "it has none"


def parse_value(text: str) -> bool | int | float | str:
    """A word of the command line as what it looks like: `'true'`, `'4'`, `'1e-3'`, or itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _group(folder: str) -> str:
    """The entry points of a folder: nas.strategies, nas.search_spaces, nas.data."""
    return f"nas.{folder.removeprefix('nas.')}"


def _noun(folder: str) -> str:
    return NOUNS[folder]


def checked(found: Any, kind: type, name: str) -> type[Any]:
    """`found`, if it is a concrete subclass of `kind`. Raises `ValueError`."""
    if not (inspect.isclass(found) and issubclass(found, kind)):
        raise ValueError(f"{name!r} is not a subclass of {kind.__module__}.{kind.__name__}")
    if inspect.isabstract(found):
        raise ValueError(f"{name!r} is abstract; give a class that defines its abstract methods")
    return found
