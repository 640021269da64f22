"""A few training steps of a cell on generated images: does it run, how long, how much memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn import functional

from benchmark import models
from benchmark.errors import UsageError
from benchmark.seeds import torch_generator
from benchmark.training.device import autocast, is_out_of_memory, synchronise
from benchmark.training.optimization import make_optimizer
from benchmark.trial import Cell


@dataclass(frozen=True)
class Probe:
    """What a cell costs: times in seconds for a batch of `batch_size`, memory in bytes.

    `state_memory` is that of weights, gradients and the optimizer's state, `batch_memory` what the
    forward pass keeps for the backward pass.
    """

    parameters: int
    batch_size: int
    step_seconds: tuple[float, ...]
    evaluation_seconds: float
    state_memory: int
    batch_memory: int

    def memory(self, batch_size: int) -> int:
        """Return the bytes that one replica takes in training on batches of another size."""
        return self.state_memory + self.batch_memory * batch_size // self.batch_size


def image_size_of(cell: Cell) -> int:
    """Return the side in pixels at which a cell's images are trained."""
    size = cell.recipe.image_size
    return _own_image_size(cell.architecture) if size == "auto" else int(size)


@lru_cache
def _own_image_size(architecture: str) -> int:
    return models.own_image_size(architecture)


def probe(
    cell: Cell,
    channels: int,
    classes: int,
    device: torch.device,
    *,
    batch_size: int,
    steps: int,
) -> Probe:
    """Train a cell's architecture for some steps on generated images.

    Raises UsageError where the model cannot take the images or gives something other than
    `classes` logits an image.
    """
    size = image_size_of(cell)
    where = f"{cell.architecture} on {channels} x {size} x {size} images of {cell.dataset}"
    generator = torch_generator(0, "probe")
    images = torch.randn(batch_size, channels, size, size, generator=generator).to(device)
    labels = torch.randint(classes, (batch_size,), generator=generator).to(device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        model = models.build(
            cell.architecture, channels=channels, classes=classes, image_size=size, seed=0
        ).to(device)
        optimizer = make_optimizer(model, cell.recipe)
        kept = _Kept(model)
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            try:
                with autocast(cell.recipe, device), kept.counting():
                    logits = model(images)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise UsageError(
                    f"{where} does not run: {error}; write another image_size into the recipe or"
                    " leave the architecture out"
                ) from error
            if logits.shape != (batch_size, classes):
                raise UsageError(
                    f"{where} gives {tuple(logits.shape)} instead of {(batch_size, classes)}"
                )
            functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            synchronise(device)
            seconds.append(time.perf_counter() - start)
        evaluation = _time_evaluation(model, images, device)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    state = sum(
        value.numel() * value.element_size()
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, torch.Tensor)
    )
    return Probe(
        parameters=sum(p.numel() for p in model.parameters()),
        batch_size=batch_size,
        step_seconds=tuple(seconds),
        evaluation_seconds=evaluation,
        state_memory=2 * weights + state,
        batch_memory=kept.bytes,
    )


class _Kept:
    """Counts the bytes that a forward pass keeps for the backward pass, each storage once.

    Weights are kept as well, but take no memory of their own.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.bytes = 0
        self._weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def counting(self) -> torch.autograd.graph.saved_tensors_hooks:
        storages: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._weights:
                storages[storage.data_ptr()] = storage.nbytes()
            self.bytes = max(self.bytes, sum(storages.values()))
            return tensor

        return torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)


def _time_evaluation(model: torch.nn.Module, images: torch.Tensor, device: torch.device) -> float:
    model.eval()
    start = time.perf_counter()
    with torch.no_grad():
        model(images)
    synchronise(device)
    return time.perf_counter() - start
