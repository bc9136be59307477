"""Figures as SVG: a file each, and the same drawing ready to stand in a page beside others."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be selected, and a reader's own fonts draw it
    "svg.hashsalt": "nas",
    "text.parse_math": False,  # a choice may be called "$x"
    "font.family": ["sans-serif"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.solid_capstyle": "butt",
}


@contextmanager
def style() -> Iterator[None]:
    """Figures are made and saved inside, since their texts take their sizes when they are made."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # measured without it, drawn by the reader's fonts
        yield


def save(figure: Figure, path: Path) -> Path:
    """Write the figure; the same figure gives the same file."""
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def inline(svg: str, name: str, alt: str, least: float = 0.0) -> Markup:
    """The drawing for a page: `name` keeps its ids apart from those of others, `alt` says what is to be seen.

    `least`: pixels that a unit of it is shown with at least, so that its letters can be read.
    Nothing in it points out of the page. What matplotlib draws is trusted to be well-formed; it escapes its texts.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would hold for the whole page
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(\b(?:xlink:)?href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"(url\(#)", rf"\g<1>{name}-", svg)
    head, _, body = svg.partition(">")
    width, height = _size(head)
    opened = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label={quoteattr(alt)} viewBox="0 0 {width:g} {height:g}" '
        f'style="max-width: {width * 1.45:.0f}px; min-width: {width * least:.0f}px; '
        'stroke-linejoin: round; stroke-linecap: butt">'
    )
    return Markup(f"{opened}<title>{escape(alt)}</title>{body}")  # noqa: S704 - of numbers, escaped text and matplotlib's


def width(picture: Markup) -> float:
    """Of an inlined drawing, in its own units."""
    return _size(picture.partition(">")[0])[0]


def _size(head: str) -> tuple[float, float]:
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    assert box is not None
    return float(box[1]), float(box[2])
