"""The state of a cohort in training as bytes: safetensors for its numbers, JSON for the rest.

Nothing is pickled. The bytes carry their own digest, so that half a file, or one that was written
to by two, is told from a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import torch

FORMAT = 1
"""Raised when the form of a checkpoint changes."""


COPIES = 3
"""What packing takes of memory in sizes of the state: a copy, and two of safetensors. Unpacking
takes as much, with the bytes themselves."""


class CheckpointError(ValueError):
    """Bytes that are no whole checkpoint of this format, or a state that none can be made of."""


class Checkpoints(Protocol):
    """Where a cohort's state is kept between epochs; nothing that fails there is raised."""

    def load(self) -> Any:
        """Return the state that was saved last for this very cohort, if there is one."""

    def is_due(self) -> bool:
        """Say whether the last one lies long enough back."""

    def save(self, state: Any) -> None:
        """Keep a state in place of the last one."""

    def refuse(self, why: str) -> None:
        """Take note that a state could not be gone on from."""

    def give_up(self, why: str) -> None:
        """Take note that no state can be kept; none is due any more."""


class NoCheckpoints:
    """Nothing is kept."""

    def load(self) -> Any:
        return None

    def is_due(self) -> bool:
        return False

    def save(self, state: Any) -> None:
        """Never called: none is due."""

    def refuse(self, why: str) -> None:
        """Never called: none is loaded."""

    def give_up(self, why: str) -> None:
        """Never called: none is due."""


def pack(identity: Mapping[str, Any], state: Any) -> bytes:
    """Return the bytes of a state: dicts, lists, tuples, tensors, numbers, texts, None.

    `identity` is plain JSON that says whose it is. Raises CheckpointError for a state with
    anything else in it, such as a function.
    """
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_encode(state, tensors))
    metadata = {"format": str(FORMAT), "identity": json.dumps(identity), "state": tree}
    return save(tensors, {**metadata, "sha256": _digest(metadata, tensors)})


def unpack(data: bytes) -> tuple[dict[str, Any], Any]:
    """Return the identity and the state that `pack` was given, its tensors on the CPU.

    Raises CheckpointError.
    """
    from safetensors.torch import load

    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        digest = metadata.pop("sha256")
        tensors = load(data)
        if metadata["format"] != str(FORMAT):
            raise CheckpointError(f"format {metadata['format']}, this version has {FORMAT}")
        if digest != _digest(metadata, tensors):
            raise CheckpointError("its digest is another one")
        return json.loads(metadata["identity"]), _decode(json.loads(metadata["state"]), tensors)
    except CheckpointError:
        raise
    except Exception as error:  # Whatever the readers make of bytes that may be anything.
        raise CheckpointError(f"{type(error).__name__}: {error}") from error


def size(state: Any) -> int:
    """Return the bytes that the tensors of a state take."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    parts = state.values() if isinstance(state, Mapping) else state
    return sum(map(size, parts)) if isinstance(state, (Mapping, list, tuple)) else 0


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return plain JSON, with tensors put aside under the names that it holds.

    Strides are kept, because some kernels add in the order of the memory.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_encode(each, tensors) for each in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(each, tensors) for each in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, torch.Tensor):
        order = sorted(range(value.ndim), key=value.stride().__getitem__, reverse=True)
        name, ordered = str(len(tensors)), value.detach().permute(order)
        # Always a copy: safetensors refuses tensors that share their memory.
        tensors[name] = torch.empty(ordered.shape, dtype=ordered.dtype).copy_(ordered)
        return {"tensor": name, "order": order}
    raise CheckpointError(f"a {type(value).__name__} cannot be saved")


def _decode(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_decode(each, tensors) for each in value["tuple"])
    if "dict" in value:
        return {_decode(k, tensors): _decode(v, tensors) for k, v in value["dict"]}
    order = value["order"]
    places = [order.index(dim) for dim in range(len(order))]
    return tensors[value["tensor"]].clone().permute(places)
