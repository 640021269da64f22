"""Applying a treatment to a model, layer by layer, from named streams of random numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from benchmark import models
from benchmark.errors import UsageError
from benchmark.matrices import turned
from benchmark.multiset import fingerprint
from benchmark.plugins import Rewiring, initializers, rewirings
from benchmark.seeds import numpy_generator, torch_generator
from benchmark.strength import StrengthVariance, strength_variance
from benchmark.treatment import Treatment, parse_treatment
from benchmark.trial import CHANGED_VALUES
from benchmark.wording import counted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer

    Batch = tuple[torch.Tensor, torch.Tensor]

A = TypeVar("A", "np.ndarray", "torch.Tensor")


@dataclass(frozen=True)
class LayerReport:
    """A treated layer: name, shape of its weight, strength before and after rewiring."""

    name: str
    shape: tuple[int, ...]
    before: StrengthVariance
    after: StrengthVariance


@dataclass(frozen=True)
class Report:
    """What a treatment did to a model: a report a layer, and the seconds it took.

    `untreated` are the weights that no treatment reaches (`benchmark.ownership.untreated`).
    """

    treatment: str
    seed: int
    layers: tuple[LayerReport, ...]
    initialization_seconds: float
    rewiring_seconds: float
    untreated: tuple[str, ...] = ()

    @property
    def strength_before(self) -> float:
        """Mean over layers of the strength-variance score that the initializer left."""
        return _mean([layer.before.score for layer in self.layers])

    @property
    def strength_after(self) -> float:
        """Mean over layers of the strength-variance score after rewiring."""
        return _mean([layer.after.score for layer in self.layers])

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = [
            (layer.name, "x".join(map(str, layer.shape)), layer.before.score, layer.after.score)
            for layer in self.layers
        ]
        headers = ("layer", "shape", "strength variance before", "after")
        title = f"{self.treatment}, seed {self.seed}: {counted(len(rows), 'layer')}\n"
        table = title + tabulate(rows, headers, floatfmt=".4g")
        return f"{table}\nnot treated: {', '.join(self.untreated)}" if self.untreated else table


def initialize(
    model: nn.Module,
    treatment: str | Treatment,
    *,
    seed: int = 0,
    batch: Batch | Callable[[], Batch] | None = None,
) -> Report:
    """Treat every Conv and Linear weight of a torch model in place and report on each layer.

    `batch` (images, labels), or a function that returns it, is for methods that look at data.
    Weights are drawn on the CPU in float32, a stream of random numbers for each layer's name, and
    then moved to where the parameter lives: the same bytes on every device and in every memory
    format, whichever other layers there are. Biases, norms and embeddings stay as they are unless
    the method owns them.
    Raises UsageError for an unknown treatment, a missing batch, or a method that leaves
    non-finite weights or, being a permutation, other values.
    """
    from benchmark.layers import describe
    from benchmark.ownership import untreated

    chosen = parse_treatment(treatment) if isinstance(treatment, str) else treatment
    initializer = initializers.resolve(chosen.initializer)[0]
    changes_architecture = initializer.changes_architecture
    layers = describe(model)
    start = time.perf_counter()
    if changes_architecture:
        models.rebuilt(model)
    _apply_initializer(model, layers, chosen.initializer, seed, batch)
    initialized = time.perf_counter()
    if changes_architecture:
        layers = describe(model)
    method, arguments = rewirings.resolve(chosen.rewiring)
    reports = _rewire_layers(layers, method, arguments, seed)
    return Report(
        treatment=str(chosen),
        seed=seed,
        layers=reports,
        initialization_seconds=initialized - start,
        rewiring_seconds=time.perf_counter() - initialized,
        untreated=untreated(model, [layer for layer, _ in layers], initializer.touches),
    )


def rewire(
    array: A,
    rewiring: str = "pa",
    *,
    seed: int = 0,
    mode: Literal["fast", "reference"] = "fast",
) -> A:
    """Return a rewired copy of a weight of rank 2 or more, viewed as a matrix [out, in].

    A numpy array or a torch tensor of any floating dtype and device; type, shape, dtype and
    device stay. The seed goes to `numpy.random.default_rng`; `mode="reference"` reproduces the
    authors' published code bit for bit, `mode="fast"` has the same distribution in each pass.
    The first axis is taken for the outputs: transpose the weight of a transposed convolution.
    Raises UsageError for a rank below 2, an unknown rewiring, or one without that mode.
    """
    method, arguments = rewirings.resolve(rewiring)
    function = method.function
    if mode == "reference":
        if method.reference is None:
            raise UsageError(f"rewiring {method.name!r} has no reference mode; write mode='fast'")
        function = method.reference
    elif mode != "fast":
        raise UsageError(f"unknown mode {mode!r}; write 'fast' or 'reference'")
    if array.ndim < 2:
        raise UsageError(f"a weight of rank {array.ndim} has no in and out neurons to rewire")
    rng = np.random.default_rng(seed)
    if isinstance(array, np.ndarray):
        copy = array.copy()
        function(copy.reshape(len(copy), -1), rng, **arguments)
        return copy
    matrix = _to_matrix(array)
    function(matrix, rng, **arguments)
    result = array.detach().clone()
    _from_matrix(matrix, result)
    return result


def _apply_initializer(
    model: nn.Module,
    layers: list[tuple[Layer, nn.Parameter]],
    text: str,
    seed: int,
    batch: Batch | Callable[[], Batch] | None,
) -> None:

    from benchmark.drawing import fill_matrices, in_float32
    from benchmark.ownership import Snapshot

    method, arguments = initializers.resolve(text)
    before = Snapshot.of(model, [layer for layer, _ in layers], method.touches)
    if method.level == "model":
        generator = torch_generator(seed, "weights")
        if method.needs_data and batch is None:
            raise UsageError(f"initializer {text!r} looks at data: give it batch=(images, labels)")
        with in_float32(model):
            data = (_in_float32(batch),) if method.needs_data and batch is not None else ()
            _filling(text, method.function)(model, generator, *data, **arguments)
    else:
        for layer, parameter in layers:
            generator = torch_generator(seed, "weights", layer.name)
            fill = _filling(text, partial(method.function, **arguments))
            fill_matrices(layer, parameter, fill, generator)
    before.check(model, text, rebuilt=method.changes_architecture)


def _in_float32(batch: Batch | Callable[[], Batch]) -> Batch:
    """Return a batch as wide as `in_float32` makes the model that looks at it."""
    found = batch() if callable(batch) else batch
    images, labels = found
    return (images.float(), labels) if images.element_size() < 4 else found


def _filling(text: str, function: Callable[..., object]) -> Callable[..., None]:
    """Refuse what returns something else than what it was to fill: it may have filled nothing."""

    def fill(given: object, *further: object, **arguments: object) -> None:
        returned = function(given, *further, **arguments)
        if returned is not None and returned is not given:
            raise UsageError(
                f"initializer {text!r} returned {type(returned).__name__}; it must fill what it is"
                " given, in place, and return nothing"
            )

    return fill


def _rewire_layers(
    layers: list[tuple[Layer, nn.Parameter]],
    method: Rewiring,
    arguments: dict[str, Any],
    seed: int,
) -> tuple[LayerReport, ...]:
    """Rewire in as many threads as torch has: a layer's stream is its own, so none changes it."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        return tuple(_rewire_layer(*each, method, arguments, seed) for each in layers)
    largest_first = sorted(range(len(layers)), key=lambda i: -layers[i][1].numel())
    torch.set_num_threads(1)  # Layers side by side: copies inside of one would only get in the way.
    try:
        with ThreadPoolExecutor(threads) as pool:
            futures = {
                i: pool.submit(_rewire_layer, *layers[i], method, arguments, seed)
                for i in largest_first
            }
    finally:
        torch.set_num_threads(threads)
    return tuple(futures[i].result() for i in range(len(layers)))


def _rewire_layer(
    layer: Layer, parameter: nn.Parameter, method: Rewiring, arguments: dict[str, Any], seed: int
) -> LayerReport:
    weight = turned(parameter.detach(), layer)
    matrix = _to_matrix(weight)
    before = strength_variance(matrix)
    values = fingerprint(matrix)
    method.function(matrix, numpy_generator(seed, "rewiring", layer.name), **arguments)
    if method.permutes and fingerprint(matrix) != values:
        raise UsageError(
            f"rewiring {method.name!r} says that it permutes, but {CHANGED_VALUES} {layer.name}"
        )
    if not np.isfinite(matrix).all():
        raise UsageError(f"rewiring {method.name!r} left non-finite weights in {layer.name}")
    _from_matrix(matrix, weight)
    if layer.transposed:
        parameter.detach().copy_(turned(weight, layer))
    return LayerReport(layer.name, layer.shape, before, strength_variance(matrix))


def _to_matrix(tensor: torch.Tensor) -> np.ndarray:
    """Copy a weight into a numpy matrix [out, in], in float32 or, where it is wider, float64."""
    import torch

    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    copy = tensor.detach().to("cpu", wide, copy=True)
    return copy.contiguous().reshape(tensor.shape[0], -1).numpy()


def _from_matrix(matrix: np.ndarray, tensor: torch.Tensor) -> None:
    import torch

    with torch.no_grad():
        tensor.copy_(torch.from_numpy(matrix).reshape(tensor.shape))


def _mean(values: list[float]) -> float:
    finite = [value for value in values if value == value]
    return sum(finite) / len(finite) if finite else float("nan")
