"""Critical-difference diagram: mean ranks over cells, and who cannot be told apart."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from benchmark.publishing.findings import Findings
from benchmark.publishing.marks import labelled
from benchmark.publishing.plots.canvas import (
    INK,
    MUTED,
    WIDTH,
    fitted,
    new_figure,
    polylines,
    text_width,
    to_svg,
)
from benchmark.statistics.ranking import holm
from benchmark.statistics.signed_rank import ALPHA, least_differences, mid_ranks, signed_rank

LEAST_TREATMENTS = 3
_ROW, _BAR = 0.22, 0.1
_NUMBER, _MOST_SIDE = 0.65, 2.95
"""Inches for a mean rank and its gaps, and for it and a name at most."""


def rank_plot(findings: Findings) -> str | None:
    """Return the diagram as SVG; None with fewer than 3 treatments, or than `least_cells` of them.

    In every cell the treatments and the baseline are ranked by their change of the error; the
    ranks are averaged. Bars join neighbours of which no two differ by Wilcoxon's test over the
    cells, corrected by Holm over all pairs.
    """
    names, changes = _changes(findings)
    if len(names) < LEAST_TREATMENTS or changes.shape[1] < least_cells(len(names)):
        return None
    ranks = mid_ranks(np.round(changes, 12).T).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    bars = _bars(_alike(changes[order]))
    marks = findings.marks()
    labels = [
        fitted(labelled(names[i], marks.get(names[i], ()), 40), _MOST_SIDE - _NUMBER) for i in order
    ]
    return _draw(labels, ranks[order], bars)


def least_cells(treatments: int) -> int:
    """In how many cells so many treatments must have been for any two to be told apart."""
    return least_differences(math.comb(treatments, 2))


def ranks_note(findings: Findings) -> str:
    """Say why there is no diagram, where it is for want of cells; else nothing."""
    analysis = findings.analysis
    treatments = 1 + len(analysis.ranking) if analysis else 0
    if analysis is None or treatments < LEAST_TREATMENTS:
        return ""
    cells, least = len(analysis.cells), least_cells(treatments)
    if cells >= least:
        return ""
    return (
        f"There is no diagram of mean ranks: {treatments} treatments, the baseline among them, make"
        f" {math.comb(treatments, 2)} pairs, and Wilcoxon's test, Holm-corrected over them, can"
        f" tell no two apart in fewer than {least} cells; here {'is' if cells == 1 else 'are'}"
        f" {cells}."
    )


def _changes(findings: Findings) -> tuple[list[str], NDArray[np.float64]]:
    """Log error ratios [treatment, cell] of the baseline, 0, and of the ranked treatments."""
    analysis = findings.analysis
    if analysis is None:
        return [], np.zeros((0, 0))
    comparisons = findings.comparisons()
    names = [row.treatment for row in analysis.ranking]
    rows = [[comparisons[cell, name].log_mean for cell in analysis.cells] for name in names]
    zero = [0.0] * len(analysis.cells)
    return [analysis.baseline, *names], np.array([zero, *rows], dtype=np.float64)


def _alike(changes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pairs of rows are not told apart."""
    pairs = list(itertools.combinations(range(len(changes)), 2))
    first, second = np.array(pairs).T
    differences = np.round(changes[first] - changes[second], 12)
    alike = np.eye(len(changes), dtype=bool)
    alike[first, second] = alike[second, first] = holm(signed_rank(differences)) >= ALPHA
    return alike


def _bars(alike: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The longest runs of neighbours that are all alike, none within another."""
    bars: list[tuple[int, int]] = []
    for start in range(len(alike)):
        end = start
        while end + 1 < len(alike) and alike[start : end + 1, end + 1].all():
            end += 1
        if end > start and (not bars or end > bars[-1][1]):
            bars.append((start, end))
    return bars


def _draw(names: list[str], ranks: NDArray[np.float64], bars: list[tuple[int, int]]) -> str:
    n = len(names)
    half = -(-n // 2)
    depth = _BAR * len(bars) + 0.2
    height = 0.75 + depth + _ROW * half + 0.1
    side = max(map(text_width, names)) + _NUMBER
    figure = new_figure(height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    scale = (WIDTH - 2 * side) / (n - 1)
    x = side + (ranks - 1) * scale
    line = 0.6
    axes.plot([side, WIDTH - side], [line, line], color=INK, linewidth=1.0)
    step = max(1, -(-n // 10))
    ticks = [(tick, side + (tick - 1) * scale) for tick in range(1, n + 1, step)]
    polylines(axes, [np.array([(at, line - 0.07), (at, line)]) for _, at in ticks], INK, 1.0)
    for tick, at in ticks:
        axes.text(at, line - 0.12, str(tick), ha="center", va="bottom", size=9)
    axes.text(WIDTH / 2, 0.2, "mean rank over cells (1 is best)", ha="center", color=MUTED, size=9)
    ys = [line + 0.12 + _BAR * i for i in range(len(bars))]
    joined = [
        np.array([(x[start] - 0.03, y), (x[end] + 0.03, y)])
        for (start, end), y in zip(bars, ys, strict=True)
    ]
    polylines(axes, joined, INK, 3.0, capstyle="butt")
    elbows = []
    for i, name in enumerate(names):
        left = i < half
        row = i if left else n - 1 - i
        y = line + depth + _ROW * (row + 0.5)
        edge, gap = (side - 0.15, -0.06) if left else (WIDTH - side + 0.15, 0.06)
        elbows.append(np.array([(x[i], line), (x[i], y), (edge, y)]))
        text = f"{name}  {ranks[i]:.1f}" if left else f"{ranks[i]:.1f}  {name}"
        axes.text(edge + gap, y, text, ha="right" if left else "left", va="center", size=9)
    polylines(axes, elbows, MUTED, 0.8)
    return to_svg(figure, "Mean ranks of the treatments over cells")
