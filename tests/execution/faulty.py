"""A worker that stands in for the real one, which takes seconds to load torch: faults by seed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark.execution.jobs import Outcome, Settings
from benchmark.execution.output import Output
from benchmark.execution.ray_actor import Greeting, WorkerActor
from benchmark.grid import Cohort
from benchmark.trial import Cell, Record

DIES_ONCE, DIES, HANGS, HANGS_WITH_LOCK, RAISES, DIES_RETURNING, SHOUTS, HANGS_ONCE = range(1, 9)


class OddError(Exception):
    """Cannot be unpickled: its constructor takes other arguments than it keeps."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__(first)


class Dying:
    """Kills its process while it is serialised."""

    def __reduce__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "unreachable"


class FaultyWorker:
    """Trains nothing. `folder` keeps what happens once, and the names of nodes at fault."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.device = os.environ.get("CUDA_VISIBLE_DEVICES") or "none"

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return []

    def train(self, cohort: Cohort, *given: object) -> Outcome:
        seeds = {trial.seed for trial in cohort.trials}
        print(f"training {sorted(seeds)}")
        if here() in at_fault(self._folder, "data"):
            return Outcome(failure="unfit_node", message="the data set is corrupt")
        if DIES in seeds or (DIES_ONCE in seeds and self._first("died")):
            os._exit(7)
        if HANGS in seeds or (HANGS_ONCE in seeds and self._first("hung")):
            time.sleep(600)
        if HANGS_WITH_LOCK in seeds:
            ctypes.PyDLL(None).sleep(600)
        if RAISES in seeds:
            raise OddError(1, 2)
        if SHOUTS in seeds:
            for _ in range(200):
                os.write(1, b"x" * 65_536)
            os._exit(8)
        time.sleep(0.1)
        records = tuple(Record.of(trial, "ok", accuracy=0.5) for trial in cohort.trials)
        if DIES_RETURNING in seeds and self._first("returned"):
            return Outcome(records, log=Dying())  # type: ignore[arg-type]
        return Outcome(records)

    def _first(self, what: str) -> bool:
        try:
            (self._folder / what).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class FaultyActor(WorkerActor):
    """The real shell around it."""

    def ready(self, settings: Settings) -> Greeting:
        self._output = Output()
        folder = Path(settings.data_dir or "")
        if here() in at_fault(folder, "start"):
            return Greeting("the driver of the GPU is too old")
        if here() in at_fault(folder, "dies-starting"):
            with contextlib.suppress(FileExistsError):
                (folder / "died-starting").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        self._worker = FaultyWorker(folder)  # type: ignore[assignment]
        return Greeting("", self._worker.device, self._output.path)


def at_fault(folder: Path, how: str) -> list[str]:
    """Return the ids of the nodes with a fault of some kind."""
    file = folder / f"{how}-at-fault"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def here() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
