"""How long a trial of a cell takes in cohorts of different sizes, as plain data without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """Seconds of training steps per trial, by cohort size; `why` no more than one is stacked.

    `device` is the kind that it was measured on.
    """

    seconds: dict[int, float]
    why: str = ""
    device: str = ""
