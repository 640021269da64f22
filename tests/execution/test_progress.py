"""The progress of a run: plain lines where there is no terminal, and honest counts."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmark.execution.jobs import Finished, Job, Outcome, Started, settle
from benchmark.execution.progress import Progress, duration
from benchmark.trial import Record
from tests.conftest import make_cohort

JOB = Job(make_cohort(("timm", 0), ("orthogonal", 0)))


def shown(terminal: bool, *events: Started | Finished, total: int = 8, before: int = 2) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=80, height=20)
    with Progress(console, total, before) as progress:
        for event in events:
            progress.show(event)
    return output.getvalue()


def finished(*statuses: str) -> Finished:
    records = [
        Record.of(trial, status, accuracy=0.875 if status == "ok" else None)  # type: ignore[arg-type]
        for trial, status in zip(JOB.cohort.trials, statuses, strict=True)
    ]
    return Finished(JOB, tuple(records))


def test_counts_what_is_done_running_diverged_and_failed() -> None:
    text = shown(False, Started(JOB), finished("diverged", "error"), Started(JOB))
    assert "4/8 trials done, 2 running, 1 diverged, 1 failed" in text.splitlines()[-1]
    assert "\x1b" not in text


def test_a_retried_job_is_named_and_not_counted() -> None:
    again = settle(JOB, Outcome(failure="out_of_memory"), attempts=3)
    text = shown(False, Started(JOB), again)
    assert "digits / plain_cnn" in text
    assert "out_of_memory" in text
    assert "2/8 trials done, 0 failed" in text.splitlines()[-1]


def test_a_terminal_shows_the_best_so_far_within_80_columns() -> None:
    text = shown(True, Started(JOB), finished("ok", "ok"))
    assert "87.50 % test accuracy" in text
    assert "4/8 trials done" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
