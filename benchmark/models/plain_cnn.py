"""A plain convolutional network: no normalisation, no skips, no weight standardisation.

timm has no small one, and it is the case in which an initializer has the most to do: whatever the
first forward pass makes of the signal, nothing corrects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn


class PlainCNN(nn.Module):
    """3x3 convolutions with ReLU in stages between which 2x2 max pooling halves the image.

    Filled as timm fills its VGG: convolutions Kaiming normal by fan_out, the head N(0, 0.01^2),
    biases zero.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = widths[-1]
        stages: list[nn.Module] = []
        channels = in_chans
        for width in widths:
            layers: list[nn.Module] = [] if not stages else [nn.MaxPool2d(2)]
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.head.weight, 0.0, 0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(images).mean((2, 3)))


default_cfgs = generate_default_cfgs(
    {"plain_cnn.untrained": {"input_size": (3, 32, 32), "classifier": "head"}}
)


@register_model
def plain_cnn(pretrained: bool = False, **arguments: Any) -> PlainCNN:
    """Three stages of two 3x3 convolutions, 16, 32 and 64 channels wide, without any norm."""
    return build_model_with_cfg(PlainCNN, "plain_cnn", pretrained, **arguments)
