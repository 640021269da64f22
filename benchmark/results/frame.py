"""Records as a table: one row a trial, read without torch, while a run may still be writing."""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections import deque
from collections.abc import Collection, Iterable
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError
from benchmark.garbage import without_garbage_collection
from benchmark.results import location
from benchmark.results.lines import LONGEST_LINE, MANIFEST, RECORDS, read_record_lines
from benchmark.results.location import locate
from benchmark.results.rows import COLUMNS, FLOATS, Row, read_row
from benchmark.results.segments import SEGMENTS, each_line, read_lines
from benchmark.trial import counts_over

if TYPE_CHECKING:
    import pandas as pd

MANIFEST_SCHEMA = 1
COMPRESSED_RECORDS = "records.jsonl.gz"
LARGEST_MANIFEST = 256 * 2**20

_order = itemgetter(
    *map(COLUMNS.index, ("dataset", "architecture", "recipe", "treatment", "seed", "trial"))
)
_STATUS = COLUMNS.index("status")
_MANIFEST_KEYS = (
    *("schema", "protocol", "name", "baseline", "family", "margin", "target", "contrasts"),
    *("seeds", "cells", "treatments", "trials"),
)
_MANIFEST_LISTS = ("contrasts", "seeds", "cells", "treatments", "trials")


@without_garbage_collection()
def load_records(folder: str) -> pd.DataFrame:
    """Return the records of a results folder or of a published board, one row a trial.

    The columns are COLUMNS: names, seed, status and metrics; `strength_variance_before` and
    `_after` the rewiring; `seconds_initialization`, `_rewiring` and `_training` and their sum
    `seconds`; `measures`, a dictionary of the other training-free ones; `curves`, a dictionary of
    lists with a value per epoch; the message of a failure; provenance. A number that a record lacks
    is NaN. Only trials of the grid's manifest count (`len(load_manifest(folder)["trials"])` of
    them); the last record of a trial counts, but none without a result after one with; the line
    that a running driver is writing is left out. Rows are sorted by data set, architecture, recipe,
    treatment and seed. `folder` may be any fsspec URL.

    Raises StoreError, naming file and line, for records or a manifest that cannot be read.
    """
    declared = {trial[0] for trial in load_manifest(folder)["trials"]}
    return make_frame(row for row, _ in read_rows(folder, declared).values())


def load_manifest(folder: str) -> dict[str, Any]:
    """Return the manifest of a results folder: what its grid declares, trials included.

    Raises StoreError where there is none, or none that this version reads.
    """
    where = f"{folder.rstrip('/')}/{MANIFEST}"
    data = read_file(folder, MANIFEST, LARGEST_MANIFEST)
    if data is None:
        place = locate(folder)
        if place.is_local and not os.path.isdir(place.path):
            wrong = "is a file" if os.path.exists(place.path) else "does not exist"
            raise StoreError(f"{folder} {wrong}; {_remedy(folder)}")
        raise StoreError(
            f"{where} does not exist, so {folder} is no results folder; {_remedy(folder)}"
        )
    try:
        manifest = json.loads(data)
        if not isinstance(manifest, dict):
            raise ValueError("not a JSON object")
        schema = manifest.get("schema")
        if schema != MANIFEST_SCHEMA:
            newer = isinstance(schema, int) and schema > MANIFEST_SCHEMA
            raise ValueError(
                f"schema {schema!r}, this version of initbench reads {MANIFEST_SCHEMA}"
                + ("; install a newer initbench" if newer else "")
            )
        if lacking := [key for key in _MANIFEST_KEYS if key not in manifest]:
            raise ValueError(f"lacks {', '.join(lacking)}")
        for key in _MANIFEST_LISTS:
            if not isinstance(manifest[key], list):
                raise ValueError(f"{key} is {manifest[key]!r:.80}, no list")
        for trial in manifest["trials"]:
            if not (isinstance(trial, list) and trial and isinstance(trial[0], str)):
                raise ValueError(f"{trial!r:.80} is no trial")
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{where} is not a manifest: {error}. Run the same grid again: it writes the manifest"
            " anew and keeps every record"
        ) from error
    return manifest


def folders_in(folder: str) -> list[str]:
    """Return the sorted names of the results folders and boards that lie in a folder, if it is one.

    Raises OSError where the folder cannot be listed.
    """
    place = locate(folder)
    if not place.filesystem.isdir(place.path):
        return []
    entries = [str(each).rstrip("/") for each in place.filesystem.ls(place.path, detail=False)]
    return sorted(
        each.rpartition("/")[2] for each in entries if place.filesystem.exists(f"{each}/{MANIFEST}")
    )


def _remedy(folder: str) -> str:
    """What to write instead of a folder without a manifest."""
    try:
        inside = folders_in(folder)
    except OSError:
        inside = []
    if not inside:
        return "name the folder that 'initbench run' wrote to"
    root = folder.rstrip("/")
    return "name one of those in it: " + ", ".join(f"{root}/{name}" for name in inside)


def read_rows(
    folder: str, declared: Iterable[str], curves: Collection[str] | None = None
) -> dict[str, tuple[Row, bytes]]:
    """Read records.jsonl, or a board's compressed one: the row and line that count of every trial.

    Trials that are not `declared` are skipped. `curves` names those to keep, None keeps all.
    """
    where, lines = _record_lines(folder)
    declared = set(declared)
    rows: dict[str, tuple[Row, bytes]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            if len(line) > LONGEST_LINE:
                raise ValueError(f"a line of {len(line):,} bytes")
            row = read_row(line, curves, declared)
            if row is not None:
                earlier = rows.get(row[0])
                if earlier is None or counts_over(row[_STATUS], earlier[0][_STATUS]):
                    rows[row[0]] = row, line
        except (ValueError, RecursionError) as error:
            # The reader that the store uses knows how to say it.
            deque(read_record_lines(read_record_data(folder)[1], where), maxlen=0)
            raise StoreError(f"{where}, line {number} is not a record: {error}") from error
    return rows


def _record_lines(folder: str) -> tuple[str, Iterable[bytes]]:
    """Return the file of a folder's records and its whole lines, without their ends."""
    location = locate(folder)
    lines = each_line(location)
    first = next(lines, None)
    if first is not None:
        return f"{folder.rstrip('/')}/{RECORDS}", chain((first,), lines)
    name, data = read_record_data(folder)
    return f"{folder.rstrip('/')}/{name}", data.split(b"\n")[:-1]


def make_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows for COLUMNS as a sorted frame, numbers as float64 and seeds as int64."""
    import numpy as np
    import pandas as pd

    columns = list(zip(*sorted(rows, key=_order), strict=True)) or [()] * len(COLUMNS)
    types = dict.fromkeys(FLOATS, np.float64) | {"seed": np.int64}
    frame = {
        name: np.array(values, dtype=types[name]) if name in types else list(values)
        for name, values in zip(COLUMNS, columns, strict=True)
    }
    return pd.DataFrame(frame)


def read_record_data(folder: str) -> tuple[str, bytes]:
    """Return the whole lines of a folder's records, or of a board's, and their file's name."""
    where = locate(folder)
    lines = read_lines(where)
    packed = None if lines else where.read(COMPRESSED_RECORDS)
    if packed is None:
        return RECORDS, lines
    data = unpack(packed, f"{folder.rstrip('/')}/{COMPRESSED_RECORDS}")
    return COMPRESSED_RECORDS, data[: data.rfind(b"\n") + 1]


def is_board(folder: str) -> bool:
    """Whether a folder is a published board: it holds records only compressed, and no run's."""
    where = locate(folder)
    packed = where.size(COMPRESSED_RECORDS) is not None
    return packed and not where.size(RECORDS) and not where.names(SEGMENTS)


def unpack(packed: bytes, where: str) -> bytes:
    """Return what was compressed by gzip.

    Raises StoreError for what was not, and for what unpacks to more than a file may hold.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            data = file.read(location.LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(f"cannot read {where}: {error}") from error
    if len(data) > location.LARGEST_FILE:
        raise StoreError(f"{where} unpacks to more than {location.LARGEST_FILE:,} bytes")
    return data


def read_file(folder: str, name: str, most: int | None = None) -> bytes | None:
    """Return the content of a file in a folder on any file system; None if it is not there.

    Raises StoreError for one of more than `most` bytes.
    """
    return locate(folder).read(name, most)
