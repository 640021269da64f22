"""One cohort in, one record a trial out."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from benchmark.training import stackable
from benchmark.training.course import Candidate, build
from benchmark.training.data import CellData, Split
from benchmark.training.device import is_out_of_memory, synchronise
from benchmark.training.network import Network, Stack
from benchmark.trial import Record, Trial

if TYPE_CHECKING:
    from benchmark.grid import Cohort

OnEpoch = Callable[[int], None]


class CohortMemoryError(Exception):
    """The cohort does not fit into memory; a smaller one may."""


class _StackError(Exception):
    """Stacked training raised something: it is not known whose fault that is."""


def train_cohort(
    cohort: Cohort,
    data: CellData,
    device: torch.device,
    provenance: dict[str, Any],
    on_epoch: OnEpoch = lambda epoch: None,
) -> list[Record]:
    """Train the trials of a cohort side by side on one stream of batches.

    Several are trained as one stacked network if that can be done, else one by one, and the
    records say why. Replicas share nothing but the batches. Whatever a trial does wrong - it
    diverges, its model raises - becomes its record, and the others go on. `on_epoch` is called
    with each finished epoch. torch's global random state is left as it was.
    Raises CohortMemoryError.
    """
    with _own_random_state(device):
        try:
            training = _Training(cohort, data, device, provenance)
            if len(training.candidates) > 1:
                return training.stacked(on_epoch)
        except _StackError as error:
            training = _Training(cohort, data, device, provenance, why=str(error))
        return training.one_by_one(on_epoch)


class _Training:
    """A cohort in training: its candidates, and the records of those that have ended."""

    def __init__(
        self,
        cohort: Cohort,
        data: CellData,
        device: torch.device,
        provenance: dict[str, Any],
        why: str = "",
    ) -> None:
        self._cohort = cohort
        self._data = data
        self._device = device
        self._provenance = provenance
        self._why = why
        self._records: dict[str, Record] = {}
        self.candidates: list[Candidate] = []
        for trial in cohort.trials:
            with self._errors_recorded([trial]):
                self.candidates.append(build(trial, data, device))

    def stacked(self, on_epoch: OnEpoch) -> list[Record]:
        """Train all candidates as one network; raises _StackError where that fails."""
        data = self._data
        try:
            why = stackable.why_not(self.candidates, data.channels, data.classes, data.image_size)
            if not why:
                return self._train([Stack(self.candidates, data, self._device)], on_epoch)
        except Exception as error:
            if is_out_of_memory(error):
                raise CohortMemoryError(str(error)) from error
            why = f"stacked training raised {type(error).__name__}: {error}"
        raise _StackError(why)

    def one_by_one(self, on_epoch: OnEpoch) -> list[Record]:
        """Train the candidates as networks of their own, in turns."""
        networks = []
        for candidate in self.candidates:
            with self._errors_recorded([candidate.trial]):
                networks.append(Network([candidate], self._data, self._device))
        return self._train(networks, on_epoch)

    def _train(self, networks: Sequence[Network], on_epoch: OnEpoch) -> list[Record]:
        data, recipe = self._data, self._cohort.cell.recipe
        for epoch in range(1, recipe.epochs + 1):
            running = self._running(networks)
            if not running:
                break
            start, count = time.perf_counter(), sum(len(each.active) for each in running)
            for images, labels in data.training_batches(recipe, self._cohort.data_seed, epoch):
                for network in running:
                    with self._errors_of(network):
                        network.step(images, labels)
            self._evaluate(running, data.validation)
            share = (time.perf_counter() - start) / count
            for network in self._running(running):
                network.finish_epoch(share)
            on_epoch(epoch)
        running = self._running(networks)
        start, count = time.perf_counter(), sum(len(each.active) for each in running)
        self._evaluate(running, data.test)
        share = (time.perf_counter() - start) / max(count, 1)
        for network in networks:
            trials = [course.trial for course in network.courses]
            if not any(trial.id in self._records for trial in trials):
                for record in network.records(data, share, [self._origin(t) for t in trials]):
                    self._records[record.trial] = record
        return [self._records[trial.id] for trial in self._cohort.trials]

    def _running(self, networks: Sequence[Network]) -> list[Network]:
        return [
            network
            for network in networks
            if network.active and network.courses[0].trial.id not in self._records
        ]

    def _evaluate(self, networks: Sequence[Network], split: Split) -> None:
        for images, labels in self._data.evaluation_batches(split):
            for network in self._running(networks):
                with self._errors_of(network):
                    network.evaluate(images, labels)
        synchronise(self._device)

    def _errors_of(self, network: Network) -> contextlib.AbstractContextManager[None]:
        if isinstance(network, Stack):
            return contextlib.nullcontext()
        return self._errors_recorded([course.trial for course in network.courses])

    @contextlib.contextmanager
    def _errors_recorded(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Turn whatever a trial raises into its record, but for what concerns the whole cohort."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise CohortMemoryError(str(error)) from error
            message = traceback.format_exc().rstrip()
            for trial in trials:
                self._records[trial.id] = Record.of(
                    trial, "error", message=message, provenance=self._origin(trial)
                )

    def _origin(self, trial: Trial) -> dict[str, Any]:
        """Return the provenance of a trial: with whom it was trained, in which place, and how."""
        trials = self._cohort.trials
        together: dict[str, Any] = {"size": len(trials), "place": trials.index(trial)}
        if len(trials) > 1:
            together |= {"id": self._cohort.id, "trials": [each.id for each in trials]}
            together |= {"one_by_one": self._why} if self._why else {}
        return {**self._provenance, "cohort": together}


@contextlib.contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
