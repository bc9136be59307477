"""The tables of a report: finalists, layers, cost, failures, options, ablation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas.architecture import Architecture
from nas.drawing import words
from nas.latency import recorded
from nas.objectives import ACCURACY, PARAMS, cost_in_words, front, in_words
from nas.reporting.facts import ARMS, Run, Tried
from nas.reporting.finals import Finalist
from nas.reporting.importance import Effect, word

MANY = 8  # numbers of failed trials that are named
EACH, ROWS = 3, 24  # networks of a choice and of all in an ablation
Neighbour = tuple[str, str, str, Tried]  # a choice, its answers here and there, the network there
FIRST = 6  # choices in a table of means


@dataclass(frozen=True)
class Layer:
    """`part`: the block it belongs to. `bar`: its parameters as a percentage of the largest layer's."""

    part: str
    name: str
    shape: str
    params: int
    share: str
    bar: float
    kind: str


def layers(architecture: Architecture, budget: int) -> list[Layer]:
    """All layers that compute or hold parameters, in order; shares are of the budget, or of all where there is none."""
    most = max(architecture.layer_params) or 1
    whole = budget or architecture.num_params
    found = []
    for i, node in enumerate(architecture.nodes):
        if i == 0:
            continue
        params, attrs = architecture.layer_params[i], dict(node.attrs)
        kind = words.kind(node.op, attrs, params)
        name, shape = words.layer(node.op, [attrs]), words.shape([architecture.shapes[i]])
        bar = 100 * params / most
        found.append(Layer(words.spoken(node.scope), name, shape, params, words.share(params, whole), bar, kind))
    return found


@dataclass(frozen=True)
class Cost:
    """What a search cost. `trials` are all that have ended; copies took over a result and cost nothing."""

    arm: str
    trials: int
    failed: int
    copies: int
    seconds: float
    epochs: float
    slowest: float


def costs(run: Run) -> list[Cost]:
    """Of each search and of the final training, and last of all together; of those that there were."""
    arms = {"search": run.search, "random": run.random, "final": run.final, "distilled": run.distilled}
    found = [_cost(ARMS[arm], rows) for arm, rows in arms.items() if rows]
    together = _cost("together", [*run.tried, *run.again])
    if each := run.taught:
        found.insert(0, Cost("training of shared weights", 0, 0, 0, sum(each), len(each), max(each)))
        together = replace(together, seconds=together.seconds + sum(each), epochs=together.epochs + len(each))
    return [*found, together] if len(found) > 1 else found


def _cost(name: str, rows: Sequence[Tried]) -> Cost:
    return Cost(
        name,
        len(rows),
        sum(row.value is None for row in rows),
        sum(row.copy_of is not None for row in rows),
        sum(row.seconds for row in rows),
        sum(row.epochs for row in rows),
        max((row.seconds for row in rows), default=0.0),
    )


@dataclass(frozen=True)
class Failure:
    """Trials that failed alike, their message and which they are."""

    message: str
    trials: int
    which: str


def failures(rows: Sequence[Tried]) -> list[Failure]:
    """Most frequent first. Messages that differ in their numbers alone are one, told by its first, and said to be."""
    alike: dict[str, list[Tried]] = {}
    for row in rows:
        alike.setdefault(re.sub(r"\d+(\.\d+)?", "#", _line(row)), []).append(row)
    groups = sorted(alike.values(), key=len, reverse=True)
    return [Failure(_lines(group), len(group), _named(group)) for group in groups]


def _lines(rows: Sequence[Tried]) -> str:
    differ = len({_line(row) for row in rows}) > 1
    return f"such as: {_line(rows[0])}" if differ else _line(rows[0])


def _line(row: Tried) -> str:
    return next(iter((row.error or "").strip().splitlines()), "") or "no message"


def _named(rows: Sequence[Tried]) -> str:
    ordered = sorted(rows, key=lambda row: (list(ARMS).index(row.arm), row.number))
    names = [f"{'' if row.arm == 'search' else row.arm + ' '}{row.number}" for row in ordered]
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY:,} more" if len(names) > MANY else "")


@dataclass(frozen=True)
class Table:
    """Cells as plain text, the first of each row words and the others numbers; ready to be pasted."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def markdown(self) -> str:
        lines = [self.head, ("---", *["---:"] * (len(self.head) - 1)), *self.rows]
        body = "\n".join("| " + " | ".join(map(_markdown, line)) + " |" for line in lines)
        return f"{body}\n\n{_markdown(self.caption)}\n"

    @property
    def latex(self) -> str:
        """A `table` that needs the package booktabs."""
        lines = [" & ".join(map(_latex, line)) + r" \\" for line in (self.head, *self.rows)]
        body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
        columns = "l" + "r" * (len(self.head) - 1)
        return (
            "% \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
            f"\\caption{{{_latex(self.caption)}}}\n\\begin{{tabular}}{{{columns}}}\n{body}\n"
            "\\end{tabular}\n\\end{table}\n"
        )


def ablation(run: Run, best: Tried, effects: Sequence[tuple[str, Sequence[Effect]]]) -> Table | None:
    """The best network beside those that differ in one choice; beside the means of options where none was tried."""
    beside = neighbours(run.trained, best)
    if not beside:
        return _means(effects)
    shown = _few(beside)
    rows = [("chosen network", *_facts(best, best))]
    rows += [(f"{words.spoken(name)}: {was} → {now}", *_facts(row, best)) for name, was, now, row in shown]
    left = len(beside) - len(shown)
    hidden = f" {left:,} others, of choices that have several here, are left out." if left else ""
    if any(row.fidelity != best.fidelity for *_, row in shown):
        hidden += " Not all were given as many epochs, which moves the accuracy too."
    caption = (
        "Ablation: the chosen network as the search saw it, and networks that were tried and differ from it in one "
        "choice (and what follows from it). Each was seen once, so that small differences may be "
        f"chance.{hidden}"
    )
    head = ("choice", f"{run.measure} (%)", "difference (points)", "parameters", "epochs")
    return Table(caption, head, tuple(rows))


def trade_offs(run: Run) -> Table | None:
    """The networks that no other beats in everything, where there are several objectives."""
    names = [str(name) for name in run.config.get("objective") or ()]
    tried = run.trained if run.shared else run.tried  # of shared weights what the last round has seen
    best = front(row for row in tried if len(row.values) == len(names) > 1)
    others = [n for n, name in enumerate(names) if name not in (ACCURACY, PARAMS)]
    rows = [
        (
            row.network,
            f"{100 * row.score:.2f}",
            f"{row.params:,}",
            *(cost_in_words(-row.values[n]) for n in others),
            f"{row.number}" if row.arm == "search" else f"random {row.number}",
        )
        for row in best
    ]
    caption = (
        f"The front of {', '.join(names)}: of all networks that were tried those that no other beats in everything, as "
        "the search saw them. Each was seen once, so that small differences in accuracy may be chance."
    )
    if model := recorded(run.path / "latency.json"):
        caption += f" {model}."
    costs = (in_words(names[n]) for n in others)
    head = ("network", f"{run.measure} (%)", "parameters", *costs, "trial")
    return Table(caption, head, tuple(rows)) if rows else None


def _few(beside: Sequence[Neighbour]) -> list[Neighbour]:
    """The best few of each choice."""
    taken: Counter[str] = Counter()
    shown: list[Neighbour] = []
    for one in beside:
        taken[one[0]] += 1
        if taken[one[0]] <= EACH and len(shown) < ROWS:
            shown.append(one)
    return shown


def neighbours(rows: Sequence[Tried], best: Tried) -> list[Neighbour]:
    """Trained networks with one choice answered otherwise: its name, the best's answer, theirs; best first.

    What is asked on one side alone follows from that choice. Of the same choices the best-trained one stands for all.
    """
    found: dict[str, Neighbour] = {}
    for row in sorted((row for row in rows if row.value is not None), key=lambda row: -row.score):
        both = [name for name in best.choices if name in row.choices]
        differing = [name for name in both if best.choices[name] != row.choices[name]]
        if len(differing) == 1:
            (name,) = differing
            found.setdefault(row.key, (name, word(best.choices[name]), word(row.choices[name]), row))
    return list(found.values())


def _facts(row: Tried, best: Tried) -> tuple[str, ...]:
    difference = "" if row is best else signed(row.score - best.score)
    return f"{100 * row.score:.2f}", difference, f"{row.params:,}", f"{row.length:g}"


def _means(effects: Sequence[tuple[str, Sequence[Effect]]]) -> Table | None:
    rows = []
    for name, options in effects[:FIRST]:
        for effect in options:
            half = "" if effect.half_width is None else f"{100 * effect.half_width:.2f}"
            half = "more than 100" if (effect.half_width or 0.0) > 1 else half
            mean = f"{100 * effect.mean:.2f}"
            rows.append((f"{words.spoken(name)} = {effect.option}", mean, half, str(effect.trials)))
    caption = (
        "Mean accuracy in the search of the networks with each option of the choices that matter most. No network was "
        "tried that differs from the chosen one in one choice, so that these are means over whatever else differed."
    )
    head = ("option", "mean accuracy (%)", "95 % interval (± points)", "networks")
    return Table(caption, head, tuple(rows)) if rows else None


def signed(difference: float) -> str:
    """In points: `+1.20`, `−0.35`."""
    return f"{100 * difference:+.2f}".replace("-", "−")


def found_by(finalist: Finalist) -> str:
    """Which search found a finalist, and why it is one where it is not for its accuracy."""
    why = ", small, for the ensemble" if finalist.joining else ""
    if finalist.searched is None:
        return f"not in the log{why}"
    return f"{ARMS[finalist.searched.arm]}, trial {finalist.searched.number}{why}"


def _markdown(text: str) -> str:
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", text).replace("\n", " ")


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "→": r"$\rightarrow$", "−": "$-$", "±": r"$\pm$",
    "<": r"\textless{}", ">": r"\textgreater{}", "\n": " ",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)
