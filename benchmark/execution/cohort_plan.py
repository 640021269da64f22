"""Who is trained with whom: decided once, written to the store before training, and kept.

The numbers of a trial depend, in their last bits, on the size of its cohort, its place in it and
the threads of the worker. So a cohort that was planned is trained as planned, however often a run
is stopped, resumed or retried; only what cannot be trained that way is planned anew, and that is
written down as well. The plan is a file of lines that are only ever added; the last one counts.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from benchmark.grid import Cohort, even_parts, group, make_cohorts
from benchmark.results.lines import COHORTS
from benchmark.trial import Cell, Record, Trial, content_id

if TYPE_CHECKING:
    from benchmark.results.store import Store
    from benchmark.training.speed import Throughput

LARGEST_COHORT = 32

LARGEST_LAST = 0.03
"""The largest share of a worker's time that a cohort at the queue's end takes."""

DEAREST_SPLIT = 1.05
"""So many times what a whole cohort takes, its parts may take together."""

Measure = Callable[[Sequence[Cohort]], "list[Throughput]"]


@dataclass
class CohortPlan:
    """The plan of a store: cohorts by trial, what made them differ from the first plan, times.

    Times are those measured on one of the `kinds` of device, if given, with as many threads.
    """

    store: Store
    threads: int
    kinds: Collection[str] | None = None
    _members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _threads: dict[str, int] = field(default_factory=dict)
    _changed: dict[str, str] = field(default_factory=dict)
    _seconds: dict[str, dict[int, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, threads: int, kinds: Collection[str] | None = None) -> CohortPlan:
        """Read the plan of a store, whose workers have so many threads and these devices now."""
        plan = cls(store, threads, kinds)
        for entry in store.read_lines(COHORTS):
            plan._enter(entry)
        return plan

    def cohorts(
        self,
        every: Iterable[Trial],
        missing: Sequence[Trial],
        size: int | None,
        workers: int,
        measure: Measure,
    ) -> list[Cohort]:
        """Return the cohorts of the missing trials, longest first, after writing new ones down.

        A planned cohort comes back whole, with members that need no training by themselves. `size`
        None is measured, by `measure`, for cells that were not measured before.
        """
        by_id = {trial.id: trial for trial in every}
        kept: dict[Cohort, None] = {}
        changed: dict[Cohort, str] = {}
        new = []
        for trial in missing:
            members = self._members.get(trial.id, ())
            if not members or not all(each in by_id for each in members):
                new.append(trial)
                continue
            cohort = Cohort(tuple(by_id[each] for each in members))
            kept[cohort] = None
            if self._threads[trial.id] != self.threads:
                changed[cohort] = f"planned for {self._threads[trial.id]} threads"
        for cohort, why in changed.items():
            self.write([cohort], why)
        if size is None:
            self._measure(new, measure)
            sizes = self._sizes(new, workers)
        else:
            sizes = dict.fromkeys({trial.cell for trial in new}, size)
        fresh = [
            cohort
            for cell, trials in _by_cell(new).items()
            for cohort in make_cohorts(trials, sizes[cell])
        ]
        if size is None and workers > 1:
            fresh = split_end(fresh, self._needed, workers)
        self.write(fresh)
        return sorted([*kept, *fresh], key=self._needed, reverse=True)

    def write(self, cohorts: Iterable[Cohort], why: str = "") -> None:
        """Write cohorts down, with what made them differ from what was planned, if anything."""
        entries: list[dict[str, Any]] = [
            {
                "cohort": cohort.id,
                "trials": [trial.id for trial in cohort.trials],
                "threads": self.threads,
                **({"changed": why} if why else {}),
            }
            for cohort in cohorts
        ]
        self.store.append_lines(COHORTS, entries)
        for entry in entries:
            self._enter(entry)

    def noted(self, record: Record) -> Record:
        """Return the record with a note of what changed its cohort after it was planned."""
        why = self._changed.get(record.trial)
        if not why:
            return record
        cohort = {**record.provenance.get("cohort", {}), "changed": why}
        return replace(record, provenance={**record.provenance, "cohort": cohort})

    def seconds(self, cohort: Cohort) -> float | None:
        """Return how long a cohort was measured to train; None for a cell that was not."""
        measured = self._seconds.get(content_id(cohort.cell.content))
        return _cost(measured, len(cohort.trials)) if measured else None

    def counts(self, device: str) -> bool:
        """Whether a time measured on this kind of device says anything of those at hand."""
        return not device or self.kinds is None or device in self.kinds

    def per_trial(self, cell: Cell, size: int | None) -> tuple[float, float, float] | None:
        """Return the seconds of a trial in cohorts of a size (None: the fastest), least and most.

        None for a cell that was not measured.
        """
        measured = self._seconds.get(content_id(cell.content))
        if not measured:
            return None
        least, most = min(measured.values()), max(measured.values())
        return (_cost(measured, size) / size if size else least), least, most

    def _needed(self, cohort: Cohort) -> float:
        return self.seconds(cohort) or 0.0

    def _enter(self, entry: Mapping[str, Any]) -> None:
        if "cohort" in entry:
            for trial in entry["trials"]:
                self._members[trial] = tuple(entry["trials"])
                self._threads[trial] = entry["threads"]
                self._changed[trial] = entry.get("changed", "")
        elif entry["threads"] == self.threads and self.counts(entry.get("device", "")):
            seconds = {int(size): value for size, value in entry["seconds"].items()}
            self._seconds[entry["cell"]] = seconds

    def _measure(self, trials: Sequence[Trial], measure: Measure) -> None:
        cohorts = [
            Cohort(tuple(max(groups, key=len)[:LARGEST_COHORT]))
            for cell, groups in _groups(trials).items()
            if content_id(cell.content) not in self._seconds
        ]
        if not cohorts:
            return
        entries = [
            {
                "cell": content_id(cohort.cell.content),
                "name": str(cohort.cell),
                "threads": self.threads,
                **({"device": found.device} if found.device else {}),
                "seconds": {str(size): seconds for size, seconds in found.seconds.items()},
                **({"why": found.why} if found.why else {}),
            }
            for cohort, found in zip(cohorts, measure(cohorts), strict=True)
        ]
        self.store.append_lines(COHORTS, entries)
        for entry in entries:
            self._enter(entry)

    def _sizes(self, trials: Sequence[Trial], workers: int) -> dict[Cell, int]:
        lengths = {cell: [len(each) for each in groups] for cell, groups in _groups(trials).items()}
        seconds = {cell: self._seconds[content_id(cell.content)] for cell in lengths}
        return choose_sizes(lengths, seconds, workers)


def unfinished(store: Store) -> set[str]:
    """Return the ids of planned cohorts with a trial that the store lacks, of whichever grid."""
    planned = {
        trial: entry["cohort"]
        for entry in store.read_lines(COHORTS)
        if "cohort" in entry
        for trial in entry["trials"]
    }
    done = store.done()
    return {cohort for trial, cohort in planned.items() if trial not in done}


def choose_sizes(
    lengths: Mapping[Cell, Sequence[int]],
    seconds: Mapping[Cell, Mapping[int, float]],
    workers: int,
) -> dict[Cell, int]:
    """Return the cohort size of every cell that ends the whole queue soonest.

    `lengths` are the numbers of trials that may be trained together, `seconds` those per trial by
    cohort size. Every cell begins with its fastest size and takes a smaller one where the workers,
    given the longest cohort first, would end at least 1 % sooner: large cohorts leave some of them
    idle at the end.
    """
    sizes = {
        cell: min(times, key=lambda size: (times[size], size)) for cell, times in seconds.items()
    }

    def end() -> float:
        costs = [
            _cost(seconds[cell], len(part))
            for cell, counts in lengths.items()
            for count in counts
            for part in even_parts(range(count), sizes[cell])
        ]
        loads = [0.0] * workers
        for cost in sorted(costs, reverse=True):
            heapq.heapreplace(loads, loads[0] + cost)
        return max(loads)

    best, improved = end(), True
    while improved:
        improved = False
        for cell in lengths:
            before = chosen = sizes[cell]
            for size in sorted(seconds[cell], reverse=True):
                if size < before:
                    sizes[cell] = size
                    if (found := end()) < 0.99 * best:
                        best, chosen, improved = found, size, True
            sizes[cell] = chosen
    return sizes


def split_end(
    cohorts: Sequence[Cohort], cost: Callable[[Cohort], float], workers: int
) -> list[Cohort]:
    """Split the cohorts that will be handed out last, so that workers end at about one time.

    What a cohort takes is known to a tenth at best, and of long ones at the end a worker waits for
    as much. So the shortest, one for each worker, are halved until none takes more than a share of
    what a worker has to do, or until their parts would take clearly longer than the whole.
    """
    short = LARGEST_LAST * sum(map(cost, cohorts)) / workers
    ordered = sorted(cohorts, key=cost)
    last = [_parts(whole, cost, short) for whole in ordered[:workers]]
    return [*ordered[workers:], *itertools.chain.from_iterable(last)]


def _parts(whole: Cohort, cost: Callable[[Cohort], float], short: float) -> list[Cohort]:
    """Return a cohort in parts that take at most `short` each, if that is not too dear."""
    parts = [whole]
    while any(len(each.trials) > 1 and cost(each) > short for each in parts):
        finer = [
            half for each in parts for half in (each.halves() if len(each.trials) > 1 else (each,))
        ]
        if sum(map(cost, finer)) > DEAREST_SPLIT * cost(whole):
            break
        parts = finer
    return parts


def _cost(seconds: Mapping[int, float], size: int) -> float:
    """Return the seconds of a cohort, whose size may lie between those measured."""
    below = max((each for each in seconds if each <= size), default=min(seconds))
    above = min((each for each in seconds if each >= size), default=below)
    share = (size - below) / (above - below) if above > below else 0.0
    return size * ((1 - share) * seconds[below] + share * seconds[above])


def _by_cell(trials: Iterable[Trial]) -> dict[Cell, list[Trial]]:
    found: dict[Cell, list[Trial]] = defaultdict(list)
    for trial in trials:
        found[trial.cell].append(trial)
    return found


def _groups(trials: Iterable[Trial]) -> dict[Cell, list[list[Trial]]]:
    return {cell: group(members) for cell, members in _by_cell(trials).items()}
