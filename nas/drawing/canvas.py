"""A picture as a file, by matplotlib, which is imported here and only when something is drawn."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from nas.drawing.content import Box
from nas.drawing.picture import COLUMN, FONT, PAD, ROW, Picture, Rect, columns

COLOURS = {  # of kinds of layers; their greys differ too
    "weights": "#93bfe6",
    "norm": "#dcebc8",
    "activation": "#fde7b4",
    "dropout": "#f4f4f4",
    "shape": "#d5c8e6",
    "join": "#f3b49c",
    "part": "#ffffff",
    "": "#ffffff",
}
HEAD = 6.0  # an arrow goes straight before its end
INK, LINE, FAINT = "#1a1a1a", "#555555", "#666666"
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nas",
    "font.family": ["sans-serif"],
    "path.simplify": False,
}


@lru_cache(maxsize=2**14)
def measure(text: str, size: float) -> float:
    """The width of a text in the widest of the usual fonts."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(family="DejaVu Sans", size=size), False
    )
    return float(width)


def save(picture: Picture, path: Path) -> None:
    """Write the picture; the ending of `path` says how: .svg, .pdf, .png."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(picture.width / 72, picture.height / 72), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, picture.width)
        axes.set_ylim(picture.height, 0)
        axes.axis("off")
        _fill(axes, picture)
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(path.suffix[1:], {})
        dots = min(144, int(60_000 * 72 / max(picture.width, picture.height)))  # a bitmap has at most 65,535 in a row
        figure.savefig(path, dpi=dots, metadata=metadata)


def _fill(axes: Any, picture: Picture) -> None:
    for rect in picture.frames:
        axes.add_patch(_rectangle(rect, "#fafafa", INK, 1.0))
    for path in picture.paths:
        axes.add_patch(_arrow(path))
    for rect, box in picture.boxes:
        _draw_box(axes, rect, box)
    for rect, kind in picture.swatches:
        axes.add_patch(_rectangle(rect, COLOURS[kind], LINE, 0.6))
    for text in picture.texts:
        _write(axes, text.x, text.y, text.text, size=text.size, weight="bold" if text.bold else "normal")


def _write(axes: Any, x: float, y: float, text: str, **given: Any) -> None:
    axes.text(x, y, text, va="center_baseline", parse_math=False, **{"size": FONT, "color": INK, **given})


def _rectangle(rect: Rect, face: str, edge: str, line: float, **given: Any) -> Any:
    from matplotlib.patches import Rectangle

    corner = (rect.x, rect.y)
    return Rectangle(corner, rect.width, rect.height, facecolor=face, edgecolor=edge, linewidth=line, **given)


def _draw_box(axes: Any, rect: Rect, box: Box) -> None:
    if box.style == "port":
        _draw_port(axes, rect, box)
        return
    dashed = box.style == "held"
    top = rect.y + (ROW if box.caption else 0)
    if box.style == "part":
        axes.add_patch(_rectangle(rect, "#ffffff", INK, 1.6))
        top += 4
    for n, row in enumerate(box.rows):
        if box.style != "part":
            face = "#ffffff" if dashed else COLOURS[row.kind]
            axes.add_patch(_rectangle(Rect(rect.x, top + n * ROW, rect.width, ROW), face, "#ffffff", 0.6))
        _draw_row(axes, rect, top + (n + 0.5) * ROW, box, n)
    if box.caption:
        _write(axes, rect.x + PAD, rect.y + ROW / 2, box.caption, size=FONT - 1, color=FAINT, style="italic")
        _write(axes, rect.x + rect.width - PAD, rect.y + ROW / 2, box.output, size=FONT - 1, ha="right")
    if box.style != "part":
        axes.add_patch(_rectangle(rect, "none", LINE, 0.8, linestyle="--" if dashed else "-"))


def _draw_port(axes: Any, rect: Rect, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={rect.height / 2}"
    axes.add_patch(FancyBboxPatch((rect.x, rect.y), rect.width, rect.height, style, fc="white", ec=LINE, lw=0.8))
    text = "  ".join(filter(None, (box.rows[0].words, box.rows[0].shape)))
    _write(axes, rect.x + rect.width / 2, rect.y + rect.height / 2, text, ha="center")


def _draw_row(axes: Any, rect: Rect, y: float, box: Box, n: int) -> None:
    """Words to the left, then the shape; to the right parameters and share."""
    row, widths = box.rows[n], columns(box, measure)
    _write(axes, rect.x + PAD, y, row.words, weight="bold" if box.style == "part" else "normal")
    right = rect.x + rect.width - PAD
    if widths[3]:
        _write(axes, right, y, row.share, ha="right", color=FAINT if not row.share else INK)
        right -= widths[3] + COLUMN
    if widths[2]:
        _write(axes, right, y, row.params, ha="right")
        right -= widths[2] + COLUMN
    _write(axes, right - widths[1], y, row.shape, ha="left")


def _arrow(points: list[tuple[float, float]]) -> Any:
    """Straight down through layers, bent between them, a head at the end."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    vertices, codes = [points[0]], [Curve.MOVETO]
    *_, last = points
    points = [*points[:-2], (last[0], points[-2][1] - HEAD), last]
    for n, (before, after) in enumerate(pairwise(points)):
        if n % 2 == 0 or before[0] == after[0]:
            vertices += [after] if after != before else []
            codes += [Curve.LINETO] if after != before else []
        else:
            middle = (before[1] + after[1]) / 2
            vertices += [(before[0], middle), (after[0], middle), after]
            codes += [Curve.CURVE4] * 3
    style = "-|>,head_length=3.2,head_width=1.8"
    return FancyArrowPatch(
        path=Curve(vertices, codes), arrowstyle=style, mutation_scale=1.0, color=LINE, linewidth=0.9, capstyle="butt"
    )
