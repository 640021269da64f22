"""The commands in this process, and tidy tables on the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.cli import main

Command = Callable[..., tuple[int, str, str]]

COLUMNS = ["dataset", "architecture", "recipe", "treatment", "seed", "status", "accuracy", "n_test"]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Run initbench in this process and an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["initbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


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
