"""The files of a results folder, and the records among them: a line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmark.errors import StoreError
from benchmark.trial import Record

RECORDS = "records.jsonl"
MANIFEST = "grid.json"
COHORTS = "cohorts.jsonl"
LONGEST_LINE = 16 * 2**20


def read_record_lines(data: bytes, where: str) -> Iterator[tuple[int, Record]]:
    """Yield every record with the number of its line, from 1.

    Raises StoreError for a line that is no record of this version, naming file and line.
    """
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            if len(line) > LONGEST_LINE:
                raise ValueError(f"a line of {len(line)} bytes")
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("not a JSON object")
            yield number, Record.from_dict(values)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"{where}, line {number} is not a record: {error}. Move the file away or take that"
                " line out; the other lines are kept"
            ) from error
