"""One cohort in, one record a trial out."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from benchmark.training.data import CellData, Split
from benchmark.training.device import is_out_of_memory, synchronise
from benchmark.training.replica import Replica
from benchmark.trial import Record, Trial

if TYPE_CHECKING:
    from benchmark.grid import Cohort


class CohortMemoryError(Exception):
    """The cohort does not fit into memory; a smaller one may."""


def train_cohort(
    cohort: Cohort,
    data: CellData,
    device: torch.device,
    provenance: dict[str, Any],
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[Record]:
    """Train the trials of a cohort side by side on one stream of batches.

    Replicas share nothing but the batches, so a trial's numbers do not depend on its cohort.
    Whatever a trial does wrong - it diverges, its model raises - becomes its record, and the
    others go on. `on_epoch` is called with each finished epoch. torch's global random state is
    left as it was.
    Raises CohortMemoryError.
    """
    recipe = cohort.cell.recipe
    records: dict[str, Record] = {}
    replicas: list[Replica] = []

    def place(trial: Trial) -> dict[str, Any]:
        position = {"size": len(cohort.trials), "place": cohort.trials.index(trial)}
        return {**provenance, "cohort": position}

    def active() -> list[Replica]:
        return [each for each in replicas if each.active and each.trial.id not in records]

    def run(action: Callable[[Replica], None]) -> None:
        for replica in active():
            with _errors_recorded(replica.trial, records, place(replica.trial)):
                action(replica)

    def evaluate(split: Split) -> None:
        for images, labels in data.evaluation_batches(split):
            run(lambda replica, x=images, y=labels: replica.evaluate(x, y))  # type: ignore[misc]

    with _own_random_state(device):
        for trial in cohort.trials:
            with _errors_recorded(trial, records, place(trial)):
                replicas.append(Replica(trial, data, device))
        for epoch in range(1, recipe.epochs + 1):
            start, count = time.perf_counter(), len(active())
            for images, labels in data.training_batches(recipe, cohort.data_seed, epoch):
                run(lambda replica, x=images, y=labels: replica.step(x, y))  # type: ignore[misc]
            evaluate(data.validation)
            synchronise(device)
            share = (time.perf_counter() - start) / max(count, 1)
            run(lambda replica, seconds=share: replica.finish_epoch(seconds))  # type: ignore[misc]
            on_epoch(epoch)
        start, count = time.perf_counter(), len(active())
        evaluate(data.test)
        synchronise(device)
        share = (time.perf_counter() - start) / max(count, 1)
        for replica in [each for each in replicas if each.trial.id not in records]:
            with _errors_recorded(replica.trial, records, place(replica.trial)):
                records[replica.trial.id] = replica.record(data, place(replica.trial), share)
    return [records[trial.id] for trial in cohort.trials]


@contextlib.contextmanager
def _errors_recorded(
    trial: Trial, records: dict[str, Record], provenance: dict[str, Any]
) -> Iterator[None]:
    """Turn whatever a trial raises into its record, but for what concerns the whole cohort."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise CohortMemoryError(str(error)) from error
        records[trial.id] = Record.of(
            trial, "error", message=traceback.format_exc().rstrip(), provenance=provenance
        )


@contextlib.contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
