"""How the layers of a stacked network are computed, where vmap alone is slow or impossible.

vmap turns every operation on one replica into one on all of them, but has no rule for some
(attention on a CPU), a roundabout one for others (norms), and refuses random numbers that are
to come from each replica's own stream. `StackedLayers` steps in for these; everything else stays
with vmap. What a rule gives is what the layer gives for each replica by itself, but for the last
bits. A tensor of all replicas is called physical; vmap knows which of its dimensions is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch._C import _functorch
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.nn import functional
from torch.overrides import TorchFunctionMode

EXPLICIT_ATTENTION = 64
"""Up to so many tokens a CPU computes attention faster as two matrix products than fused."""

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
    """Compute as a matrix product where each input meets one tap, else as a grouped convolution.

    A tap that only ever meets the border adds nothing and is left out of the product: on images of
    one pixel, a 3x3 convolution is a 1x1 one.
    """
    weights = _stacked(weight)
    plain = groups == 1 and not isinstance(padding, str) and _pair(dilation) == (1, 1)
    if not plain or weights is None or (bias is not None and _stacked(bias) is None):
        return None
    (kernel,) = weights
    value, dim = _physical(input)
    images = value.unsqueeze(1) if dim is None else value.movedim(dim, 1)
    if images.ndim != 5:
        return None
    replicas, filters, _, *size = kernel.shape
    steps, borders = _pair(stride), _pair(padding)
    windows = [
        _windows(*each) for each in zip(size, steps, borders, images.shape[-2:], strict=True)
    ]
    if all(windows):
        return _wrap(_patch_product(images, kernel, bias, windows), 0)  # type: ignore[arg-type]
    shared = dim is None
    result = functional.conv2d(
        value if shared else images.flatten(1, 2),
        kernel.flatten(0, 1),
        None if bias is None else _stacked(bias)[0].flatten(),  # type: ignore[index]
        steps,
        borders,
        groups=1 if shared else replicas,
    )
    return _wrap(result.unflatten(1, (replicas, filters)), 1)


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, (tuple, list)) else (value, value)
    return int(first), int(second)


class _Windows(NamedTuple):
    """Where, along one side of an image, a kernel's taps meet pixels that they share with none."""

    first: int
    """The first pixel of the first window."""

    count: int
    step: int
    taps: range


def _windows(kernel: int, step: int, border: int, side: int) -> _Windows | None:
    """Return the windows of a kernel's places along one side; None if they overlap.

    Taps that meet no pixel in any place are left out; the others must meet one in every place.
    """
    count = (side + 2 * border - kernel) // step + 1
    pixels = {
        tap: [0 <= place * step + tap - border < side for place in range(count)]
        for tap in range(kernel)
    }
    used = [tap for tap, meets in pixels.items() if any(meets)]
    if not used or not all(all(pixels[tap]) for tap in used) or (count > 1 and step < len(used)):
        return None
    return _Windows(used[0] - border, count, step, range(used[0], used[-1] + 1))


def _patch_product(
    images: Tensor, kernel: Tensor, bias: Tensor | None, windows: Sequence[_Windows]
) -> Tensor:
    """Convolve images [batch, replicas, channels, ...] by multiplying patches with the taps used.

    The images may be one replica's for all. Returns [replicas, batch, filters, ...].
    """
    rows, columns = windows
    replicas, filters = kernel.shape[:2]
    patches = images.permute(1, 0, 2, 3, 4)
    for dim, each in ((3, rows), (4, columns)):
        length = (each.count - 1) * each.step + len(each.taps)
        cut = patches.narrow(dim, each.first, length)
        patches = cut.unfold(dim, len(each.taps), each.step)
    patches = patches.permute(0, 1, 3, 4, 2, 5, 6).expand(replicas, *[-1] * 6)
    flat = patches.reshape(replicas, -1, patches.shape[4:].numel())
    used = kernel[..., rows.taps.start : rows.taps.stop, columns.taps.start : columns.taps.stop]
    product = _product(flat, used.flatten(2).contiguous(), bias)
    return product.view(replicas, -1, rows.count, columns.count, filters).permute(0, 1, 4, 2, 3)


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
    return input * layers.keep(input, 1 - p).div_(1 - p)


def _bernoulli_(layers: StackedLayers, tensor: Tensor, p: float = 0.5) -> Tensor:
    """Fill in place, as stochastic depth does with what it multiplies a branch by."""
    return tensor.copy_(layers.keep(tensor, p))


_RULES: dict[Any, Callable[..., Tensor | None]] = {
    functional.linear: _linear,
    torch.conv2d: _conv2d,
    functional.conv2d: _conv2d,
    functional.batch_norm: _batch_norm,
    functional.layer_norm: _layer_norm,
    functional.scaled_dot_product_attention: _attention,
}
_DRAWS: dict[Any, Callable[..., Tensor]] = {
    functional.dropout: _dropout,
    Tensor.bernoulli_: _bernoulli_,
}
