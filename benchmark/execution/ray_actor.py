"""What runs on the nodes: the actor that holds a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.execution.jobs import Job, Outcome, Settings
from benchmark.execution.output import Output
from benchmark.garbage import without_garbage_collection

if TYPE_CHECKING:
    from benchmark.grid import Cohort
    from benchmark.training.speed import Throughput
    from benchmark.trial import Cell


@dataclass(frozen=True)
class Greeting:
    """What an actor says once it has begun: what went wrong or nothing, its device, its output."""

    error: str = ""
    device: str = ""
    output: str = ""


class WorkerActor:
    """The actor's shell: it loads what is heavy in `ready`, and returns errors as text."""

    def ready(self, settings: Settings) -> Greeting:
        """Make the worker."""
        import traceback

        self._output = Output()
        try:
            # A quarter of the time of these imports.
            with without_garbage_collection():
                from benchmark.execution.worker import Worker

            self._worker = Worker(settings)
        except UsageError as error:
            return Greeting(str(error), output=self._output.path)
        except (Exception, SystemExit):
            return Greeting(traceback.format_exc().rstrip(), output=self._output.path)
        return Greeting("", self._worker.device, self._output.path)

    def check(self, cells: Sequence[Cell]) -> list[str]:
        """Return what keeps these cells from being trained."""
        return self._worker.check(cells)

    def measure(self, cohort: Cohort) -> Throughput:
        """Measure how fast the cohort's cell trains."""
        return self._worker.measure(cohort)

    def train(self, job: Job) -> Outcome:
        """Train a cohort; what was printed meanwhile comes back unless all went well."""
        self._output.begin(job.name)
        # What is printed is kept if the worker dies, which an outcome's notices are not.
        say = partial(print, flush=True)
        outcome = self._worker.train(job.cohort, job.checkpoints, say)
        if all(record.status == "ok" for record in outcome.records) and not outcome.failure:
            return outcome
        return replace(outcome, log=self._output.end(job.name))
