"""The main job in this process: what is missing is trained, once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from benchmark.config import load_config
from benchmark.errors import UsageError
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Event, Finished, Job, Outcome, Settings
from benchmark.execution.run import cohort_size, train_missing
from benchmark.execution.worker import Worker
from benchmark.grid import expand
from benchmark.results.store import open_store
from benchmark.trial import Cell

WriteConfig = Callable[..., Path]
INLINE = Settings(device="cpu")


def inline() -> InlineExecutor:
    return InlineExecutor(INLINE)


def test_a_grid_is_trained_once_and_extended_without_repeats(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    grid = expand(load_config(write_config()))
    assert len(grid.trials) == 8
    with open_store(str(tmp_path / "out")) as store:
        assert train_missing(grid, store, inline).statuses == {"ok": 8}
        first = dict(store.records)

    def never() -> InlineExecutor:
        raise AssertionError("nothing is missing")

    with open_store(str(tmp_path / "out")) as store:
        assert train_missing(grid, store, never).failed == 0
    wider = expand(
        load_config(
            write_config(
                ("[none, pa]", "[pa, none, shuffle]"), ("seeds: 2", "seeds: 3"), ("small", "wide")
            )
        )
    )
    trained = []

    def collect(event: Event) -> None:
        if isinstance(event, Finished):
            trained.extend(event.records)

    with open_store(str(tmp_path / "out")) as store:
        assert train_missing(wider, store, inline, on_event=collect).statuses == {"ok": 18}
        assert len(trained) == 10
        assert {trial: store.records[trial] for trial in first} == first
    with open_store(str(tmp_path / "fresh")) as store:
        train_missing(wider, store, inline)
        for trial, record in first.items():
            again = store.records[trial]
            assert (again.accuracy, again.test_loss) == (record.accuracy, record.test_loss)


def test_nothing_is_trained_if_any_cell_cannot_be(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = expand(
        load_config(write_config(('["plain_cnn', '["test_vit(patch_size=16)", "plain_cnn')))
    )
    monkeypatch.setattr(Worker, "train", lambda self, cohort: pytest.fail("trained"))
    with open_store(str(tmp_path / "out")) as store:
        with pytest.raises(UsageError, match="test_vit"):
            train_missing(grid, store, inline)
        assert store.records == {}


def test_an_out_of_memory_cell_is_recorded_and_the_rest_goes_on(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = expand(
        load_config(write_config(("epochs: 2", "epochs: 1")), ["execution.cohort_size=4"])
    )
    original, sizes = Worker.train, []

    def train(self: Worker, cohort: object) -> Outcome:
        sizes.append(len(cohort.trials))
        full = any(trial.treatment.initializer == "kaiming_normal" for trial in cohort.trials)
        return Outcome(failure="out_of_memory") if full else original(self, cohort)

    monkeypatch.setattr(Worker, "train", train)
    with open_store(str(tmp_path / "out")) as store:
        summary = train_missing(grid, store, inline)
    assert summary.statuses == {"ok": 4, "out_of_memory": 4}
    assert summary.failed == 4
    assert max(sizes) == 4
    assert min(sizes) == 1


class Interrupting:
    """Ends like a driver that is stopped in the middle."""

    workers = 1

    def __init__(self) -> None:
        self._inner = inline()
        self.closed = False

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return []

    def run(self, jobs: Sequence[Job], attempts: int) -> Iterator[Event]:
        yield from self._inner.run(jobs[:3], attempts)
        raise KeyboardInterrupt

    def close(self) -> None:
        self.closed = True


def test_an_interrupt_keeps_what_is_finished_and_ends_the_workers(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    grid = expand(load_config(write_config()))
    executor = Interrupting()
    with open_store(str(tmp_path / "out")) as store:
        with pytest.raises(KeyboardInterrupt):
            train_missing(grid, store, lambda: executor)
        assert len(store.records) == 3
        assert executor.closed
        assert train_missing(grid, store, inline).statuses == {"ok": 8}


def test_automatic_cohorts_leave_every_worker_several(write_config: WriteConfig) -> None:
    config = load_config(write_config())
    assert cohort_size(config, missing=8, workers=2) == 1
    assert cohort_size(config, missing=128, workers=2) == 2
    assert cohort_size(config, missing=10_000, workers=2) == 4
    fixed = load_config(write_config(), ["execution.cohort_size=16"])
    assert cohort_size(fixed, missing=8, workers=2) == 16
