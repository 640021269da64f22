"""Checkpoints in a results folder: what a killed run leaves, and what the next makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from benchmark.config import load_config
from benchmark.execution import worker
from benchmark.execution.checkpoints import (
    CHECKPOINTS,
    CohortCheckpoints,
    DriverCheckpoints,
)
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import (
    Event,
    Executor,
    Finished,
    Job,
    Notice,
    Outcome,
    Settings,
    settle,
)
from benchmark.execution.ray_pool import RayExecutor
from benchmark.execution.run import train_missing
from benchmark.grid import Cohort, Grid, expand
from benchmark.results import location
from benchmark.results.driver import LOCK
from benchmark.results.store import open_store
from benchmark.training import checkpoint, device
from benchmark.training.network import Network
from benchmark.trial import Record
from tests.conftest import make_cell, make_cohort
from tests.execution import deadly

EPOCHS, STEPS = 3, 5
PROVENANCE = {"device": "a CPU", "threads": 1}
EVERY_EPOCH = "execution.checkpoint_minutes=0.0000001"


@pytest.fixture
def grid(write_config: Callable[..., Path]) -> Grid:
    """Four trials in two cohorts that save their state after every epoch."""
    path = write_config(
        ("rewirings: [none, pa]", "rewirings: [none]"),
        ("epochs: 2", f"epochs: {EPOCHS}"),
        ("batch_size: 64", "batch_size: 256"),
    )
    given = ["execution.cohort_size=2", "execution.time_limit_minutes=10"]  # Not measured first.
    return expand(load_config(path, [EVERY_EPOCH, *given]))


class Steps:
    """The updates of all steps so far, and the number of them after which the driver is stopped."""

    def __init__(self) -> None:
        self.updates: list[int] = []
        self.kill_after: int | None = None


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    original = Network.step

    def step(self: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
        if len(steps.updates) == steps.kill_after:
            raise KeyboardInterrupt
        steps.updates.append(self._update)
        original(self, images, labels)

    monkeypatch.setattr(Network, "step", step)
    return steps


def inline() -> Executor:
    return InlineExecutor(Settings(device="cpu"))


def run(
    grid: Grid, folder: Path, make: Callable[[], Executor] = inline
) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
    """Train what is missing; return what of the records no clock decides, and the notices."""
    lines = []

    def show(event: Event) -> None:
        if isinstance(event, Notice):
            lines.append(event.text)

    with open_store(str(folder)) as store:
        train_missing(grid, store, make, on_event=show)
        return {trial: numbers(record) for trial, record in store.records.items()}, lines


def numbers(record: Record) -> tuple[Any, ...]:
    curves = {name: curve for name, curve in record.curves.items() if name != "seconds"}
    origin = {name: value for name, value in record.provenance.items() if name != "finished"}
    return record.status, record.test_loss, curves, record.strength, origin


def kill(grid: Grid, folder: Path, steps: Steps) -> Path:
    """Run until the second cohort is in its third epoch; return its checkpoint."""
    steps.kill_after = EPOCHS * STEPS + 2 * STEPS + 2
    with pytest.raises(KeyboardInterrupt):
        run(grid, folder)
    steps.kill_after = None
    steps.updates.clear()
    (checkpoint,) = (folder / CHECKPOINTS).iterdir()
    return checkpoint


def test_a_run_that_was_killed_goes_on_in_the_epoch_it_was_in_and_leaves_nothing(
    grid: Grid, tmp_path: Path, steps: Steps
) -> None:
    undisturbed, _ = run(grid, tmp_path / "undisturbed")
    assert len(steps.updates) == 2 * EPOCHS * STEPS
    assert not (tmp_path / "undisturbed" / CHECKPOINTS).exists()
    steps.updates.clear()
    kill(grid, tmp_path / "killed", steps)
    assert run(grid, tmp_path / "killed") == (undisturbed, [])
    assert steps.updates == [10, 11, 12, 13, 14]
    assert not (tmp_path / "killed" / CHECKPOINTS).exists()


def test_a_damaged_checkpoint_is_named_once_and_the_cohort_begins_anew(
    grid: Grid, tmp_path: Path, steps: Steps
) -> None:
    checkpoint = kill(grid, tmp_path / "out", steps)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    _, (line,) = run(grid, tmp_path / "out")
    assert "2 trials is not used, they begin anew: it is damaged" in line
    assert len(steps.updates) == EPOCHS * STEPS


def test_a_checkpoint_of_other_conditions_is_not_used(
    grid: Grid, tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(grid, tmp_path / "out", steps)
    own = worker.provenance
    monkeypatch.setattr(worker, "provenance", lambda device: {**own(device), "commit": "another"})
    _, (line,) = run(grid, tmp_path / "out")
    assert "its commit is" in line
    assert line.endswith("here it is another")
    assert len(steps.updates) == EPOCHS * STEPS


def test_cohorts_of_another_plan_begin_anew_and_what_nobody_wants_is_deleted(
    grid: Grid, tmp_path: Path, steps: Steps
) -> None:
    checkpoint = kill(grid, tmp_path / "out", steps)
    (checkpoint.parent / "torn.safetensors.host-1").write_bytes(b"half")
    plan = tmp_path / "out" / "cohorts.jsonl"
    plan.unlink()
    alone = grid.config.model_copy(
        update={"execution": grid.config.execution.model_copy(update={"cohort_size": 1})}
    )
    _, lines = run(replace(grid, config=alone), tmp_path / "out")
    assert lines == []
    assert len(steps.updates) == 2 * EPOCHS * STEPS
    assert not checkpoint.parent.exists()


def test_a_finished_grid_deletes_what_a_kill_left(grid: Grid, tmp_path: Path, steps: Steps) -> None:
    checkpoint = kill(grid, tmp_path / "out", steps)
    left = checkpoint.read_bytes()
    run(grid, tmp_path / "out")
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(left)
    run(grid, tmp_path / "out")
    assert not checkpoint.parent.exists()


def test_a_finished_part_of_the_grid_deletes_no_checkpoint_of_the_rest(
    grid: Grid, tmp_path: Path, steps: Steps
) -> None:
    checkpoint = kill(grid, tmp_path / "out", steps)
    with open_store(str(tmp_path / "out")) as store:
        done = store.done()
    part = replace(grid, trials=tuple(trial for trial in grid.trials if trial.id in done))
    assert len(part.trials) == 2
    run(part, tmp_path / "out")
    assert checkpoint.exists()
    run(grid, tmp_path / "out")
    assert steps.updates == [10, 11, 12, 13, 14]
    assert not checkpoint.parent.exists()


def test_a_run_without_an_interval_deletes_the_checkpoints_of_what_it_finished(
    grid: Grid, tmp_path: Path, steps: Steps
) -> None:
    checkpoint = kill(grid, tmp_path / "out", steps)
    never = grid.config.execution.model_copy(update={"checkpoint_minutes": None})
    config = grid.config.model_copy(update={"execution": never})
    steps.kill_after = STEPS
    with pytest.raises(KeyboardInterrupt):
        run(replace(grid, config=config), tmp_path / "out")
    assert checkpoint.exists()
    steps.kill_after = None
    run(replace(grid, config=config), tmp_path / "out")
    assert not checkpoint.parent.exists()


def test_without_an_interval_nothing_is_saved(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CohortCheckpoints, "save", lambda self, state: pytest.fail("saved"))
    never = grid.config.execution.model_copy(update={"checkpoint_minutes": None})
    config = grid.config.model_copy(update={"execution": never})
    found, lines = run(replace(grid, config=config), tmp_path / "out")
    assert len(found) == 4
    assert lines == []


def cohort() -> Cohort:
    return make_cohort(("timm", 0), ("timm", 1), cell=make_cell())


def test_a_worker_that_sees_another_folder_says_so(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        own = DriverCheckpoints(store, 10.0, [cohort()]).folder
        assert own is not None
        elsewhere = CohortCheckpoints(replace(own, driver="process 1 on it"), cohort(), PROVENANCE)
        assert elsewhere.load() is None
        elsewhere.save({"epoch": 1})
    assert not elsewhere.is_due()
    assert len(set(elsewhere.notes)) == 1
    assert "cannot reach the results folder" in elsewhere.notes[0]
    assert not (tmp_path / CHECKPOINTS).exists()


def test_a_worker_says_that_a_checkpoint_is_not_used_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> list[Record]:
        raise KeyboardInterrupt

    said: list[str] = []
    with open_store(str(tmp_path)) as store:
        folder = DriverCheckpoints(store, 10.0, [cohort()]).folder
        assert folder is not None
        CohortCheckpoints(folder, cohort(), PROVENANCE).save({"epoch": 1})
        monkeypatch.setattr(Network, "step", die)
        with pytest.raises(KeyboardInterrupt):
            worker.Worker(Settings(device="cpu")).train(cohort(), folder, said.append)
    (line,) = said
    assert "is not used, they begin anew" in line


def test_a_folder_that_was_out_of_reach_for_a_while_is_used_again(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        folder = DriverCheckpoints(store, 10.0, [cohort()]).folder
        assert folder is not None
        name = (tmp_path / LOCK).read_text()
        (tmp_path / LOCK).write_text("")
        checkpoints = CohortCheckpoints(folder, cohort(), PROVENANCE)
        assert checkpoints.load() is None
        (tmp_path / LOCK).write_text(name)
        checkpoints.save({"epoch": 1})
        assert checkpoints.load() == {"epoch": 1}
        assert len(checkpoints.notes) == 1


def test_what_cannot_be_written_is_said_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(str(tmp_path)) as store:
        folder = DriverCheckpoints(store, 10.0, [cohort()]).folder
        assert folder is not None
        checkpoints = CohortCheckpoints(folder, cohort(), PROVENANCE)
        checkpoints.save({"epoch": 1})

        def full(self: object, source: str, target: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.mv", full)
        checkpoints.save({"epoch": 2})
        assert "they go on without: OSError: [Errno 28] No space left" in checkpoints.notes[0]
        assert len(list((tmp_path / CHECKPOINTS).iterdir())) == 1
        assert checkpoints.load() == {"epoch": 1}


@pytest.mark.parametrize("url", ["memory://large", ""])
def test_memory_alone_bounds_the_size_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(location, "LARGEST_FILE", 1000)
    state = {"networks": [{"weights": (torch.ones(2**20),)}]}
    with open_store(url or str(tmp_path)) as store:
        folder = DriverCheckpoints(store, 10.0, [cohort()]).folder
        assert folder is not None
        checkpoints = CohortCheckpoints(folder, cohort(), PROVENANCE)
        checkpoints.save(state)
        assert torch.equal(checkpoints.load()["networks"][0]["weights"][0], torch.ones(2**20))
        assert checkpoints.notes == []
        monkeypatch.setattr(device, "available_memory", lambda: 3 * 4 * 2**20 - 1)
        monkeypatch.setattr(checkpoint, "pack", lambda *given: pytest.fail("packed"))
        monkeypatch.setattr(checkpoint, "unpack", lambda *given: pytest.fail("unpacked"))
        assert checkpoints.load() is None
        checkpoints.save(state)
    assert not checkpoints.is_due()
    not_used, not_saved = checkpoints.notes
    assert "is not used, they begin anew: it takes 3 times its 4 MiB" in not_used
    assert "cannot be saved, they go on without: it takes 3 times its 4 MiB" in not_saved


def test_one_is_due_when_its_minutes_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with open_store(str(tmp_path)) as store:
        folder = DriverCheckpoints(store, 10.0, [cohort()]).folder
        assert folder is not None
        checkpoints = CohortCheckpoints(folder, cohort(), PROVENANCE)
        due = []
        for now[0] in (1599.0, 1600.0):
            due.append(checkpoints.is_due())
        checkpoints.save({"epoch": 1})
        for now[0] in (2199.0, 2200.0):
            due.append(checkpoints.is_due())
    assert due == [False, True, False, True]


@pytest.mark.parametrize(
    ("again", "status", "kept"),
    [(True, "lost", True), (False, "lost", True), (False, "ok", False), (False, "timeout", False)],
)
def test_object_storage_keeps_one_until_the_records_are_final(
    again: bool, status: str, kept: bool
) -> None:
    with open_store(f"memory://checkpoints/{again}-{status}") as store:
        driver = DriverCheckpoints(store, 10.0, [cohort()])
        assert driver.folder is not None
        checkpoints = CohortCheckpoints(driver.folder, cohort(), PROVENANCE)
        checkpoints.save({"epoch": 1})
        job = Job(cohort(), checkpoints=driver.folder)
        records = [] if again else [Record.of(trial, status) for trial in cohort().trials]
        driver.settle(Finished(job, tuple(records), (job,) if again else ()))
        driver.delete_others()
        assert checkpoints.load() == ({"epoch": 1} if kept else None)
        assert checkpoints.notes == []


@pytest.mark.parametrize(("failure", "kept"), [("lost", True), ("timeout", False)])
def test_a_cohort_that_took_too_long_has_no_more_than_its_limit_when_tried_again(
    tmp_path: Path, failure: Literal["lost", "timeout"], kept: bool
) -> None:
    with open_store(str(tmp_path)) as store:
        driver = DriverCheckpoints(store, 10.0, [cohort()])
        assert driver.folder is not None
        checkpoints = CohortCheckpoints(driver.folder, cohort(), PROVENANCE)
        checkpoints.save({"epoch": 1})
        event = settle(Job(cohort()), Outcome(failure=failure), attempts=3)
        assert [job.cohort for job in event.again] == [cohort()]
        driver.settle(event)
        assert checkpoints.load() == ({"epoch": 1} if kept else None)
        checkpoints.save({"epoch": 2})
        driver.delete_others()
        assert checkpoints.load() == {"epoch": 2}


def test_both_halves_of_a_cohort_begin_anew(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        driver = DriverCheckpoints(store, 10.0, [cohort()])
        assert driver.folder is not None
        CohortCheckpoints(driver.folder, cohort(), PROVENANCE).save({"epoch": 1})
        halves = tuple(Job(half) for half in cohort().halves())
        driver.settle(Finished(Job(cohort()), (), halves))
        assert list((tmp_path / CHECKPOINTS).iterdir()) == []
        for half in halves:
            CohortCheckpoints(driver.folder, half.cohort, PROVENANCE).save({"epoch": 1})
        driver.delete_others()
        assert len(list((tmp_path / CHECKPOINTS).iterdir())) == 2


@pytest.mark.slow
def test_a_worker_killed_with_9_is_followed_by_one_that_goes_on_to_the_same_bytes(
    grid: Grid, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "kill_at").write_text(str(2 * STEPS + 1))

    def pool() -> Executor:
        import ray

        ray.cloudpickle.register_pickle_by_value(deadly)
        settings = Settings(device="cpu", data_dir=str(data))
        return RayExecutor(settings, workers_per_node=1, actor_class=deadly.DeadlyActor)

    undisturbed, _ = run(grid, tmp_path / "undisturbed")
    found, lines = run(grid, tmp_path / "killed", pool)
    assert lines == []
    assert sorted(each[-1].pop("attempt") for each in found.values()) == [1, 1, 2, 2]
    assert [each[-1].pop("attempt") for each in undisturbed.values()] == [1, 1, 1, 1]
    for *_, origin in (*found.values(), *undisturbed.values()):
        del origin["commit"]  # The checkout may change while tests run.
    assert found == undisturbed
    every = [*range(EPOCHS * STEPS)]
    updates = [int(update) for update in (data / "updates").read_text().split()]
    # The one before the kill came to nothing; the last epoch was begun again.
    assert updates == [*every[: 2 * STEPS + 1], *every, *every[2 * STEPS :]]
    assert not (tmp_path / "killed" / CHECKPOINTS).exists()
