"""Records where nothing can be appended to: immutable segments beside the file, folded in later.

Every batch of records is an object of its own, named by a number that grows and the token of its
driver, so that no two drivers write the same one. Folding puts all of them at the end of
records.jsonl, in one write, and then removes them: a kill in between leaves records twice, which
their trial ids tell. A driver that was taken over folds no more, because what it has read of the
file may lack records that are in it by now.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.errors import StoreError
from benchmark.results.driver import Claim
from benchmark.results.lines import RECORDS
from benchmark.results.location import Location

SEGMENTS = "segments"
_BUFFER = 2**20

LEAST_TO_FOLD = 256
"""So many segments are folded into the file while a run goes on, and a quarter of it if larger."""


class Segments:
    """The records of one driver that are not yet in records.jsonl.

    Raises RunError instead of folding once its claim is lost.
    """

    def __init__(self, location: Location, claim: Claim) -> None:
        self._location = location
        self._claim = claim
        self._fold()

    def append(self, data: bytes) -> None:
        """Write whole lines as one object."""
        name = f"{self._next:012d}-{self._claim.token}.jsonl"
        self._location.write(f"{SEGMENTS}/{name}", data)
        self._next += 1
        self._loose += 1
        self._loose_bytes += len(data)
        if self._loose >= LEAST_TO_FOLD and self._loose_bytes >= self._folded_bytes // 4:
            self._fold()

    def close(self) -> None:
        """Leave a folder like any other: all records in one file."""
        self._fold()

    def _fold(self) -> None:
        names = self._location.names(SEGMENTS)
        data, known = read_lines(self._location, names), self._location.read(RECORDS)
        if names or known is None:
            self._claim.confirm()
            self._location.write(RECORDS, data)
            self._location.remove([f"{SEGMENTS}/{name}" for name in names])
        numbers = [int(name.partition("-")[0]) for name in names if name[:12].isdigit()]
        self._next = max([getattr(self, "_next", 0), *(number + 1 for number in numbers)])
        self._loose = self._loose_bytes = 0
        self._folded_bytes = len(data)


def read_lines(location: Location, segments: list[str] | None = None) -> bytes:
    """Return the whole lines of records.jsonl and of the segments beside it, oldest first.

    The line that a driver is writing, or was writing when it was killed, is left out.
    """
    if segments is None:
        segments = [] if location.is_local else location.names(SEGMENTS)
    # Segments are read first: one folded meanwhile is then in the file, rather than in neither.
    parts = [location.read(f"{SEGMENTS}/{name}") or b"" for name in segments]
    data = location.read(RECORDS) or b""
    return b"".join(part[: part.rfind(b"\n") + 1] for part in (data, *parts))


def each_line(location: Location) -> Iterator[bytes]:
    """Yield what `read_lines` returns line by line, from a disk without holding the whole file."""
    if not location.is_local:
        yield from read_lines(location).splitlines()
        return
    location.need_size(RECORDS)
    try:
        with open(location.at(RECORDS), "rb", buffering=_BUFFER) as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot read {location.folder}/{RECORDS}: {reason}") from error
