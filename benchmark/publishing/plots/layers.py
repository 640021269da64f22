"""A model layer by layer: strength, singular values, activations and gradients through depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from benchmark.publishing.plots.canvas import (
    GRID,
    INK,
    MARKERS,
    SERIES,
    new_figure,
    place,
    settings,
    to_svg,
)
from benchmark.publishing.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmark.measures import LayerMeasures, ModelMeasures

_PANELS: tuple[tuple[str, Callable[[LayerMeasures], float | None]], ...] = (
    (
        "strength variance, multiple of that of independent weights",
        lambda layer: layer.statistics.strength_ratio,
    ),
    (
        "singular values, least to greatest",
        lambda layer: layer.statistics.singular_max,
    ),
    (
        "variance of the outputs",
        lambda layer: layer.signal.variance if layer.signal else None,
    ),
    (
        "gradient in the outputs, root mean square",
        lambda layer: layer.signal.output_gradient if layer.signal else None,
    ),
)
_PANEL = 1.7
_TOP = 0.5


def layer_plot(found: Mapping[str, ModelMeasures], title: str) -> str:
    """Return four panels over the layers in order of execution, a line a treatment, as SVG.

    Values that are zero or undefined are left out: the axes are logarithmic.
    """
    with settings():
        figure = new_figure(_TOP + _PANEL * len(_PANELS) + 0.2)
        for row, (heading, value) in enumerate(_PANELS):
            axes = figure.add_subplot()
            bottom = 0.55 + _PANEL * (len(_PANELS) - 1 - row)
            place(axes, figure, 0.75, bottom, 0.2, _TOP + _PANEL * row)
            _logarithmic(axes)
            for (name, model), color, marker in zip(found.items(), SERIES, MARKERS, strict=False):
                _draw(axes, model, value, name, color, marker)
                if row == 1:
                    _ranges(axes, model, color)
            axes.set_title(heading, loc="left")
            axes.grid(axis="y", color=GRID)
            axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
            axes.tick_params(labelbottom=row == len(_PANELS) - 1)
            axes.margins(y=0.15)
            if row == 0:
                axes.axhline(1.0, color=INK, linewidth=0.8)
                figure.legend(
                    *axes.get_legend_handles_labels(), loc="upper right", ncols=len(found)
                )
        figure.text(0.5, 0.02, "layer, in order of execution", ha="center")
        return to_svg(figure, title)


def _logarithmic(axes: Axes) -> None:
    """Decades as plain numbers; between them a few, where there is less than one."""
    from matplotlib.ticker import FuncFormatter, LogFormatter, LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,), numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(0.9, 0.4)))


def _draw(
    axes: Axes,
    model: ModelMeasures,
    value: Callable[[LayerMeasures], float | None],
    name: str,
    color: str,
    marker: str,
) -> None:
    points = [
        (at, found)
        for at, layer in enumerate(model.layers, start=1)
        if (found := value(layer)) is not None and 0 < found < math.inf
    ]
    axes.plot(
        [at for at, _ in points],
        [found for _, found in points],
        color=color,
        marker=marker,
        markersize=4,
        linewidth=1.2,
        label=shortened(name, 40),
    )


def _ranges(axes: Axes, model: ModelMeasures, color: str) -> None:
    """Bars down to the least singular value; those that count as zero reach the bottom."""
    for at, layer in enumerate(model.layers, start=1):
        top = layer.statistics.singular_max
        if top > 0:
            least = max(layer.statistics.singular_min, 1e-3 * top)
            axes.plot([at, at], [least, top], color=color, linewidth=2.0, alpha=0.5)
