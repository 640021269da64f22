"""The baseline: the network as timm (or whoever wrote it) builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "timm",
    summary="the network as its own constructor fills it",
    paper="https://github.com/huggingface/pytorch-image-models",
    level="model",
)
def timm(model: nn.Module, generator: torch.Generator) -> None:
    """Leave every weight as the constructor drew it from the trial's own seed."""
