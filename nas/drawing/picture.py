"""The charts of an architecture on one sheet: the network on the left, the inside of each kind of part beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nas.architecture import Architecture
from nas.drawing import words
from nas.drawing.content import Box, Chart, Content
from nas.drawing.layered import Link, Point, layered

FONT = 8.0
ROW = 13.0  # height of a line
PAD = 5.0
COLUMN = 10.0  # between the columns of a box
MARGIN = 18.0
FRAME = 10.0  # between a frame and what is in it
Measure = Callable[[str, float], float]  # width of a text at a size
ABOUT = (
    "A line: layer, output shape, its parameters, share of all parameters.",
    "Of what repeats: parameters of each, share of all of them together.",
)


@dataclass(frozen=True)
class Rect:
    """From the upper left corner; y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, x: float, y: float) -> Rect:
        return Rect(self.x + x, self.y + y, self.width, self.height)


@dataclass(frozen=True)
class Text:
    """One line; `y` is its middle."""

    x: float
    y: float
    text: str
    size: float = FONT
    bold: bool = False


@dataclass
class Picture:
    """What is drawn where."""

    width: float = 0.0
    height: float = 0.0
    boxes: list[tuple[Rect, Box]] = field(default_factory=list)
    frames: list[Rect] = field(default_factory=list)
    paths: list[list[Point]] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    swatches: list[tuple[Rect, str]] = field(default_factory=list)  # of the legend, with the kind
    entries: list[float] = field(default_factory=list)  # of a chart: where its inputs stand
    exit: float = 0.0

    def put(self, other: Picture, x: float, y: float) -> None:
        """`other` with its corner at (x, y)."""
        self.boxes += [(rect.moved(x, y), box) for rect, box in other.boxes]
        self.frames += [rect.moved(x, y) for rect in other.frames]
        self.paths += [[(px + x, py + y) for px, py in path] for path in other.paths]
        self.texts += [Text(t.x + x, t.y + y, t.text, t.size, t.bold) for t in other.texts]


def picture(architecture: Architecture, measure: Measure, full: bool = False) -> Picture:
    """The sheet; `full` draws every part with its inside where it stands."""
    content = Content(architecture, full)
    main = _placed(content.main, measure)
    panels = [_framed(chart, measure) for chart in content.details]
    for height in (max([main.height, *(p.height for p in panels)]) * factor for factor in (1, 1.3, 1.7, 2.2, 3)):
        body = Picture(main.width, main.height)
        body.put(main, 0, 0)
        _beside(body, panels, height)
        if body.width < 1.9 * height:
            break
    return _sheet(body, architecture, measure)


def _beside(body: Picture, panels: Sequence[Picture], height: float) -> None:
    """Panels in columns of at most this height."""
    x, y, widest = body.width + 2 * MARGIN, 0.0, 0.0
    for panel in panels:
        if y and y + panel.height > height:
            x, y, widest = x + widest + MARGIN, 0.0, 0.0
        body.put(panel, x, y)
        widest = max(widest, panel.width)
        body.width, body.height = max(body.width, x + panel.width), max(body.height, y + panel.height)
        y += panel.height + MARGIN


def _sheet(body: Picture, architecture: Architecture, measure: Measure) -> Picture:
    """Title above, legend below."""
    width = max(body.width, 380.0)
    facts = f"{architecture.num_params:,} parameters, {words.short(architecture.flops)} FLOPs a sample"
    facts += f", {len(architecture.computed) - 1} layers and joins"
    sheet, y = Picture(), MARGIN
    for text, size, bold in ((str(architecture), 11.0, True), (facts, 9.0, False)):
        for line in _wrapped(text, width, size, measure):
            sheet.texts.append(Text(MARGIN, y + size / 2, line, size, bold))
            y += size * 1.4
    y += MARGIN
    sheet.put(body, MARGIN + (width - body.width) / 2, y)
    y = _legend(sheet, y + body.height + MARGIN, width, measure)
    sheet.width, sheet.height = width + 2 * MARGIN, y + MARGIN / 2
    return sheet


def _legend(sheet: Picture, y: float, width: float, measure: Measure) -> float:
    """The kinds of layers that are there, and what a line says; returns where it ends."""
    there = {row.kind for _, box in sheet.boxes for row in box.rows}
    x = MARGIN
    for kind, text in words.KINDS.items():
        if kind in there:
            wide = 14 + measure(text, FONT) + 12
            if x > MARGIN and x + wide > MARGIN + width:
                x, y = MARGIN, y + ROW + 2
            sheet.swatches.append((Rect(x, y + 1, 10, ROW - 2), kind))
            sheet.texts.append(Text(x + 14, y + ROW / 2, text))
            x += wide
    y += ROW + 4
    for line in _wrapped(" ".join(ABOUT), width, FONT, measure):
        sheet.texts.append(Text(MARGIN, y + ROW / 2, line))
        y += ROW
    return y


def _wrapped(text: str, width: float, size: float, measure: Measure) -> list[str]:
    letters = max(10, int(width / (measure(text, size) * 1.12 / len(text))))  # bold letters are wider
    return textwrap.wrap(text, letters)


def columns(box: Box, measure: Measure) -> list[float]:
    """The widths of a box's columns: words, shape, parameters, share; 0 where there is nothing."""
    size = [[row.words, row.shape, row.params, row.share] for row in box.rows]
    widths = [max(measure(row[n], FONT) for row in size) if size else 0.0 for n in range(4)]
    if box.style == "part" and box.rows:
        widths[0] *= 1.12  # bold
    return widths


def _size(box: Box, measure: Measure) -> Point:
    widths = columns(box, measure)
    wide = sum(widths) + COLUMN * (sum(w > 0 for w in widths) - 1)
    tall = ROW * (len(box.rows) + bool(box.caption)) + (8 if box.style == "part" else 0)
    caption = measure(box.caption + 4 * " " + box.output, FONT - 1) if box.caption else 0.0
    return max(wide, caption, 24.0) + 2 * PAD, tall


def _placed(chart: Chart, measure: Measure) -> Picture:
    """A chart without a frame."""
    inner = {n: _framed(box.inside, measure) for n, box in enumerate(chart.boxes) if box.inside}
    sizes = [
        (inner[n].width, inner[n].height) if n in inner else _size(box, measure) for n, box in enumerate(chart.boxes)
    ]
    links = []
    for arrow in chart.arrows:
        leaves = inner[arrow.source].exit - sizes[arrow.source][0] / 2 if arrow.source in inner else 0.0
        enters = (
            inner[arrow.target].entries[arrow.entry] - sizes[arrow.target][0] / 2 if arrow.target in inner else None
        )
        links.append(Link(arrow.source, arrow.target, leaves, enters))
    laid = layered(sizes, links)
    made = Picture(laid.width, laid.height, paths=laid.paths)
    for n, (box, (x, y), (width, height)) in enumerate(zip(chart.boxes, laid.corners, sizes, strict=True)):
        if n in inner:
            made.put(inner[n], x, y)
        else:
            made.boxes.append((Rect(x, y, width, height), box))
    middles = [x + width / 2 for (x, _), (width, _) in zip(laid.corners, sizes, strict=True)]
    made.entries, made.exit = middles[: chart.inputs], middles[-1]
    return made


def _framed(chart: Chart, measure: Measure) -> Picture:
    """A chart in a frame, its title at the top."""
    inside = _placed(chart, measure)
    title, *about = chart.title.split("\n")
    lines = _wrapped(title, max(inside.width, 220.0), FONT + 1, measure)
    texts = [Text(FRAME, FRAME + ROW * (n + 0.3), line, FONT + 1, True) for n, line in enumerate(lines)]
    texts += [Text(FRAME, FRAME + ROW * (n + 0.3), line) for n, line in enumerate(about, len(lines))]
    wide = max(inside.width, *(measure(t.text, t.size) * (1.12 if t.bold else 1) for t in texts))
    top, left = FRAME + ROW * len(texts) + 4, FRAME + (wide - inside.width) / 2
    made = Picture(wide + 2 * FRAME, top + inside.height + FRAME, texts=texts)
    made.frames = [Rect(0, 0, made.width, made.height)]
    made.put(inside, left, top)
    made.entries, made.exit = [left + at for at in inside.entries], left + inside.exit
    return made
