"""Joining a Ray cluster, or starting a local one, without a line on the screen."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from benchmark.errors import RunError, UsageError

HEAD_SECONDS = 45.0
"""A head that does not answer for so long is given up. After 60 s Ray ends the whole process from
within, without an exception, so that nothing could be said any more."""


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
    """Whether the cluster's head can be reached: most of Ray's calls block for as long as not."""

    address: str
    _silent_since: float | None = field(default=None, init=False)

    def answers(self) -> bool:
        """Whether it does now; raises RunError once it has not for HEAD_SECONDS."""
        host, _, port = self.address.rpartition(":")
        try:
            # Ray writes an IPv6 address in brackets, sockets want it without.
            socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
        except OSError as error:
            now = time.monotonic()
            if self._silent_since is None:
                self._silent_since = now
            if now - self._silent_since >= HEAD_SECONDS:
                raise RunError(
                    f"the head of the Ray cluster at {self.address} has not answered for"
                    f" {HEAD_SECONDS:.0f} s ({error}). What is finished is kept; run again to go on"
                ) from error
            return False
        self._silent_since = None
        return True

    @property
    def silent(self) -> bool:
        """Whether it did not answer when last asked."""
        return self._silent_since is not None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    lines = itertools.chain(str(error).strip().splitlines(), [type(error).__name__])
    return next(iter(lines))
