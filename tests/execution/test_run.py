"""The main job in this process: what is missing is trained, once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmark.config import load_config
from benchmark.errors import UsageError
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Event, Finished, Job, Outcome, Settings
from benchmark.execution.limits import FLOOR_SECONDS, TIMES
from benchmark.execution.pairs import Pair
from benchmark.execution.run import train_missing
from benchmark.execution.worker import Worker
from benchmark.grid import Cohort, expand
from benchmark.results.lines import COHORTS
from benchmark.results.store import Store, open_store
from benchmark.training.speed import Throughput
from benchmark.trial import Cell, Record

WriteConfig = Callable[..., Path]
INLINE = Settings(device="cpu")
ONE_BY_ONE = ["execution.cohort_size=1"]


def inline() -> InlineExecutor:
    return InlineExecutor(INLINE)


def test_a_grid_is_trained_once_and_extended_without_repeats(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    grid = expand(load_config(write_config(), ONE_BY_ONE))
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
            ),
            ONE_BY_ONE,
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
    monkeypatch.setattr(Worker, "train", lambda self, *given: pytest.fail("trained"))
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

    def train(self: Worker, cohort: object, *folder: object) -> Outcome:
        sizes.append(len(cohort.trials))
        full = any(trial.treatment.initializer == "kaiming_normal" for trial in cohort.trials)
        return Outcome(failure="out_of_memory") if full else original(self, cohort, *folder)

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
    keeps_limits = False
    kinds = ("a",)

    def __init__(self, finished: int = 3) -> None:
        self._inner = inline()
        self.finished = finished
        self.closed = False

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return []

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        return self._inner.measure(cohorts)

    def run(self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]) -> Iterator[Event]:
        yield from self._inner.run(jobs[: self.finished], attempts, begun)
        raise KeyboardInterrupt

    def close(self) -> None:
        self.closed = True


def test_an_interrupt_keeps_what_is_finished_and_ends_the_workers(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    grid = expand(load_config(write_config(), ONE_BY_ONE))
    executor = Interrupting()
    with open_store(str(tmp_path / "out")) as store:
        with pytest.raises(KeyboardInterrupt):
            train_missing(grid, store, lambda: executor)
        assert len(store.records) == 3
        assert executor.closed
        assert train_missing(grid, store, inline).statuses == {"ok": 8}


def outcomes(store: Store) -> dict[str, tuple[object, ...]]:
    return {
        trial: (record.test_loss, record.curves["train_loss"], record.provenance["cohort"])
        for trial, record in store.records.items()
    }


def test_a_run_resumed_within_a_cohort_repeats_it_and_keeps_what_it_had(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    grid = expand(
        load_config(write_config(("epochs: 2", "epochs: 1")), ["execution.cohort_size=4"])
    )
    with open_store(str(tmp_path / "whole")) as store:
        train_missing(grid, store, inline)
        expected = outcomes(store)
        plan = store.read_lines(COHORTS)
    with open_store(str(tmp_path / "stopped")) as store:
        store.append_lines(COHORTS, plan)
        with pytest.raises(KeyboardInterrupt):
            train_missing(grid, store, lambda: Interrupting(1))
    records = tmp_path / "stopped" / "records.jsonl"
    first = records.read_bytes().splitlines(keepends=True)[0]
    records.write_bytes(first)
    finished: list[str] = []

    def collect(event: Event) -> None:
        if isinstance(event, Finished):
            finished.extend(record.trial for record in event.records)

    with open_store(str(tmp_path / "stopped")) as store:
        train_missing(grid, store, inline, on_event=collect)
        assert outcomes(store) == expected
        assert store.read_lines(COHORTS) == plan
    assert len(finished) == len(set(finished)) == len(expected) - 1
    assert records.read_bytes().startswith(first)
    assert {cohort["size"] for _, _, cohort in expected.values()} == {4}


def test_a_cohort_that_was_halved_is_written_down_and_noted(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = expand(
        load_config(write_config(("epochs: 2", "epochs: 1")), ["execution.cohort_size=4"])
    )
    original = Worker.train

    def train(self: Worker, cohort: Cohort, *folder: object) -> Outcome:
        full = len(cohort.trials) == 4 and cohort.trials[0].seed == 0
        return Outcome(failure="out_of_memory") if full else original(self, cohort, *folder)

    monkeypatch.setattr(Worker, "train", train)
    with open_store(str(tmp_path / "out")) as store:
        train_missing(grid, store, inline)
        cohorts = [each.provenance["cohort"] for each in store.records.values()]
        plan = store.read_lines(COHORTS)
    assert sorted(each["size"] for each in cohorts) == [2] * 4 + [4] * 4
    assert all("out_of_memory" in each["changed"] for each in cohorts if each["size"] == 2)
    assert not any("changed" in each for each in cohorts if each["size"] == 4)
    assert [len(each["trials"]) for each in plan] == [4, 4, 2, 2]


class Timed(Interrupting):
    """Knows how long the cells take and notes what it is given, in order."""

    workers = 2
    keeps_limits = True

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        return [Throughput({1: 9.0 if "16" in each.cell.architecture else 1.0}) for each in cohorts]

    def run(self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]) -> Iterator[Event]:
        self.given = [(job.cohort.cell.architecture, len(job.cohort.trials)) for job in jobs]
        yield from ()


def test_cohorts_of_a_given_size_are_handed_out_longest_first(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    small, large = "plain_cnn(depth=1, widths=[4, 8])", "plain_cnn(depth=1, widths=[16])"
    config = write_config((f'["{small}"]', f'["{small}", "{large}"]'), ("seeds: 2", "seeds: 3"))
    grid = expand(load_config(config, ["execution.cohort_size=9"]))
    executor = Timed()
    with open_store(str(tmp_path / "out")) as store:
        train_missing(grid, store, lambda: executor)
    assert executor.given == [(large, 6)] * 2 + [(small, 6)] * 2


def test_a_limit_rests_on_trials_of_the_kinds_of_device_that_there_are(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    grid = expand(load_config(write_config(), ["execution.cohort_size=1"]))
    first = grid.trials[0]

    class Limited(Timed):
        def run(
            self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]
        ) -> Iterator[Event]:
            self.limits = {job.limit for job in jobs}
            yield from ()

    for device, seconds in (("a", 50.0), ("another", 1.0)):
        with open_store(str(tmp_path / device)) as store:
            store.append(
                Record.of(first, "ok", seconds={"training": 50.0}, provenance={"device": device})
            )
            executor = Limited()
            train_missing(grid, store, lambda executor=executor: executor)  # type: ignore[misc]
        assert executor.limits == {TIMES * seconds + FLOOR_SECONDS}
