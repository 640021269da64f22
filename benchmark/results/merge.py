"""Others' records for a results folder of one's own: each is examined, none is run."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.errors import StoreError
from benchmark.results.frame import COMPRESSED_RECORDS, load_manifest
from benchmark.results.lines import LONGEST_LINE, MANIFEST, RECORDS
from benchmark.results.location import locate
from benchmark.results.plausibility import Name, disagreements, problems, read_line, sentences
from benchmark.results.segments import SEGMENTS
from benchmark.trial import RESULTS, Record, Status, content_id, counts_over

LARGEST_RECORDS = 16 * 2**30
"""So many bytes of a source are read at most, unpacked."""


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Cell(_Form):
    dataset: Name
    architecture: Name
    recipe: Name
    recipe_content: dict[str, Any]


class _Treatment(_Form):
    treatment: Name
    initializer: Name
    rewiring: Name


class _Manifest(_Form):
    """What is relied on of a manifest; whole rows that it may have beside that are kept."""

    protocol: int
    name: Name
    baseline: Name
    family: Annotated[int, Field(ge=1)]
    margin: Annotated[float, Field(gt=0, lt=1)]
    target: Annotated[float, Field(gt=0, lt=1)]
    contrasts: list[dict[str, str]]
    cells: list[_Cell]
    treatments: list[_Treatment]
    trials: list[list[Any]]
    config: dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """A record that was refused: where it stands, which trial it says it is, and why not."""

    source: str
    line: int
    trial: str
    why: str


@dataclass
class Offer:
    """What a folder has to give: by trial, the record that counts of those to be believed.

    `lines` holds (line number, line); `undeclared` counts the records of trials that the
    manifest does not name, which are left out.
    """

    source: str
    manifest: dict[str, Any]
    lines: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    undeclared: int = 0


@dataclass
class Merge:
    """What comes of the offers: the records to append, and what became of the others.

    `duplicates` were there already, `again` are further runs of a trial with the same result (or
    without one), `replacing` are those among `accepted` whose trial had no result before.
    """

    accepted: list[Record] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    duplicates: int = 0
    again: int = 0
    replacing: int = 0
    undeclared: int = 0


def read_offer(source: str) -> Offer:
    """Read a results folder or a board, and examine every record of a declared trial by itself.

    Raises StoreError for a folder without a manifest or with one that cannot be relied on, and
    for records that cannot be read at all.
    """
    manifest = read_manifest(source)
    declared = {
        trial: (manifest["cells"][cell], manifest["treatments"][treatment], seed)
        for trial, cell, treatment, seed in manifest["trials"]
    }
    offer = Offer(source, manifest)
    refused: dict[str, Refusal] = {}
    statuses: dict[str, Status] = {}
    for number, line in _lines(source):
        trial, why = "", ""
        try:
            if line is None:
                raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")
            record = read_line(line)
            trial = str(record.trial)
            if trial not in declared and trial == content_id(record.content):
                offer.undeclared += 1
                continue
            why = "; ".join(problems(record))
            if not why:
                why = disagreements(record, *declared[trial])
        except ValueError as error:
            why = str(error)
        if why:
            offer.lines.pop(trial, None)
            statuses.pop(trial, None)
            refused[trial or f"line {number}"] = Refusal(source, number, trial, why)
        elif line is not None and counts_over(record.status, statuses.get(trial)):
            refused.pop(trial, None)
            statuses[trial] = record.status
            offer.lines[trial] = number, line
    offer.refused = list(refused.values())
    return offer


def read_manifest(source: str) -> dict[str, Any]:
    """Read a manifest and check what is relied on; raises StoreError."""
    try:
        manifest = load_manifest(source)
        _Manifest.model_validate(manifest)
        _check_trials(manifest)
    except ValidationError as error:
        what = sentences(error, manifest, _Manifest)[0]
        raise StoreError(f"{source}/{MANIFEST}: {what}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{source}/{MANIFEST}: {error}") from error
    return manifest


def reconcile(offers: Sequence[Offer], present: Mapping[str, Record]) -> Merge:
    """Decide about every record offered, beside those that are `present`.

    A record is refused that has another result than the record of the same trial which came
    first, that gives a known name to another plugin source, or that has another number of test
    images than its data set elsewhere.
    """
    merge = Merge()
    known: dict[str, tuple[Record, str]] = {
        trial: (record, "the target") for trial, record in present.items()
    }
    seen = _Seen()
    for record in present.values():
        seen.contradiction(record, "the target")
    for offer in offers:
        merge.refused += offer.refused
        merge.undeclared += offer.undeclared
        for trial, (number, line) in offer.lines.items():
            record = read_line(line)
            why = seen.contradiction(record, offer.source)
            if not why and trial in known:
                earlier, where = known[trial]
                why = _disagreement(record, earlier, where)
                if not why and not (record.status in RESULTS and earlier.status not in RESULTS):
                    same = record == earlier
                    merge.duplicates += same
                    merge.again += not same
                    continue
            if why:
                merge.refused.append(Refusal(offer.source, number, trial, why))
                continue
            merge.replacing += trial in known
            known[trial] = record, offer.source
            merge.accepted.append(record)
    return merge


def without(manifest: Mapping[str, Any], refused: set[str]) -> dict[str, Any]:
    """Return a manifest without refused trials, and without cells and treatments of no others."""
    kept = [trial for trial in manifest["trials"] if trial[0] not in refused]
    cells = {old: new for new, old in enumerate(sorted({trial[1] for trial in kept}))}
    treatments = {old: new for new, old in enumerate(sorted({trial[2] for trial in kept}))}
    return {
        **manifest,
        "cells": [manifest["cells"][index] for index in cells],
        "treatments": [manifest["treatments"][index] for index in treatments],
        "trials": [
            [trial, cells[cell], treatments[treatment], seed]
            for trial, cell, treatment, seed in kept
        ],
    }


class _Seen:
    """What a name stood for where it came first: a plugin's source, a number of test images."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[Any, str]] = {}

    def contradiction(self, record: Record, where: str) -> str:
        """Return in what a record contradicts earlier ones; if in nothing, remember it."""
        meant: dict[tuple[str, str], Any] = {}
        if record.content:
            plugins = record.content["treatment"]["plugins"]
            meant["plugin source of", record.treatment] = sorted(plugins.items())
            for kind in ("dataset", "architecture"):
                of_cell = record.content.get("plugins", {}).get(kind)
                meant["plugin source of", getattr(record, kind)] = of_cell
        if record.n_test is not None:
            meant["number of test images of", record.dataset] = record.n_test
        for key, value in meant.items():
            first, source = self._first.get(key, (value, where))
            if first != value:
                return f"the {' '.join(key)} is {value} here, {first} in {source}"
        for key, value in meant.items():
            self._first.setdefault(key, (value, where))
        return ""


def _disagreement(record: Record, earlier: Record, where: str) -> str:
    """Return in what two records of one trial differ that both have a say in."""
    both = record.status in RESULTS and earlier.status in RESULTS
    for name in ("recipe", *(("status", "accuracy", "n_test") if both else ())):
        mine, other = getattr(record, name), getattr(earlier, name)
        if mine != other:
            return f"{name}: {mine} here, {other} in {where}, for the same trial"
    return ""


def _check_trials(manifest: Mapping[str, Any]) -> None:
    limits = (len(manifest["cells"]), len(manifest["treatments"]), 2**63)
    for trial in manifest["trials"]:
        name, *numbers = trial or [None]
        whole = len(numbers) == 3 and all(type(each) is int for each in numbers)
        within = whole and all(0 <= each < most for each, most in zip(numbers, limits, strict=True))
        if not (isinstance(name, str) and within):
            raise ValueError(f"trials: {trial!r:.200} is no trial")


def _lines(source: str) -> Iterator[tuple[int, bytes | None]]:
    """Yield every whole line with its number, from 1; None in place of one that is too long."""
    location = locate(source)
    segments = [] if location.is_local else location.names(SEGMENTS)
    plain = [f"{SEGMENTS}/{name}" for name in segments]
    if location.filesystem.exists(location.at(RECORDS)):
        plain.insert(0, RECORDS)
    for name in plain or [COMPRESSED_RECORDS]:
        file = location.at(name)
        if not location.filesystem.exists(file):
            continue
        try:
            with location.filesystem.open(file, "rb") as raw:
                unpacked = gzip.GzipFile(fileobj=raw) if name == COMPRESSED_RECORDS else raw
                yield from _bounded(unpacked, f"{source}/{name}")
        except (OSError, EOFError, zlib.error) as error:
            raise StoreError(f"cannot read {source}/{name}: {error}") from error


def _bounded(file: Any, where: str) -> Iterator[tuple[int, bytes | None]]:
    total, number = 0, 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        total += len(line)
        whole = line.endswith(b"\n")
        kept = line if len(line) <= LONGEST_LINE else None
        while kept is None and not whole and (rest := file.readline(LONGEST_LINE)):
            total += len(rest)
            whole = rest.endswith(b"\n")
        if total > LARGEST_RECORDS:
            raise StoreError(f"{where} holds more than {LARGEST_RECORDS:,} bytes")
        # A running driver may be writing the last line.
        if whole:
            yield number, kept
