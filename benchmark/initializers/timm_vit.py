"""timm's preset for vision transformers: a small normal everywhere, a head of zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "timm_vit",
    summary="N(0, 0.02^2) everywhere, a head of zeros, biases of linear layers 0.02",
    paper="https://github.com/huggingface/pytorch-image-models/blob/main/timm/layers/weight_init.py",
    level="model",
    touches=("biases",),
)
def timm_vit(
    model: nn.Module,
    generator: torch.Generator,
    std: Annotated[float, Gt(0)] = 0.02,
    linear_bias: float = 0.02,
) -> None:
    """Fill every layer as `init_weight_vit` of timm does.

    Weights from N(0, std^2), cut at +-2 as in PyTorch (a hundred sigma); the head's weights and
    biases zero; the biases of other linear layers `linear_bias`, whose default is timm's and is not
    zero; those of convolutions as they were built.
    """
    from benchmark.layers import describe
    from benchmark.sampling import assign, empty, truncated_normal_
    from benchmark.seeds import substream

    for layer, weight in describe(model):
        values, bias = empty(weight), linear_bias if layer.kind == "linear" else None
        if layer.role == "head":
            values.zero_()
            bias = 0.0
        else:
            truncated_normal_(values, std, 2.0 / std, substream(generator, layer.name))
        assign(weight, values)
        if layer.bias and bias is not None:
            parameter = model.get_parameter(layer.bias)
            assign(parameter, empty(parameter).fill_(bias))
