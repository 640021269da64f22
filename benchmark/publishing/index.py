"""The index of a folder of boards, and the check of all of them."""

from __future__ import annotations

from urllib.parse import quote

from benchmark.errors import StoreError
from benchmark.publishing.board import check
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import Findings, find
from benchmark.publishing.run_tables import total_seconds
from benchmark.publishing.summary import scope, status_counts
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    NOTHING,
    change,
    change_interval,
    counted,
    hours,
    listed,
    md,
    share,
)
from benchmark.results.frame import read_file
from benchmark.results.lines import MANIFEST

INDEX = "README.md"


def boards_in(folder: str) -> list[str]:
    """Return the names of the boards in a folder, sorted."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(folder)
    if not filesystem.isdir(path):
        raise StoreError(f"{folder} is no folder; name one with boards in it")
    entries = [str(each).rstrip("/") for each in filesystem.ls(path, detail=False)]
    return sorted(
        each.rpartition("/")[2] for each in entries if filesystem.exists(f"{each}/{MANIFEST}")
    )


def write_index(folder: str) -> str:
    """Write README.md of a folder of boards and return its text: a function of the boards alone."""
    import fsspec

    text = index(folder)
    filesystem, path = fsspec.core.url_to_fs(folder)
    try:
        filesystem.pipe_file(f"{path.rstrip('/')}/{INDEX}", text.encode())
    except OSError as error:
        raise StoreError(f"cannot write {folder}/{INDEX}: {error.strerror or error}") from error
    return text


def index(folder: str) -> str:
    """Return what README.md of a folder of boards says: cover, winner, size, date and version."""
    rows = [
        _row(name, find(gather([f"{folder.rstrip('/')}/{name}"]))) for name in boards_in(folder)
    ]
    headers = (
        "Board",
        "Covers",
        "Baseline",
        "Smallest test error",
        "Change, % [95 % interval]",
        "Verdict",
        "Runs ok, k/n",
        "Compute",
        "Last run",
        "initbench, protocol",
    )
    body = table(headers, rows, "llllllrrll") if rows else "There is none yet."
    return (
        "# Boards\n\n"
        "Each compares initializers and rewirings with its baseline, paired by seed; the change is"
        " that of the test error over all cells of the board, below 0 is better. A board's folder"
        " has its records: `initbench board --check` builds every page from them and compares the"
        " bytes.\n\n"
        f"{body}\n"
    )


def check_all(folder: str) -> list[str]:
    """Return the files that differ from what the records give: of a board, or of all in a folder.

    The index is checked where the folder has one.
    """
    if read_file(folder, MANIFEST) is not None:
        return check(folder)
    root = folder.rstrip("/")
    names = boards_in(folder)
    differing = [f"{name}/{file}" for name in names for file in check(f"{root}/{name}")]
    found = read_file(folder, INDEX)
    if found is not None and found != index(folder).encode():
        differing.append(INDEX)
    return differing


def _row(name: str, findings: Findings) -> tuple[str, ...]:
    evidence, analysis = findings.evidence, findings.analysis
    cells = evidence.cells
    covers = ", ".join(
        [
            counted(len(evidence.treatments), "treatment"),
            counted(len({cell[0] for cell in cells}), "data set"),
            counted(len({cell[1] for cell in cells}), "architecture"),
            counted(len(evidence.manifest["seeds"]), "seed"),
        ]
    )
    first = [row for row in (analysis.ranking if analysis else ()) if row.rank == 1]
    best = (NOTHING, NOTHING, NOTHING)
    if first:
        row = first[0]
        inside = change_interval(row.low_percent, row.high_percent)
        best = (
            listed(md(each.treatment) for each in first),
            f"{change(row.change_percent)} {inside} {scope(row)}",
            row.verdict,
        )
    versions = sorted(
        {
            str(each["versions"].get("initbench"))
            for each, _ in evidence.provenances()
            if isinstance(each.get("versions"), dict) and each["versions"].get("initbench")
        }
    )
    declared = len(evidence.manifest["trials"])
    return (
        f"[{md(evidence.manifest['name'])}]({quote(name)}/README.md)",
        covers,
        md(evidence.baseline),
        *best,
        share(status_counts(findings).get("ok", 0), declared),
        hours(total_seconds(findings)),
        evidence.date or NOTHING,
        f"{listed(map(md, versions)) or NOTHING}, {evidence.manifest['protocol']}",
    )
