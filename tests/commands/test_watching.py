"""What a run does, as another terminal sees it: status.json, `status` and `logs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.execution.jobs import Finished, Job, NodesSeen, Notice, Outcome, Started, settle
from benchmark.execution.status import StatusWriter
from benchmark.results.live import read_status
from benchmark.results.logs import LONGEST_LOG, Logs
from benchmark.results.store import Store, open_store
from benchmark.trial import PROTOCOL, Record
from tests.conftest import make_cohort

Command = Callable[..., tuple[int, str, str]]
JOB = Job(make_cohort(("timm", 0), ("orthogonal", 0)), attempts=1, limit=400.0)
TRIAL = JOB.cohort.trials[0]


@pytest.fixture(params=["disk", "objects"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "run") if request.param == "disk" else f"memory://{tmp_path.name}/run"


def write_manifest(store: Store) -> None:
    cell = {"dataset": "digits", "architecture": "plain_cnn", "recipe": "default"}
    trials = [[trial.id, 0, 0, trial.seed] for trial in JOB.cohort.trials]
    treatments = [
        {"treatment": name, "initializer": name, "rewiring": "none"}
        for name in ("timm", "orthogonal")
    ]
    known = {"schema": 1, "name": "small", "cells": [cell], "trials": trials}
    known |= {"treatments": treatments, "contrasts": [], "seeds": [0], "baseline": "timm"}
    known |= {"protocol": PROTOCOL, "family": 1, "margin": 0.05, "target": 0.005}
    store.write_manifest(known)


def test_the_status_says_what_runs_where_and_what_went_wrong(folder: str) -> None:
    lost = settle(JOB, Outcome(failure="lost", message="killed"), attempts=3)
    with open_store(folder) as store:
        status = StatusWriter(store)
        status.show(Started(JOB, "10.0.0.7", "NVIDIA H100"))
        status.show(lost)
        status.show(Notice("node 10.0.0.8 has died"))
        status.show(NodesSeen(({"node": "10.0.0.7", "state": ""},)))
        status.show(Started(lost.again[0], "10.0.0.7", "NVIDIA H100"))
        # By hand: its thread writes at moments of its own, and never two at a time.
        status._write("running")
        live = read_status(folder)
        with status:
            pass
        ended = read_status(folder)
    assert live is not None
    assert ended is not None
    assert (live["state"], ended["state"]) == ("running", "ended")
    (running,) = live["running"]
    assert running["trials"] == [trial.id for trial in JOB.cohort.trials]
    assert (running["node"], running["attempt"]) == ("10.0.0.7", 3)
    assert live["retries"] == 1
    assert [line["line"] for line in live["lines"]] == [lost.note, "node 10.0.0.8 has died"]
    assert ended["beat"] > live["beat"]


def test_a_status_of_a_later_version_or_half_of_one_is_no_status(tmp_path: Path) -> None:
    for text in ("{", "[]", json.dumps({"schema": 99})):
        (tmp_path / "status.json").write_text(text, encoding="utf-8")
        assert read_status(str(tmp_path)) is None


def test_status_shows_the_running_cohort_while_its_driver_is_at_work(
    command: Command, tmp_path: Path
) -> None:
    with open_store(str(tmp_path / "run")) as store:
        write_manifest(store)
        status = StatusWriter(store)
        status.show(Started(JOB, "10.0.0.7", "NVIDIA H100"))
        status._write("running")
        code, out, _ = command("status", "run")
        assert code == 0
        assert "10.0.0.7" in out
        assert "at work for" in out
    assert "10.0.0.7" not in command("status", "run")[1]


@pytest.mark.parametrize("arguments", [("status",), ("logs", "0123", "--records")])
def test_a_board_is_no_folder_of_a_run(command: Command, arguments: tuple[str, ...]) -> None:
    board = Path(__file__).parents[2] / "leaderboard" / "digits"
    code, _, err = command(*arguments, str(board))
    assert code == 2
    assert "is a published board, not the folder of a run" in err


def test_status_says_how_many_cohorts_have_a_checkpoint(command: Command, tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run")) as store:
        write_manifest(store)
    assert "checkpoint" not in command("status", "run")[1]
    saved = tmp_path / "run" / "checkpoints"
    saved.mkdir()
    (saved / "half.tmp").touch()
    (saved / "a.safetensors").touch()
    assert "1 cohort that is not done has a checkpoint" in command("status", "run")[1]
    (saved / "b.safetensors").touch()
    assert "2 cohorts that are not done have a checkpoint" in command("status", "run")[1]


def test_a_log_keeps_every_attempt_and_no_more_than_its_bound(folder: str) -> None:
    with open_store(folder):
        logs = Logs(folder)
        logs.add(["a", "b"], "attempt 1", "first words")
        logs.add(["a"], "attempt 2", "second words")
    assert logs.read("a") == "== attempt 1 ==\nfirst words\n\n== attempt 2 ==\nsecond words\n\n"
    assert logs.read("c") is None
    logs.add(["b"], "attempt 2", "x" * 2 * LONGEST_LOG)
    assert len(logs.read("b") or "") == LONGEST_LOG


def test_logs_finds_a_trial_by_the_beginning_of_its_id(command: Command, tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run")) as store:
        write_manifest(store)
        store.append(Record.of(TRIAL, "error", message="Traceback: bad mood"))
    Logs(str(tmp_path / "run")).add([TRIAL.id], "attempt 1: error", "it printed [this]")
    code, out, _ = command("logs", TRIAL.id[:8], "--records", "run")
    assert code == 0
    assert f"{TRIAL.id}: error at attempt 1; timm, seed 0" in out
    assert "it printed [this]" in out
    code, _, err = command("logs", "nothing", "--records", "run")
    assert code == 2
    assert "0 trials of run begin with 'nothing'" in err


def test_a_finished_event_without_failure_leaves_no_line(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run")) as store:
        status = StatusWriter(store)
        status.show(Started(JOB, "here", "CPU"))
        status.show(Finished(JOB, ()))
        status._write("running")
    live = read_status(str(tmp_path / "run"))
    assert live is not None
    assert (live["running"], live["lines"]) == ([], [])
