"""What a worker writes to its standard output and error: kept in files of bounded size beside it.

A process of its own takes it from a pipe, so that the last words of a worker that is killed, that
calls os._exit or that hangs with Python's lock held are kept, and a gigabyte costs no disk.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HALF_BYTES = 128 * 1024
"""Two files of this size are kept, the newer and the older; what came before is dropped."""

_PUMP = """
import os, sys
path, limit = sys.argv[1], int(sys.argv[2])
file, size = open(path + ".new", "ab", 0), 0
while data := os.read(0, 65536):
    try:
        file.write(data)
        size += len(data)
        if size >= limit:
            file.close()
            os.replace(path + ".new", path + ".old")
            file, size = open(path + ".new", "ab", 0), 0
    except OSError:
        pass
open(path + ".end", "wb").close()
"""

PATIENCE_SECONDS = 3.0
"""So long the pump is waited for; a process that inherited the pipe may keep it busy."""


class Output:
    """The standard output and error of this process, from now on: `path` is where they lie."""

    def __init__(self) -> None:
        handle, self.path = tempfile.mkstemp(prefix="initbench-worker-")
        os.close(handle)
        reading, writing = os.pipe()
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", _PUMP, self.path, str(HALF_BYTES)],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # What ends this process, or its group, leaves the pump time to write the rest.
            start_new_session=True,
        )
        os.close(reading)
        _flush()
        for descriptor in (1, 2):
            os.dup2(writing, descriptor)
        os.close(writing)
        faulthandler.enable(2)

    def begin(self, name: str) -> None:
        """Mark where the output of a job begins."""
        _flush()
        os.write(1, _mark(name))

    def end(self, name: str) -> str:
        """Return what was written since a job began."""
        _flush()
        mark = _mark(f"end of {name}")
        os.write(1, mark)
        _wait(lambda: mark in _kept(self.path))
        return read_output(self.path, name).replace(mark.decode(), "")


def read_output(path: str, name: str) -> str:
    """Return what the worker that writes to `path` has written since it began on a job.

    Where that is more than the files hold, it is the end of it.
    """
    _, mark, after = _kept(path).rpartition(_mark(name))
    return ("" if mark else "[the beginning was dropped]\n") + after.decode("utf-8", "replace")


def last_words(path: str, name: str) -> str:
    """Return what a worker that has died wrote during a job, and delete its output."""
    _wait(lambda: os.path.exists(f"{path}.end"))
    words = read_output(path, name)
    remove_output(path)
    return words


def _kept(path: str) -> bytes:
    data = b""
    for suffix in (".old", ".new"):
        with contextlib.suppress(OSError):
            data += Path(path + suffix).read_bytes()
    return data


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until() and time.monotonic() < deadline:
        time.sleep(0.01)


def remove_output(path: str) -> None:
    """Delete the files of a worker that has ended."""
    for suffix in ("", ".old", ".new", ".end"):
        with contextlib.suppress(OSError):
            os.unlink(path + suffix)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _mark(name: str) -> bytes:
    return f"\n[initbench: {name}]\n".encode()
