"""The pool on a local Ray of its own: same bytes as inline."""

from __future__ import annotations

import subprocess
import sys
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


LOSES_A_WORKER = """\
import gc, os
from ray._private.worker import global_worker
from benchmark.execution.jobs import Settings
from benchmark.execution.ray_actor import Greeting
from benchmark.execution.ray_pool import RayExecutor

class Dies:
    def ready(self, settings):
        return Greeting(device="cpu")
    def check(self, cells):
        os._exit(1)

class Watched:
    def __init__(self, core):
        self._core = core
    def __getattr__(self, name):
        return getattr(self._core, name)
    def shutdown_driver(self):
        self._core.shutdown_driver()
        gc.collect()  # as a thread beside it may, at any moment

gc.disable()
executor = RayExecutor(Settings(device="cpu"), workers_per_node=1, actor_class=Dies)
assert "ended" in executor.check([])[0]
global_worker.core_worker = Watched(global_worker.core_worker)
executor.close()
print("closed")
"""


def test_a_run_that_has_lost_a_worker_lives_on_while_ray_shuts_down() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOSES_A_WORKER], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "closed\n"), ended.stderr
