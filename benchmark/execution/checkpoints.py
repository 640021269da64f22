"""Checkpoints of cohorts in a results folder: workers write and read them, the driver deletes them.

A worker writes to the folder itself, so that weights never pass through the driver: it must reach
the folder under the driver's name for it. One that does not - a folder on another machine's disk -
trains on without.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmark.execution.cohort_plan import unfinished
from benchmark.results.driver import last_driver
from benchmark.results.location import locate
from benchmark.trial import PROTOCOL
from benchmark.wording import counted

if TYPE_CHECKING:
    from benchmark.execution.jobs import Finished
    from benchmark.grid import Cohort
    from benchmark.results.store import Store

CHECKPOINTS = "checkpoints"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class CheckpointFolder:
    """Where a driver's workers keep checkpoints, and how often; it travels to other machines.

    `url` is the results folder as every machine may name it, `driver` who writes to it.
    """

    url: str
    minutes: float
    driver: str | None


class DriverCheckpoints:
    """The checkpoints of a run, seen from its driver, which deletes what is of no use any more.

    `cohorts` are those to be trained; `folder` is what their workers need to know, None where no
    checkpoints are wanted. Those of other planned cohorts stay until these are finished, in a run
    of their grid. One that cannot be deleted is in the way of nothing.
    """

    def __init__(self, store: Store, minutes: float | None, cohorts: Iterable[Cohort]) -> None:
        self._location = locate(store.folder)
        self.folder: CheckpointFolder | None = None
        if minutes is not None:
            url = self._location.path if self._location.is_local else self._location.folder
            self.folder = CheckpointFolder(url, minutes, last_driver(self._location))
        self._wanted = {cohort.id for cohort in cohorts} | unfinished(store)
        self.delete_others()

    def settle(self, event: Finished) -> None:
        """Delete the checkpoint of a cohort whose records are kept; one that was lost may go on.

        One that took too long begins anew, or two tries would have twice its time limit.
        """
        own, again = event.job.cohort.id, {job.cohort.id for job in event.again}
        self._wanted |= again
        lost = own in again or any(record.status == "lost" for record in event.records)
        if not lost:
            self._wanted.discard(own)
        if not lost or event.failure == "timeout":
            with contextlib.suppress(Exception):
                self._location.remove([_name(own)])

    def delete_others(self) -> None:
        """Delete all that no cohort may go on from, and what writers were killed over."""
        kept = {_name(cohort) for cohort in self._wanted}
        with contextlib.suppress(Exception):
            found = [f"{CHECKPOINTS}/{name}" for name in self._location.names(CHECKPOINTS)]
            self._location.remove([name for name in found if name not in kept])
            if self._location.is_local:
                os.rmdir(self._location.at(CHECKPOINTS))  # Only if nothing is left in it.


def count_checkpoints(folder: str) -> int:
    """Return how many cohorts of a results folder have a checkpoint to go on from."""
    return sum(name.endswith(_SUFFIX) for name in locate(folder).names(CHECKPOINTS))


class CohortCheckpoints:
    """The checkpoints of one cohort, seen from its worker: `notes` is what people should know.

    `say` is told each of them at once, for a worker that does not live to hand them over.
    `provenance` is the worker's: the same bytes come only of the same versions, threads and kind of
    device.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        cohort: Cohort,
        provenance: Mapping[str, Any],
        say: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.notes: list[str] = []
        self._say = say
        self._folder = folder
        self._name = _name(cohort.id)
        self._what = f"the checkpoint of {cohort.cell}, {counted(len(cohort.trials), 'trial')}"
        self._identity = {"protocol": PROTOCOL, "cohort": cohort.id, **provenance}
        self._last: float | None = time.monotonic()

    def load(self) -> Any:
        """Return the state that was saved last for this cohort; None if none can be used."""
        from benchmark.training.checkpoint import CheckpointError, unpack

        try:
            _need_reachable(self._folder)
            location = locate(self._folder.url)
            length = location.size(self._name)
            if length is None:
                return None
            if why := _why_no_room(length):
                return self.refuse(why)
            data = location.read(self._name, most=length)
            if data is None:
                return None
            identity, state = unpack(data)
        except _UnreachableError as error:
            self._note(str(error))
            return None
        except CheckpointError as error:
            return self.refuse(f"it is damaged ({error})")
        except Exception as error:
            return self.refuse(f"it cannot be read ({error})")
        for name, own in self._identity.items():
            if identity.get(name) != own:
                return self.refuse(f"its {name} is {identity.get(name)}, here it is {own}")
        return state

    def refuse(self, why: str) -> None:
        self._note(f"{self._what} is not used, they begin anew: {why}")

    def is_due(self) -> bool:
        return self._last is not None and time.monotonic() - self._last >= 60 * self._folder.minutes

    def save(self, state: Any) -> None:
        """Write a state in place of the last one; where that fails, training goes on without."""
        from benchmark.training.checkpoint import pack, size

        try:
            _need_reachable(self._folder)
            if why := _why_no_room(size(state)):
                self.give_up(why)
                return
            self._write(pack(self._identity, state))
            self._last = time.monotonic()
        except _UnreachableError as error:
            self._last = None
            self._note(str(error))
        except Exception as error:
            self.give_up(f"{type(error).__name__}: {error}")

    def give_up(self, why: str) -> None:
        self._last = None
        self._note(f"{self._what} cannot be saved, they go on without: {why}")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._say(text)

    def _write(self, data: bytes) -> None:
        location = locate(self._folder.url)
        if location.is_local:
            os.makedirs(location.at(CHECKPOINTS), exist_ok=True)
        # A worker that is taken to be dead may still write: never to the same unfinished file.
        unfinished = f"{socket.gethostname()}-{os.getpid()}"
        try:
            location.write(self._name, data, unfinished)
        except Exception:
            with contextlib.suppress(Exception):  # The room is needed for records.
                location.remove([f"{self._name}.{unfinished}"])
            raise


class _UnreachableError(Exception):
    """This machine does not see the folder that the driver writes to."""


@cache  # Of folders that were found: what is raised is asked again.
def _need_reachable(folder: CheckpointFolder) -> None:
    why = "put it on storage that all nodes share (--out)"
    try:
        if folder.driver and last_driver(locate(folder.url)) == folder.driver:
            return
    except Exception as error:
        why = str(error)
    raise _UnreachableError(
        f"{socket.gethostname()} cannot reach the results folder {folder.url}: {why}; cohorts"
        " there are trained without checkpoints"
    )


def _why_no_room(size: int) -> str:
    """Return why a state of so many bytes can be neither packed nor unpacked; nothing if it can."""
    from benchmark.training.checkpoint import COPIES
    from benchmark.training.device import available_memory

    free = available_memory()
    if COPIES * size <= free:
        return ""
    return (
        f"it takes {COPIES} times its {size / 2**20:,.0f} MiB of the host's memory, of which"
        f" {free / 2**20:,.0f} MiB are free"
    )


def _name(cohort: str) -> str:
    return f"{CHECKPOINTS}/{cohort}{_SUFFIX}"
