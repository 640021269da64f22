"""Draws every plot that a board has something to show in."""

from __future__ import annotations

from benchmark.publishing.curves import MeanCurves
from benchmark.publishing.findings import Findings
from benchmark.publishing.pictures import Picture, Pictures
from benchmark.publishing.plots.canvas import settings
from benchmark.publishing.plots.forest import forest_plot
from benchmark.publishing.plots.heatmap import heat_map
from benchmark.publishing.plots.learning import learning_plot
from benchmark.publishing.plots.ranks import rank_plot
from benchmark.publishing.plots.scatter import seed_plot, strength_plot
from benchmark.publishing.text import plain, slug


def draw_plots(findings: Findings, curves: MeanCurves) -> tuple[Pictures, dict[str, str]]:
    """Return the pictures of a board, and the text of their files by path."""
    if findings.analysis is None:
        return Pictures(), {}
    files: dict[str, str] = {}

    def keep(name: str, svg: str, alt: str) -> Picture:
        path = f"plots/{name}.svg"
        files[path] = svg
        return Picture(path, alt)

    with settings():
        forest, ranks = forest_plot(findings), rank_plot(findings)
        strength = strength_plot(findings)
        pictures = Pictures(
            forest=keep(
                "forest",
                forest,
                "Forest plot: change of the test error of every treatment, with its interval",
            )
            if forest
            else None,
            heatmap=keep(
                "heatmap",
                heat_map(findings),
                "Heat map: paired difference of every treatment in every cell",
            )
            if findings.analysis.comparisons
            else None,
            ranks=keep("ranks", ranks, "Critical-difference diagram: mean ranks over cells")
            if ranks
            else None,
            strength=keep("strength", strength, "Scatter plot: strength variance against accuracy")
            if strength
            else None,
            curves=tuple(
                keep(f"curves-{name}", learning_plot(findings, curves, cells, title), title)
                for dataset, name, cells in _by_dataset(findings)
                if any(curves.epochs(cell) for cell in cells)
                for title in [f"Learning curves on {plain(dataset)}"]
            ),
            seeds=tuple(
                keep(f"seeds-{name}", seed_plot(findings, cells, title), title)
                for dataset, name, cells in _by_dataset(findings)
                for title in [f"Every run on {plain(dataset)}"]
            ),
        )
    return pictures, files


def _by_dataset(findings: Findings) -> list[tuple[str, str, list[int]]]:
    """Every data set with its name in files and the places of its cells."""
    found: dict[str, list[int]] = {}
    for index, cell in enumerate(findings.evidence.cells):
        found.setdefault(cell[0], []).append(index)
    names: dict[str, str] = {}
    for dataset in found:
        names[dataset] = slug(dataset, list(names.values()))
    return [(dataset, names[dataset], cells) for dataset, cells in found.items()]
