"""Questions beside the baseline's: what a rewiring adds, whether balance matters, named pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import unknown_name
from benchmark.spelling import bare
from benchmark.statistics.analysis import check_arguments, comparisons
from benchmark.statistics.failures import count_failures, failure_rows
from benchmark.statistics.paired import Pairs, pair, pool
from benchmark.statistics.ranking import headlines, holm, lacking
from benchmark.statistics.results import (
    ERROR_PERCENT,
    Comparison,
    Failures,
    Headline,
    Reason,
    Unranked,
    plain,
)
from benchmark.statistics.table import TableError
from benchmark.statistics.trials import ABSENT, Trials, arrange

if TYPE_CHECKING:
    import pandas as pd

REWIRING = "rewiring against none"
REWIRING_POOLED = "rewiring against none, pooled"
BALANCE = "pa against shuffle"
BALANCE_POOLED = "pa against shuffle, pooled"
NAMED = "named"
FAMILIES = (REWIRING, REWIRING_POOLED, BALANCE, BALANCE_POOLED, NAMED)


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm against another; `reference` takes the place of the baseline.

    In a pooled contrast `treatment` and `reference` are rewirings, `initializers` those averaged
    over and `left_out` those that lack a cell, with reasons; otherwise both are treatments. The
    failures are those of all initializers, also of those left out.
    `headline` is None where the contrast lacks a cell: then `reasons` says which.
    """

    treatment: str
    reference: str
    initializers: tuple[str, ...]
    left_out: tuple[Unranked, ...]
    headline: Headline | None
    reasons: tuple[Reason, ...]
    comparisons: tuple[Comparison, ...]
    failures: Failures
    reference_failures: Failures


@dataclass(frozen=True, slots=True)
class ContrastFamily:
    """Contrasts that answer one question and share the price of asking it `family` times."""

    name: str
    family: int
    margin: float
    target: float
    contrasts: tuple[Contrast, ...]

    @property
    def error_percent(self) -> float:
        """The chance, at most, of any wrong better or worse in this family, in percent."""
        tested = sum(contrast.headline is not None for contrast in self.contrasts)
        return ERROR_PERCENT * max(1.0, tested / self.family)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        plain_self: dict[str, Any] = plain(self)
        return plain_self


@dataclass(frozen=True)
class _Question:
    """Pairs of arms by their places: one pair, or one per initializer to be pooled.

    `absent` are the initializers to be pooled of which the table has not both arms.
    """

    treatment: str
    reference: str
    pairs: tuple[tuple[int, int], ...]
    initializers: tuple[str, ...]
    pooled: bool
    absent: tuple[str, ...] = ()


def contrast_families(
    table: pd.DataFrame | Trials,
    named: Iterable[tuple[str, str]] = (),
    families: Mapping[str, int] | None = None,
    margin: float = 0.05,
    target: float = 0.005,
    cells: Iterable[Sequence[str]] | None = None,
    outcome: str = "accuracy",
    n_column: str = "n_test",
    pooled: Iterable[tuple[str, str]] | None = None,
) -> tuple[ContrastFamily, ...]:
    """Every contrast family that the table's treatments allow, the ones without contrasts left out.

    The families: each rewiring against `none` of the same initializer, and the same pooled over
    initializers; each `pa` against each `shuffle` of the same initializer, and pooled; the `named`
    pairs (A, B), A against B. `families` fixes a family's size by its name (default: its number of
    contrasts in the table). Initializer and rewiring come from columns of these names, else from
    the treatment's name. A contrast is over the declared `cells`, else over those in which its
    reference has a row. Each unpooled contrast equals what `analyse` finds with its reference as
    the baseline and the same family.

    A pooled contrast averages, in every cell and at every seed, the log error ratios of the
    initializers, and tests the averages: seeds are shared between initializers, so that runs of
    one seed are no independent evidence. It uses the seeds at which every initializer has its
    pair. An initializer with fewer than three pairs in any cell is left out of all cells, with
    reasons, so that all cells average the same initializers. `pooled` fixes, as (initializer,
    rewiring), the treatments that pooled contrasts are about (default: all of the table), so that
    no other treatment changes one.

    Raises TableError for a bad table, unknown names, or a family that does not exist.
    """
    trials = table if isinstance(table, Trials) else arrange(table, outcome, n_column)
    declared = None if cells is None else list(cells)
    sizes = dict(families or {})
    founders = trials.parts if pooled is None else tuple(pooled)
    questions = _questions(trials, list(named), founders)
    unknown = set(sizes) - set(questions)
    if unknown:
        raise TableError(unknown_name("contrast family", min(unknown), questions))
    return tuple(
        _family(trials, name, asked, sizes.get(name, len(asked)), margin, target, declared)
        for name, asked in questions.items()
        if asked
    )


def family_sizes(parts: Sequence[tuple[str, str]], named: int = 0) -> dict[str, int]:
    """How many contrasts each family has among (initializer, rewiring) pairs, empty ones left out.

    A board fixes these numbers when it is made, as it fixes the family of its verdicts: a
    treatment that comes later changes nobody's family-wise p.
    """
    against_none, balance = _against_none(parts), _balance(parts)
    sizes = {
        REWIRING: len(against_none),
        REWIRING_POOLED: len({parts[i][1] for i, _ in against_none}),
        BALANCE: len(balance),
        BALANCE_POOLED: len({(parts[i][1], parts[j][1]) for i, j in balance}),
        NAMED: named,
    }
    return {name: size for name, size in sizes.items() if size}


def _questions(
    trials: Trials, named: list[tuple[str, str]], founders: Sequence[tuple[str, str]]
) -> dict[str, list[_Question]]:
    _refuse_two_spellings(trials)
    against_none, balance = _against_none(trials.parts), _balance(trials.parts)
    return {
        REWIRING: _singly(trials, against_none),
        REWIRING_POOLED: _pooled(trials, founders, _against_none(founders)),
        BALANCE: _singly(trials, balance),
        BALANCE_POOLED: _pooled(trials, founders, _balance(founders)),
        NAMED: _singly(trials, [(trials.index(a), trials.index(b)) for a, b in named]),
    }


def _refuse_two_spellings(trials: Trials) -> None:
    parts = trials.parts
    twice = next((part for part in parts if parts.count(part) > 1), None)
    if twice:
        spellings = [trials.treatments[i] for i, part in enumerate(parts) if part == twice]
        raise TableError(
            f"{' and '.join(map(repr, spellings))} are the same initializer and rewiring: "
            "write every treatment in one spelling."
        )


def _against_none(parts: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    return _same_initializer(parts, lambda a, b: b == "none" != a)


def _balance(parts: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    return _same_initializer(parts, lambda a, b: bare(a) == "pa" and bare(b) == "shuffle")


def _same_initializer(
    parts: Sequence[tuple[str, str]], wanted: Callable[[str, str], bool]
) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i, (initializer, rewiring) in enumerate(parts)
        for j, (other, reference) in enumerate(parts)
        if initializer == other and wanted(rewiring, reference)
    ]


def _singly(trials: Trials, pairs: list[tuple[int, int]]) -> list[_Question]:
    return [
        _Question(trials.treatments[i], trials.treatments[j], ((i, j),), (), pooled=False)
        for i, j in pairs
    ]


def _pooled(
    trials: Trials, founders: Sequence[tuple[str, str]], pairs: list[tuple[int, int]]
) -> list[_Question]:
    """One question for every two rewirings; `pairs` are places of arms among the founders."""
    place = {part: i for i, part in enumerate(trials.parts)}
    grouped: dict[tuple[str, str], dict[str, tuple[int | None, int | None]]] = {}
    for one, other in (tuple(founders[i] for i in arms) for arms in pairs):
        grouped.setdefault((one[1], other[1]), {})[one[0]] = place.get(one), place.get(other)
    questions = []
    for (a, b), of in sorted(grouped.items()):
        there = {name: (i, j) for name, (i, j) in of.items() if i is not None and j is not None}
        if there:
            absent = tuple(name for name in of if name not in there)
            pooled = tuple(there.values()), tuple(there)
            questions.append(_Question(a, b, *pooled, pooled=True, absent=absent))
    return questions


def _family(
    trials: Trials,
    name: str,
    questions: list[_Question],
    family: int,
    margin: float,
    target: float,
    cells: list[Sequence[str]] | None,
) -> ContrastFamily:
    found = [_contrast(trials, question, family, margin, target, cells) for question in questions]
    tested = [contrast.headline.p for contrast in found if contrast.headline]
    adjusted = iter(holm(tested).tolist())
    return ContrastFamily(
        name,
        family,
        margin,
        target,
        tuple(
            replace(contrast, headline=replace(contrast.headline, p_holm=next(adjusted)))
            if contrast.headline
            else contrast
            for contrast in found
        ),
    )


def _contrast(
    trials: Trials,
    question: _Question,
    family: int,
    margin: float,
    target: float,
    cells: list[Sequence[str]] | None,
) -> Contrast:
    treatments, references = zip(*question.pairs, strict=True)
    if cells is None:
        present = (trials.status[:, references] != ABSENT).any(axis=(1, 2))
        cells = [cell for cell, there in zip(trials.cells, present, strict=True) if there]
    here = trials.on(cells)
    check_arguments(here, family, margin, target)
    pairs = pair(here, treatments, references)
    failures, reference_failures = _failures(here, question, pairs)
    left_out: list[Unranked] = []
    if question.pooled:
        left_out = lacking(pairs, question.initializers, here.cells)
        reasons = tuple(Reason(*cell, "absent", 0) for cell in here.cells)
        left_out += [Unranked(name, reasons) for name in question.absent]
        pairs = pool(pairs, _complete(question, left_out))
    names = [question.treatment]
    more = np.array([failures.diverges_more], dtype=bool)
    found, unranked = headlines(pairs, names, here.cells, more, family, margin)
    return Contrast(
        treatment=question.treatment,
        reference=question.reference,
        initializers=tuple(question.initializers[i] for i in _complete(question, left_out)),
        left_out=tuple(left_out),
        headline=found[0] if found else None,
        reasons=unranked[0].reasons if unranked else (),
        comparisons=comparisons(pairs, names, here.cells, target),
        failures=failures,
        reference_failures=reference_failures,
    )


def _complete(question: _Question, left_out: list[Unranked]) -> list[int]:
    """The places of the initializers that are not left out."""
    out = {row.treatment for row in left_out}
    return [i for i, name in enumerate(question.initializers) if name not in out]


def _failures(trials: Trials, question: _Question, pairs: Pairs) -> tuple[Failures, ...]:
    """Both arms' failures; a pooled contrast counts those of all its initializers."""
    k, n = count_failures(trials)
    arms = [list(arm) for arm in zip(*question.pairs, strict=True)]
    return failure_rows(
        [question.treatment, question.reference],
        np.array([k[arm].sum() for arm in arms]),
        np.array([n[arm].sum() for arm in arms]),
        pool(pairs, range(len(question.pairs))) if question.pooled else pairs,
        reference=1,
    )
