"""What a network is at one moment, and in what two moments differ."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchmark.testing.verdicts import Unmet


@dataclass(frozen=True)
class Snapshot:
    """Values of parameters and buffers by name, and everything else that could change.

    `surroundings` says in words, by the name of a parameter or module, what is not a value.
    """

    values: dict[str, torch.Tensor]
    surroundings: dict[str, str]

    @property
    def digest(self) -> str:
        """A hash of every value."""
        digest = hashlib.sha256()
        for name in sorted(self.values):
            digest.update(name.encode() + _bytes(self.values[name]))
        return digest.hexdigest()[:16]

    def changed(self, other: Snapshot) -> list[str]:
        """Return the names of values that are not the same bytes in both."""
        names = dict.fromkeys((*self.values, *other.values))
        return [name for name in names if not _same(self.values.get(name), other.values.get(name))]


def snapshot(model: nn.Module) -> Snapshot:
    """Return the state of a network."""
    surroundings: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        surroundings[name] = (
            f"{parameter.dtype}, on {parameter.device}, requires_grad={parameter.requires_grad},"
            f" {'a' if parameter.grad is not None else 'no'} gradient, the object {id(parameter):x}"
        )
    for name, module in model.named_modules():
        hooks = sum(
            len(getattr(module, kind, ()))
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        )
        mode = "training" if module.training else "evaluation"
        surroundings[name or "the network"] = (
            f"{type(module).__name__} in {mode} mode, {hooks} hooks"
        )
    values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return Snapshot(values, surroundings)


@contextmanager
def global_random_state_kept() -> Iterator[None]:
    """Put the global generators back behind the block, and raise Unmet where it disturbed them."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
        after = random.getstate(), np.random.get_state(), torch.get_rng_state()
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
    kept = {
        "random": before[0] == after[0],
        "numpy.random": all(
            np.array_equal(one, other) for one, other in zip(before[1], after[1], strict=True)
        ),
        "torch": torch.equal(before[2], after[2]),
    }
    if disturbed := [name for name, same in kept.items() if not same]:
        raise Unmet(f"the global generator of {' and of '.join(disturbed)} was used or seeded")


@contextmanager
def global_random_state(seed: int) -> Iterator[None]:
    """Seed every global generator for the block, and put them back behind it."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def first_few(names: list[str]) -> str:
    """Return some names and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _bytes(tensor: torch.Tensor) -> bytes:
    # bfloat16 has no numpy twin; through uint8 every dtype is its bytes.
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.device != other.device or one.device.type == "meta":
        return False
    return _bytes(one) == _bytes(other)
