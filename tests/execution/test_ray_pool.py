"""The pool on a local Ray of its own: same bytes as inline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.config import load_config
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Settings
from benchmark.execution.ray_pool import RayExecutor
from benchmark.execution.run import train_missing
from benchmark.grid import expand
from benchmark.results.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CPU = Settings(device="cpu")


def test_ray_gives_the_bytes_of_inline_and_prints_nothing(
    write_config: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = expand(load_config(write_config(), ["execution.cohort_size=2"]))
    results = []
    for name, make in (
        ("inline", lambda: InlineExecutor(CPU)),
        ("ray", lambda: RayExecutor(CPU)),
    ):
        with open_store(str(tmp_path / name)) as store:
            assert train_missing(grid, store, make).failed == 0
            results.append(
                {
                    trial: (record.accuracy, record.test_loss, record.curves["train_loss"])
                    for trial, record in store.records.items()
                }
            )
    assert results[0] == results[1]
    assert capfd.readouterr() == ("", "")
