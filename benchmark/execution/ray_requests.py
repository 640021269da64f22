"""Asking the autoscaler of a Ray cluster for nodes, and taking back what was asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.execution.ray_nodes import Demand

MOST_WORKERS = 1000
"""Room for no more workers is asked for; how many nodes there may be is the cluster's to say."""


class Requests:
    """What a run asks of the autoscaler: room for its workers, for at most as many as it has jobs.

    Ray keeps the last request of a cluster until it is replaced, whatever becomes of the process
    that made it: `withdraw` lets idle nodes go. Without `patience` (seconds) nothing is asked.
    """

    def __init__(self, demand: Demand, patience: float) -> None:
        self.patience = patience
        self._demand = demand
        self._asked = 0

    def begin(self) -> None:
        """Ask for room for a first worker, and say on the screen that it is waited for."""
        self.ask(1)
        # There are no events yet to go the way of all news: nothing is trained so far.
        print(
            f"No node has room for a worker of {self._demand} yet; the cluster's autoscaler is"
            f" asked for one, and waited for up to {self.patience / 60:g} minutes.",
            file=sys.stderr,
            flush=True,
        )

    def ask(self, workers: int) -> None:
        """Ask for room for so many workers, those at work included."""
        workers = min(workers, MOST_WORKERS)
        if self.patience and workers != self._asked:
            self._asked = workers
            _request([self._demand.resources] * workers)

    def withdraw(self) -> None:
        """Ask for nothing any more."""
        self.ask(0)


def _request(bundles: list[dict[str, float]]) -> None:
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)
