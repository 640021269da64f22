"""The folder that keeps every record: one line of JSON each, written as soon as a trial ends.

A single driver writes. On a disk a line is appended, and a kill at any moment costs at most the
line being written, which the next start cuts off again; on object storage it is a segment of its
own until it is folded into the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from benchmark.errors import RunError, StoreError
from benchmark.results import driver
from benchmark.results.driver import Claim
from benchmark.results.lines import MANIFEST, RECORDS, by_trial, read_record, read_statuses
from benchmark.results.location import Location, locate
from benchmark.results.segments import Segments, each_line
from benchmark.trial import Record, Status, counts_over

CONFIG = "config.yaml"
BYTES_PER_RECORD = 20_000
"""A generous size of a record, to see before the start whether the disk has room for the grid."""

BLOCK = 2**16

FINISHED: frozenset[Status] = frozenset({"ok", "diverged", "out_of_memory", "timeout", "error"})
"""What `run` does not try again by itself."""


class _Writer(Protocol):
    def append(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Store:
    """A results folder; only one that `open_store` gives can be written to."""

    def __init__(
        self, location: Location, writer: _Writer | None = None, claim: Claim | None = None
    ) -> None:
        self.folder = location.folder
        self._location = location
        self._writer = writer
        self._claim = claim
        self._where = f"{location.folder}/{RECORDS}"
        # All that stays in memory of a record: a grid may have a million of them.
        self._statuses: dict[str, Status] = {}
        for trial, status in read_statuses(each_line(location), self._where):
            self._note(trial, status)

    @property
    def records(self) -> dict[str, Record]:
        """The record that counts of every trial, by its id, read from the folder at every look."""
        return by_trial(self.each_record())

    def each_record(self) -> Iterator[Record]:
        """Yield every record in the order they were written, those that a later one replaces too.

        On a disk no more than one of them is in memory.
        """
        for number, line in enumerate(each_line(self._location), start=1):
            yield read_record(line, number, self._where)

    @property
    def statuses(self) -> Mapping[str, Status]:
        """The status of the record that counts of every trial, by trial id."""
        return self._statuses

    def done(self, retry: Collection[str] = ()) -> set[str]:
        """Return the ids of trials that need no further run; statuses in `retry` do."""
        return {
            trial
            for trial, status in self._statuses.items()
            if status in FINISHED and status not in retry
        }

    def append(self, *records: Record) -> None:
        """Write records and see them on the disk, or acknowledged, before returning.

        Raises RunError where they cannot be written or another driver has the folder; what was
        written before stays.
        """
        if not records:
            return
        if self._writer is None or self._claim is None:
            raise ValueError(f"{self.folder} was opened for reading")
        self._claim.check()
        data = b"".join((record.to_json() + "\n").encode() for record in records)
        try:
            self._writer.append(data)
        except RunError:
            raise
        except Exception as error:
            raise RunError(
                f"cannot write to {self.folder}: {getattr(error, 'strerror', None) or error}. Every"
                " finished trial before this one is kept; mend it and run the same command again"
            ) from error
        for record in records:
            self._note(record.trial, record.status)

    def _note(self, trial: str, status: Status) -> None:
        if counts_over(status, self._statuses.get(trial)):
            self._statuses[trial] = status

    def append_lines(self, name: str, entries: Collection[Mapping[str, Any]]) -> None:
        """Add a line of JSON each to a small file of lines, which is written anew as a whole."""
        if entries:
            lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries]
            before = self._location.read(name) or b""
            self._location.write(name, before + "".join(lines).encode())

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """Return what the lines of such a file say; nothing if there is no such file.

        Raises StoreError for a line that is no JSON object.
        """
        data = self._location.read(name) or b""
        try:
            return [dict(json.loads(line)) for line in data.splitlines()]
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.folder}/{name} cannot be read: {error}") from error

    def write(self, name: str, text: str) -> None:
        """Write a whole file: readers never see half of it."""
        self._location.write(name, text.encode())

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write what the grid declares, for readers that have no torch."""
        self.write(MANIFEST, json.dumps(manifest, separators=(",", ":"), sort_keys=True) + "\n")


class _LocalFile:
    """records.jsonl on a disk, appended to."""

    def __init__(self, location: Location) -> None:
        self._path = location.at(RECORDS)
        self._cut_torn_line()

    def append(self, data: bytes) -> None:
        with open(self._path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing is open between two records."""

    def _cut_torn_line(self) -> None:
        """Take off the half line of a driver that was killed while it wrote."""
        if not os.path.exists(self._path):
            return
        with open(self._path, "rb+") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(end - BLOCK, 0)
                file.seek(start)
                if found := file.read(end - start).rfind(b"\n") + 1:
                    end = start + found
                    break
                end = start
            if end < size:
                file.truncate(end)


@contextlib.contextmanager
def open_store(
    folder: str, expected_records: int = 0, notify: Callable[[str], None] = lambda line: None
) -> Iterator[Store]:
    """Open a results folder for the one driver that may write to it.

    `notify` is told what is waited for. Raises StoreError where the folder cannot be made or
    written, where the disk has no room for `expected_records`, where another driver is at work, or
    where its records are unreadable.
    """
    location = locate(folder)
    _need_writable(location)
    if location.is_local:
        _need_room(location, expected_records * BYTES_PER_RECORD)
    with driver.only_driver(location, notify) as claim:
        writer = _LocalFile(location) if location.is_local else Segments(location, claim)
        try:
            yield Store(location, writer, claim)
        finally:
            # The records are there in either form; the next driver folds what this one cannot.
            with contextlib.suppress(OSError, StoreError, RunError):
                writer.close()


def read_store(folder: str) -> Store:
    """Return a results folder as it is now, whoever writes to it; one that is not there is empty.

    Raises StoreError for records that cannot be read.
    """
    return Store(locate(folder))


def running_driver(folder: str) -> str | None:
    """Return which driver is writing to a folder now ("process 12 on host"), if any."""
    return driver.running_driver(locate(folder))


def _need_writable(location: Location) -> None:
    try:
        location.make()
        location.write(".writable", b"")
        location.remove([".writable"])
    except Exception as error:
        raise StoreError(
            f"cannot write to the results folder {location.folder}:"
            f" {getattr(error, 'strerror', None) or error}; name another one with --out"
        ) from error


def _need_room(location: Location, needed: int) -> None:
    free = shutil.disk_usage(location.path).free
    if free < needed:
        raise StoreError(
            f"{location.folder} lies on a disk with {free / 2**20:,.0f} MiB free; the records of"
            f" this grid may take {needed / 2**20:,.0f} MiB. Make room or name another folder with"
            " --out"
        )
