"""Which kind of device trains what: trials that are compared in pairs stay on one kind.

Kinds of device differ in the last bits, and a comparison should not be of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from benchmark.trial import RESULTS, CellKey, Record

if TYPE_CHECKING:
    from benchmark.grid import Cohort

Pair = tuple[CellKey, int]
"""A cell and a seed: what the trials of a paired comparison have in common."""


class Kinds:
    """The kind of device that each pair began on."""

    def __init__(self, begun: Mapping[Pair, str]) -> None:
        self._kind = dict(begun)

    def accepts(self, kind: str, cohort: Cohort, present: Collection[str]) -> bool:
        """Whether a cohort may be trained on a kind: its pairs began there, or nowhere.

        Where a pair began on a kind that is not present any more, it may go on elsewhere.
        """
        begun = {self._kind[pair] for pair in _pairs(cohort) if pair in self._kind}
        return not begun or kind in begun or not begun & set(present)

    def begin(self, kind: str, cohort: Cohort) -> None:
        """Note that a cohort is trained on a kind."""
        for pair in _pairs(cohort):
            self._kind[pair] = kind


def begun(records: Iterable[Record]) -> dict[Pair, str]:
    """Return the kinds of device that the pairs of earlier records were trained on."""
    return {
        ((record.dataset, record.architecture, record.recipe), record.seed): device
        for record in records
        if record.status in RESULTS and (device := record.provenance.get("device"))
    }


def _pairs(cohort: Cohort) -> set[Pair]:
    return {(trial.cell.key, trial.seed) for trial in cohort.trials}
