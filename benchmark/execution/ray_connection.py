"""Joining a Ray cluster, or starting a local one, without a line on the screen."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from benchmark.errors import FAILED, RunError, UsageError

HEAD_SECONDS = 45.0
"""A head that does not answer for so long is given up. After 60 s Ray ends the whole process from
within, without an exception, so that nothing could be said any more."""

GRACE_SECONDS = 5.0
"""So much longer the guard waits, for the main thread to give the head up in order."""


def connect(address: str | None, workers: int | None) -> Any:
    """Join a cluster or start a local one; return the ray module.

    Without an address it is the cluster that this process was submitted to, else a local one with
    a core for each of `workers` at least. Raises UsageError where ray is not installed or the
    cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray._private import worker
    except ImportError as error:
        raise UsageError("ray is not installed; pip install ray, or --executor inline") from error
    # Ray writes "A worker died" to stdout whatever log_to_driver says; only this holds it back.
    worker._worker_logs_enabled = False
    where = address or ("auto" if os.environ.get("RAY_ADDRESS") else "local")
    options: dict[str, Any] = {}
    if where == "local":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        options = {
            "include_dashboard": False,
            "object_store_memory": 200 * 2**20,
            "num_cpus": max(cores or 1, workers or 1),
        }
    try:
        ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"cannot join the Ray cluster at {where}: {first_line(error)}") from error
    return ray


@dataclass
class Head:
    """Whether the cluster's head can be reached: most of Ray's calls block for as long as not.

    It is given up after HEAD_SECONDS and `grace` more.
    """

    address: str
    grace: float = 0.0
    _silent_since: float | None = field(default=None, init=False)

    def answers(self) -> bool:
        """Whether it does now; raises RunError once it is given up."""
        host, _, port = self.address.rpartition(":")
        try:
            # Ray writes an IPv6 address in brackets, sockets want it without.
            socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
        except OSError as error:
            now = time.monotonic()
            if self._silent_since is None:
                self._silent_since = now
            patience = HEAD_SECONDS + self.grace
            if now - self._silent_since >= patience:
                raise RunError(
                    f"the head of the Ray cluster at {self.address} has not answered for"
                    f" {patience:.0f} s ({error}). What is finished is kept; run again to go on"
                ) from error
            return False
        self._silent_since = None
        return True

    @property
    def silent(self) -> bool:
        """Whether it did not answer when last asked."""
        return self._silent_since is not None


class Guard:
    """A thread that ends the process, with a word, where the main thread cannot do it in order.

    A call of Ray's that is under way when the head dies does not come back, whatever was asked of
    the head just before it.
    """

    def __init__(self, address: str) -> None:
        self._head = Head(address, GRACE_SECONDS)
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="guard of the head", daemon=True).start()

    def stop(self) -> None:
        """Leave the process alone from now on."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(1.0):
            try:
                self._head.answers()
            except RunError as error:
                if not self._stopped.is_set():
                    # A progress display has hidden the terminal's cursor.
                    shown = "\033[?25h" if os.isatty(2) else ""
                    os.write(2, f"{shown}\nerror: {error}\n".encode())
                    os._exit(FAILED)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    lines = itertools.chain(str(error).strip().splitlines(), [type(error).__name__])
    return next(iter(lines))
