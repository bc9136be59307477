"""A plan as Python source, as a person would write it: a class for each kind of part, and the class `Network`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any

from nas.ops import OPS, Call, Join
from nas.plan import Block, Part, Plan, Step, written

HELD = "# held for the number of parameters: nothing that it computes leads to the output"
WIDEST = 88  # characters of an expression written where it is used
ROLES = {  # what the positional arguments of torch's constructors are
    "Conv2d": ("inputs", "outputs", "kernel"),
    "Linear": ("inputs", "outputs"),
    "BatchNorm2d": ("channels",),
    "GroupNorm": ("groups", "channels"),
    "MaxPool2d": ("kernel", "stride", "padding"),
    "AvgPool2d": ("kernel", "stride", "padding"),
}
CHANNELS = {"inputs", "outputs", "channels", "groups"}


class _Name(str):
    """A parameter's name, which stands in a call for a constant."""

    __slots__ = ()
    __repr__ = str.__str__


def source(drawn: Plan, doc: str = "") -> str:
    """The class `Network`, and before it the classes of its parts; parts alike but for some numbers share one."""
    kinds: dict[tuple[Any, ...], list[Part]] = {}
    for piece in drawn.pieces:
        if isinstance(piece, Part):
            kinds.setdefault(_form(piece, drawn), []).append(piece)
    classes: list[str] = []
    made: dict[str, str] = {}  # name of a part -> the call that makes it
    taken = {"Network", "Path", "None", "True", "False"}
    for parts in kinds.values():
        name = _class_name(parts[0].name, taken)
        rows = [list(_constants(part, drawn)) for part in parts]
        names = _parameters(rows, list(_roles(parts[0], drawn)))
        classes.append(_class(name, parts[0], names, drawn))
        for part, row in zip(parts, rows, strict=True):
            values = {given: value for given, value in zip(names, row, strict=True) if given is not None}
            made[part.name] = f"{name}({', '.join(map(repr, values.values()))})"
    init: list[str] = []
    for piece in drawn.pieces:
        if isinstance(piece, Part):
            init.append(f"self.{piece.name} = {made[piece.name]}")
        elif isinstance(piece, Block):
            init += _layers(piece.name, drawn.calls(piece))
    init += _held(drawn.held, [drawn.calls(block) for block in drawn.held])
    body = _statements(drawn, drawn.pieces, (0,), len(drawn.architecture.nodes) - 1, bool(made))
    return "\n\n".join([*classes, _written("Network", doc, "", init, "x", body)])


def _class(name: str, part: Part, names: list[_Name | None], drawn: Plan) -> str:
    """The class of parts like `part`, whose constants are parameters where they have a name."""
    given = iter(names)

    def named(call: Call) -> Call:
        args = tuple(next(given) or value for value in call.args)
        return replace(call, args=args, kwargs=tuple((key, next(given) or value) for key, value in call.kwargs))

    blocks = [step for step in part.steps if isinstance(step, Block)]
    calls = {block.name: [named(call) for call in drawn.calls(block)] for block in (*blocks, *part.held)}
    init = list(chain(*(_layers(_own(block), calls[block.name]) for block in blocks)))
    init += _held(part.held, [calls[block.name] for block in part.held])
    inputs = ", ".join(_variables(part.inputs))
    body = _statements(drawn, part.steps, part.inputs, part.output, False)
    parameters = "".join(f", {given}" for given in dict.fromkeys(n for n in names if n is not None))
    return _written(name, "", parameters, init, inputs, body)


def _written(name: str, doc: str, parameters: str, init: list[str], inputs: str, body: list[str]) -> str:
    lines = [f"class {name}(nn.Module):"]
    lines += [f'    """{doc}"""', ""] if doc else []
    lines += [f"    def __init__(self{parameters}):", "        super().__init__()", *(f"        {i}" for i in init), ""]
    lines += [f"    def forward(self, {inputs}):", *(f"        {line}" for line in body)]
    return "\n".join(lines) + "\n"


def _layers(name: str, calls: list[Call]) -> list[str]:
    if len(calls) == 1:
        return [f"self.{name} = {calls[0]}"]
    return [f"self.{name} = nn.Sequential(", *(f"    {call}," for call in calls), ")"]


def _held(blocks: Sequence[Block], calls: list[list[Call]]) -> list[str]:
    lines = (_layers(_own(block), of) for block, of in zip(blocks, calls, strict=True))
    return [HELD, *chain(*lines)] if blocks else []


def _own(block: Block) -> str:
    """The name of a block inside its part."""
    return block.name.rpartition(".")[2]


def _calls(part: Part, drawn: Plan) -> Iterable[Call]:
    blocks = (step for step in (*part.steps, *part.held) if isinstance(step, Block))
    return chain(*map(drawn.calls, blocks))


def _constants(part: Part, drawn: Plan) -> Iterable[Any]:
    return (value for call in _calls(part, drawn) for value in (*call.args, *(v for _, v in call.kwargs)))


def _roles(part: Part, drawn: Plan) -> Iterable[str]:
    """What each of the constants of a part means."""
    for call in _calls(part, drawn):
        known = ROLES.get(call.name, ())
        yield from (known[i] if i < len(known) else "size" for i in range(len(call.args)))
        yield from (key for key, _ in call.kwargs)


def _form(part: Part, drawn: Plan) -> tuple[Any, ...]:
    """All that parts of one class have in common: everything but the constants of the constructor calls."""
    number = {node: i for i, node in enumerate((*part.inputs, *map(written, part.steps)))}
    steps = []
    for step in (*part.steps, *part.held):
        own: object = drawn.architecture.nodes[step].op if isinstance(step, int) else _own(step)
        calls = [(c.name, len(c.args), tuple(k for k, _ in c.kwargs)) for c in _block_calls(step, drawn)]
        steps.append((own, tuple(number.get(i, -1) for i in drawn.reads(step)), tuple(calls)))
    return (_stem(part.name), len(part.held), len(part.inputs), number[part.output], tuple(steps))


def _block_calls(step: Step, drawn: Plan) -> list[Call]:
    return drawn.calls(step) if isinstance(step, Block) else []


def _parameters(rows: list[list[Any]], roles: list[str]) -> list[_Name | None]:
    """A name for each constant that differs between parts; constants that never differ from each other share one."""
    columns = list(zip(*rows, strict=True))
    meanings: dict[tuple[Any, ...], list[str]] = {}
    for column, role in zip(columns, roles, strict=True):
        if len(set(column)) > 1:
            meanings.setdefault(column, []).append(role)
    names: dict[tuple[Any, ...], _Name] = {}
    for column, found in meanings.items():
        word = "channels" if len(set(found)) > 1 and CHANNELS.issuperset(found) else found[0]
        numbered = chain((word,), (f"{word}{i}" for i in count(2)))
        names[column] = _Name(next(n for n in numbered if n not in names.values()))
    return [names.get(column) for column in columns]


def _stem(name: str) -> str:
    """`stage1_residual2 -> Residual`: what a part is called without its place."""
    return re.sub(r"\d+", "", name.rpartition("_")[2]).capitalize() or "Part"


def _class_name(part: str, taken: set[str]) -> str:
    stem = _stem(part)
    name = next(n for n in chain((stem,), (f"{stem}{i}" for i in count(2))) if n not in taken)
    taken.add(name)
    return name


def _variables(nodes: Sequence[int]) -> list[str]:
    names = chain("xyz", (f"x{n}" for n in count(1)))
    return [name for name, _ in zip(names, nodes, strict=False)]


def _statements(
    drawn: Plan, pieces: Sequence[Part | Step], inputs: Sequence[int], output: int, spread: bool
) -> list[str]:
    """The body of `forward`: a value used once is written where it is used, any other gets a variable.

    `spread`: every value gets one.
    """
    left = Counter(i for step in pieces for i in drawn.reads(step))  # uses still to come, by node
    names = zip(inputs, _variables(inputs), strict=True)
    ready = {node: (name, frozenset((name,))) for node, name in names}  # node -> expression, variables it reads
    lines: list[str] = []

    def assign(node: int, expression: str) -> None:
        alive = frozenset().union(*(variables for other, (_, variables) in ready.items() if other != node))
        name = next(name for name in chain("xyz", (f"x{n}" for n in count(1))) if name not in alive)
        ready[node] = name, frozenset((name,))
        lines.append(f"{name} = {expression}")

    for step in pieces:
        taken, node = drawn.reads(step), written(step)
        while len(expression := _expression(step, drawn, [ready[i][0] for i in taken])) > WIDEST:
            longest = max(taken, key=lambda i: len(ready[i][0]))
            if ready[longest][0].isidentifier():
                break
            assign(longest, ready[longest][0])
        reads = frozenset().union(*(ready[i][1] for i in taken))
        left.subtract(taken)
        for i in taken:
            if not left[i]:
                ready.pop(i, None)
        if node == output:
            lines.append(f"return {expression}")
        elif left[node] == 1 and not spread:
            ready[node] = expression, reads
        else:
            assign(node, expression)
    return lines


def _expression(step: Part | Step, drawn: Plan, inputs: list[str]) -> str:
    if isinstance(step, Part):
        return f"self.{step.name}({', '.join(inputs)})"
    if isinstance(step, Block):
        return f"self.{_own(step)}({inputs[0]})"
    join = OPS[drawn.architecture.nodes[step].op]
    assert isinstance(join, Join)
    return join.source(*inputs)
