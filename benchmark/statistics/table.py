"""Checks a tidy table of trials before anything is computed from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import UsageError
from benchmark.trial import STATUSES

if TYPE_CHECKING:
    import pandas as pd

CELL = ("dataset", "architecture", "recipe")
KEY = (*CELL, "treatment", "seed")
TEST_IMAGES = "n_test"

_NAMED_ROWS = 5


class TableError(UsageError, ValueError):
    """A table that cannot be analysed as it is; says which rows and what to write instead."""


def validate(
    table: pd.DataFrame, outcome: str = "accuracy", n_column: str | None = "n_test"
) -> pd.DataFrame:
    """Check a tidy table, one row a trial, and return a copy with settled types.

    Columns needed: dataset, architecture, recipe, treatment, seed, status, `outcome` (a share
    between 0 and 1, read in rows whose status is ok) and `n_column` (how many images the outcome
    was measured on; None if it is not needed). Other columns are kept untouched. Raises
    TableError, naming the rows, for: missing columns, empty keys, unknown statuses, seeds that are
    no whole numbers, outcomes of ok rows that are absent or outside [0, 1], two rows for one
    trial, two numbers of images for one cell, two numbers of test images (`n_test`) for one data
    set: a recipe may set aside its own share of them for validation.
    """
    needed = [*KEY, "status", outcome] + ([n_column] if n_column else [])
    absent = [column for column in needed if column not in table.columns]
    if absent:
        raise TableError(
            f"The table lacks {_listed(absent)}; it has {_listed(table.columns)}. "
            f"Write one row per trial with the columns {_listed(needed)}."
        )
    if table.empty:
        raise TableError("The table has no rows: write one row per trial.")
    frame = table.copy()
    for column in (*CELL, "treatment", "status"):
        refuse(frame, frame[column].isna(), f"no {column}", f"Write the {column}'s name.")
        frame[column] = frame[column].astype(str)
    _check_statuses(frame)
    frame["seed"] = _whole_numbers(frame, "seed")
    ok = frame["status"] == "ok"
    frame[outcome] = shares(frame, outcome)
    if frame.duplicated(list(KEY)).any():
        together = frame.sort_values(list(KEY), kind="stable")
        refuse(
            together,
            together.duplicated(list(KEY), keep=False),
            "the same trial more than once",
            "Keep one row for each (data set, architecture, recipe, treatment, seed).",
        )
    if n_column:
        frame[n_column] = numbers(frame, n_column, ok)
        _check_images(frame, n_column, ok)
    return frame


def numbers(frame: pd.DataFrame, column: str, needed: pd.Series) -> pd.Series:
    """The column as float64; text in the rows that are needed is refused, elsewhere it is NaN."""
    import pandas as pd

    values = pd.to_numeric(frame[column], errors="coerce").astype(np.float64)
    refuse(
        frame,
        needed & values.isna() & frame[column].notna(),
        f"{column} that is no number",
        "Write a plain decimal number.",
    )
    return values


def _check_statuses(frame: pd.DataFrame) -> None:
    unknown = ~frame["status"].isin(STATUSES)
    if unknown.any():
        name = frame.loc[unknown, "status"].iloc[0]
        refuse(
            frame,
            unknown,
            f"unknown status {name!r}",
            f"Write one of {_listed(STATUSES)}.",
        )


def shares(frame: pd.DataFrame, outcome: str) -> pd.Series:
    """The column as float64; ok rows without a share between 0 and 1 are refused."""
    ok = frame["status"] == "ok"
    values = numbers(frame, outcome, ok)
    refuse(
        frame,
        ok & values.isna(),
        f"ok, but no {outcome}",
        f"Write its {outcome}, or the status that says why there is none.",
    )
    refuse(
        frame,
        ok & ~values.between(0.0, 1.0),
        f"{outcome} outside [0, 1]",
        "Write shares, not percentages: 0.943 for 94.3 %.",
    )
    return values


def _check_images(frame: pd.DataFrame, n_column: str, ok: pd.Series) -> None:
    images = frame[n_column]
    bad = (ok & images.isna()) | (images.notna() & ~((images >= 1) & (images % 1 == 0)))
    refuse(frame, bad, f"no valid {n_column}", "Write how many images the outcome was measured on.")
    of_dataset = n_column == TEST_IMAGES
    whole = "data set" if of_dataset else "cell"
    alike = images.groupby([frame[column] for column in CELL[: 1 if of_dataset else None]])
    differing = alike.transform("min") != alike.transform("max")
    refuse(
        frame,
        differing & images.notna(),
        f"{whole} with more than one {n_column}",
        f"Give every row of a {whole} the same {n_column}, or {whole}s of unlike size two names.",
    )


def _whole_numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    import pandas as pd

    values = pd.to_numeric(frame[column], errors="coerce")
    bad = values.isna() | (values % 1 != 0)
    refuse(frame, bad, f"{column} that is no whole number", "Write 0, 1, 2, ...")
    return values.astype(np.int64)


def refuse(frame: pd.DataFrame, bad: pd.Series, what: str, instead: str) -> None:
    """Raise TableError that names the rows in which `bad` is true, if there are any."""
    where = np.flatnonzero(bad.to_numpy())
    if not len(where):
        return
    named = []
    for position in where[:_NAMED_ROWS]:
        row = frame.iloc[position]
        key = ", ".join(str(row[column]) for column in (*CELL, "treatment"))
        named.append(f"row {frame.index[position]} ({key}, seed {row['seed']})")
    more = f" and {len(where) - _NAMED_ROWS} more" if len(where) > _NAMED_ROWS else ""
    raise TableError(f"{'; '.join(named)}{more}: {what}. {instead}")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(repr(str(name)) for name in names)
