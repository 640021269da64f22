"""The small frozen objects that hold what the statistics found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.statistics.trials import Cell

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Row = TypeVar("_Row", bound="DataclassInstance")

ERROR_PERCENT = 5.0
"""The chance, at most, of any wrong better or worse among as many comparisons as a family has."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One treatment in one cell: how its runs ended and the outcome of those that are ok.

    `half_width` is that of the 95 % t-interval of the mean; None below three runs or if all agree.
    """

    dataset: str
    architecture: str
    recipe: str
    treatment: str
    n_ok: int
    n_diverged: int
    n_infrastructure: int
    mean: float | None
    sd: float | None
    half_width: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One treatment against the reference in one cell, paired by seed.

    Differences are treatment less reference, in shares of the outcome: above 0 is better.
    `log_mean` and `log_sd` are those of the log error ratio: below 0 is better. `state` is
    `tested`, `identical` (every difference is 0), `too_few` (fewer than 3 pairs) or `absent` (an
    arm has no row); the last two leave the numbers None. `floored` says that the spread was below
    what rounding to whole images makes, and was set to that. `seeds_needed` is None above 1000.
    """

    dataset: str
    architecture: str
    recipe: str
    treatment: str
    n_pairs: int
    n_diverged_pairs: int
    n_missing: int
    state: str
    floored: bool | None
    mean_difference: float | None
    sd_difference: float | None
    t: float | None
    df: int | None
    p: float | None
    ci_low: float | None
    ci_high: float | None
    p_bh: float | None
    p_sign_flip: float | None
    minimum_detectable: float | None
    seeds_needed: int | None
    seeds_needed_cautious: int | None
    log_mean: float | None
    log_sd: float | None
    spread_state: str | None
    spread_sd_ratio: float | None
    spread_t: float | None
    spread_p: float | None

    @property
    def cell(self) -> Cell:
        return self.dataset, self.architecture, self.recipe


@dataclass(frozen=True, slots=True)
class Failures:
    """How often training diverged: `k` of `n` runs that did not fail for want of a machine.

    `only_treatment` and `only_baseline` count the pairs in which one arm alone diverged, `p` is
    the exact McNemar test on them; the baseline's own row has None there. In a contrast, the
    reference takes the baseline's place.
    """

    treatment: str
    k: int
    n: int
    wilson_low: float | None
    wilson_high: float | None
    only_treatment: int | None
    only_baseline: int | None
    p: float | None
    diverges_more: bool | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of the mean log error ratio with its two-sided and equivalence p values."""

    se: float
    df: float
    low: float
    high: float
    p: float
    p_tost: float


@dataclass(frozen=True, slots=True)
class Headline:
    """One treatment against the reference over all cells; below 0 is a smaller error.

    `estimate`, `low` and `high` are log error ratios; their `_percent` twins, `change_percent`
    and `detectable_percent` are relative changes of the error. `seeds` holds what repeating the
    training would vary, `population` (None where no factor has three groups) what other data sets
    or architectures would; shown are the wider interval, the larger p values and the larger
    detectable change. `rank` is None where nothing is ranked.
    """

    treatment: str
    estimate: float
    change_percent: float
    cells: int
    scope: str
    state: str
    seeds: Interval
    population: Interval | None
    low: float
    high: float
    low_percent: float
    high_percent: float
    p: float
    p_tost: float
    detectable_percent: float
    rank: int | None
    p_family: float
    p_holm: float
    verdict: str

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval excludes 0, which by itself is no verdict."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Reason:
    """A cell that keeps a treatment from being ranked, and what is wrong there."""

    dataset: str
    architecture: str
    recipe: str
    state: str
    n_pairs: int


@dataclass(frozen=True, slots=True)
class Unranked:
    """A treatment that is listed without a rank, with every cell that is the cause."""

    treatment: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Variance:
    """Sums of squares of the log error over a balanced block of cells, treatments and seeds.

    The keys are cell, treatment, interaction, seed (within cells) and residual.
    """

    cells: int
    treatments: int
    seeds: int
    total: float
    sums_of_squares: dict[str, float]
    degrees_of_freedom: dict[str, int]
    shares: dict[str, float]


@dataclass(frozen=True)
class Analysis:
    """Every treatment against one baseline: what `analyse` returns.

    Rows are sorted by cell, then treatment, the baseline first; `ranking` by rank, then name.
    `near_ceiling` lists the cells in which the baseline errs on fewer than ten images, so that one
    image is a large step of the relative error.
    """

    baseline: str
    outcome: str
    family: int
    margin: float
    target: float
    cells: tuple[Cell, ...]
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    failures: tuple[Failures, ...]
    ranking: tuple[Headline, ...]
    unranked: tuple[Unranked, ...]
    variance: Variance | None
    near_ceiling: tuple[Cell, ...]

    @property
    def family_error_percent(self) -> float:
        """The chance, at most, of any wrong better or worse among the ranked, in percent."""
        return ERROR_PERCENT * max(1.0, len(self.ranking) / self.family)

    def to_dict(self) -> dict[str, Any]:
        """Arms, comparisons, failures, ranking, unranked and variance as plain JSON values."""
        return {
            "arms": plain(self.arms),
            "comparisons": plain(self.comparisons),
            "failures": plain(self.failures),
            "ranking": plain(self.ranking),
            "unranked": [
                {"treatment": row.treatment, "reasons": [[*plain(r).values()] for r in row.reasons]}
                for row in self.unranked
            ],
            "variance": plain(self.variance),
        }


def plain(value: Any) -> Any:
    """Turn the objects of this module, however nested, into dictionaries, lists and numbers."""
    if isinstance(value, (str, int, float, type(None))):
        return value
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def rows(kind: type[_Row], columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> tuple[_Row, ...]:
    """Make one frozen object per row of equally long columns; NaN becomes None."""
    ordered = [_values(columns[field.name]) for field in fields(kind)]
    return tuple(kind(*values) for values in zip(*ordered, strict=True))


def whole(values: NDArray[np.float64]) -> list[int | None]:
    """Whole numbers held as floats, with NaN for none."""
    return [None if value != value else int(value) for value in values.tolist()]


def _values(column: Sequence[Any] | NDArray[Any]) -> Sequence[Any]:
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind != "f":
        return column.tolist()
    return [None if value != value else value for value in column.tolist()]
