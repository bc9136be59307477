"""The page: all of a report in one file that needs nothing from outside, and its figures beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nas.architecture import Architecture
from nas.draw import draw
from nas.drawing.canvas import COLOURS
from nas.reporting import choices, conditions, figures, fronts, wording
from nas.reporting.facts import Run, Tried, mapping
from nas.reporting.finals import Finalist, chosen, finalists, handed_over
from nas.reporting.importance import EPOCHS, Effect, Importance, effects, importance, reason_against, varied
from nas.reporting.panels import Drawn
from nas.reporting.svg import inline, save, style, width
from nas.reporting.tables import ablation, costs, failures, found_by, layers, trade_offs
from nas.wanted import Wanted

LEGIBLE = 1.1  # pixels of a unit of a network's picture, whose letters are 8 units high
SHEET = 1232  # pixels that the page has for it
LONG = 40  # layers, from which on their table is folded


def write(path: Path) -> Path:
    """Write report.html and figures/ into the run directory `path`; returns the page.

    Raises `ValueError` where `path` is no run directory.
    """
    run = Run.read(path)
    again = finalists(run)
    folder = path / "figures"
    folder.mkdir(exist_ok=True)
    told, reason = _importance(run)
    options = _effects(run, told)
    with style():
        course = [_chart(one, folder) for one in _course(run, again)]
        matter = [_chart(one, folder) for one in (choices.bars(told, reason), choices.panels(options, told))]
    best = chosen(run, again)
    context = {
        **_head(run, again),
        **_selection(run, again),
        **_network(run, folder),
        "course": course,
        "matter": matter,
        "options": options,
        "ablation": ablation(run, run.original(_searched(run, best)), options) if run.ranked else None,
        "front": trade_offs(run),
        "costs": costs(run),
        "failures": failures(run.failed),
        "shared": run.shared,
    }
    page = path / "report.html"
    partial = page.with_name(page.name + ".partial")
    partial.write_text(_render(context), encoding="utf-8")
    partial.replace(page)
    return page


def _render(context: Mapping[str, Any]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    for filtering in (conditions.percent, conditions.points, conditions.duration, wording.interval):
        environment.filters[filtering.__name__] = filtering
    template = files("nas.reporting").joinpath("template.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(context)


def _course(run: Run, again: Sequence[Finalist]) -> list[Drawn]:
    return [
        figures.progress(run),
        *(fronts.against(run, again, cost) for cost in fronts.costs(run)),
        figures.curves(run, again),
        figures.durations(run),
    ]


def _chart(drawn: Drawn, folder: Path) -> dict[str, Any]:
    """A figure as the page shows it. A figure of an earlier report that is not drawn any more is taken away."""
    file = folder / f"{drawn.name}.svg"
    svg = Markup()
    if drawn.figure is None:
        file.unlink(missing_ok=True)
    else:
        svg = inline(save(drawn.figure, file).read_text(encoding="utf-8"), drawn.name, drawn.alt)
    return {"name": drawn.name, "heading": drawn.heading, "caption": drawn.caption, "svg": svg}


def _importance(run: Run) -> tuple[Importance | None, str]:
    """The importance of the choices, or why there is none."""
    reason = reason_against(run.trained)
    return (None, reason) if reason else (importance(run.trained), "")


def _effects(run: Run, told: Importance | None) -> list[tuple[str, list[Effect]]]:
    """The choices that vary, the most important first, with their options."""
    names = varied(run.trained)
    if told is not None:
        names = [name for name in told.names if name != EPOCHS] + [name for name in names if name not in told.names]
    return [(name, effects(run.trained, name)) for name in names]


def _searched(run: Run, best: Finalist | None) -> Tried:
    """The chosen network as the search saw it, or else the best trial."""
    return best.searched if best is not None and best.searched is not None else run.ranked[0]


def _head(run: Run, again: Sequence[Finalist]) -> dict[str, Any]:
    config, record = run.config, run.record
    where = shlex.quote(str(run.path))
    data, versions = mapping(record.get("data")), mapping(record.get("versions"))
    shape = " x ".join(str(size) for size in data.get("input_shape", ()))
    facts = {
        "Search space": config.get("space"),
        "Strategy": config.get("strategy"),
        "Objective": ", ".join(map(str, config.get("objective") or ("accuracy",))),
        "Parameter budget": f"{run.budget:,}" if run.budget else "none recorded",
        "Tuning budget": conditions.tuning(run),
        "Each training": conditions.stopping(run),
        "Data": f"{config.get('data')} ({shape or '?'} to {data.get('classes', '?')} classes)",
        "Split": conditions.samples(run),
        "Fingerprint of the data": data.get("fingerprint", "not recorded"),
        "Seeds": conditions.seeds(run),
        "When": conditions.when(run),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Git commit": record.get("git_commit") or "not recorded (no git checkout)",
        "Run again by": f"python -m nas.search --config {where}/config.yaml --out ELSEWHERE",
    }
    won = wording.tested(run, again)
    folder = won.folder if won is not None else "best"
    file = run.handed[folder].get("file", "samples.npy")
    lines = "1 line" if run.unread == 1 else f"{run.unread:,} lines"
    unread = f"Of the logs {lines} could not be read and are left out." if run.unread else ""
    return {
        "title": run.path.resolve().name,
        "state": wording.state(run),
        "unread": unread,
        "headline": wording.headline(run, again),
        "answer": wording.answer(run, again),
        "use": f"python {where}/{folder}/predict.py {file}" if run.exported else "",
        "folder": folder,
        "facts": {name: str(value) for name, value in facts.items()},
    }


def _selection(run: Run, again: Sequence[Finalist]) -> dict[str, Any]:
    best = chosen(run, again)
    rows = [
        {
            "network": f.first.network,
            "params": f"{f.first.params:,}",
            "found": found_by(f),
            "searched": "" if f.searched is None else conditions.percent(f.searched.score),
            "mean": conditions.percent(f.mean),
            "ended": wording.ended(f),
            "half": wording.interval(f),
            "each": ", ".join(f"{100 * value:.2f}" for value in f.values),
            "epochs": f"{f.first.epochs:g}",
            "chosen": f is best,
        }
        for f in again
    ]
    handed = handed_over(run, again)
    said = {"flattered": wording.flattered(run, again), "compared": wording.compared(run, again)}
    below = [sentence for sentence in (wording.beyond_seeds(run, again), wording.left_out(run, again)) if sentence]
    failed = wording.all_failed(run)
    return {
        "finalists": rows,
        "below": below,
        "all_failed": failed,
        "handed": handed if len(handed) > 1 else [],
        **said,
    }


def _network(run: Run, folder: Path) -> dict[str, Any]:
    """The exported network as a picture and as a table of its layers."""
    try:
        architecture: Architecture | None = Wanted(run.path).architecture if run.exported else None
    except ValueError:
        architecture = None
    file = folder / "architecture.svg"
    if architecture is None:
        file.unlink(missing_ok=True)
        return {"network": "", "picture": Markup(), "layers": []}
    draw(architecture, file)
    words = f"The best network: {architecture}"
    picture = inline(file.read_text(encoding="utf-8"), "architecture", words, LEGIBLE)
    rows = layers(architecture, run.budget)
    return {
        "network": str(architecture),
        "picture": picture,
        "wide": width(picture) * LEGIBLE > SHEET,
        "layers": rows,
        "folded": len(rows) > LONG,
        "parts": any(row.part for row in rows),
        "colours": COLOURS,
        "total": architecture.num_params,
    }
