"""The recipe of configs/quickstart.yaml: small networks on 8x8 digits, in seconds each."""

from __future__ import annotations

from typing import Any

from benchmark.plugins import named_recipe


@named_recipe(
    "digits_quick",
    summary="4 epochs of AdamW on images of 8x8 pixels; what `initbench try` trains with",
    source="configs/quickstart.yaml",
)
def digits_quick() -> dict[str, Any]:
    """Return what differs from the defaults of a recipe."""
    return {
        "epochs": 4,
        "batch_size": 32,
        "optimizer": "adamw",
        "learning_rate": 0.004,
        "weight_decay": 0.05,
        "warmup_epochs": 1,
        "image_size": 8,
    }
