"""Mimetic initialisation: attention that starts like a trained vision transformer's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.errors import UsageError
from benchmark.plugins import initializer
from benchmark.seeds import torch_generator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer


class _Attention(NamedTuple):
    layer: Layer
    packed: torch.Tensor
    projection: torch.Tensor
    heads: int


@initializer(
    "mimetic",
    summary="attention near identity: query times key like I, value times projection like -I",
    paper="arXiv:2305.09828",
    level="model",
    touches=("embeddings",),
)
def mimetic(
    model: nn.Module,
    generator: torch.Generator,
    query_key_noise: float = 0.7,
    query_key_identity: float = 0.7,
    value_noise: float = 0.4,
    value_identity: float = 0.4,
    position: bool = True,
) -> None:
    """Factor noisy multiples of the identity into the weights of every self-attention.

    With x as a row of width d: in each head W_Q W_K^T is the best approximation of the head's rank
    to a Z + b I, with a and b of query_key; W_V W_P, over all heads at once, is a Z - b I with
    those of value. Z is Gaussian of variance 1 / d; the factors share the singular values evenly.
    `nn.Linear` holds the transposes, so that proj.weight @ value.weight is that matrix transposed.
    Attention is found by a layer that packs q, k and v of one width, in a module with `num_heads`
    and a square `proj` or `out_proj`. `position` sets a learnt position embedding of a square grid
    to the 2-D sines and cosines the paper uses, zero for prefix tokens; biases and all other layers
    stay as built. One SVD of order d a head. Language models take the opposite signs. Raises
    UsageError for a model without such attention. Trockman and Kolter 2023.
    """
    import torch

    found = _attentions(model)
    if not found:
        raise UsageError("mimetic fills attention that packs q, k and v, and the model has none")
    for layer, packed, projection, heads in found:
        stream = torch_generator(generator.initial_seed(), layer.name)
        query, key, value = layer.packing.unpack(packed.detach())
        width = value.shape[1]
        for query_head, key_head in zip(query.chunk(heads), key.chunk(heads), strict=True):
            left, right = _factors(width, query_key_noise, query_key_identity, stream)
            query_head.copy_(left.T[: len(query_head)].reshape(query_head.shape))
            key_head.copy_(right[: len(key_head)].reshape(key_head.shape))
        left, right = _factors(width, value_noise, -value_identity, stream)
        with torch.no_grad():
            packed.copy_(layer.packing.pack([query, key, left.T.reshape(value.shape).to(value)]))
            projection.copy_(right.T.reshape(projection.shape))
    if position:
        _set_positions(model)


def _attentions(model: nn.Module) -> list[_Attention]:
    """Return the packed layers whose queries, keys and values are square, with what follows."""
    from benchmark.layers import describe

    found = []
    for layer, packed in describe(model):
        width = packed.shape[1]
        if layer.packing.parts != ("q", "k", "v") or layer.fan_in != width:
            continue
        if any(rows * layer.packing.heads != width for rows in layer.packing.rows):
            continue
        parent: Any = model.get_submodule(layer.name.rpartition(".")[0])
        module = getattr(parent, "proj", None) or getattr(parent, "out_proj", None)
        projection: Any = getattr(module, "weight", None)
        heads = getattr(parent, "num_heads", 0)
        square = projection is not None and projection.shape[:2] == (width, width)
        if square and projection.numel() == width * width and heads and width % heads == 0:
            found.append(_Attention(layer, packed, projection, heads))
    return found


def _factors(
    order: int, noise: float, identity: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return L = U sqrt(S) and R = sqrt(S) V^T of noise Z + identity I = U S V^T."""
    import torch

    target = torch.empty(order, order, dtype=torch.float64)
    target.normal_(0.0, noise / order**0.5, generator=generator)
    target.diagonal().add_(identity)
    u, s, vt = torch.linalg.svd(target)
    return u * s.sqrt(), s.sqrt()[:, None] * vt


def _set_positions(model: nn.Module) -> None:
    """Set `model.pos_embed` [1, prefix + n * n, d] to sines and cosines where it has that form."""
    import torch
    from timm.layers import build_sincos2d_pos_embed
    from torch import nn

    embedding = getattr(model, "pos_embed", None)
    if not isinstance(embedding, nn.Parameter) or embedding.dim() != 3 or embedding.shape[-1] % 4:
        return
    tokens, width = embedding.shape[1:]
    embeds_prefix = not getattr(model, "no_embed_class", False)
    prefix = int(getattr(model, "num_prefix_tokens", 0)) if embeds_prefix else 0
    side = round((tokens - prefix) ** 0.5)
    if side * side == tokens - prefix:
        with torch.no_grad():
            embedding[:, :prefix].zero_()
            embedding[:, prefix:].copy_(build_sincos2d_pos_embed([side, side], dim=width))
