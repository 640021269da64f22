"""How the layers of a stacked network are computed, where vmap alone is slow or impossible.

vmap turns every operation on one replica into one on all of them, but has no rule for some
(attention on a CPU), a roundabout one for others (norms), and refuses random numbers that are
to come from each replica's own stream. `StackedLayers` steps in for these; everything else stays
with vmap. What a rule gives is what the layer gives for each replica by itself, but for the last
bits. A tensor of all replicas is called physical; vmap knows which of its dimensions is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._C import _functorch
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from benchmark.training import patches

EXPLICIT_ATTENTION = 64
"""Up to so many tokens a CPU computes attention faster as two matrix products than fused."""

NORM_BY_ITSELF = 2**14
"""Of so many numbers a replica, a CPU normalises and scales each faster than all in two steps."""

Tensor = torch.Tensor


class StackedLayers(TorchFunctionMode):
    """Within it, layers called in a vmap over replicas are computed by this module's rules.

    `seeds` are those of the replicas' random numbers (dropout, stochastic depth): the numbers of
    a replica are those that its seed gives it alone, whatever its place.
    """

    def __init__(self, seeds: Sequence[int] = ()) -> None:
        super().__init__()
        self._seeds = seeds
        self._generators: list[torch.Generator] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        rule = _RULES.get(function)
        if rule is not None:
            result = rule(*args, **kwargs)
            if result is not None:
                return result
        elif (draw := _DRAWS.get(function)) is not None:
            return draw(self, *args, **kwargs)
        return function(*args, **kwargs)

    def keep(self, like: Tensor, probability: float) -> Tensor:
        """Draw for every number of `like`, replica by replica, whether it is kept: 1 or 0."""
        if not self._generators:
            self._generators = [
                torch.Generator(like.device).manual_seed(seed) for seed in self._seeds
            ]
        value, dim = _physical(like)
        if dim is None:
            raise RuntimeError("a random number that does not depend on the input")
        shape = value.movedim(dim, 0).shape[1:]
        with retrieve_current_functorch_interpreter().lower():
            drawn = torch.stack(
                [
                    torch.empty(shape, dtype=value.dtype, device=value.device).bernoulli_(
                        probability, generator=generator
                    )
                    for generator in self._generators
                ]
            )
        return _wrap(drawn, 0)


def tapped(tensor: Tensor) -> tuple[Tensor, int | None, Tensor]:
    """Return the physical tensor, the replicas' dimension, and a copy for what is computed next.

    What is returned first has its place in autograd's graph: gradients in it can be asked for.
    """
    value, dim = _physical(tensor)
    if dim is None:
        return value, None, value.clone()
    with retrieve_current_functorch_interpreter().lower():
        copy = value.clone()
    return value, dim, _wrap(copy, dim)


def _physical(tensor: Tensor) -> tuple[Tensor, int | None]:
    """Return the tensor of all replicas and their dimension; None if all share it."""
    if not _functorch.is_batchedtensor(tensor):
        return tensor, None
    return _functorch.get_unwrapped(tensor), _functorch.maybe_get_bdim(tensor)


def _wrap(physical: Tensor, dim: int) -> Tensor:
    level = _functorch.maybe_current_level()
    return _functorch._add_batch_dim(physical, dim, level)  # type: ignore[arg-type]


def _stacked(*tensors: Tensor | None) -> list[Tensor] | None:
    """Return the physical tensors with the replicas in front; None if any is not stacked."""
    found = []
    for tensor in tensors:
        if tensor is None:
            return None
        value, dim = _physical(tensor)
        if dim is None:
            return None
        found.append(value.movedim(dim, 0))
    return found


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if (weights := _stacked(weight)) is None or (bias is not None and _stacked(bias) is None):
        return None
    (matrix,) = weights
    value, dim = _physical(input)
    replicas = len(matrix)
    front = value.movedim(dim, 0) if dim is not None else value.expand(replicas, *value.shape)
    product = _product(front.reshape(replicas, -1, front.shape[-1]), matrix, bias)
    return _wrap(product.view(*front.shape[:-1], -1), 0)


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply rows [replicas, m, in] with weights [replicas, out, in]; add the bias."""
    transposed = weight.transpose(1, 2)
    if bias is None:
        return torch.bmm(rows, transposed)
    return torch.baddbmm(_stacked(bias)[0].unsqueeze(1), rows, transposed)  # type: ignore[index]


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """Compute as a product of patches where windows share no pixel, else as grouped convolution."""
    weights = _stacked(weight)
    if groups != 1 or weights is None or (bias is not None and _stacked(bias) is None):
        return None
    (kernel,) = weights
    value, dim = _physical(input)
    images = value.unsqueeze(1) if dim is None else value.movedim(dim, 1)
    if images.ndim != 5:
        return None
    replicas, filters = kernel.shape[:2]
    windows = patches.windows_of(kernel.shape[3:], stride, padding, dilation, images.shape[3:])
    if windows is not None:
        rows = patches.cut(images.transpose(0, 1), windows).expand(replicas, *[-1] * 4)
        flat = rows.reshape(replicas, -1, rows.shape[-1])
        product = _product(flat, patches.used(kernel, windows), bias)
        return _wrap(product.view(*rows.shape[:-1], filters).permute(0, 1, 4, 2, 3), 0)
    shared = dim is None
    result = functional.conv2d(
        value if shared else images.flatten(1, 2),
        kernel.flatten(0, 1),
        None if bias is None else _stacked(bias)[0].flatten(),  # type: ignore[index]
        stride,
        padding,
        dilation,
        groups=1 if shared else replicas,
    )
    return _wrap(result.unflatten(1, (replicas, filters)), 1)


def _max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    value, dim = _physical(input)
    if return_indices or dim is None or value.ndim != 5 or value.device.type != "cpu":
        return None
    images = value.movedim(dim, 1)
    with retrieve_current_functorch_interpreter().lower():
        pooled = _MaxPool.apply(
            images.flatten(1, 2), kernel_size, stride or (), padding, dilation, ceil_mode
        )
    return _wrap(pooled.unflatten(1, images.shape[1:3]), 1)


class _MaxPool(torch.autograd.Function):
    """Max pooling, forward with the channels innermost: a CPU then takes a fifth of the time."""

    @staticmethod
    def forward(context: Any, images: Tensor, *how: Any) -> Tensor:
        inner = images.contiguous(memory_format=torch.channels_last)
        pooled, places = torch.ops.aten.max_pool2d_with_indices(inner, *how)
        context.save_for_backward(images, places.contiguous())
        context.how = how
        return pooled.contiguous()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        images, places = context.saved_tensors
        back = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient.contiguous(), images, *context.how, places
        )
        return back, *[None] * len(context.how)


def _avg_pool2d(input: Tensor, *how: Any, **named: Any) -> Tensor | None:
    return patches.mean_of_all(input, *how, **named) if input.device.type == "cpu" else None


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Normalise the channels of all replicas as if they were those of one wide network."""
    state = _stacked(running_mean, running_var, weight, bias)
    value, dim = _physical(input)
    if state is None or dim is None or not all(each.is_contiguous() for each in state[:2]):
        return None
    images = value.movedim(dim, 1)
    mean, var, scale, shift = (each.view(-1) for each in state)
    result = functional.batch_norm(
        images.flatten(1, 2), mean, var, scale, shift, training, momentum, eps
    )
    return _wrap(result.unflatten(1, images.shape[1:3]), 1)


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    every = _stacked(input, weight, bias)
    if every is None or len(normalized_shape) != 1:
        return None
    value, scale, shift = every
    if value.device.type == "cpu" and value[0].numel() >= NORM_BY_ITSELF:
        own = zip(*(each.unbind() for each in every), strict=True)
        shape = tuple(normalized_shape)
        return _wrap(
            torch.stack([functional.layer_norm(x, shape, w, b, eps) for x, w, b in own]), 0
        )
    rows = functional.layer_norm(value, tuple(normalized_shape), eps=eps)
    rows = rows.view(len(value), -1, value.shape[-1])
    return _wrap(torch.addcmul(shift.unsqueeze(1), rows, scale.unsqueeze(1)).view(value.shape), 0)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """Attend within every image of every replica; attention has no weights of its own."""
    every = _stacked(query, key, value)
    if every is None or attn_mask is not None or dropout_p or is_causal or enable_gqa:
        return None
    q, k, v = every
    if q.device.type == "cpu" and k.shape[-2] <= EXPLICIT_ATTENTION:
        factor = q.shape[-1] ** -0.5 if scale is None else scale
        return _wrap(((q * factor) @ k.transpose(-1, -2)).softmax(-1) @ v, 0)
    result = functional.scaled_dot_product_attention(
        q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), scale=scale
    )
    return _wrap(result.unflatten(0, q.shape[:2]), 0)


def _dropout(
    layers: StackedLayers,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    if not training or p == 0:
        return input
    kept = layers.keep(input, 1 - p)
    return input * (kept.div_(1 - p) if p < 1 else kept)


def _bernoulli_(layers: StackedLayers, tensor: Tensor, p: float = 0.5) -> Tensor:
    """Fill in place, as stochastic depth does with what it multiplies a branch by."""
    return tensor.copy_(layers.keep(tensor, p))


_RULES: dict[Any, Callable[..., Tensor | None]] = {
    functional.linear: _linear,
    torch.conv2d: _conv2d,
    functional.conv2d: _conv2d,
    functional.max_pool2d: _max_pool2d,
    functional.avg_pool2d: _avg_pool2d,
    functional.batch_norm: _batch_norm,
    functional.layer_norm: _layer_norm,
    functional.scaled_dot_product_attention: _attention,
}
_DRAWS: dict[Any, Callable[..., Tensor]] = {
    functional.dropout: _dropout,
    Tensor.bernoulli_: _bernoulli_,
}
