"""One cohort in, one record a trial out."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from benchmark.training import resumable, stackable
from benchmark.training.checkpoint import Checkpoints, NoCheckpoints
from benchmark.training.course import Candidate, build
from benchmark.training.data import CellData, DataError, Split
from benchmark.training.device import is_out_of_memory, own_global_state, synchronise
from benchmark.training.measuring import measured, measured_together
from benchmark.training.network import Network, Stack
from benchmark.trial import Record, Trial

if TYPE_CHECKING:
    from benchmark.grid import Cohort


class CohortMemoryError(Exception):
    """The cohort does not fit into memory; a smaller one may."""


class _UnfitStateError(Exception):
    """A checkpoint is not of the networks that were built."""


class _StackError(Exception):
    """Stacked training raised something: it is not known whose fault that is."""


def train_cohort(
    cohort: Cohort,
    data: CellData,
    device: torch.device,
    provenance: dict[str, Any],
    checkpoints: Checkpoints = NoCheckpoints(),  # noqa: B008
) -> list[Record]:
    """Train the trials of a cohort side by side on one stream of batches.

    Several are trained as one stacked network if that can be done, else one by one, and the
    records say why. Replicas share nothing but the batches. Whatever a trial does wrong - it
    diverges, its model raises - becomes its record, and the others go on. Training begins where
    `checkpoints` left it, to the same numbers. torch's global random state is left as it was.
    Raises CohortMemoryError, and DataError for an image that cannot be read.
    """
    with own_global_state(cohort.cell.recipe, device):
        saved = checkpoints.load()
        try:
            return _train(cohort, data, device, provenance, checkpoints, saved)
        except _UnfitStateError as error:
            checkpoints.refuse(str(error))
            return _train(cohort, data, device, provenance, checkpoints, None)


def _train(
    cohort: Cohort,
    data: CellData,
    device: torch.device,
    provenance: dict[str, Any],
    checkpoints: Checkpoints,
    saved: Any,
) -> list[Record]:
    training = _Training(cohort, data, device, provenance, checkpoints, saved)
    try:
        if len(training.candidates) > 1 and not training.why:
            return training.stacked()
    except _StackError as error:
        training = _Training(cohort, data, device, provenance, checkpoints, why=str(error))
    return training.one_by_one()


class _Training:
    """A cohort in training: its candidates, and the records of those that have ended.

    `why` says why they are trained one by one, if they are.
    """

    def __init__(
        self,
        cohort: Cohort,
        data: CellData,
        device: torch.device,
        provenance: dict[str, Any],
        checkpoints: Checkpoints,
        saved: Any = None,
        why: str = "",
    ) -> None:
        self._cohort = cohort
        self._data = data
        self._device = device
        self._provenance = provenance
        self._checkpoints = checkpoints
        self._saved = saved
        self.why = saved["why"] if saved else why
        self._records: dict[str, Record] = {}
        for record in saved["records"] if saved else ():
            self._records[record["trial"]] = Record.from_dict(record)
        self.candidates: list[Candidate] = []
        for trial in cohort.trials:
            if trial.id not in self._records:
                with self._errors_recorded([trial]):
                    self.candidates.append(build(trial, data, device))

    def stacked(self) -> list[Record]:
        """Train all candidates as one network; raises _StackError where that fails."""
        data = self._data
        try:
            why = stackable.why_not(self.candidates, data.channels, data.classes, data.image_size)
            if not why:
                if not self._saved:
                    self.candidates = measured_together(self.candidates, data)
                return self._train([Stack(self.candidates, data, self._device)])
        except (_UnfitStateError, DataError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise CohortMemoryError(str(error)) from error
            why = f"stacked training raised {type(error).__name__}: {error}"
        raise _StackError(why)

    def one_by_one(self) -> list[Record]:
        """Train the candidates as networks of their own, in turns."""
        networks = []
        for candidate in self.candidates:
            with self._errors_recorded([candidate.trial]):
                if not self._saved:
                    candidate = measured(candidate, self._data)
                networks.append(Network([candidate], self._data, self._device))
        return self._train(networks)

    def _train(self, networks: Sequence[Network]) -> list[Record]:
        data, recipe = self._data, self._cohort.cell.recipe
        for epoch in range(self._resume(networks) + 1, recipe.epochs + 1):
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
            if epoch < recipe.epochs and self._checkpoints.is_due():
                self._save(epoch, networks)
        running = self._running(networks)
        start, count = time.perf_counter(), sum(len(each.active) for each in running)
        self._evaluate(running, data.test)
        share = (time.perf_counter() - start) / max(count, 1)
        for network in networks:
            if not self._is_recorded(network):
                trials = [course.trial for course in network.courses]
                for record in network.records(data, share, [self._origin(t) for t in trials]):
                    self._records[record.trial] = record
        return [self._records[trial.id] for trial in self._cohort.trials]

    def _save(self, epoch: int, networks: Sequence[Network]) -> None:
        if why := resumable.why_not(self._cohort.cell.recipe, str(self._device)):
            self._checkpoints.give_up(why)
            return
        unfinished = [each for each in networks if not self._is_recorded(each)]
        self._checkpoints.save(
            {
                "epoch": epoch,
                "why": self.why,
                "records": [asdict(record) for record in self._records.values()],
                "networks": [network.state() for network in unfinished],
            }
        )

    def _resume(self, networks: Sequence[Network]) -> int:
        """Bring networks to the state that was saved, if any, and return its epoch, else 0.

        Raises _UnfitStateError, after which the networks are of no use.
        """
        if not self._saved:
            return 0
        try:
            # Taken out, so that its memory is free while training goes on.
            for network, state in zip(networks, self._saved.pop("networks"), strict=True):
                network.restore(state)
            return int(self._saved["epoch"])
        except Exception as error:
            if is_out_of_memory(error):
                raise CohortMemoryError(str(error)) from error
            raise _UnfitStateError(f"it does not fit these networks ({error})") from error

    def _is_recorded(self, network: Network) -> bool:
        return network.courses[0].trial.id in self._records

    def _running(self, networks: Sequence[Network]) -> list[Network]:
        return [each for each in networks if each.active and not self._is_recorded(each)]

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
        except DataError:
            raise
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
            together |= {"one_by_one": self.why} if self.why else {}
        return {**self._provenance, "cohort": together}
