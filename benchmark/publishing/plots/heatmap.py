"""Heat map: the paired difference of every treatment in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.publishing.cell_tables import is_marked, ranked_order
from benchmark.publishing.marks import labelled
from benchmark.publishing.plots.canvas import (
    GRID,
    MUTED,
    WIDTH,
    fitted,
    new_figure,
    place,
    row_names,
    text_width,
    to_svg,
)
from benchmark.publishing.text import shortened, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmark.publishing.findings import Findings
    from benchmark.publishing.manifests import Cell

_ENDS = ("#b95001", "#f7f4ef", "#0b62a9")
"""Unlike the colours of the theme by a shade: they and the numbers on them stay in the dark."""

_ON_LIGHT, _ON_DARK = "#10141a", "#fefefe"
_STEPS = 10
_MOST_NUMBERS = 320
_ROW = 0.235
_MOST_LEFT = 3.0


def heat_map(findings: Findings) -> str:
    """Return the heat map as SVG: rows as ranked, columns the cells, blue where it is better."""
    evidence, comparisons = findings.evidence, findings.comparisons()
    names = [name for name in ranked_order(findings) if name != evidence.baseline]
    given = findings.marks()
    labels = [fitted(labelled(name, given.get(name, ()), 40), _MOST_LEFT - 0.2) for name in names]
    columns = cell_labels(evidence.cells)
    values = np.full((len(names), len(columns)), np.nan)
    marks = np.zeros(values.shape, dtype=bool)
    for i, name in enumerate(names):
        for k, cell in enumerate(evidence.cells):
            row = comparisons.get((cell, name))
            if row and row.mean_difference is not None:
                values[i, k], marks[i, k] = 100 * row.mean_difference, is_marked(row)
    right = min(max(0.64 * text_width(columns[-1]) if columns else 0.0, 0.3), 1.6)
    head = max((text_width(name) for name in columns), default=0.5) * 0.77 + 0.25
    left = max(map(text_width, labels), default=0.5) + 0.2
    figure = new_figure(head + 0.55 + _ROW * max(len(names), 1))
    axes = figure.add_subplot()
    place(axes, figure, left, 0.5, right, head)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    finite = np.abs(values[~np.isnan(values)])
    limit = max(float(np.quantile(finite, 0.9)), 0.01) if len(finite) else 1.0
    _draw(axes, values, marks, limit, (WIDTH - left - right) / max(len(columns), 1))
    row_names(axes, labels)
    axes.set_xticks(range(len(columns)), columns, rotation=50, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False, pad=4)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(
        f"accuracy minus that of {shortened(evidence.baseline)}, points;"
        f" full colour from ±{limit:.2g}; * stands out; grey: no three pairs",
        color=MUTED,
    )
    return to_svg(figure, "Paired differences of the test accuracy, by treatment and cell")


def cell_labels(cells: Sequence[Cell]) -> list[str]:
    """Name cells by what tells them apart: a part that all share is left out."""
    parts = [at for at in range(3) if len({cell[at] for cell in cells}) > 1] or [0, 1]
    return [shortened(" / ".join(cell[at] for at in parts), 34) for cell in cells]


def panel_titles(cells: Sequence[Cell]) -> list[str]:
    """Name cells in figures of one data set: the architecture, and the recipe if there are more."""
    recipes = len({recipe for _, _, recipe in cells})
    return [
        architecture if recipes == 1 else f"{architecture} / {recipe}"
        for _, architecture, recipe in cells
    ]


def _draw(axes: Axes, values: np.ndarray, marks: np.ndarray, limit: float, width: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("difference", _ENDS)
    # The square root shows small differences beside large ones.
    steps = np.round(np.sign(values) * np.sqrt(np.clip(np.abs(values) / limit, 0, 1)) * _STEPS)
    for step in np.unique(steps[~np.isnan(steps)]):
        squares(axes, np.argwhere(steps == step), to_hex(ramp(0.5 + step / _STEPS / 2)))
    squares(axes, np.argwhere(np.isnan(values)), GRID)
    dark = np.abs(steps) > 0.7 * _STEPS
    if values.size > _MOST_NUMBERS or width < 0.5:
        for color, own in ((_ON_DARK, marks & dark), (_ON_LIGHT, marks & ~dark)):
            rows, columns = np.nonzero(own)
            axes.plot(columns, rows, color=color, marker=(6, 2, 0), markersize=5, ls="")
        return
    for i, k in np.argwhere(~np.isnan(values)):
        text = signed(values[i, k]) + ("*" if marks[i, k] else "")
        color = _ON_DARK if dark[i, k] else _ON_LIGHT
        axes.text(k, i, text, ha="center", va="center_baseline", color=color, size=8.5)


def squares(axes: Axes, places: np.ndarray, color: str) -> None:
    """Fill the squares at (row, column) as one path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(places):
        return
    corners = np.array([(-0.48, -0.46), (0.48, -0.46), (0.48, 0.46), (-0.48, 0.46), (0, 0)])
    vertices = (places[:, ::-1][:, None, :] + corners).reshape(-1, 2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(places)
    axes.add_artist(PathPatch(Path(vertices, codes), facecolor=color, linewidth=0))
