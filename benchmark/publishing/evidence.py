"""What a board rests on: records and manifest of its sources, merged into one canonical form."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import StoreError, UsageError
from benchmark.garbage import without_garbage_collection
from benchmark.publishing.manifests import (
    Cell,
    Declared,
    cell_key,
    declared_trials,
    merge_manifests,
)
from benchmark.publishing.table_source import is_table, read_table
from benchmark.results.frame import load_manifest, make_frame, read_rows
from benchmark.results.rows import Row
from benchmark.trial import RESULTS

if TYPE_CHECKING:
    import pandas as pd

CURVE = "validation_accuracy"
CELL = ("dataset", "architecture", "recipe")

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Evidence:
    """Manifest and records of a board, whatever order its sources had them in.

    `frame` is that of `load_records` with the further column `line`, each record as it was
    written; `curves` [row, epoch] holds the validation accuracies, NaN where there is none.
    """

    manifest: dict[str, Any]
    frame: pd.DataFrame
    curves: NDArray[np.float32]

    @property
    def cells(self) -> list[Cell]:
        """The declared cells, in the order of their names."""
        return [cell_key(cell) for cell in self.manifest["cells"]]

    @property
    def treatments(self) -> list[str]:
        """The declared treatments, the baseline first, then by name."""
        return [str(treatment["treatment"]) for treatment in self.manifest["treatments"]]

    @cached_property
    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Where each row stands among the cells, the treatments and the manifest's seeds."""
        names = (as_list(self.frame[column]) for column in CELL)
        return (
            _places(zip(*names, strict=True), self.cells),
            _places(as_list(self.frame["treatment"]), self.treatments),
            _places(self.frame["seed"].tolist(), self.manifest["seeds"]),
        )

    @property
    def baseline(self) -> str:
        return str(self.manifest["baseline"])

    @cached_property
    def provenances(self) -> list[tuple[dict[str, Any], int]]:
        """The different provenances, cohorts apart, with the number of records that each has."""
        counts = Counter(map(id, self.frame["provenance"]))
        distinct = {id(each): each for each in self.frame["provenance"]}
        return sorted(
            ((each, counts[key]) for key, each in distinct.items()),
            key=lambda found: json.dumps(found[0], sort_keys=True),
        )

    @property
    def date(self) -> str:
        """The day on which the last trial finished, if the records say so."""
        days = [str(each.get("finished", ""))[:10] for each, _ in self.provenances]
        return max(filter(_DAY.fullmatch, days), default="")

    @cached_property
    def runs(self) -> dict[str, tuple[int, int, int]]:
        """How many trials of each treatment are declared, have a record, and are ok."""
        _, at, _ = self.places
        declared = np.array([trial[2] for trial in self.manifest["trials"]], dtype=np.intp)
        ok = (self.frame["status"] == "ok").to_numpy()
        n = len(self.treatments)
        counts = (np.bincount(each, minlength=n).tolist() for each in (declared, at, at[ok]))
        return dict(zip(self.treatments, zip(*counts, strict=True), strict=True))

    @property
    def missing(self) -> int:
        """How many declared trials have no record yet."""
        return len(self.manifest["trials"]) - len(self.frame)


@without_garbage_collection()
def gather(
    sources: Sequence[str],
    *,
    name: str | None = None,
    baseline: str | None = None,
    family: int | None = None,
) -> Evidence:
    """Read results folders, boards and tidy tables (.csv) as the evidence of one board.

    The options override what the manifests say; a board from tables alone needs a `baseline`. In
    one source the last record of a trial counts; in one as over several, a record with a result
    counts over one without. Raises UsageError or StoreError for sources that cannot be read, that
    disagree about a setting, a cell, or the result of a trial.
    """
    if not sources:
        raise UsageError("a board needs a source: a results folder, a board or a table")
    manifests, records = [], []
    for source in sources:
        if is_table(source):
            manifest, rows = read_table(source)
        else:
            manifest = load_manifest(source)
            declared = declared_trials(manifest, source)
            rows = read_rows(source, declared, curves=(CURVE,))
            _refuse_other_content(rows, declared, source)
        manifests.append(manifest)
        records.append(rows)
    overrides = {"name": name, "baseline": baseline, "family": family}
    given = {key: value for key, value in overrides.items() if value is not None}
    manifest = merge_manifests(manifests, list(sources), given)
    merged = records[0] if len(records) == 1 else _merge_records(records, list(sources))
    frame = make_frame(row for row, _ in merged.values())
    frame["line"] = [merged[trial][1] for trial in as_list(frame["trial"])]
    curves = _matrix([curves.get(CURVE) or () for curves in frame["curves"]])
    return Evidence(manifest, frame.drop(columns="curves"), curves)


def as_list(column: pd.Series) -> list[Any]:
    """Return a column's values; pandas itself takes its time over strings, one by one."""
    return column.to_numpy(dtype=object).tolist()


def _refuse_other_content(
    records: dict[str, tuple[Row, bytes]], declared: Mapping[str, Declared], source: str
) -> None:
    """Raise StoreError for a record that says it is of another trial than the manifest says."""
    for trial, (row, _) in records.items():
        cell, treatment, seed = declared[trial]
        if cell != row[1:4] or treatment != row[4] or seed != row[7]:
            raise StoreError(
                f"{source}: the record of the trial {trial} is of"
                f" {' / '.join(map(str, row[1:5]))}, seed {row[7]}; the manifest says"
                f" {' / '.join(cell)} / {treatment}, seed {seed}"
            )


def _merge_records(
    records: Sequence[dict[str, tuple[Row, bytes]]], sources: Sequence[str]
) -> dict[str, tuple[Row, bytes]]:
    merged: dict[str, tuple[Row, bytes]] = {}
    origin: dict[str, str] = {}
    for rows, source in zip(records, sources, strict=True):
        for trial, (row, line) in rows.items():
            status, accuracy = row[8], row[9]
            if trial in merged and merged[trial][0][8] in RESULTS:
                if status in RESULTS and accuracy != merged[trial][0][9]:
                    raise StoreError(
                        f"{source} and {origin[trial]} have different results of the trial {trial};"
                        " leave out the one that you do not trust, or keep the first's where they"
                        f" differ: initbench merge {origin[trial]} {source} --into DIR"
                    )
                continue
            merged[trial], origin[trial] = (row, line), source
    return merged


def _places(values: Iterable[Any], known: Iterable[Any]) -> NDArray[np.intp]:
    place = {value: index for index, value in enumerate(known)}
    return np.array([place[value] for value in values], dtype=np.intp)


def _matrix(curves: Collection[Sequence[float | None]]) -> NDArray[np.float32]:
    """Rows of unlike length as a matrix, NaN where a row has ended or has no number."""
    lengths = np.array([len(curve) for curve in curves], dtype=np.int64)
    matrix = np.full((len(lengths), int(lengths.max(initial=0))), np.nan, dtype=np.float32)
    values = [value for curve in curves for value in curve]
    within = np.arange(matrix.shape[1]) < lengths[:, None]
    matrix[within] = np.array(values, dtype=np.float32)
    return matrix
