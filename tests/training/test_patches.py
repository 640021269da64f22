"""Convolutions as matrix products of patches, and pooling of a stack, against torch's own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.func import vmap
from torch.nn import functional

from benchmark.training import patches
from benchmark.training.patches import PatchConvolutions
from benchmark.training.stacked_layers import StackedLayers

# Kernel, stride, padding, height, width.
PATCHES = [
    (1, 1, 0, 4, 3),
    (1, 2, 0, 4, 3),
    (2, 2, 0, 5, 4),
    (2, 3, 0, 5, 6),
    (3, 3, 0, 3, 6),
]
ONE_PIXEL = [
    (1, 1, 0, 1, 1),
    (3, 1, 1, 1, 1),
    (3, 2, 1, 1, 1),
    (3, 2, 1, 2, 2),
    (3, 2, 1, 1, 2),
    (5, 3, 2, 1, 1),
    (2, 1, 0, 2, 2),
]
OVERLAPPING = [
    (3, 1, 1, 2, 2),
    (3, 1, 1, 1, 4),
    (3, 2, 1, 4, 4),
    (2, 1, 1, 1, 1),
    (3, 3, 1, 5, 5),
]
CASES = [*PATCHES, *ONE_PIXEL, *OVERLAPPING]


def layers(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    """Return random numbers of these shapes, in float64, that take gradients."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def assert_same(one: torch.Tensor, other: torch.Tensor, inputs: list[torch.Tensor]) -> None:
    """Compare results and gradients, NaN with NaN."""
    torch.testing.assert_close(one, other, equal_nan=True)
    weights = torch.linspace(-1, 2, one.numel(), dtype=one.dtype).view(one.shape)
    for first, second in zip(
        torch.autograd.grad(one, inputs, weights),
        torch.autograd.grad(other, inputs, weights),
        strict=True,
    ):
        torch.testing.assert_close(first, second, equal_nan=True)


def operations(node: Any) -> set[str]:
    """Return the names of the operations that a backward pass goes through."""
    before = [operations(each) for each, _ in node.next_functions if each is not None]
    return {node.name()}.union(*before)


def test_stacked_convolutions_are_those_of_each_replica() -> None:
    for kernel, stride, padding, height, width in CASES:
        inputs = layers((2, 3, 2, height, width), (2, 4, 2, kernel, kernel), (2, 4))

        def stacked(
            images: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor,
            stride: int = stride,
            padding: int = padding,
        ) -> torch.Tensor:
            with StackedLayers():
                return functional.conv2d(images, weight, bias, stride, padding)

        alone = [functional.conv2d(*each, stride, padding) for each in zip(*inputs, strict=True)]
        assert_same(vmap(stacked)(*inputs), torch.stack(alone), inputs)
        windows = patches.windows_of((kernel,) * 2, stride, padding, 1, (height, width))
        case = kernel, stride, padding, height, width
        assert (windows is None) == (case in OVERLAPPING), case


@pytest.mark.parametrize(
    "how",
    [
        *({"dilation": 2}, {"padding": "same"}, {"padding": "same", "dilation": (2, 1)}),
        {"stride": (2,), "padding": (1,)},
    ],
    ids=str,
)
@pytest.mark.parametrize("shared", [False, True])
def test_dilated_and_evenly_padded_convolutions_are_stacked(
    how: dict[str, Any], shared: bool
) -> None:
    inputs = layers((2, 3, 2, 6, 5), (2, 4, 2, 3, 3), (2, 4))
    images, *state = inputs
    seen = [images[0], images[0]] if shared else list(images)

    def stacked(images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        with StackedLayers():
            return functional.conv2d(images, weight, bias, **how)

    together = vmap(stacked, (None if shared else 0, 0, 0))(images[0] if shared else images, *state)
    alone = [functional.conv2d(*each, **how) for each in zip(seen, *state, strict=True)]
    assert_same(together, torch.stack(alone), inputs)


def test_alone_only_convolutions_that_leave_one_pixel_are_products() -> None:
    for kernel, stride, padding, height, width in CASES:
        inputs = layers((3, 2, height, width), (4, 2, kernel, kernel), (4,))
        with PatchConvolutions() as layer:
            result = functional.conv2d(*inputs, stride, padding)
        assert_same(result, functional.conv2d(*inputs, stride, padding), inputs)
        case = kernel, stride, padding, height, width
        assert layer.found == (case in ONE_PIXEL), case


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (2, None, 0)])
def test_stacked_max_pooling_is_that_of_each_replica(
    size: int, stride: int | None, padding: int, ceil_mode: bool
) -> None:
    (images,) = layers((3, 4, 2, 7, 7))
    with torch.no_grad():
        images[0, 0, 0, 0, 0] = float("nan")
        images[1].relu_()  # Ties: which of them takes the gradient is part of the answer.

    def stacked(own: torch.Tensor) -> torch.Tensor:
        with StackedLayers():
            return functional.max_pool2d(own, size, stride, padding, 1, ceil_mode)

    alone = [functional.max_pool2d(own, size, stride, padding, 1, ceil_mode) for own in images]
    found = vmap(stacked)(images)
    assert_same(found, torch.stack(alone), [images])
    assert "_MaxPoolBackward" in operations(found.grad_fn)


def test_average_pooling_with_one_window_is_a_mean_and_no_other_is() -> None:
    (images,) = layers((2, 2, 3, 2, 2))
    means = 0
    for size, stride, ceil_mode in itertools.product((1, 2, 3), (1, 2, 3), (False, True)):
        for own in (images, images[..., :1, :1]):
            if size - own.shape[-1] >= (stride if ceil_mode else 1):
                continue  # No window at all: torch raises.

            def stacked(
                each: torch.Tensor, size: int = size, stride: int = stride, up: bool = ceil_mode
            ) -> torch.Tensor:
                with StackedLayers():
                    return functional.avg_pool2d(each, size, stride, 0, up, False)

            alone = [functional.avg_pool2d(e, size, stride, 0, ceil_mode, False) for e in own]
            found = vmap(stacked)(own)
            assert_same(found, torch.stack(alone), [images])
            means += any("Mean" in name for name in operations(found.grad_fn))
    assert 5 < means < 20
