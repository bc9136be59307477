"""Layers, names and numbers as a picture words them, one text for several layers that differ in numbers alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from nas.ops import ACTIVATIONS, OPS, Join, Scalar, Shape

SILENT = {"bias", "ordered", "padding"}
KINDS = {  # of layers; each has a colour
    "weights": "dense or convolution",
    "norm": "normalisation",
    "activation": "activation",
    "dropout": "dropout",
    "shape": "pooling or flattening",
    "join": "sum, product, concatenation",
}


def kind(op: str, attrs: Mapping[str, Scalar], params: int) -> str:
    """One of `KINDS`."""
    if op in ACTIVATIONS or op == "dropout":
        return "dropout" if op == "dropout" else "activation"
    if isinstance(OPS.get(op), Join):
        return "join"
    if not params:
        return "shape"
    return "weights" if "out" in attrs or "kernel" in attrs else "norm"


def layer(op: str, several: Sequence[dict[str, Scalar]]) -> str:
    """`conv 3x3, 64, stride 2`; where the attributes of `several` layers differ `conv 3x3, 32|64|128`."""
    given = {name: _joined([attrs.get(name, 1) for attrs in several]) for name in several[0]}
    first, rest = op, list[str]()
    for name, value in given.items():
        if name == "kernel":
            first += f" {'|'.join(f'{size}x{size}' for size in value.split('|'))}"
        elif name == "out":
            rest.insert(0, value)
        elif name not in SILENT and (name not in ("stride", "dilation", "groups") or value != "1"):
            rest.append(f"{name} {value}" if name != "p" else value)
    return first + (", " if "kernel" in given and rest else " " if rest else "") + ", ".join(rest)


def shape(several: Sequence[Shape]) -> str:
    """`64 x 16 x 16`, or `16–64 x 8–32 x 8–32`."""
    return " x ".join(spread(sizes) for sizes in zip(*several, strict=True))


def spread(numbers: Sequence[int]) -> str:
    """`1,024`, or the least and the most of several: `64–1,024`."""
    least, most = min(numbers), max(numbers)
    if least == most:
        return f"{least:,}"
    return f"{least:,}–{most:,}"


def share(part: int, total: int) -> str:
    """A percentage, empty for nothing."""
    if not part:
        return ""
    percent = 100 * part / total
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def short(number: int) -> str:
    """`84.9M`."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "K")):
        if number >= 10**power:
            return f"{number / 10**power:.1f}{letter}"
    return str(number)


def spoken(name: str) -> str:
    """`stage1_residual2 -> stage 1 residual 2`, `node1_2 -> node 1.2`."""
    name = re.sub(r"(?<=\d)_(?=\d)", "|", name)
    return re.sub(r"(?<=[a-z])(?=\d)", " ", re.sub(r"[._]", " ", name)).replace("|", ".")


def names(several: Sequence[str]) -> str:
    """`cell1, cell2, cell3 -> cell 1–3`."""
    ends = [re.fullmatch(r"(.*?)([1-9]\d*)?", name) for name in several]
    parted = [(m[1], int(m[2])) if m and m[2] else (name, -1) for name, m in zip(several, ends, strict=True)]
    numbered = [(stem, number, number - i) for i, (stem, number) in enumerate(parted)]
    found = []
    for (stem, _), run in groupby(numbered, key=lambda entry: (entry[0], entry[2])):
        numbers = [number for _, number, _ in run]
        last = f"–{numbers[-1]}" if len(numbers) > 1 else ""
        found.append(spoken(stem if numbers[0] < 0 else f"{stem}{numbers[0]}{last}"))
    return ", ".join(dict.fromkeys(found))


def _joined(values: Sequence[Scalar]) -> str:
    distinct = sorted(set(values), key=lambda value: (str(type(value)), value))
    if len(distinct) > 3:
        distinct = [f"{distinct[0]}–{distinct[-1]}"]
    return "|".join(f"{v:g}" if isinstance(v, float) else str(v) for v in distinct)
