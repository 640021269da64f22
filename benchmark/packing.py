"""Which matrices one weight packs: the queries, keys and values of attention.

Attention often computes q, k and v by one layer. Each is a matrix of its own, with fans of its
own. In some models the rows of a head's q, k and v stand together and the heads follow each other
("interleaved"); in the others all of q comes first, then all of k, then all of v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

_EQUAL = {"qkv": ("q", "k", "v"), "Wqkv": ("q", "k", "v"), "kv": ("k", "v"), "qk": ("q", "k")}
_WRAPPERS = {"linear", "conv", "c"}


@dataclass(frozen=True)
class Packing:
    """The parts along a weight's output axis: a name (q, k, v, mlp) and a number of rows each.

    `heads` is how often the parts recur, each time with `rows` rows: 1 unless interleaved.
    """

    parts: tuple[str, ...] = ("",)
    rows: tuple[int, ...] = ()
    heads: int = 1

    def unpack(self, weight: torch.Tensor) -> list[torch.Tensor]:
        """Return a contiguous copy of each part of a weight, in order."""
        split = weight.unflatten(0, (self.heads, -1)).split(list(self.rows), dim=1)
        return [part.flatten(0, 1).clone(memory_format=torch.contiguous_format) for part in split]

    def pack(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Return the weight that `unpack` takes apart into `parts`."""
        split = [part.unflatten(0, (self.heads, -1)) for part in parts]
        return torch.cat(split, dim=1).flatten(0, 1)


def packing_of(name: str, module: nn.Module, model: nn.Module) -> Packing:
    """Return how the weight of `module`, called `name` in `model`, is packed.

    Found by the name of the layer (qkv, kv, qk, ...) and by what timm's attention modules say of
    themselves; a weight whose size does not fit is one matrix.
    """
    total = len(cast(torch.Tensor, module.weight))
    single = Packing(rows=(total,))
    path = name.split(".")
    if path[-1] in _WRAPPERS and len(path) > 1:
        path.pop()
    if len(path) > 1 and path[-1].isdigit():
        # A list of layers, one a head, as the `qkvs` of EfficientViT.
        path[-2:] = [path[-2].removesuffix("s")]
    parent = model.get_submodule(".".join(path[:-1]))
    if getattr(module, "groups", 1) != 1 or not path[-1]:
        return single
    found = _declared(path[-1], parent) or _equal(path[-1], module, parent)
    return found if found and found.heads * sum(found.rows) == total else single


def _declared(name: str, parent: nn.Module) -> Packing | None:
    """Read the sizes that an attention module keeps as attributes."""

    def has(*attributes: str) -> bool:
        return all(isinstance(getattr(parent, each, None), int) for each in attributes)

    of: Any = parent
    if name == "in_proj" and isinstance(getattr(parent, "in_split", None), list):
        return Packing(("mlp", "q", "k", "v"), tuple(of.in_split))
    if name == "qkv_proj" and has("embed_dim"):
        return Packing(("q", "k", "v"), (1, of.embed_dim, of.embed_dim))
    if name in ("qkv", "kv") and has("key_dim", "val_dim", "num_heads"):
        keys = ("q", "k") if name == "qkv" else ("k",)
        rows = (of.key_dim,) * len(keys) + (of.val_dim,)
        return Packing((*keys, "v"), rows, 1 if hasattr(parent, "qkvs") else of.num_heads)
    if name in ("qkv", "kv") and has("dim_out_qk", "dim_out_v"):
        keys = ("q", "k") if name == "qkv" else ("k",)
        return Packing((*keys, "v"), (of.dim_out_qk,) * len(keys) + (of.dim_out_v,))
    if name == "qkv" and has("dim_qk", "dim_v", "num_heads"):
        return Packing(("q", "k", "v"), (of.num_heads * of.dim_qk, of.dim_qk, of.dim_v))
    if name == "qkv" and has("qk_dim", "pdim"):
        return Packing(("q", "k", "v"), (of.qk_dim, of.qk_dim, of.pdim))
    return None


def _equal(name: str, module: nn.Module, parent: Any) -> Packing | None:
    """Split a layer called qkv, kv or qk evenly, if it is one of an attention module."""
    total, width = cast(torch.Tensor, module.weight).shape[:2]
    parts = _EQUAL.get(name, ())
    if name == "qkv" and total == 2 * width:
        parts = ("k", "v")
    attention = "att" in type(parent).__name__.lower() or hasattr(parent, "num_heads")
    if not parts or total % len(parts) or not (attention or total == len(parts) * width):
        return None
    heads = 1
    if getattr(parent, "head_first", False):
        heads = int(parent.num_heads)
    elif type(parent).__name__ == "LiteMLA":
        heads = total // (3 * int(parent.dim))
    return Packing(parts, (total // len(parts) // heads,) * len(parts), heads)
