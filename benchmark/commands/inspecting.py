"""`initbench inspect`: the strength and the health of a model under a treatment, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.errors import UsageError
from benchmark.narrow import Name
from benchmark.publishing.text import NOTHING, plain, significant
from benchmark.wording import counted

if TYPE_CHECKING:
    import torch

    from benchmark.measures import LayerMeasures, ModelMeasures

BATCH = 64


def inspect(
    architecture: str,
    treatments: Sequence[str],
    *,
    seed: int,
    dataset: str | None,
    image_size: int | None,
    plugins: Sequence[str],
    svg: Path | None,
    html: Path | None,
) -> None:
    """Print a table and a line in words for every treatment, and draw them.

    The batch is of `dataset`, or made of standard normal pixels where none is named.
    """
    from benchmark.health import in_words
    from benchmark.plugins import load_plugins
    from benchmark.treatment import parse_treatment

    for file in filter(None, (svg, html)):
        if not file.parent.is_dir():
            raise UsageError(f"the folder of {file} does not exist")
    load_plugins(plugins)
    spelled = [str(parse_treatment(text)) for text in treatments]
    model, images, labels = _model_and_batch(architecture, seed, dataset, image_size)
    found = {name: _measured(model, name, seed, images, labels) for name in spelled}
    console = Console(highlight=False)
    channels, side = images.shape[1:3]
    pixels = plain(dataset) if dataset else "standard normal pixels"
    size = f"{counted(len(images), 'image')} {channels} x {side} x {side}"
    console.print(Text(f"{plain(architecture)}, seed {seed}; {size} of {pixels}"))
    if names := _untreated(model):
        console.print(Text(f"No treatment reaches {plain(', '.join(names))}."))
    for name, measures in found.items():
        console.print()
        console.print(Text(name, style="bold"))
        console.print(layer_table(measures, console.width))
        console.print(Text(f"{name}: {in_words(measures)}."))
    if svg or html:
        from benchmark.publishing.plots.layers import layer_plot

        drawing = layer_plot(found, f"{architecture}, layer by layer")
        if svg:
            svg.write_text(drawing, encoding="utf-8")
        if html:
            from benchmark.publishing.templating import template

            page = template("inspect.html.j2").render(
                architecture=architecture,
                pixels=pixels,
                seed=seed,
                drawing=drawing[drawing.index("<svg") :],
                headings=HEADINGS,
                treatments=[
                    (name, in_words(measures), [_cells(layer) for layer in measures.layers])
                    for name, measures in found.items()
                ],
            )
            html.write_text(page, encoding="utf-8")
        written = " and ".join(str(file) for file in (svg, html) if file)
        console.print(Text(f"\nWritten: {written}"))


HEADINGS = (
    ("shape", "shape of the weight"),
    ("gain", "root mean square of the weights times the root of fan_in"),
    ("strength", "strength variance, and as a multiple of that of independent weights"),
    ("singular", "least and greatest singular value of the matrix"),
    ("rank", "share of singular values that are not zero"),
    ("output", "variance of the layer's outputs over the batch"),
    ("gradient", "root mean square of the loss's gradient in the outputs"),
)
"""Columns of the table behind the layer's name, and what they mean."""

WIDE = 72
"""So many columns of a terminal leave room for names beside the numbers."""


def layer_table(measures: ModelMeasures, width: int = WIDE) -> Table:
    """Return the table of a model's layers, in order of execution.

    On a terminal less than WIDE a layer's shape goes below its name.
    """
    narrow = width < WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer")
    for heading, _ in HEADINGS[narrow:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in measures.layers:
        shape, *numbers = _cells(layer)
        first = (f"{plain(layer.name)} {shape}",) if narrow else (plain(layer.name), shape)
        table.add_row(*map(Name, first), *map(Text, numbers))
    return table


def _cells(layer: LayerMeasures) -> tuple[str, ...]:
    statistics, signal = layer.statistics, layer.signal
    return (
        "x".join(map(str, layer.shape)),
        _short(statistics.gain),
        f"x{_short(statistics.strength_ratio)}",
        f"{_short(statistics.singular_min)}..{_short(statistics.singular_max)}",
        _short(statistics.rank_share),
        _short(signal.variance) if signal else NOTHING,
        _short(signal.output_gradient) if signal else NOTHING,
    )


def _short(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.0e}" if value == value else NOTHING
    return significant(value)


def _measured(
    model: torch.nn.Module, treatment: str, seed: int, images: torch.Tensor, labels: torch.Tensor
) -> ModelMeasures:
    import copy

    from benchmark.initialization import initialize
    from benchmark.measures import measure

    treated = copy.deepcopy(model)
    initialize(treated, treatment, seed=seed, batch=(images, labels))
    return measure(treated, images, labels)


def _untreated(model: torch.nn.Module) -> tuple[str, ...]:
    from benchmark.layers import describe
    from benchmark.ownership import untreated

    return untreated(model, [layer for layer, _ in describe(model)])


def _model_and_batch(
    architecture: str, seed: int, dataset: str | None, image_size: int | None
) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    import torch

    from benchmark import models
    from benchmark.seeds import torch_generator

    names = models.expand(architecture)
    if len(names) > 1:
        raise UsageError(f"{architecture!r} stands for {len(names)} architectures; name one")
    side = image_size or models.own_image_size(names[0])
    if dataset:
        images, labels, classes = _training_batch(dataset, side)
    else:
        generator = torch_generator(seed, "inspected batch")
        classes = 10
        images = torch.randn(BATCH, 3, side, side, generator=generator)
        labels = torch.randint(classes, (BATCH,), generator=generator)
    model = models.build(
        names[0], channels=images.shape[1], classes=classes, image_size=side, seed=seed
    )
    return model, images, labels


def _training_batch(dataset: str, side: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    import torch

    from benchmark.plugins import datasets
    from benchmark.recipe import Recipe
    from benchmark.training.data import prepare

    method, arguments = datasets.resolve(dataset)
    data = prepare(method.function(None, **arguments), side, 0, 0.1, torch.device("cpu"))
    images, labels = data.initialization_batch(Recipe(batch_size=BATCH))
    return images, labels, data.classes
