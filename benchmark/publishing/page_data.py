"""What index.html computes nothing of: every comparison, run and curve, packed into little text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmark.publishing.curves import MeanCurves
from benchmark.publishing.evidence import as_list
from benchmark.publishing.findings import Findings
from benchmark.publishing.pairs import EveryPair, every_pair
from benchmark.publishing.text import LEAST_PERCENT, MOST_PERCENT, change_digits, p_value, plain
from benchmark.publishing.verdicts import VERDICTS
from benchmark.statistics.results import Headline
from benchmark.trial import STATUSES

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
POINT = 1e-4
"""Differences and accuracies on the page are multiples of a hundredth of a percentage point."""

_OFFSET = 10_000
_CURVE_POINTS = 12
_HALF_ID = 6
_ID = re.compile(r"[0-9a-f]{16}")

_Shown = list[float | int | str]


def page_data(findings: Findings, curves: MeanCurves, most_bytes: int) -> dict[str, Any]:
    """Return the page's data as plain JSON values; numbers in bulk are packed by `pack`.

    Names stand once, in `treatments` and `cells`; everything else refers to their places. Runs,
    curves, intervals and the trials' names, from the first seed on, are there as far as
    `most_bytes` allows, in this order.
    """
    evidence = findings.evidence
    names = evidence.treatments
    described = evidence.manifest["treatments"]
    pairs = every_pair(findings)
    data: dict[str, Any] = {
        "treatments": [plain(name) for name in names],
        "initializers": [plain(each["initializer"]) for each in described],
        "rewirings": [plain(each["rewiring"]) for each in described],
        "cells": [[plain(part) for part in cell] for cell in evidence.cells],
        "statuses": [status.replace("_", " ") for status in STATUSES],
        "verdicts": list(VERDICTS),
        "rankings": _rankings(names, pairs),
        "differences": _differences(names, pairs, len(evidence.cells)),
    }
    room = most_bytes - len(to_json(data))
    for part in (_runs(findings), _curves(curves), _half_widths(names, pairs)):
        size = len(to_json(part))
        if size <= room:
            data |= part
            room -= size
    return data | (_trials(findings, room) if "runs" in data else {})


def to_json(data: Any) -> str:
    """Return JSON that can stand in a script element: it has no <, > or &."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def pack(values: ArrayLike, width: int) -> str:
    """Write whole numbers from 0 on in base 64, `width` digits each, one after another."""
    numbers = np.asarray(values, dtype=np.int64).ravel()
    numbers = np.clip(numbers, 0, 64**width - 1)
    places = 64 ** np.arange(width - 1, -1, -1)
    digits = numbers[:, None] // places % 64
    table = np.frombuffer(DIGITS.encode(), dtype=np.uint8)
    return table[digits].tobytes().decode()


def _rankings(names: list[str], pairs: EveryPair) -> list[list[_Shown | None] | None]:
    """By baseline, then treatment: rank, change, low, high (percent), p and verdict; or None."""
    by_name = dict(zip(pairs.names, pairs.rankings, strict=True))

    def of(baseline: str) -> Iterator[_Shown | None]:
        rows = {row.treatment: row for row in by_name[baseline]}
        for name in names:
            row = rows.get(name)
            yield _headline(row) if row else None

    return [list(of(name)) if name in by_name else None for name in names]


def _headline(row: Headline) -> _Shown:
    ends = _as_shown(row.low_percent, row.high_percent)
    p = p_value(row.p_family) if row.p_family >= 0.001 else 0
    verdict = VERDICTS.index(row.verdict)
    return [row.rank or 0, *_as_shown(row.change_percent), *ends, p, verdict]


def _as_shown(*percents: float) -> list[float | int]:
    """Round changes that stand together once, to the digits that the page writes."""
    most = [min(max(percent, LEAST_PERCENT), MOST_PERCENT) for percent in percents]
    rounded = [round(percent, change_digits(*most)) for percent in most]
    return [int(value) if value == int(value) else value for value in rounded]


def _differences(names: list[str], pairs: EveryPair, cells: int) -> str:
    """For every pair in the order of the names and every cell, the difference and its mark.

    0 is no comparison; else 1 + 2 * (hundredths of points + 10000) + mark, in three digits.
    """
    values = 1 + 2 * (np.round(pairs.difference / POINT) + _OFFSET) + pairs.marked
    packed = np.nan_to_num(values, nan=0.0).astype(np.int64)
    return _by_names(names, pairs, packed, cells, 3, flip=True)


def _half_widths(names: list[str], pairs: EveryPair) -> dict[str, str]:
    """For every pair and cell, 1 + half the interval in hundredths of points; 0 for none."""
    if not len(pairs.half_width):
        return {}
    packed = np.nan_to_num(1 + np.round(pairs.half_width / POINT), nan=0.0).astype(np.int64)
    cells = len(packed)
    return {"half_widths": _by_names(names, pairs, packed, cells, 2, flip=False)}


def _by_names(
    names: list[str], pairs: EveryPair, packed: np.ndarray, cells: int, width: int, *, flip: bool
) -> str:
    """Pack values [cell, pair] in the order of `names`: pairs (i, j) with i < j, cells within.

    The statistics have the treatments by name, the page the baseline first: then a difference
    that has turned round is flipped.
    """
    place = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(names), len(names), cells), dtype=np.int64)
    at = np.array([place[name] for name in pairs.names], dtype=np.intp)
    first, second = at[pairs.first], at[pairs.second]
    turned = np.where(packed > 0, 2 * (1 + 2 * _OFFSET) + (packed - 1) % 2 * 2 - packed, 0)
    table[first, second] = packed.T
    table[second, first] = (turned if flip else packed).T
    return pack(table[np.triu_indices(len(names), 1)], width)


def _runs(findings: Findings) -> dict[str, Any]:
    """Seeds, and for every cell, treatment and seed how the run ended, in three digits.

    0 is no run, 1 to 5 the place in `statuses` (0 being ok), 8 + accuracy in hundredths of points.
    """
    evidence = findings.evidence
    seeds = evidence.manifest["seeds"]
    frame = evidence.frame
    codes = np.array(
        [STATUSES.index(status) for status in as_list(frame["status"])], dtype=np.int64
    )
    accuracy = np.round(np.nan_to_num(frame["accuracy"].to_numpy()) / POINT).astype(np.int64)
    table = np.zeros(_shape(findings, len(seeds)), dtype=np.int64)
    table[findings.evidence.places] = np.where(codes == 0, 8 + accuracy, codes)
    return {"seeds": seeds, "runs": pack(table, 3)}


def _trials(findings: Findings, room: int) -> dict[str, Any]:
    """The trials' names of as many seeds as there is room for: 16 hexadecimal digits in twelve.

    Names of another form are those of a table's rows, which nothing here could repeat.
    """
    frame = findings.evidence.frame
    cells, treatments, seeds = _shape(findings, len(findings.evidence.manifest["seeds"]))
    kept = min(seeds, room // max(cells * treatments * 2 * _HALF_ID, 1))
    names = as_list(frame["trial"])
    if not kept or not all(map(_ID.fullmatch, names)):
        return {}
    table = np.zeros((cells, treatments, seeds, 2), dtype=np.int64)
    halves = [(int(each[:8], 16), int(each[8:], 16)) for each in names]
    table[findings.evidence.places] = np.array(halves, dtype=np.int64).reshape(-1, 2)
    return {"named_seeds": kept, "trials": pack(table[:, :, :kept], _HALF_ID)}


def _curves(curves: MeanCurves) -> dict[str, Any]:
    """Mean validation accuracies at no more than 12 epochs of every cell, and their half-widths.

    1 + hundredths of a percent in three digits for the mean, 1 + tenths in two for the half-width.
    """
    epochs, means, widths = [], [], []
    for cell in range(len(curves.mean)):
        count = curves.epochs(cell)
        at = np.unique(np.round(np.linspace(0, max(count - 1, 0), min(count, _CURVE_POINTS))))
        chosen = at.astype(np.intp)
        epochs.append((chosen + 1).tolist())
        means.append(pack(_whole(curves.mean[cell][:, chosen] / 1e-3), 2))
        widths.append(pack(_whole(curves.half_width[cell][:, chosen] / 1e-3), 2))
    return {"curves": {"epochs": epochs, "means": means, "half_widths": widths}}


def _whole(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(1 + np.round(values), nan=0.0).astype(np.int64)


def _shape(findings: Findings, seeds: int) -> tuple[int, int, int]:
    return len(findings.evidence.cells), len(findings.evidence.treatments), seeds
