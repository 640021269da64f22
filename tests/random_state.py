"""Watching the global random state of Python, numpy and torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_globals(seed: int) -> None:
    """Seed every global generator."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def global_state_kept() -> Iterator[None]:
    """Assert that the block leaves every global generator as it was."""
    python, numpy, pytorch = (
        random.getstate(),
        np.random.get_state()[1].copy(),
        torch.get_rng_state(),
    )
    yield
    assert random.getstate() == python
    assert (np.random.get_state()[1] == numpy).all()
    assert torch.equal(torch.get_rng_state(), pytorch)
