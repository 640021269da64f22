"""What several tests need: small cells, trials in them, and a config on the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.grid import Cohort
from benchmark.recipe import Recipe
from benchmark.treatment import parse_treatment
from benchmark.trial import Cell, Trial

Command = Callable[..., tuple[int, str, str]]

SMALL_CONFIG = """\
name: small
grid:
  datasets: [digits]
  architectures: ["plain_cnn(depth=1, widths=[4, 8])"]
  initializers: [timm, kaiming_normal]
  rewirings: [none, pa]
  seeds: 2
recipe:
  epochs: 2
  batch_size: 64
  optimizer: adamw
  learning_rate: 0.01
  image_size: 8
"""


def make_cell(architecture: str = "plain_cnn(depth=1, widths=[4, 8])", **recipe: object) -> Cell:
    """Return a cell that trains in a fraction of a second."""
    settings = {
        "epochs": 2,
        "batch_size": 256,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "image_size": 8,
        **recipe,
    }
    return Cell("digits", architecture, "default", Recipe.model_validate(settings))


def make_cohort(*trials: tuple[str, int], cell: Cell | None = None) -> Cohort:
    """Return a cohort of (treatment, seed) pairs."""
    where = cell or make_cell()
    return Cohort(tuple(Trial(where, parse_treatment(text), seed) for text, seed in trials))


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write the small config with replacements (old text, new text) into a folder of its own."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = SMALL_CONFIG
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "small.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


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
