"""States as bytes: what goes in comes out, and what is not whole is told apart."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from benchmark.training.checkpoint import CheckpointError, pack, unpack

IDENTITY = {"cohort": "c", "threads": 1}


def state() -> dict[str, Any]:
    tied = torch.arange(6.0)
    return {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.999)},
        "curves": [0.1, -0.0, math.inf, 1e-320, 2**70],
        "numbers": {
            "nan": torch.tensor([0x7FC01234], dtype=torch.int32).view(torch.float32),
            "half": torch.ones(2, 3, dtype=torch.bfloat16),
            "flags": torch.tensor([True, False]),
            "count": torch.tensor([2**40]),
            "none": torch.empty(0, 3),
            "tied": tied,
            "view": tied[2:],
            "turned": torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1),
        },
        "message": None,
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        bits = [each.contiguous().flatten().view(torch.uint8) for each in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def test_a_state_comes_back_bit_for_bit_with_its_types_and_strides() -> None:
    identity, found = unpack(pack(IDENTITY, state()))
    assert identity == IDENTITY
    assert same(state(), found)
    assert found["numbers"]["turned"].stride() == state()["numbers"]["turned"].stride()


def test_half_of_it_and_a_changed_bit_are_told_from_all_of_it() -> None:
    data = pack(IDENTITY, state())
    for length in range(0, len(data), 97):
        with pytest.raises(CheckpointError):
            unpack(data[:length])
    for place in range(0, len(data), 31):
        changed = bytearray(data)
        changed[place] ^= 4
        with pytest.raises(CheckpointError):
            unpack(bytes(changed))


def test_another_format_is_named() -> None:
    data = pack(IDENTITY, state()).replace(b'"format":"1"', b'"format":"2"')
    with pytest.raises(CheckpointError, match="format 2, this version has 1"):
        unpack(data)


def test_what_only_pickle_could_keep_is_refused() -> None:
    with pytest.raises(CheckpointError, match="a function cannot be saved"):
        pack(IDENTITY, {"hook": lambda: None})
