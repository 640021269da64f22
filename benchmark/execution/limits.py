"""How long a cohort may take before its worker is taken to hang."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.trial import CellKey

if TYPE_CHECKING:
    from benchmark.execution.cohort_plan import CohortPlan
    from benchmark.execution.jobs import Executor
    from benchmark.grid import Cohort
    from benchmark.results.store import Store

TIMES = 10.0
FLOOR_SECONDS = 300.0
"""Ten times what the steps were measured to take, and five minutes for all that is no step."""


def limits(
    cohorts: Sequence[Cohort],
    minutes: float | None,
    plan: CohortPlan,
    store: Store,
    executor: Executor,
) -> list[float | None]:
    """Return the seconds that each cohort may take: `minutes` for each trial, if given.

    Else it is a multiple of what the plan has measured, of the slowest earlier trial of the cell,
    or of what is measured now, in this order; what another kind of device took says nothing.
    None where the executor cannot end a trial.
    """
    if not executor.keeps_limits:
        return [None] * len(cohorts)
    if minutes is not None:
        return [60 * minutes * len(cohort.trials) for cohort in cohorts]
    slowest: dict[CellKey, float] = {}
    for record in store.each_record():
        if record.status == "ok" and plan.counts(record.provenance.get("device", "")):
            key = (record.dataset, record.architecture, record.recipe)
            slowest[key] = max(slowest.get(key, 0.0), sum(record.seconds.values()))
    unknown = {
        cohort.cell.key: type(cohort)(cohort.trials[:1])
        for cohort in cohorts
        if plan.seconds(cohort) is None and cohort.cell.key not in slowest
    }
    if unknown:
        for key, found in zip(unknown, executor.measure(list(unknown.values())), strict=True):
            slowest[key] = max(found.seconds.values())
    allowed: list[float | None] = []
    for cohort in cohorts:
        measured = plan.seconds(cohort)
        if measured is None:
            measured = slowest[cohort.cell.key] * len(cohort.trials)
        allowed.append(TIMES * measured + FLOOR_SECONDS)
    return allowed
