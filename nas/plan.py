"""An architecture cut into blocks and parts that a person would name: read as a module and as source, so both agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, count, groupby

from nas.architecture import Architecture
from nas.ops import OPS, Call, Join

RESERVED = {  # words that a module already has a meaning for
    *("apply", "buffers", "children", "compile", "cpu", "cuda", "double", "eval", "float", "forward", "half"),
    *("layers_of", "modules", "parameters", "plan", "to", "train", "training", "type"),
}


@dataclass(frozen=True)
class Block:
    """A chain of layers from node `start` (its input) through `nodes`; `name` is its path in the module."""

    name: str
    start: int
    nodes: tuple[int, ...]


Step = Block | int  # an integer is the position of a join


@dataclass(frozen=True)
class Part:
    """Steps that are a module of their own, such as a cell: from the nodes `inputs` to the node `output`."""

    name: str
    steps: tuple[Step, ...]
    held: tuple[Block, ...]
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Plan:
    """The architecture cut into its longest chains and the joins between them, in order of computation.

    `held` are blocks whose parameters the module has although nothing that they compute leads to the output.
    """

    architecture: Architecture
    pieces: tuple[Part | Step, ...]
    held: tuple[Block, ...]  # outside any part

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, those of the parts among them."""
        return tuple(chain(*(piece.steps if isinstance(piece, Part) else (piece,) for piece in self.pieces)))

    def calls(self, block: Block) -> list[Call]:
        """The constructor calls of a block's layers."""
        shapes, nodes = self.architecture.shapes, self.architecture.nodes
        return [OPS[nodes[i].op].layer(shapes[nodes[i].inputs[0]], **dict(nodes[i].attrs)) for i in block.nodes]

    def blocks(self) -> Iterator[Block]:
        """All blocks, held ones among them."""
        for piece in self.pieces:
            of = (*piece.steps, *piece.held) if isinstance(piece, Part) else (piece,)
            yield from (step for step in of if isinstance(step, Block))
        yield from self.held

    def reads(self, step: Part | Step) -> tuple[int, ...]:
        """The nodes that a step takes."""
        if isinstance(step, Part):
            return step.inputs
        return (step.start,) if isinstance(step, Block) else self.architecture.nodes[step].inputs


def written(step: Part | Step) -> int:
    """The node that a step gives."""
    if isinstance(step, Part):
        return step.output
    return step.nodes[-1] if isinstance(step, Block) else step


def plan(architecture: Architecture) -> Plan:
    """Cut at joins, wherever a value is used more than once, and where a scope ends."""
    return _Cut(architecture).plan()


class _Cut:
    def __init__(self, architecture: Architecture) -> None:
        self.architecture, self.nodes = architecture, architecture.nodes
        self.computed = frozenset(architecture.computed)
        self.joins = {i for i, node in enumerate(self.nodes) if node.op in OPS and isinstance(OPS[node.op], Join)}
        self.joined = {i for join in self.joins for i in self.nodes[join].inputs}
        self.taken = set(RESERVED)
        self.scoped = {node.scope.replace(".", "_") for node in self.nodes}  # names that a block must not take first
        self.scoped |= {node.scope.partition(".")[0] for node in self.nodes}
        self.block = 0

    def plan(self) -> Plan:
        chains = self._chains()
        steps = [c for c in chains if c[-1] in self.computed]
        params = self.architecture.layer_params
        held = [
            c for c in chains if c[-1] not in self.computed and c[0] not in self.joins and any(params[i] for i in c)
        ]
        pieces: list[Part | Step] = []
        for name, group in groupby(steps, lambda c: self._path(c)[0]):
            members = list(group)
            part = self._part(name, members, [c for c in held if self._path(c)[0] == name])
            if part:
                pieces.append(part)
                held = [c for c in held if self._path(c)[0] != name]
            else:
                pieces += [self._step(c, self._flat(c, len(steps))) for c in members]
        left = [self._step(c, self._flat(c, len(steps))) for c in held]
        return Plan(self.architecture, tuple(pieces), tuple(b for b in left if isinstance(b, Block)))

    def _chains(self) -> list[list[int]]:
        """Chains of layers, and each join by itself, in order of computation."""
        uses = Counter((i, p in self.computed) for p, node in enumerate(self.nodes) for i in node.inputs)
        chains: list[list[int]] = []
        ending: dict[int, list[int]] = {}  # last node of an open chain -> its nodes
        for position, node in enumerate(self.nodes[1:], 1):
            before, computed = node.inputs[0], position in self.computed
            goes_on = before in ending and uses[before, computed] == 1 and position not in self.joins
            alike = node.scope == self.nodes[before].scope and computed == (before in self.computed)
            chain = ending.pop(before) if goes_on and alike else []
            chain.append(position)
            if len(chain) == 1:
                chains.append(chain)
            if position not in self.joins:
                ending[position] = chain
        return chains

    def _path(self, chain: list[int]) -> tuple[str, str]:
        """Of a chain's scope the first name, which may be a part, and the rest as one word."""
        first, _, rest = self.nodes[chain[0]].scope.partition(".")
        return first, rest.replace(".", "_")

    def _part(self, name: str, chains: list[list[int]], held: list[list[int]]) -> Part | None:
        """The part of these chains; None where they are no module of their own."""
        inside = {i for c in chains for i in c}
        inputs = dict.fromkeys(i for c in chains for i in self.nodes[c[0]].inputs if i not in inside)
        read = {i for p in self.computed - inside for i in self.nodes[p].inputs} | {len(self.nodes) - 1}
        outputs = inside & read
        layers = [c for c in chains if c[0] not in self.joins]
        outside = {self.nodes[c[0]].inputs[0] for c in held} - inside - set(inputs)
        if not name or name in self.taken or len(outputs) != 1 or len(chains) + len(held) < 2 or not layers or outside:
            return None
        self.taken.add(name)
        taken = set(RESERVED)
        local = [self._step(c, f"{name}.{_free(self._path(c)[1] or self._plain(c), taken)}") for c in chains + held]
        steps, rest = local[: len(chains)], local[len(chains) :]
        return Part(name, tuple(steps), tuple(b for b in rest if isinstance(b, Block)), tuple(inputs), outputs.pop())

    def _plain(self, chain: list[int]) -> str:
        return "" if chain[0] in self.joins else "project" if self._is_projection(chain) else "layers"

    def _is_projection(self, chain: list[int]) -> bool:
        return len(chain) == 1 and chain[0] in self.joined and not dict(self.nodes[chain[0]].attrs).get("bias", True)

    def _step(self, chain: list[int], name: str) -> Step:
        return chain[0] if chain[0] in self.joins else Block(name, self.nodes[chain[0]].inputs[0], tuple(chain))

    def _flat(self, chain: list[int], steps: int) -> str:
        """The name of a block that is an attribute of the network itself."""
        if chain[0] in self.joins:
            return ""
        if scope := self.nodes[chain[0]].scope:
            return _free(scope.replace(".", "_"), self.taken)
        if steps == 1 and chain[-1] in self.computed:
            name = "layers"
        elif chain[-1] == len(self.nodes) - 1:
            name = "head"
        elif self._is_projection(chain) and f"project{self.block}" not in self.taken:
            name = f"project{self.block}"
        else:
            self.block += 1
            name = f"block{self.block}"
        return _free(name, self.taken, self.scoped)


def _free(name: str, taken: set[str], others: Collection[str] = ()) -> str:
    """`name`, with a number where it is taken or one of the `others`; taken from now on."""
    if not name:
        return name
    free = next(n for n in chain((name,), (f"{name}{i}" for i in count(2))) if n not in taken and n not in others)
    taken.add(free)
    return free
