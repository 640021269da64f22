"""Forest plot: every ranked treatment's change of the test error, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.publishing.marks import labelled
from benchmark.publishing.plots.canvas import (
    BLUE,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    fitted,
    new_figure,
    place,
    polylines,
    row_names,
    text_width,
    to_svg,
)
from benchmark.publishing.text import MINUS, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmark.publishing.findings import Findings
    from benchmark.statistics.results import Headline


class _Style(NamedTuple):
    color: str
    marker: str
    filled: bool


_BETTER, _WORSE = _Style(BLUE, "o", True), _Style(ORANGE, "s", True)
_NEITHER = _Style(MUTED, "o", False)
_TICKS = (0, -10, 10, -20, 20, -50, 50, 100, -5, 5, -75, 200, 300, -2, 2, -1, 1)
_FURTHEST = math.log(4)
_LEAST = math.log(1.02)
_ROW = 0.235
_MOST_LEFT, _GAP = 3.6, 0.4


def forest_plot(findings: Findings) -> str | None:
    """Return the forest plot as SVG: the best treatment on top, the baseline as the line at 0.

    None where nothing is ranked.
    """
    analysis = findings.analysis
    if analysis is None or not analysis.ranking:
        return None
    ranking, marks = analysis.ranking, findings.marks()
    labels = [labelled(row.treatment, marks.get(row.treatment, ()), 44) for row in ranking]
    names = [fitted(label, _MOST_LEFT - _GAP) for label in labels]
    figure = new_figure(1.1 + _ROW * len(ranking))
    axes = figure.add_subplot()
    left = max(map(text_width, names)) + _GAP
    place(axes, figure, left, 0.75, 0.25, 0.35)
    low = min([row.low for row in ranking] + [-_LEAST])
    high = max([row.high for row in ranking] + [_LEAST])
    low, high = max(low, -_FURTHEST), min(high, _FURTHEST)
    room = 0.04 * (high - low)
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(len(ranking) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.axvline(0.0, color=INK, linewidth=1.2)
    margin = math.log1p(analysis.margin)
    axes.axvspan(-margin, margin, color=GRID, alpha=0.45, linewidth=0)
    for style in (_NEITHER, _BETTER, _WORSE):
        rows = [(y, row) for y, row in enumerate(ranking) if _style(row) is style]
        _intervals(axes, rows, low - room, high + room, style.color)
        inside = [(row.estimate, y) for y, row in rows if low <= row.estimate <= high]
        axes.plot(
            [x for x, _ in inside],
            [y for _, y in inside],
            style.marker,
            color=style.color,
            markerfacecolor=style.color if style.filled else PAPER,
            markersize=6,
        )
    # Clear of the arrow heads on the edge.
    row_names(axes, names, gap=0.12)
    axes.spines["left"].set_visible(False)
    _percent_ticks(axes, low - room, high + room, 8.0 - left - 0.25)
    axes.set_xlabel(f"change of the test error against {shortened(analysis.baseline)}, %")
    axes.set_title(
        "●  better   ■  worse   ○  neither      better  ←|→  worse", loc="right", color=MUTED
    )
    return to_svg(figure, "Change of the test error, with 95 % intervals")


def _style(row: Headline) -> _Style:
    if row.verdict.startswith("better"):
        return _BETTER
    return _WORSE if row.verdict == "worse" else _NEITHER


def _intervals(
    axes: Axes, rows: Sequence[tuple[int, Headline]], left: float, right: float, color: str
) -> None:
    """Lines from low to high, with arrow heads where they leave the axes."""
    lines = [
        np.array([(max(row.low, left), y), (min(row.high, right), y)], dtype=np.float64)
        for y, row in rows
        if row.low < right and row.high > left
    ]
    polylines(axes, lines, color, 2.0, capstyle="butt")
    for edge, marker, beyond in (
        (left, "<", [y for y, row in rows if row.low < left]),
        (right, ">", [y for y, row in rows if row.high > right]),
    ):
        if beyond:
            axes.plot(
                [edge] * len(beyond), beyond, marker, color=color, markersize=6, clip_on=False
            )


def _percent_ticks(axes: Axes, low: float, high: float, inches: float) -> None:
    """Ticks at round percentages, the first of _TICKS that have room beside one another."""
    apart = 0.45 * (high - low) / inches
    places: dict[int, float] = {}
    for percent in _TICKS:
        at = math.log1p(percent / 100)
        if low <= at <= high and all(abs(at - other) >= apart for other in places.values()):
            places[percent] = at
    labels = [f"{percent:+d}".replace("-", MINUS) if percent else "0" for percent in places]
    axes.set_xticks(list(places.values()), labels)
