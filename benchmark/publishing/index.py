"""The index of a folder of boards, and the check of all of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from benchmark.errors import StoreError, UsageError
from benchmark.publishing.board import differing, read
from benchmark.publishing.findings import Findings
from benchmark.publishing.marks import letters
from benchmark.publishing.run_tables import total_seconds
from benchmark.publishing.summary import scope, status_counts
from benchmark.publishing.tables import table
from benchmark.publishing.text import NOTHING, change, change_interval, hours, listed, md, share
from benchmark.results.frame import folders_in, read_file
from benchmark.results.lines import MANIFEST
from benchmark.wording import counted

INDEX = "README.md"
LEADERBOARD = "leaderboard"
"""A folder of this name keeps an index of its boards."""

_HEAD = (
    "# Boards\n\n"
    "Each compares initializers and rewirings with its baseline, paired by seed; the change is that"
    " of the test error over all cells of the board, below 0 is better. A board's folder has its"
    " records: `initbench board --check` builds every page from them and compares the bytes.\n\n"
)


def keeps_index(folder: str) -> bool:
    """Whether a folder has an index of boards or, as it is called `leaderboard`, gets one.

    A README.md that somebody else wrote is none, and stays as it is.
    """
    import fsspec

    found = read_file(folder, INDEX)
    if found is not None:
        return found.startswith(_HEAD.encode())
    path = str(fsspec.core.url_to_fs(folder)[1])
    return path.rstrip("/").rpartition("/")[2] == LEADERBOARD


def has_board(folder: str) -> bool:
    """Whether a board, or an index of boards, was ever written to a folder."""
    return read_file(folder, INDEX) is not None or read_file(folder, MANIFEST) is None


def boards_in(folder: str) -> list[str]:
    """Return the names of the boards in a folder, sorted."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(folder)
    if not filesystem.isdir(path):
        raise StoreError(f"{folder} is no folder; name a board, or a folder of boards")
    return folders_in(folder)


def write_index(folder: str) -> None:
    """Write README.md of a folder of boards: a function of the boards alone."""
    import fsspec

    text = index(_read_all(folder))
    filesystem, path = fsspec.core.url_to_fs(folder)
    try:
        filesystem.pipe_file(f"{path.rstrip('/')}/{INDEX}", text.encode())
    except OSError as error:
        raise StoreError(f"cannot write {folder}/{INDEX}: {error.strerror or error}") from error


def check_all(folder: str) -> dict[str, list[str]]:
    """Return, by board, the files that differ from what the records give.

    `folder` is a board, or a folder of boards; its index, where it keeps one, is checked too, under
    the folder's own name. Raises UsageError where there is no board.
    """
    if read_file(folder, MANIFEST) is not None:
        return {folder: differing(folder, read(folder))}
    boards = _read_all(folder)
    if not boards:
        raise UsageError(f"{folder} is no board and has none in it")
    root = folder.rstrip("/")
    found = {f"{root}/{name}": differing(f"{root}/{name}", each) for name, each in boards.items()}
    if keeps_index(folder):
        same = read_file(folder, INDEX) == index(boards).encode()
        found[folder] = [] if same else [INDEX]
    return found


def index(boards: dict[str, Findings]) -> str:
    """Return what README.md of a folder of boards says: cover, winner, size, date and version."""
    rows = [_row(name, findings) for name, findings in sorted(boards.items())]
    headers = (
        "Board",
        "Covers",
        "Baseline",
        "First in the ranking",
        "Change, % [95 % interval]",
        "Verdict",
        "Runs ok, k/n",
        "Compute",
        "Last run",
        "initbench, protocol",
    )
    body = table(headers, rows, "llllllrrll") if rows else "There is none yet."
    return f"{_HEAD}{body}\n"


def _read_all(folder: str) -> dict[str, Findings]:
    root = folder.rstrip("/")
    return {name: read(f"{root}/{name}") for name in boards_in(folder)}


def _row(name: str, findings: Findings) -> tuple[str, ...]:
    evidence, analysis = findings.evidence, findings.analysis
    first = [row for row in (analysis.ranking if analysis else ()) if row.rank == 1]
    best = (NOTHING, NOTHING, NOTHING)
    if first:
        row, marks = first[0], findings.marks()
        inside = change_interval(row.low_percent, row.high_percent)
        names = listed(
            f"{md(each.treatment)} {letters(marks.get(each.treatment, ()))}".strip()
            for each in first
        )
        best = (
            names if row.estimate < 0 else f"none below {md(evidence.baseline)}; closest: {names}",
            f"{change(row.change_percent)} {inside} {scope(row)}",
            findings.verdict(row),
        )
    return (
        f"[{md(evidence.manifest['name'])}]({quote(name)}/README.md)",
        _covers(evidence.cells, evidence.manifest),
        md(evidence.baseline),
        *best,
        share(status_counts(findings).get("ok", 0), len(evidence.manifest["trials"])),
        hours(total_seconds(findings)),
        evidence.date or NOTHING,
        f"{listed(map(md, _versions(findings))) or NOTHING}, {evidence.manifest['protocol']}",
    )


def _covers(cells: list[tuple[str, str, str]], manifest: dict[str, Any]) -> str:
    return ", ".join(
        [
            counted(len(manifest["treatments"]), "treatment"),
            counted(len({cell[0] for cell in cells}), "data set"),
            counted(len({cell[1] for cell in cells}), "architecture"),
            counted(len(manifest["seeds"]), "seed"),
        ]
    )


def _versions(findings: Findings) -> list[str]:
    """The versions of initbench that the records were made with."""
    found = (each.get("versions") for each, _ in findings.evidence.provenances)
    known = (each.get("initbench") for each in found if isinstance(each, dict))
    return sorted({str(version) for version in known if version})
