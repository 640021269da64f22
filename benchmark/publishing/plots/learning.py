"""Learning curves: mean validation accuracy by epoch, a panel a cell, a figure a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmark.publishing.cell_tables import ranked_order
from benchmark.publishing.curves import MeanCurves
from benchmark.publishing.findings import Findings
from benchmark.publishing.marks import labelled
from benchmark.publishing.plots.canvas import (
    INK,
    MUTED,
    SERIES,
    WIDTH,
    new_figure,
    place,
    polylines,
    to_svg,
)
from benchmark.publishing.plots.heatmap import panel_titles
from benchmark.publishing.text import shortened
from benchmark.wording import counted

_COLUMNS = 3
_PANEL = 2.15
_LEGEND_ROW = 0.24


def learning_plot(findings: Findings, curves: MeanCurves, cells: Sequence[int], title: str) -> str:
    """Return a figure with a panel for each of the cells, given by their places.

    The baseline and the first of the ranking are coloured, with their 95 % intervals as bands;
    beyond what colours can tell apart, the others are thin grey lines.
    """
    from matplotlib.lines import Line2D

    evidence, marks = findings.evidence, findings.marks()
    order = ranked_order(findings)
    coloured = [name for name in order if name != evidence.baseline][: len(SERIES)]
    colours = dict(zip(coloured, SERIES, strict=False)) | {evidence.baseline: INK}
    grey = [name for name in order if name not in colours]
    legend_rows = -(-(len(colours) + bool(grey)) // _COLUMNS)
    columns = max(min(_COLUMNS, len(cells)), 2)
    rows = -(-len(cells) // columns)
    top = 0.15 + _LEGEND_ROW * legend_rows
    figure = new_figure(top + _PANEL * rows + 0.1)
    titles = panel_titles(evidence.cells)
    at = {name: index for index, name in enumerate(evidence.treatments)}
    for panel, cell in enumerate(cells):
        axes = figure.add_subplot()
        row, column = divmod(panel, columns)
        width = WIDTH / columns
        bottom = 0.1 + (rows - 1 - row) * _PANEL
        place(
            axes,
            figure,
            column * width + 0.55,
            bottom + 0.5,
            WIDTH - (column + 1) * width + 0.12,
            top + row * _PANEL + 0.35,
        )
        epochs = np.arange(1, curves.epochs(cell) + 1)
        others = 100 * curves.mean[cell, [at[name] for name in grey], : len(epochs)]
        lines = [np.column_stack([epochs, mean]) for mean in others if not np.isnan(mean).any()]
        polylines(axes, lines, MUTED, 0.6, alpha=0.45)
        for name in [*reversed(coloured), evidence.baseline]:
            mean = 100 * curves.mean[cell, at[name], : len(epochs)]
            if np.isnan(mean).all():
                continue
            reach = 100 * curves.half_width[cell, at[name], : len(epochs)]
            marker = "o" if len(epochs) == 1 else None
            line = _line(name == evidence.baseline)
            axes.plot(epochs, mean, line, marker=marker, color=colours[name], linewidth=1.5)
            axes.fill_between(
                epochs, mean - reach, mean + reach, color=colours[name], alpha=0.15, linewidth=0
            )
        axes.set_title(shortened(titles[cell], 34), loc="left")
        axes.grid(axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        if row == rows - 1 or panel + columns >= len(cells):
            axes.set_xlabel("epoch")
        if column == 0:
            axes.set_ylabel("validation accuracy, %")
    entries = [
        Line2D(
            [],
            [],
            color=colours[name],
            linewidth=2,
            linestyle=_line(name == evidence.baseline),
            label=labelled(name, marks.get(name, ()), 30),
        )
        for name in [evidence.baseline, *coloured]
    ]
    if grey:
        entries.append(
            Line2D([], [], color=MUTED, linewidth=0.8, label=counted(len(grey), "other"))
        )
    height = float(figure.get_size_inches()[1])
    figure.legend(
        handles=entries, loc="upper left", ncols=_COLUMNS, bbox_to_anchor=(0.02, 1 - 0.05 / height)
    )
    return to_svg(figure, title)


def _line(baseline: bool) -> Literal["--", "-"]:
    return "--" if baseline else "-"
