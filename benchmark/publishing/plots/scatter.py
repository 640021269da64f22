"""Scatter plots: strength variance against accuracy, and every run a dot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.publishing.cell_tables import ranked_order
from benchmark.publishing.findings import Findings
from benchmark.publishing.marks import labelled
from benchmark.publishing.plots.canvas import (
    BLUE,
    GRID,
    INK,
    MARKERS,
    MUTED,
    ORANGE,
    SERIES,
    WIDTH,
    fitted,
    new_figure,
    place,
    polylines,
    row_names,
    text_width,
    to_svg,
)
from benchmark.publishing.plots.heatmap import panel_titles
from benchmark.publishing.text import interval, shortened, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SEED_ROW = 0.2
_MOST_LEFT = 2.6
_SEED_PANEL = 1.15
"""Inches that a panel of runs needs."""
MOST_DOTS = 6000
"""With more runs than this in a figure, only the first seeds are drawn, and it says so."""


def strength_plot(findings: Findings) -> str | None:
    """Return strength variance against accuracy, a dot for a treatment in a cell, as SVG.

    Accuracies are less the cell's mean over treatments, so that cells lie on one another. None
    where no cell can say anything.
    """
    found = findings.strength
    if found is None or found.rho is None:
        return None
    rewirings = {
        str(each["treatment"]): str(each["rewiring"])
        for each in findings.evidence.manifest["treatments"]
    }
    groups: dict[str, list[tuple[float, float]]] = {}
    for cell in found.per_cell:
        if cell.rho is None:
            continue
        mean = sum(point.outcome for point in cell.points) / len(cell.points)
        for point in cell.points:
            place_ = (point.measure, 100 * (point.outcome - mean))
            groups.setdefault(rewirings[point.treatment], []).append(place_)
    names = sorted(groups, key=lambda name: (name != "none", -len(groups[name]), name))
    own = dict(zip(names, zip(SERIES, MARKERS, strict=True), strict=False))
    figure = new_figure(4.4)
    axes = figure.add_subplot()
    place(axes, figure, 0.75, 0.6, 0.25, 0.75)
    axes.axhline(0, color=INK, linewidth=0.8)
    for name in reversed(names):
        color, marker = own.get(name, (MUTED, "x"))
        x, y = np.array(groups[name]).T
        label = shortened(name, 26) if name in own else "_"
        axes.plot(x, y, marker, color=color, markersize=5, alpha=0.75, label=label, ls="")
    if min(x for dots in groups.values() for x, _ in dots) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda _x, _: "")
    axes.grid()
    axes.set_xlabel("strength variance after rewiring (mean over layers and runs)")
    axes.set_ylabel("accuracy less the cell's mean, points")
    height = float(figure.get_size_inches()[1])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1],
        labels[::-1],
        loc="upper left",
        ncols=4,
        bbox_to_anchor=(0.08, 1 - 0.28 / height),
        handletextpad=0.2,
        columnspacing=1.2,
    )
    inside = f" {interval(found.low, found.high)}" if found.over else ""
    axes.text(
        0.0,
        1 + 0.55 / (height - 1.35),
        f"rank correlation within cells {signed(found.rho)}{inside}",
        transform=axes.transAxes,
    )
    return to_svg(figure, "Strength variance against test accuracy")


def seed_plot(findings: Findings, cells: Sequence[int], title: str) -> str:
    """Return every ok run as a dot in a panel for each of the cells, given by their places.

    A thin line joins each treatment's mean with the baseline's; crosses at the left edge count
    the runs that diverged.
    """
    evidence, marks = findings.evidence, findings.marks()
    order = ranked_order(findings)
    labels = [fitted(labelled(name, marks.get(name, ()), 40), _MOST_LEFT - 0.15) for name in order]
    left = max(map(text_width, labels)) + 0.15
    columns = min(int((WIDTH - left) / _SEED_PANEL), len(cells))
    rows = -(-len(cells) // columns)
    panel = 0.75 + _SEED_ROW * len(order)
    figure = new_figure(0.3 + panel * rows)
    arms = findings.arms()
    titles = panel_titles(evidence.cells)
    seeds, cut = _drawn_seeds(findings, len(cells) * len(order))
    at = {name: index for index, name in enumerate(order)}
    at_cell, at_treatment, at_seed = evidence.places
    rows_of = np.array([at[name] for name in evidence.treatments], dtype=np.float64)[at_treatment]
    drawn = (evidence.frame["status"] == "ok").to_numpy() & (at_seed < len(seeds))
    accuracy = 100 * evidence.frame["accuracy"].to_numpy()
    width = (WIDTH - left - 0.1) / columns
    for index, cell in enumerate(cells):
        axes = figure.add_subplot()
        row, column = divmod(index, columns)
        x0 = left + column * width
        y0 = (rows - 1 - row) * panel
        place(
            axes, figure, x0 + 0.08, y0 + 0.42, WIDTH - x0 - width + 0.12, 0.3 + row * panel + 0.3
        )
        key = evidence.cells[cell]
        own = drawn & (at_cell == cell)
        _dots(axes, accuracy[own], rows_of[own])
        baseline = arms.get((key, evidence.baseline))
        if baseline and baseline.mean is not None:
            axes.axvline(100 * baseline.mean, color=INK, linewidth=0.8, dashes=(4, 2))
        own_arms = [(y, arms.get((key, name))) for name, y in at.items()]
        means = [(100 * arm.mean, y) for y, arm in own_arms if arm and arm.mean is not None]
        bars = [np.array([(x, y - 0.35), (x, y + 0.35)]) for x, y in means]
        polylines(axes, bars, INK, 1.5, capstyle="butt")
        for y, arm in own_arms:
            if arm and arm.n_diverged:
                axes.text(
                    0.02,
                    y,
                    f"✕{arm.n_diverged}",
                    color=ORANGE,
                    va="center",
                    size=8,
                    transform=axes.get_yaxis_transform(),
                )
        axes.set_ylim(len(order) - 0.4, -0.6)
        row_names(axes, labels if column == 0 else [])
        axes.grid(axis="x")
        axes.locator_params(axis="x", nbins=3)
        axes.spines["left"].set_color(GRID)
        axes.set_title(shortened(titles[cell], int(width * 13)), loc="left", size=9)
    note = f"; the first {len(seeds)} seeds" if cut else ""
    figure.text(
        0.01,
        1 - 0.2 / float(figure.get_size_inches()[1]),
        f"test accuracy, %: every run a dot{note}; bars are means; ✕ diverged",
        color=MUTED,
    )
    return to_svg(figure, title)


def _drawn_seeds(findings: Findings, arms: int) -> tuple[list[int], bool]:
    seeds = findings.evidence.manifest["seeds"]
    most = max(MOST_DOTS // max(arms, 1), 3)
    return seeds[:most], len(seeds) > most


def _dots(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Every run a dot, up and down within its row so that equal ones show."""
    if not len(x):
        return
    points = np.column_stack([x, y + 0.3 * np.sin(np.arange(len(y)) * 2.4)])
    polylines(axes, np.repeat(points[:, None], 2, axis=1), BLUE, 3.2, alpha=0.6)
    low, high = float(x.min()), float(x.max())
    room = max(0.06 * (high - low), 0.05)
    axes.set_xlim(low - room, high + room)
