"""The folder that keeps every record: one line of JSON each, appended as soon as a trial ends.

A single driver writes. A kill at any moment costs at most the line being written, which the next
start cuts off again. The folder may lie on any file system that fsspec knows.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING, Any

import fsspec

from benchmark.errors import RunError, StoreError
from benchmark.results.lines import MANIFEST, RECORDS, read_record_lines
from benchmark.trial import Record, Status

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONFIG = "config.yaml"
LOCK = "driver.lock"
BYTES_PER_RECORD = 20_000
"""A generous size of a record, to see before the start whether the disk has room for the grid."""

FINISHED: frozenset[Status] = frozenset({"ok", "diverged", "out_of_memory", "timeout", "error"})
"""What `run` does not try again by itself."""


class Store:
    """A results folder, open for one driver: use `open_store`."""

    def __init__(self, folder: str, filesystem: AbstractFileSystem, path: str) -> None:
        self.folder = folder
        self._filesystem = filesystem
        self._path = path
        self._records = {record.trial: record for record in _read(filesystem, path, folder)}

    @property
    def records(self) -> dict[str, Record]:
        """The last record of every trial, by trial id."""
        return self._records

    def done(self, retry: Collection[str] = ()) -> set[str]:
        """Return the ids of trials that need no further run; statuses in `retry` do."""
        return {
            trial
            for trial, record in self._records.items()
            if record.status in FINISHED and record.status not in retry
        }

    def append(self, record: Record) -> None:
        """Write a record and see it on the disk before returning.

        Raises RunError where it cannot be written; what was written before stays.
        """
        line = (record.to_json() + "\n").encode()
        try:
            with self._filesystem.open(f"{self._path}/{RECORDS}", "ab") as file:
                file.write(line)
                _sync(file)
        except OSError as error:
            raise RunError(
                f"cannot write to {self.folder}: {error.strerror or error}. Every finished trial"
                " before this one is kept; make room and run the same command again"
            ) from error
        self._records[record.trial] = record

    def write(self, name: str, text: str) -> None:
        """Write a whole file: under another name first, so that readers never see half of it."""
        path = f"{self._path}/{name}"
        with self._filesystem.open(f"{path}.new", "wb") as file:
            file.write(text.encode())
        self._filesystem.mv(f"{path}.new", path)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write what the grid declares, for readers that have no torch."""
        self.write(MANIFEST, json.dumps(manifest, separators=(",", ":"), sort_keys=True) + "\n")


@contextlib.contextmanager
def open_store(folder: str, expected_records: int = 0) -> Iterator[Store]:
    """Open a results folder for the one driver that may write to it.

    Raises StoreError where the folder cannot be made or written, where the disk has no room for
    `expected_records`, where another driver is at work, or where its records are unreadable.
    """
    filesystem, path = fsspec.core.url_to_fs(folder)
    path = path.rstrip("/")
    local = "file" in _protocols(filesystem)
    try:
        filesystem.makedirs(path, exist_ok=True)
        filesystem.pipe_file(f"{path}/.writable", b"")
        filesystem.rm_file(f"{path}/.writable")
    except (OSError, PermissionError) as error:
        raise StoreError(
            f"cannot write to the results folder {folder}: {error.strerror or error};"
            " name another one with --out"
        ) from error
    if local:
        _need_room(folder, path, expected_records * BYTES_PER_RECORD)
    with _only_driver(path, folder) if local else contextlib.nullcontext():
        _cut_torn_line(filesystem, path)
        yield Store(folder, filesystem, path)


def read_store(folder: str) -> Store:
    """Return a results folder as it is now, whoever writes to it; one that is not there is empty.

    Raises StoreError for records that cannot be read.
    """
    filesystem, path = fsspec.core.url_to_fs(folder)
    return Store(folder, filesystem, path.rstrip("/"))


def running_driver(folder: str) -> str | None:
    """Return which driver is writing to a local folder now ("process 12 on host"), if any."""
    filesystem, path = fsspec.core.url_to_fs(folder)
    lock = f"{path.rstrip('/')}/{LOCK}"
    if "file" not in _protocols(filesystem) or not os.path.exists(lock):
        return None
    with open(lock, encoding="utf-8") as file:
        return None if _try_lock(file) else file.read().strip() or "another process"


def _read(filesystem: AbstractFileSystem, path: str, folder: str) -> Iterator[Record]:
    file = f"{path}/{RECORDS}"
    if filesystem.exists(file):
        data = filesystem.cat_file(file)
        whole = data[: data.rfind(b"\n") + 1]
        for _, record in read_record_lines(whole, f"{folder}/{RECORDS}"):
            yield record


def _cut_torn_line(filesystem: AbstractFileSystem, path: str) -> None:
    """Take off the half line of a driver that was killed while it wrote."""
    file = f"{path}/{RECORDS}"
    if filesystem.exists(file):
        data = filesystem.cat_file(file)
        end = data.rfind(b"\n") + 1
        if end < len(data):
            filesystem.pipe_file(file, data[:end])


@contextlib.contextmanager
def _only_driver(path: str, folder: str) -> Iterator[None]:
    """Hold the folder's lock: the system lets go of it however this process ends."""
    with open(os.path.join(path, LOCK), "a+", encoding="utf-8") as file:
        if not _try_lock(file):
            file.seek(0)
            raise StoreError(
                f"{folder} is being written by {file.read().strip() or 'another process'}; wait"
                " for it, stop it, or name another folder with --out"
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
        file.truncate(0)


def _try_lock(file: IO[str]) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _need_room(folder: str, path: str, needed: int) -> None:
    free = shutil.disk_usage(path).free
    if free < needed:
        raise StoreError(
            f"{folder} lies on a disk with {free / 2**20:,.0f} MiB free; the records of this grid"
            f" may take {needed / 2**20:,.0f} MiB. Make room or name another folder with --out"
        )


def _protocols(filesystem: AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _sync(file: Any) -> None:
    file.flush()
    with contextlib.suppress(AttributeError, OSError):
        os.fsync(file.fileno())
