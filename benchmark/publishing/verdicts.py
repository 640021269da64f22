"""The words for a treatment, and how often it diverged beside those that leave it out."""

from __future__ import annotations

from benchmark.publishing.text import share
from benchmark.statistics.results import Failures

UNSETTLED = "no difference shown"
VERDICTS = (
    "better",
    "better where it trains",
    "equivalent",
    "equivalent where it trains",
    UNSETTLED,
    "identical",
    "identical where it trains",
    "worse",
)


def with_failures(verdict: str, own: Failures | None, other: Failures | None) -> str:
    """Return a verdict with both arms' failures where it speaks well of the one that has more.

    A verdict is about the pairs that trained, and its "where it trains" takes a test of the
    failures that few of them do not pass.
    """
    if not own or not other or verdict in (UNSETTLED, "worse"):
        return verdict
    if own.k * other.n <= other.k * own.n:
        return verdict
    return f"{verdict}, diverged {share(own.k, own.n)} against {share(other.k, other.n)}"
