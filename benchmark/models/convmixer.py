"""ConvMixer-256/8, the small one for 32 pixels: timm has only the three for ImageNet."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.convmixer import ConvMixer

default_cfgs = generate_default_cfgs(
    {"convmixer_256_8.untrained": {"input_size": (3, 32, 32), "classifier": "head"}}
)


@register_model
def convmixer_256_8(pretrained: bool = False, **arguments: Any) -> ConvMixer:
    """Eight blocks 256 wide, kernel 5, patch 2 (arXiv:2201.09792), for images of 32 pixels."""
    arguments = {"dim": 256, "depth": 8, "kernel_size": 5, "patch_size": 2, **arguments}
    return build_model_with_cfg(ConvMixer, "convmixer_256_8", pretrained, **arguments)
