"""Tidy tables on the disk, and a board."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.publishing.conftest import board, results  # noqa: F401

COLUMNS = ["dataset", "architecture", "recipe", "treatment", "seed", "status", "accuracy", "n_test"]


@pytest.fixture
def small_table() -> pd.DataFrame:
    """timm, orthogonal (better by about 2 points) and a hair's breadth; 3 cells, 6 seeds."""
    rng = np.random.default_rng(7)
    rows = []
    for architecture in ("mlp", "resnet", "vit"):
        for seed in range(6):
            common = rng.normal(0.9, 0.01)
            for treatment, gain in (("timm", 0.0), ("orthogonal", 0.02), ("mine[bold]|x", 0.0)):
                accuracy = round(common + gain + rng.normal(0, 0.004), 3)
                rows.append(
                    ("digits", architecture, "short", treatment, seed, "ok", accuracy, 1000)
                )
    return pd.DataFrame(rows, columns=COLUMNS)
