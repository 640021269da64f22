"""Tidy tables as a source: whoever trained with their own pipeline gets a board too."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError, UsageError
from benchmark.results.frame import MANIFEST_SCHEMA, read_file
from benchmark.results.rows import Row, read_record, row_of
from benchmark.statistics.table import TableError, validate
from benchmark.statistics.trials import split_treatment
from benchmark.trial import Record, content_id

if TYPE_CHECKING:
    import pandas as pd

LARGEST_TABLE = 2**30
MOST_COLUMNS = 1_000
"""Limits of a table in bytes and, over its commas, in columns."""

_OPTIONAL = ("epoch1_accuracy", "n_validation", "area_under_validation_curve", "test_loss")
_KEY = ("dataset", "architecture", "recipe", "treatment", "seed")


def is_table(source: str) -> bool:
    """Whether a source is a table rather than a folder."""
    return source.lower().endswith(".csv")


def table_bytes(source: str) -> bytes:
    """Return the content of a table.

    Raises StoreError where there is none or it is too large, and UsageError for too many columns:
    what reads it takes memory for each.
    """
    folder, _, name = source.rpartition("/")
    data = read_file(folder or ("/" if source.startswith("/") else "."), name, LARGEST_TABLE)
    if data is None:
        raise StoreError(f"{source} does not exist")
    for number, line in enumerate(data.splitlines(), start=1):
        if line.count(b",") >= MOST_COLUMNS:
            raise UsageError(f"{source}:{number}: more than {MOST_COLUMNS:,} columns")
    return data


def read_table(source: str) -> tuple[dict[str, Any], dict[str, tuple[Row, bytes]]]:
    """Return the manifest and the records that a tidy table amounts to.

    The columns are those of a board's trials.csv; dataset, architecture, recipe, treatment, seed,
    status, accuracy and n_test are needed. Every row is a declared trial; its id is that of the
    column `trial`, else a hash of what names the row. Raises UsageError for a table that the
    statistics refuse.
    """
    import pandas as pd

    data, name = table_bytes(source), source.rpartition("/")[2]
    names = dict.fromkeys((*_KEY[:-1], "initializer", "rewiring", "status", "trial"), str)
    try:
        table = pd.read_csv(io.BytesIO(data), dtype=names, keep_default_na=False, na_values=[""])
        table = validate(table)
    except (TableError, ValueError) as error:
        raise UsageError(f"{source}: {error}") from error
    if not {"initializer", "rewiring"} <= set(table.columns):
        parts = [split_treatment(treatment) for treatment in table["treatment"]]
        table["initializer"], table["rewiring"] = zip(*parts, strict=True)
    if "trial" not in table.columns:
        table["trial"] = [content_id(dict(zip(_KEY, key, strict=True))) for key in _keys(table)]
    records = [
        _record({str(name): value for name, value in row.items()})
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]
    lines = [record.to_json().encode() for record in records]
    rows = {
        record.trial: (row_of(read_record(line)), line)
        for record, line in zip(records, lines, strict=True)
    }
    return _manifest(name.removesuffix(".csv"), records), rows


def _keys(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(zip(*(table[column].tolist() for column in _KEY), strict=True))


def _record(row: dict[str, Any]) -> Record:
    status = row["status"]
    strength = {
        when: row[f"strength_variance_{when}"]
        for when in ("before", "after")
        if row.get(f"strength_variance_{when}") is not None
    }
    named: dict[str, Any] = {
        name: row[name] for name in (*_KEY, "trial", "initializer", "rewiring", "status")
    }
    named |= {name: row.get(name) for name in _OPTIONAL}
    return Record(
        **named,
        content={},
        accuracy=row["accuracy"] if status == "ok" else None,
        n_test=None if row["n_test"] is None else int(row["n_test"]),
        strength=strength,
        seconds={} if row.get("seconds") is None else {"training": row["seconds"]},
    )


def _manifest(name: str, records: list[Record]) -> dict[str, Any]:
    cells = sorted({(each.dataset, each.architecture, each.recipe) for each in records})
    treatments = {each.treatment: each for each in records}
    order = sorted(treatments)
    cell_at = {cell: index for index, cell in enumerate(cells)}
    return {
        "schema": MANIFEST_SCHEMA,
        "protocol": None,
        "name": name,
        "baseline": None,
        "family": None,
        "margin": None,
        "target": None,
        "contrasts": [],
        "seeds": sorted({each.seed for each in records}),
        "cells": [
            {"dataset": d, "architecture": a, "recipe": r, "recipe_content": {}}
            for d, a, r in cells
        ],
        "treatments": [
            {
                "treatment": treatment,
                "initializer": treatments[treatment].initializer,
                "rewiring": treatments[treatment].rewiring,
            }
            for treatment in order
        ],
        "trials": [
            [
                each.trial,
                cell_at[each.dataset, each.architecture, each.recipe],
                order.index(each.treatment),
                each.seed,
            ]
            for each in records
        ],
        "config": {},
    }
