"""What a board rests on: records and manifest of its sources, merged into one canonical form."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import StoreError, UsageError
from benchmark.publishing.table_source import is_table, read_table
from benchmark.results.frame import Row, load_manifest, make_frame, read_rows
from benchmark.trial import PROTOCOL

if TYPE_CHECKING:
    import pandas as pd

CURVE = "validation_accuracy"
CELL = ("dataset", "architecture", "recipe")
_SETTINGS = ("protocol", "baseline", "family", "margin", "target")
_DEFAULTS = {"protocol": PROTOCOL, "margin": 0.05, "target": 0.005}
"""What holds where all sources are tables, which say nothing about it."""

_OF_THE_MACHINE = ("data_dir", "execution")
"""Keys of a config that say where it ran, not what."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")

Cell = tuple[str, str, str]


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

    @property
    def baseline(self) -> str:
        return str(self.manifest["baseline"])

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
        days = [str(each.get("finished", ""))[:10] for each, _ in self.provenances()]
        return max(filter(_DAY.fullmatch, days), default="")

    @property
    def missing(self) -> int:
        """How many declared trials have no record yet."""
        return len(self.manifest["trials"]) - len(self.frame)


def gather(
    sources: Sequence[str],
    *,
    name: str | None = None,
    baseline: str | None = None,
    family: int | None = None,
) -> Evidence:
    """Read results folders, boards and tidy tables (.csv) as the evidence of one board.

    The options override what the manifests say; a board from tables alone needs a `baseline`. In
    one source the last record of a trial counts; over sources, a record with a result counts over
    one without. Raises UsageError or StoreError for sources that cannot be read, that disagree
    about a setting, a cell, or the result of a trial.
    """
    if not sources:
        raise UsageError("a board needs a source: a results folder, a board or a table")
    manifests, records = [], []
    for source in sources:
        if is_table(source):
            manifest, rows = read_table(source)
        else:
            manifest = load_manifest(source)
            declared = {trial[0] for trial in manifest["trials"]}
            rows = read_rows(source, declared, curves=(CURVE,))
        manifests.append(manifest)
        records.append(rows)
    overrides = {"name": name, "baseline": baseline, "family": family}
    given = {key: value for key, value in overrides.items() if value is not None}
    manifest = merge_manifests(manifests, list(sources), given)
    merged = records[0] if len(records) == 1 else _merge_records(records, list(sources))
    frame = make_frame(row for row, _ in merged.values())
    frame["line"] = [merged[trial][1] for trial in frame["trial"]]
    curves = _matrix([curves.get(CURVE) or () for curves in frame["curves"]])
    return Evidence(manifest, frame.drop(columns="curves"), curves)


def cell_key(cell: Mapping[str, Any]) -> Cell:
    """Return a manifest's cell as (dataset, architecture, recipe)."""
    return str(cell["dataset"]), str(cell["architecture"]), str(cell["recipe"])


def merge_manifests(
    manifests: Sequence[dict[str, Any]], sources: Sequence[str], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the canonical manifest of all: sorted, each cell, treatment and trial once.

    Merging a canonical manifest alone changes nothing. Raises UsageError where they disagree.
    """
    settings = {key: _agreed(key, manifests, sources, overrides) for key in _SETTINGS}
    settings = {
        key: _DEFAULTS.get(key) if value is None else value for key, value in settings.items()
    }
    if settings["baseline"] is None:
        raise UsageError("a table names no baseline; say which treatment it is with --baseline")
    cells: dict[Cell, dict[str, Any]] = {}
    treatments: dict[str, dict[str, Any]] = {}
    trials: dict[str, tuple[Cell, str, int]] = {}
    configs: list[Any] = []
    for manifest, source in zip(manifests, sources, strict=True):
        for cell in manifest["cells"]:
            if cells.setdefault(cell_key(cell), cell) != cell:
                raise UsageError(
                    f"{source} trains the cell {' / '.join(cell_key(cell))} by another recipe than"
                    f" {sources[0]}: give one of the recipes another name"
                )
        for treatment in manifest["treatments"]:
            treatments.setdefault(str(treatment["treatment"]), treatment)
        for trial, cell, treatment, seed in manifest["trials"]:
            name = str(manifest["treatments"][treatment]["treatment"])
            trials[trial] = cell_key(manifest["cells"][cell]), name, seed
        own = manifest.get("configs", [manifest["config"]])
        configs += [each for each in map(_what_is_run, own) if each and each not in configs]
    if settings["baseline"] not in treatments:
        raise UsageError(
            f"the baseline {settings['baseline']!r} is not among the treatments:"
            f" {', '.join(sorted(treatments))}"
        )
    if settings["family"] is None:
        settings["family"] = max(len(treatments) - 1, 1)
    order = sorted(treatments, key=lambda name: (name != settings["baseline"], name))
    cell_at = {key: index for index, key in enumerate(sorted(cells))}
    treatment_at = {name: index for index, name in enumerate(order)}
    names = list(dict.fromkeys(str(manifest["name"]) for manifest in manifests))
    contrasts = [each for manifest in manifests for each in manifest["contrasts"]]
    return {
        "schema": manifests[0]["schema"],
        "name": overrides.get("name") or " + ".join(names),
        **settings,
        "contrasts": [each for i, each in enumerate(contrasts) if each not in contrasts[:i]],
        "seeds": sorted({seed for _, _, seed in trials.values()}),
        "cells": [cells[key] for key in sorted(cells)],
        "treatments": [treatments[name] for name in order],
        "trials": sorted(
            (
                [trial, cell_at[cell], treatment_at[name], seed]
                for trial, (cell, name, seed) in trials.items()
            ),
            key=lambda trial: (*trial[1:], trial[0]),
        ),
        "config": configs[0] if configs else {},
        "configs": configs,
    }


def _agreed(
    key: str,
    manifests: Sequence[dict[str, Any]],
    sources: Sequence[str],
    overrides: Mapping[str, Any],
) -> Any:
    """The one value that all manifests with an opinion have."""
    if key in overrides:
        return overrides[key]
    said = [
        (manifest[key], source)
        for manifest, source in zip(manifests, sources, strict=True)
        if manifest[key] is not None
    ]
    for value, source in said[1:]:
        if value != said[0][0]:
            advice = f"; settle it with --{key}" if key in ("baseline", "family") else ""
            raise UsageError(
                f"the {key} is {said[0][0]!r} in {said[0][1]}, but {value!r} in {source}{advice}"
            )
    return said[0][0] if said else None


def _what_is_run(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _OF_THE_MACHINE}


def _merge_records(
    records: Sequence[dict[str, tuple[Row, bytes]]], sources: Sequence[str]
) -> dict[str, tuple[Row, bytes]]:
    merged: dict[str, tuple[Row, bytes]] = {}
    origin: dict[str, str] = {}
    for rows, source in zip(records, sources, strict=True):
        for trial, (row, line) in rows.items():
            status, accuracy = row[8], row[9]
            if trial in merged and merged[trial][0][8] in ("ok", "diverged"):
                if status in ("ok", "diverged") and accuracy != merged[trial][0][9]:
                    raise StoreError(
                        f"{source} and {origin[trial]} have different results of the trial {trial};"
                        " leave out the one that you do not trust"
                    )
                continue
            merged[trial], origin[trial] = (row, line), source
    return merged


def _matrix(curves: Collection[Sequence[float | None]]) -> NDArray[np.float32]:
    """Rows of unlike length as a matrix, NaN where a row has ended or has no number."""
    lengths = np.array([len(curve) for curve in curves], dtype=np.int64)
    matrix = np.full((len(lengths), int(lengths.max(initial=0))), np.nan, dtype=np.float32)
    values = [value for curve in curves for value in curve]
    within = np.arange(matrix.shape[1]) < lengths[:, None]
    matrix[within] = np.array(values, dtype=np.float32)
    return matrix
