"""The worker that trains cohorts: the same in a Ray actor and in the driver's own process.

It keeps data sets between cohorts and returns failures as data: nothing it raises has to travel.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark import plugins
from benchmark.errors import UsageError
from benchmark.execution.checkpoints import CheckpointFolder, CohortCheckpoints
from benchmark.execution.jobs import Failure, Outcome, Settings
from benchmark.execution.provenance import provenance
from benchmark.training.checkpoint import Checkpoints, NoCheckpoints
from benchmark.training.cohort import CohortMemoryError, train_cohort
from benchmark.training.data import CellData, DataError, prepare
from benchmark.training.device import (
    choose_device,
    give_back_memory,
    is_out_of_memory,
    keep_freed_memory,
)
from benchmark.training.probe import image_size_of, probe
from benchmark.training.speed import Throughput
from benchmark.training.throughput import measure
from benchmark.trial import Cell

if TYPE_CHECKING:
    from benchmark.datasets.images import Images
    from benchmark.grid import Cohort

KEPT_DATA = 4
"""So many prepared data (a data set at a size, split by a seed) stay in memory."""


class Worker:
    """Trains cohorts, one after the other, on one device."""

    def __init__(self, settings: Settings) -> None:
        for plugin in settings.plugins:
            plugins.install_plugin(plugin)
        self._device = choose_device(settings.device)
        if self._device.type == "cuda":
            _make_cuda_deterministic()
        else:
            torch.set_num_threads(settings.threads)
            keep_freed_memory()
        self._provenance = provenance(self._device)
        self._data_dir = Path(settings.data_dir) if settings.data_dir else None
        self._load = lru_cache(maxsize=2)(self._load_dataset)
        self._prepare = lru_cache(maxsize=KEPT_DATA)(self._prepare_data)

    def train(
        self,
        cohort: Cohort,
        folder: CheckpointFolder | None = None,
        say: Callable[[str], None] = lambda note: None,
    ) -> Outcome:
        """Train a cohort and return its records, or why there are none.

        Begins where a checkpoint in `folder` ends, if there is one, and keeps others there. `say`
        is told at once what the outcome's notices will tell.
        """
        try:
            if folder is None:
                return self._train(cohort, NoCheckpoints())
            checkpoints = CohortCheckpoints(folder, cohort, self._provenance, say)
            outcome = self._train(cohort, checkpoints)
            return replace(outcome, notices=tuple(checkpoints.notes))
        finally:
            give_back_memory()

    def _train(self, cohort: Cohort, checkpoints: Checkpoints) -> Outcome:
        try:
            self._load(cohort.cell.dataset)
        except Exception as error:
            full = is_out_of_memory(error)
            failure: Failure = "out_of_memory" if full else "unfit_node"
            return Outcome(failure=failure, message=traceback.format_exc().rstrip())
        try:
            data = self._data_of(cohort)
            records = train_cohort(cohort, data, self._device, self._provenance, checkpoints)
        # A plugin that calls sys.exit has failed like any other.
        except (Exception, SystemExit) as error:
            if isinstance(error, CohortMemoryError) or is_out_of_memory(error):
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                return Outcome(failure="out_of_memory", message=str(error))
            unreadable = isinstance(error, DataError)
            failure = "unfit_node" if unreadable else "error"
            return Outcome(failure=failure, message=traceback.format_exc().rstrip())
        return Outcome(records=tuple(records))

    @property
    def device(self) -> str:
        """The kind of device that it trains on."""
        return str(self._provenance["device"])

    def measure(self, cohort: Cohort) -> Throughput:
        """Measure how fast the cohort's cell trains in cohorts up to its size."""
        try:
            found = measure(cohort, self._data_of(cohort), self._device)
            return replace(found, device=self.device)
        finally:
            give_back_memory()

    def check(self, cells: Sequence[Cell]) -> list[str]:
        """Load every data set and send a batch through every architecture; return what failed."""
        problems: dict[str, None] = {}
        for cell in cells:
            try:
                images = self._load(cell.dataset)
                probe(cell, images.channels, images.classes, self._device, batch_size=2, steps=1)
            except UsageError as error:
                problems[str(error)] = None
        return list(problems)

    def _data_of(self, cohort: Cohort) -> CellData:
        cell = cohort.cell
        return self._prepare(
            cell.dataset, image_size_of(cell), cohort.data_seed, cell.recipe.validation_fraction
        )

    def _load_dataset(self, text: str) -> Images:
        method, arguments = plugins.datasets.resolve(text)
        images = method.function(self._data_dir, **arguments)
        for name, declared, found in (
            ("classes", method.classes, images.classes),
            ("channels", method.channels, images.channels),
        ):
            if declared is not None and declared != found:
                raise UsageError(f"data set {text!r} has {found} {name}, it declares {declared}")
        return images

    def _prepare_data(
        self, dataset: str, image_size: int, data_seed: int, validation_fraction: float
    ) -> CellData:
        images = self._load(dataset)
        return prepare(images, image_size, data_seed, validation_fraction, self._device)


def _make_cuda_deterministic() -> None:
    """Choose deterministic algorithms wherever there is one."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
