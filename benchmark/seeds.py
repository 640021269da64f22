"""One independent stream of random numbers per named axis, derived by hashing names.

Nothing here touches global random state. A stream depends on its names alone, so adding an
architecture, a treatment or a layer shifts nobody else's numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import torch


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the axis `names` under `seed`; 0 is a seed like any other.

    The SHA-256 of the length-prefixed names, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in (seed, *names):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU torch generator for the axis `names`: the same numbers on every device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))


def substream(generator: torch.Generator, *names: str | int) -> torch.Generator:
    """Return a torch generator for the axis `names` under the seed of another generator.

    A model-level initializer draws each layer from a stream of its own name: the same bytes
    whichever other layers there are. What was already drawn from `generator` has no effect.
    """
    return torch_generator(generator.initial_seed(), *names)


def numpy_generator(seed: int, *names: str | int) -> numpy.random.Generator:
    """Return a numpy generator for the axis `names`."""
    import numpy

    return numpy.random.default_rng(derive(seed, *names))
