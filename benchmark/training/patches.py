"""Convolutions whose windows share no pixel, computed as matrix products of patches and taps.

Such are those of 1x1, of patches, and on images of a pixel or two all that are left with one
window: a tap that only ever meets the border adds nothing and is left out, so that a 3x3
convolution of one pixel is a product with its middle tap. A CPU's library of convolutions takes
several times as long for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Tensor = torch.Tensor


class Windows(NamedTuple):
    """Where, along one side of an image, a kernel's taps meet pixels."""

    first: int
    """The first pixel of the first window."""

    places: int
    step: int
    taps: slice


class PatchConvolutions(TorchFunctionMode):
    """Within it, a network computes convolutions that leave one pixel as matrix products.

    Average pooling that leaves one pixel is a mean. `found` says whether there was either: a
    network with neither computes the same outside, and faster.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        rule = _RULES.get(function)
        if rule is not None:
            result = rule(*args, **(kwargs or {}))
            if result is not None:
                self.found = True
                return result
        return function(*args, **(kwargs or {}))


def _one_pixel(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    if groups != 1 or input.ndim != 4:
        return None
    windows = windows_of(weight.shape[2:], stride, padding, dilation, input.shape[2:])
    if windows is None or any(each.places > 1 for each in windows):
        return None
    product = functional.linear(cut(input, windows), used(weight, windows), bias)
    return product.permute(0, 3, 1, 2)


def mean_of_all(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    """Return what average pooling with one window around all of an image gives; None for others."""
    sides, kernel = input.shape[-2:], pair(kernel_size)
    steps = pair(stride) if stride else kernel
    one = all(
        side == size or (ceil_mode and 0 < size - side < step)
        for side, size, step in zip(sides, kernel, steps, strict=True)
    )
    if not one or pair(padding) != (0, 0) or divisor_override:
        return None
    return input.mean((-2, -1), keepdim=True)


def windows_of(
    kernel: Sequence[int], stride: Any, padding: Any, dilation: Any, sides: Sequence[int]
) -> tuple[Windows, Windows] | None:
    """Return the windows of a convolution, down and across; None if any share a pixel.

    None, too, if a tap meets a pixel in one window and the border in another.
    """
    if isinstance(padding, str) or pair(dilation) != (1, 1):
        return None
    down, across = (
        _along(*each) for each in zip(kernel, pair(stride), pair(padding), sides, strict=True)
    )
    return (down, across) if down and across else None


def _along(kernel: int, step: int, border: int, side: int) -> Windows | None:
    places = (side + 2 * border - kernel) // step + 1
    meets = [
        [0 <= place * step + tap - border < side for place in range(places)]
        for tap in range(kernel)
    ]
    taps = [tap for tap in range(kernel) if any(meets[tap])]
    if not taps or not all(all(meets[tap]) for tap in taps) or (places > 1 and step < len(taps)):
        return None
    return Windows(taps[0] - border, places, step, slice(taps[0], taps[-1] + 1))


def cut(images: Tensor, windows: tuple[Windows, Windows]) -> Tensor:
    """Cut images [..., channels, height, width] into patches [..., rows, columns, numbers]."""
    dims = images.ndim - 3
    for dim, each in zip((dims + 1, dims + 2), windows, strict=True):
        size = each.taps.stop - each.taps.start
        length = (each.places - 1) * each.step + size
        images = images.narrow(dim, each.first, length).unfold(dim, size, each.step)
    # Now [..., channels, rows, columns, taps down, taps across].
    return images.movedim(dims, dims + 2).flatten(dims + 2)


def used(kernel: Tensor, windows: tuple[Windows, Windows]) -> Tensor:
    """Return the taps that meet pixels of a kernel [..., channels, height, width], in a row."""
    down, across = windows
    return kernel[..., down.taps, across.taps].flatten(-3).contiguous()


def pair(value: Any) -> tuple[int, int]:
    """Return what holds down and across."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return int(values[0]), int(values[-1])


_RULES: dict[Any, Any] = {torch.conv2d: _one_pixel, functional.avg_pool2d: mean_of_all}
