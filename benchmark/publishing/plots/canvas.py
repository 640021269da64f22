"""Figures as SVG text: stable bytes, short numbers, colours that follow the reader's theme.

Every colour is drawn as it looks in light; a style sheet in the file replaces those of THEME where
the reader prefers dark. The background is drawn too, so a plot reads on whatever page it lies.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.publishing.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER, INK, MUTED, GRID = "#ffffff", "#1f2329", "#59636e", "#dfe3e8"
BLUE, ORANGE, GREEN, PINK, SKY, BROWN = (
    *("#0b62a8", "#b95000", "#00794f", "#a8487b"),
    *("#2f87b5", "#7a5c00"),
)
SERIES = (BLUE, ORANGE, GREEN, PINK, SKY, BROWN)
MARKERS = ("o", "s", "^", "D", "v", "P")
THEME = {
    PAPER: "#15191f",
    INK: "#e8ebef",
    MUTED: "#a2acb8",
    GRID: "#343b45",
    BLUE: "#5aaeea",
    ORANGE: "#f0954a",
    GREEN: "#3fc08f",
    PINK: "#e08db6",
    SKY: "#8fd0ee",
    BROWN: "#d8b95a",
}
"""Colours in light and in dark: apart for colour-blind readers, 4.5:1 against their background."""

WIDTH = 8.0
"""Inches of every figure; at 72 points each it fills a page's column at reading size."""

_DPI = 72
_SETTINGS = {
    "svg.hashsalt": "initbench",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    # Where it stands is told, so that it is not looked for among everything else in the axes.
    "axes.titley": 1.0,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,
    # Simplifying would drop the dots of the seed plots, which are lines of no length.
    "path.simplify": False,
}
_LONG_NUMBER = re.compile(r"(-?\d+\.\d{3,})")
_COORDINATES = re.compile(r' (?:d|x|y)="[^"]*"|translate\([^)]*\)')


def new_figure(height: float) -> Figure:
    """Return a figure of the common width; draw and `to_svg` it within `settings`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=_DPI)


def settings() -> AbstractContextManager[None]:
    """Return the context in which figures are made: this module's look and nobody else's."""
    import matplotlib as mpl

    # To set the backend, even to what it is, would import pyplot.
    values: dict[Any, Any] = {k: v for k, v in mpl.rcParamsDefault.items() if k != "backend"}
    return mpl.rc_context(values | _SETTINGS)


def to_svg(figure: Figure, title: str) -> str:
    """Return a figure as SVG with its title, the same bytes for the same drawing."""
    from benchmark.publishing.plots.lettering import Renderer

    file = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Title": title}
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes, in the picture alone.
        warnings.filterwarnings("ignore", message="Glyph")
        renderer = Renderer(*figure.bbox.size, file, image_dpi=_DPI, metadata=metadata)
        figure.draw(renderer)
        renderer.finalize()
    text = _COORDINATES.sub(_rounded, file.getvalue())
    rules = "".join(
        f'[style*="{use}: {light}"]{{{use}:{dark}!important}}'
        for light, dark in THEME.items()
        for use in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"
    return text.replace(" <defs>", f" {style}\n <defs>", 1)


def _rounded(match: re.Match[str]) -> str:
    parts = _LONG_NUMBER.split(match[0])
    parts[1::2] = [f"{float(number):.2f}".rstrip("0").rstrip(".") for number in parts[1::2]]
    return "".join(parts)


def place(axes: Axes, figure: Figure, left: float, bottom: float, right: float, top: float) -> None:
    """Put axes at so many inches from the figure's edges."""
    width, height = figure.get_size_inches()
    axes.set_position(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - bottom - top) / height,
        )
    )


def polylines(
    axes: Axes, lines: Iterable[NDArray[np.float64]], color: str, width: float, **look: Any
) -> None:
    """Draw lines, each an array of points [n, 2], as one path: far less work than one by one.

    Two equal points make a dot, as wide as the line.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    lines = [line for line in lines if len(line)]
    if not lines:
        return
    codes = np.full(sum(map(len, lines)), Path.LINETO, dtype=Path.code_type)
    codes[np.cumsum([0, *map(len, lines[:-1])])] = Path.MOVETO
    points = np.concatenate(lines)
    look = {"capstyle": "round", "facecolor": "none"} | look
    axes.add_artist(PathPatch(Path(points, codes), edgecolor=color, linewidth=width, **look))
    axes.update_datalim(points)


def row_names(axes: Axes, names: Sequence[str], gap: float = 0.06) -> None:
    """Write the names of rows 0, 1, ... to the left of the axes, `gap` inches away."""
    axes.set_yticks([])
    for row, name in enumerate(names):
        axes.text(
            -gap / (axes.get_position().width * WIDTH),
            row,
            name,
            ha="right",
            va="center",
            size=9,
            transform=axes.get_yaxis_transform(),
        )


def fitted(name: str, inches: float) -> str:
    """Return a name with as much of its middle left out as it takes to be no wider than that."""
    most = len(name)
    while most > 3 and text_width(name) > inches:
        most = min(most - 1, int(most * inches / text_width(name)) + 1)
        name = shortened(name, most)
    return name


@cache
def text_width(name: str, size: float = 9.0) -> float:
    """Return how many inches a name takes in the plots' font."""
    from matplotlib.font_manager import FontProperties

    from benchmark.publishing.plots.lettering import lettering

    letters = lettering()
    points, _ = letters.get_text_path(FontProperties(family="DejaVu Sans"), name)
    scale = size / letters.FONT_SCALE
    return float(np.asarray(points)[:, 0].max(initial=0.0)) * scale / _DPI
