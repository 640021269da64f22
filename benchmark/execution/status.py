"""The driver's status, written to the store every few seconds for readers in other terminals."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from benchmark.execution.jobs import Event, Finished, NodesSeen, Notice, Started
from benchmark.results.live import STATUS, STATUS_SCHEMA
from benchmark.results.store import Store

LOCAL_SECONDS, REMOTE_SECONDS = 2.0, 15.0
"""How often it is written, on a disk and on object storage."""

KEPT_LINES = 20
"""So many of the last notes and notices are kept."""


class StatusWriter:
    """Takes in events and writes what they come to, in a thread, until it is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._started = time.monotonic()
        self._running: dict[str, tuple[Started, float]] = {}
        self._nodes: tuple[Mapping[str, Any], ...] = ()
        self._lines: deque[tuple[float, str]] = deque(maxlen=KEPT_LINES)
        self._retries = 0
        self._beat = 0
        self._thread = threading.Thread(target=self._keep_writing, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._write("stopped" if error else "ended")

    def show(self, event: Event) -> None:
        """Take in an event."""
        now = time.monotonic()
        with self._lock:
            match event:
                case Started():
                    self._running[event.job.name] = (event, now)
                case Finished():
                    self._running.pop(event.job.name, None)
                    self._retries += len(event.again)
                    if event.note:
                        self._lines.append((now, event.note))
                case Notice():
                    self._lines.append((now, event.text))
                case NodesSeen():
                    self._nodes = event.nodes

    def _keep_writing(self) -> None:
        seconds = LOCAL_SECONDS if "://" not in self._store.folder else REMOTE_SECONDS
        while True:
            self._write("running")
            if self._ended.wait(seconds):
                return

    def _write(self, state: str) -> None:
        with self._lock:
            self._beat += 1
            status = self._status(state)
        # A status that cannot be written is no reason to stop.
        with contextlib.suppress(Exception):
            self._store.write(STATUS, json.dumps(status, indent=1) + "\n")

    def _status(self, state: str) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "schema": STATUS_SCHEMA,
            "state": state,
            "driver": f"process {os.getpid()} on {socket.gethostname()}",
            "beat": self._beat,
            "seconds": round(now - self._started, 1),
            "retries": self._retries,
            "running": [
                {
                    "cell": str(event.job.cohort.cell),
                    "trials": [trial.id for trial in event.job.cohort.trials],
                    "attempt": event.job.attempts + 1,
                    "node": event.node,
                    "device": event.device,
                    "seconds": round(now - since, 1),
                    "limit": event.job.limit,
                }
                for event, since in self._running.values()
            ],
            "nodes": [dict(node) for node in self._nodes],
            "lines": [
                {"seconds_ago": round(now - when, 1), "line": line} for when, line in self._lines
            ],
        }
