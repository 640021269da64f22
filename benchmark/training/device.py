"""The device: which one, in which precision, when it has finished, how full the memory is."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.recipe import Recipe


def choose_device(name: str) -> torch.device:
    """Return the device called auto (a GPU if there is one), cpu or cuda.

    Raises UsageError for cuda without a GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: cuda is asked for, but torch finds no GPU; write auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the recipe says so; weights and optimizer stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16")


@contextlib.contextmanager
def own_global_state(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Keep torch's random numbers from others, and a CPU's bfloat16 from oneDNN.

    With it gradients of a 3x3 convolution of images of one pixel come out as NaN now and then
    (torch 2.15), which would be taken for a trial that diverged.
    """
    before = torch.backends.mkldnn.enabled
    if device.type == "cpu" and recipe.dtype == "bfloat16":
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.backends.mkldnn.enabled = before


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the generators that a forward pass on this device draws from, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that device or host memory did not suffice."""
    allocator = isinstance(error, RuntimeError) and "not enough memory" in str(error)
    return allocator or isinstance(error, (torch.OutOfMemoryError, MemoryError))


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""As malloc.h numbers them."""


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where its malloc is glibc's.

    Otherwise large blocks go back to the system whenever they are freed, and the next step, which
    asks for the same ones, gets them page by page: for cohorts a good part of a step. What is kept
    stays until `give_back_memory`.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def give_back_memory() -> None:
    """Give back to the system what is free, which other processes may need."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def available_memory() -> int:
    """Return the bytes that a process can have: on Linux, what caches hold is among them."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
