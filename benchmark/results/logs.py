"""The logs of trials that failed or were tried again: a text file each, beside the records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from benchmark.results.location import locate

LOGS = "logs"
LONGEST_LOG = 512 * 1024
"""Bytes; of a longer log the beginning is dropped."""


class Logs:
    """The logs in a results folder."""

    def __init__(self, folder: str) -> None:
        self._location = locate(folder)

    def add(self, trials: Iterable[str], heading: str, text: str) -> None:
        """Add what an attempt left to the log of each trial.

        A log that cannot be written is no reason to stop: the records are what counts.
        """
        part = f"== {heading} ==\n{text.strip()}\n\n".encode()
        with contextlib.suppress(Exception):
            if self._location.is_local:
                self._location.filesystem.makedirs(self._location.at(LOGS), exist_ok=True)
            for trial in trials:
                before = self._location.read(_name(trial)) or b""
                self._location.write(_name(trial), (before + part)[-LONGEST_LOG:])

    def read(self, trial: str) -> str | None:
        """Return the log of a trial; None if it has none. Raises StoreError if it is unreadable."""
        data = self._location.read(_name(trial))
        return None if data is None else data.decode("utf-8", "replace")


def _name(trial: str) -> str:
    return f"{LOGS}/{trial}.log"
