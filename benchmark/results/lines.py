"""The files of a results folder, and the records among them: a line of JSON each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import cast

from benchmark.errors import StoreError
from benchmark.trial import SCHEMA, STATUSES, Record, Status, counts_over

RECORDS = "records.jsonl"
MANIFEST = "grid.json"
COHORTS = "cohorts.jsonl"
LONGEST_LINE = 16 * 2**20

# A record as `Record.to_json` writes it; a quotation mark inside of a string is escaped.
_HEAD = re.compile(
    rb'\{"trial":"([0-9a-f]{16})","content":\{.*?"seed":\d+,"status":"(%s)","accuracy":'
    % "|".join(STATUSES).encode()
)
_TAIL = b',"schema":%d}' % SCHEMA


def by_trial(records: Iterable[Record]) -> dict[str, Record]:
    """Return the record that counts of every trial (`counts_over`), given in the order written."""
    found: dict[str, Record] = {}
    for record in records:
        earlier = found.get(record.trial)
        if earlier is None or counts_over(record.status, earlier.status):
            found[record.trial] = record
    return found


def read_record_lines(data: bytes, where: str) -> Iterator[tuple[int, Record]]:
    """Yield every record with the number of its line, from 1.

    Raises StoreError for a line that is no record of this version, naming file and line.
    """
    for number, line in enumerate(data.splitlines(), start=1):
        yield number, read_record(line, number, where)


def read_statuses(lines: Iterable[bytes], where: str) -> Iterator[tuple[str, Status]]:
    """Yield trial id and status of every line, without reading what else a record says.

    Raises StoreError as `read_record_lines` does, for lines that do not look like a record.
    """
    for number, line in enumerate(lines, start=1):
        head = _HEAD.match(line) if line.endswith(_TAIL) and len(line) <= LONGEST_LINE else None
        if head:
            trial, status = head.groups()
            yield trial.decode(), cast(Status, status.decode())
        else:
            record = read_record(line, number, where)
            yield record.trial, record.status


def read_record(line: bytes, number: int, where: str) -> Record:
    """Return the record of a line; raises StoreError as `read_record_lines` does."""
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line of {len(line)} bytes")
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        return Record.from_dict(values)
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{where}, line {number} is not a record: {error}. Move the file away or take that"
            " line out; the other lines are kept"
        ) from error
