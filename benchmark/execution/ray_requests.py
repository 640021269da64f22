"""Asking the autoscaler of a Ray cluster for nodes, and taking back what was asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.execution.ray_nodes import Demand

MOST_BUNDLES = 1000
"""No more is asked for; how many nodes there may be is the cluster's to say."""


class Requests:
    """What a run asks of the autoscaler: room for its workers, for at most as many as it has jobs.

    Ray keeps the last request of a cluster until another run's takes its place, whatever becomes of
    the process that made it: asking again and again restores it, `withdraw` lets idle nodes go.
    Without `patience` (seconds) nothing is asked.
    """

    def __init__(self, demand: Demand, patience: float) -> None:
        self.patience = patience
        self._demand = demand
        self._asked = False

    def announce(self) -> None:
        """Say on the screen that room for a first worker is asked for, and waited for."""
        # There are no events yet to go the way of all news: nothing is trained so far.
        print(
            f"No node has room for a worker of {self._demand} yet; the cluster's autoscaler is"
            f" asked for one, and waited for up to {self.patience / 60:g} minutes.",
            file=sys.stderr,
            flush=True,
        )

    def ask(self, times: int) -> None:
        """Ask so many times for what a worker needs, those at work included; it takes some ms."""
        if self.patience:
            self._asked = True
            _request([self._demand.resources] * min(times, MOST_BUNDLES))

    def withdraw(self) -> None:
        """Ask for nothing any more, if anything was asked."""
        if self._asked:
            self._asked = False
            _request([])


def _request(bundles: list[dict[str, float]]) -> None:
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)
