"""Patch whitening: the first convolution decorrelates the patches of the training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer
    from benchmark.propagation import Weighted


@initializer(
    "patch_whitening",
    summary="as built, but the first convolution whitens patches: eigenvectors and their negatives",
    paper="arXiv:2404.00498",
    level="model",
    needs_data=True,
)
def patch_whitening(
    model: nn.Module,
    generator: torch.Generator,
    batch: tuple[torch.Tensor, torch.Tensor],
    eps: float = 5e-4,
) -> None:
    """Set the first convolution's filters to v / sqrt(lambda + eps) and -v / sqrt(lambda + eps).

    v and lambda are eigenvectors and eigenvalues of E[p p^T], p the patches that the convolution
    sees in the batch (its stride and dilation, no padding), largest first. Half of the filters
    are eigenvectors, the other half their negatives; filters beyond twice the size of a patch, and
    all other layers, stay as built. The sign of an eigenvector, which is arbitrary, is such that
    its largest entry is positive. The filters are trained like all others, unlike in airbench.
    Raises UsageError unless the first layer to see the images is a plain 2-d convolution.
    Jordan 2024, section 3.2, after Page 2019.
    """
    import torch
    from torch.nn import functional

    from benchmark.propagation import adjust_in_order, observed

    reached: list[tuple[Layer, Weighted]] = []
    with observed(model):
        adjust_in_order(model, batch[0], lambda layer, module, _: reached.append((layer, module)))
    layer, module = reached[0] if reached else (None, None)
    if not isinstance(module, torch.nn.Conv2d) or layer is None or layer.groups != 1:
        raise UsageError("patch_whitening needs a model whose first layer is a 2-d convolution")
    if layer.shape[1] != batch[0].shape[1]:
        raise UsageError(f"patch_whitening: {layer.name} does not see the images themselves")
    patches = functional.unfold(
        batch[0].float(), module.kernel_size, dilation=module.dilation, stride=module.stride
    )
    samples = patches.transpose(1, 2).flatten(0, 1).to("cpu", torch.float64)
    values, vectors = torch.linalg.eigh(samples.T @ samples / len(samples))
    count = min(layer.shape[0] // 2, len(values))
    filters = vectors.T.flip(0)[:count]
    filters = filters * filters.gather(1, filters.abs().argmax(1, keepdim=True)).sign()
    filters = filters / torch.sqrt(values.flip(0)[:count, None].clamp(min=0) + eps)
    filters = filters.view(count, *layer.shape[1:])
    with torch.no_grad():
        module.weight[: 2 * count] = torch.cat([filters, -filters]).to(module.weight)
