"""What follows from a failure: infrastructure is retried, and nothing is retried for ever."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmark.execution.jobs import (
    Finished,
    Job,
    Outcome,
    QueueEnd,
    Started,
    settle,
    with_circumstances,
)
from tests.conftest import make_cohort

FOUR = make_cohort(("timm", 0), ("timm", 1), ("timm", 2), ("timm", 3))
ONE = make_cohort(("timm", 0))


def statuses(finished: Finished) -> list[str]:
    return [record.status for record in finished.records]


def test_out_of_memory_halves_the_cohort_until_a_trial_is_alone() -> None:
    finished = settle(Job(FOUR), Outcome(failure="out_of_memory"), attempts=3)
    assert finished.records == ()
    assert [len(job.cohort.trials) for job in finished.again] == [2, 2]
    assert {trial for job in finished.again for trial in job.cohort.trials} == set(FOUR.trials)
    alone = settle(Job(ONE), Outcome(failure="out_of_memory", message="full"), attempts=3)
    assert statuses(alone) == ["out_of_memory"]
    assert alone.records[0].message == "full"
    assert alone.again == ()


@pytest.mark.parametrize(("failure", "whole"), [("lost", 4), ("timeout", 2)])
def test_a_cohort_is_tried_again_as_it_is_then_each_trial_alone_then_given_up(
    failure: str, whole: int
) -> None:
    outcome = Outcome(failure=failure, message="the worker died")  # type: ignore[arg-type]
    job, sizes = Job(FOUR, limit=9.0), []
    while (finished := settle(job, outcome, attempts=4)).again:
        sizes.append(len(job.cohort.trials))
        job = finished.again[0]
        assert job.limit == 9.0
        assert "the worker died" in finished.note
    assert sizes == [4] * whole
    assert len(job.cohort.trials) == 1
    assert statuses(finished) == [failure]


def test_a_cohort_whose_node_cannot_read_the_data_has_lost_no_attempt() -> None:
    job = Job(FOUR, attempts=2)
    assert settle(job, Outcome(failure="unfit_node"), attempts=3).again == (job,)


def test_an_error_of_the_cohort_is_not_retried() -> None:
    finished = settle(Job(FOUR), Outcome(failure="error", message="why"), attempts=3)
    assert statuses(finished) == ["error"] * 4
    assert finished.again == ()


@pytest.mark.parametrize("failure", ["lost", "timeout", "out_of_memory", "error"])
def test_every_chain_of_failures_ends_with_one_record_a_trial(failure: str) -> None:
    queue, records = [Job(FOUR)], []
    for _ in range(100):
        if not queue:
            break
        finished = settle(queue.pop(), Outcome(failure=failure), attempts=3)  # type: ignore[arg-type]
        records += finished.records
        queue += finished.again
    assert sorted(record.seed for record in records) == [0, 1, 2, 3]


def test_records_say_which_attempt_they_come_from_and_when_it_ended() -> None:
    finished = settle(Job(ONE, attempts=2), Outcome(failure="lost"), attempts=3)
    before = datetime.now(UTC).replace(microsecond=0)
    provenance = with_circumstances(finished).records[0].provenance
    assert provenance["attempt"] == 3
    ended = datetime.strptime(provenance["finished"], "%Y-%m-%dT%H:%M:%S%z")
    assert before <= ended <= datetime.now(UTC)


def test_the_queue_ends_once_and_when_a_worker_is_free_while_others_have_all_that_is_left() -> None:
    left, right = (Job(make_cohort(("timm", seed), ("timm", seed + 1))) for seed in (0, 2))
    lost = settle(left, Outcome(failure="out_of_memory"), attempts=1)
    events = [
        *(Started(left), Started(right), lost),
        *(Started(lost.again[0]), Started(lost.again[1]), records_of(right)),
        *(records_of(lost.again[0]), records_of(lost.again[1])),
    ]
    end = QueueEnd(4)
    assert [end.begins_with(event) for event in events] == [*[False] * 5, True, False, False]


def test_with_one_worker_the_queue_never_ends_before_all_is_done() -> None:
    jobs = [Job(make_cohort(("timm", seed))) for seed in range(3)]
    end = QueueEnd(3)
    for job in jobs:
        assert not end.begins_with(Started(job))
        assert not end.begins_with(records_of(job))


def records_of(job: Job) -> Finished:
    return settle(job, Outcome(failure="error"), attempts=1)
