"""Arranges a tidy table as arrays [cell, treatment, seed], so that the rest is vectorised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UsageError, unknown_name
from benchmark.spelling import split_top_level
from benchmark.statistics.table import CELL, TableError, numbers, validate
from benchmark.trial import STATUSES

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[str, str, str]
Floats = NDArray[np.float64]
_Kind = TypeVar("_Kind", bound=np.generic)

ABSENT = -1
OK = STATUSES.index("ok")
DIVERGED = STATUSES.index("diverged")


@dataclass(frozen=True, eq=False)
class Trials:
    """The trials of a table as arrays [cell, treatment, seed].

    `status` holds positions in STATUSES and ABSENT where the table has no row; `outcome` is NaN
    unless the status is ok; `images` [cell] is the number of images behind an outcome. Seeds stand
    in ascending order within their cell: place s of cell c is the seed `seeds[c, s]`, and the
    places beyond a cell's last seed are ABSENT for every treatment. `columns` holds further
    columns in the same arrangement.
    """

    cells: tuple[Cell, ...]
    treatments: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    seeds: NDArray[np.int64]
    status: NDArray[np.int8]
    outcome: Floats
    images: Floats
    outcome_name: str
    columns: dict[str, Floats]

    @cached_property
    def log_error(self) -> Floats:
        """log(1 - outcome), the error no smaller than half an image; NaN unless ok."""
        error = np.round(1.0 - self.outcome, 9)
        return np.log(np.maximum(error, 0.5 / self.images[:, None, None]))

    def index(self, treatment: str) -> int:
        """Where a treatment stands, or TableError with the nearest names."""
        if treatment not in self.treatments:
            raise TableError(unknown_name("treatment", treatment, self.treatments))
        return self.treatments.index(treatment)

    def cells_with(self, treatment: str) -> tuple[Cell, ...]:
        """The cells in which a treatment has a row, of whatever status."""
        present = (self.status[:, self.index(treatment)] != ABSENT).any(axis=-1)
        return tuple(cell for cell, here in zip(self.cells, present, strict=True) if here)

    def on(self, cells: Iterable[Sequence[str]]) -> Trials:
        """The same trials on the given cells only, sorted; a cell without rows is all ABSENT."""
        wanted = sorted({_as_cell(cell) for cell in cells})
        place = {cell: position for position, cell in enumerate(self.cells)}
        where = np.array([place.get(cell, -1) for cell in wanted], dtype=np.intp)
        missing = where < 0

        def select(values: NDArray[_Kind], empty: float) -> NDArray[_Kind]:
            chosen = values[where]
            chosen[missing] = empty
            return chosen

        return replace(
            self,
            cells=tuple(wanted),
            seeds=select(self.seeds, 0),
            status=select(self.status, ABSENT),
            outcome=select(self.outcome, np.nan),
            images=select(self.images, np.nan),
            columns={name: select(values, np.nan) for name, values in self.columns.items()},
        )


def arrange(
    table: pd.DataFrame,
    outcome: str = "accuracy",
    n_column: str | None = "n_test",
    columns: Sequence[str] = (),
) -> Trials:
    """Validate a tidy table and arrange it as arrays; do it once to analyse one table many times.

    `columns` names further numeric columns to carry along. Treatments and cells are sorted by
    name. Raises TableError as `validate` does, and for a missing further column.
    """
    import pandas as pd

    frame = validate(table, outcome, n_column)
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise TableError(f"The table lacks the column {absent[0]!r}.")
    cell_codes, cells = _cell_codes(frame)
    treatment_codes, treatments = pd.factorize(frame["treatment"], sort=True)
    seeds, places = _seed_places(cell_codes, frame["seed"].to_numpy(), len(cells))
    position = (cell_codes, treatment_codes, places)
    shape = (len(cells), len(treatments), seeds.shape[1])

    status = np.full(shape, ABSENT, dtype=np.int8)
    status[position] = pd.Categorical(frame["status"], categories=list(STATUSES)).codes
    ok = frame["status"].to_numpy() == "ok"
    images = np.full(len(cells), np.nan)
    if n_column:
        known = frame[n_column].notna().to_numpy()
        images[cell_codes[known]] = frame[n_column].to_numpy()[known]

    def spread(values: Floats) -> Floats:
        array = np.full(shape, np.nan)
        array[position] = values
        return array

    return Trials(
        cells=cells,
        treatments=tuple(str(name) for name in treatments),
        parts=_parts(frame, treatment_codes, treatments),
        seeds=seeds,
        status=status,
        outcome=spread(np.where(ok, frame[outcome].to_numpy(), np.nan)),
        images=images,
        outcome_name=outcome,
        columns={
            name: spread(numbers(frame, name, frame[name].notna()).to_numpy()) for name in columns
        },
    )


def split_treatment(treatment: str) -> tuple[str, str]:
    """Split a treatment at its last plus sign outside brackets into initializer and rewiring.

    A name without one is an initializer with the rewiring `none`; a name whose brackets do not
    match is left whole, so that a strange name never stops a board.
    """
    try:
        *initializer, rewiring = split_top_level(treatment, "+")
    except UsageError:
        return treatment, "none"
    return ("+".join(initializer), rewiring) if initializer else (treatment, "none")


def _as_cell(cell: Sequence[str]) -> Cell:
    if isinstance(cell, str) or len(cell) != len(CELL):
        raise TableError(f"A cell is (dataset, architecture, recipe), not {cell!r}.")
    dataset, architecture, recipe = cell
    return str(dataset), str(architecture), str(recipe)


def _cell_codes(frame: pd.DataFrame) -> tuple[NDArray[np.intp], tuple[Cell, ...]]:
    import pandas as pd

    codes = np.zeros(len(frame), dtype=np.intp)
    levels = []
    for column in CELL:
        own, names = pd.factorize(frame[column], sort=True)
        codes = codes * len(names) + own
        levels.append(names)
    used, codes = np.unique(codes, return_inverse=True)
    split = np.unravel_index(used, [len(names) for names in levels])
    columns = [[str(names[code]) for code in own] for names, own in zip(levels, split, strict=True)]
    return codes, tuple(zip(*columns, strict=True))


def _seed_places(
    cells: NDArray[np.intp], seeds: NDArray[np.int64], n_cells: int
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The distinct seeds [cell, place] of every cell, ascending, and each row's place."""
    order = np.lexsort((seeds, cells))
    cell, seed = cells[order], seeds[order]
    new_cell = np.diff(cell, prepend=-1) != 0
    new_seed = new_cell | (np.diff(seed, prepend=seed[0]) != 0)
    count = np.cumsum(new_seed) - 1
    place = count - np.maximum.accumulate(np.where(new_cell, count, 0))
    table = np.zeros((n_cells, int(place.max()) + 1), dtype=np.int64)
    table[cell, place] = seed
    places = np.empty_like(place)
    places[order] = place
    return table, places


def _parts(
    frame: pd.DataFrame, codes: NDArray[np.intp], treatments: pd.Index
) -> tuple[tuple[str, str], ...]:
    """Initializer and rewiring of every treatment: from columns of these names, or its name."""
    split = [split_treatment(str(name)) for name in treatments]
    if not {"initializer", "rewiring"} <= set(frame.columns):
        return tuple(split)
    pairs = frame[["initializer", "rewiring"]].assign(code=codes)
    distinct = pairs.dropna().astype({"initializer": str, "rewiring": str}).drop_duplicates()
    twice = distinct["code"].duplicated()
    if twice.any():
        name = treatments[distinct.loc[twice, "code"].iloc[0]]
        raise TableError(
            f"The treatment {name!r} has more than one (initializer, rewiring): give every "
            "treatment one initializer and one rewiring."
        )
    for initializer, rewiring, code in distinct.itertuples(index=False):
        split[code] = initializer, rewiring
    return tuple(split)
