"""A board's folder: written from its sources, and checked against what it should be."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isal import igzip

from benchmark.document import write_yaml
from benchmark.errors import StoreError, UsageError
from benchmark.publishing.curves import mean_curves
from benchmark.publishing.evidence import Evidence, as_list, gather
from benchmark.publishing.findings import Findings, find
from benchmark.publishing.page import render_page
from benchmark.publishing.plots.drawing import draw_plots
from benchmark.publishing.readme import render_readme
from benchmark.results.frame import COMPRESSED_RECORDS, MANIFEST, read_file, unpack
from benchmark.results.lines import RECORDS

TRIALS = "trials.csv"
TRIAL_COLUMNS = (
    *("dataset", "architecture", "recipe", "treatment", "initializer", "rewiring", "seed"),
    *("status", "accuracy", "n_test", "epoch1_accuracy", "seconds", "trial"),
)
_COMPRESSION = 2
_LINES_AT_ONCE = 1000


@dataclass(frozen=True)
class Board:
    """A board that was written: where, what it found, and which files it has."""

    folder: str
    findings: Findings
    files: tuple[str, ...]


def publish(
    sources: Sequence[str],
    out: str,
    *,
    name: str | None = None,
    baseline: str | None = None,
    family: int | None = None,
) -> Board:
    """Write README.md, index.html, plots, trials.csv, records, manifest and configs to `out`.

    `sources` are results folders, boards and tidy tables (.csv), at any fsspec URL; the options
    override what their manifests say. The bytes are a function of manifests and records: neither
    time, place nor locale enters. A results folder can hold its own board: then its records and
    its manifest stay as they are. Plots of an earlier board that this one lacks are removed.

    Raises UsageError or StoreError for sources that cannot be read or do not go together, and
    where `out` cannot be written.
    """
    is_results = read_file(out, RECORDS) is not None
    if is_results and [source.rstrip("/") for source in sources] != [out.rstrip("/")]:
        raise UsageError(
            f"{out} holds the records of a run; name another folder for this board with --out"
        )
    if is_results and (name or baseline or family):
        raise UsageError(
            f"{out} says itself what its name, baseline and family are; name another folder for"
            " a board with others with --out"
        )
    findings = find(gather(sources, name=name, baseline=baseline, family=family))
    files = render(findings, with_records=not is_results)
    _write(out, files)
    return Board(out, findings, tuple(sorted(files)))


def read(folder: str) -> Findings:
    """Return what the records of a board say."""
    return find(gather([folder]))


def differing(folder: str, findings: Findings) -> list[str]:
    """Return the files of a board that differ from what it is by its own `findings`, sorted.

    A file too many or too few differs as well. Compressed records are compared by content.
    """
    files = render(findings, with_records=read_file(folder, RECORDS) is None)
    unlike = [
        name for name, content in files.items() if not _same(name, content, read_file(folder, name))
    ]
    return sorted([*unlike, *_stale_plots(folder, files)])


def render(findings: Findings, *, with_records: bool = True) -> dict[str, bytes]:
    """Return a board's files by path; records, manifest and configs only if asked for."""
    if not with_records:
        return _pages(findings, RECORDS)
    evidence = findings.evidence
    files = _pages(findings, COMPRESSED_RECORDS)
    files[COMPRESSED_RECORDS] = _compressed(evidence.frame["line"].tolist())
    manifest = evidence.manifest
    files[MANIFEST] = (json.dumps(manifest, separators=(",", ":")) + "\n").encode()
    for index, config in enumerate(manifest["configs"], start=1):
        file = "config.yaml" if index == 1 else f"config-{index}.yaml"
        files[file] = write_yaml(config).encode()
    return files


def _pages(findings: Findings, records: str) -> dict[str, bytes]:
    """What readers see, by path; `records` is the name of the file that has them."""
    evidence = findings.evidence
    curves = mean_curves(evidence)
    pictures, plots = draw_plots(findings, curves)
    sha = evidence_hash(evidence)
    texts = {
        "README.md": render_readme(findings, pictures, sha, records),
        "index.html": render_page(findings, curves, pictures, sha),
        TRIALS: trials_csv(evidence),
        **plots,
    }
    return {path: text.encode() for path, text in texts.items()}


def trials_csv(evidence: Evidence) -> str:
    """Return one row a trial, numbers with all their digits, sorted as the frame is."""
    columns = {name: as_list(evidence.frame[name]) for name in TRIAL_COLUMNS}
    columns["n_test"] = [n if n != n else int(n) for n in columns["n_test"]]
    known = ([None if value != value else value for value in each] for each in columns.values())
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(TRIAL_COLUMNS)
    table.writerows(zip(*known, strict=True))
    return file.getvalue()


def evidence_hash(evidence: Evidence) -> str:
    """Return the SHA-256 of the records, each on a line, sorted."""
    digest = hashlib.sha256()
    for lump in _lumps(sorted(evidence.frame["line"].tolist())):
        digest.update(lump)
    return digest.hexdigest()


def _compressed(lines: Sequence[bytes]) -> bytes:
    file = io.BytesIO()
    with igzip.IGzipFile("", "wb", _COMPRESSION, file, mtime=0) as compressed:
        for lump in _lumps(lines):
            compressed.write(lump)
    return file.getvalue()


def _lumps(lines: Sequence[bytes]) -> Iterator[bytes]:
    """The lines with their ends, many at a time."""
    for start in range(0, len(lines), _LINES_AT_ONCE):
        yield b"\n".join([*lines[start : start + _LINES_AT_ONCE], b""])


def _same(name: str, wanted: bytes, found: bytes | None) -> bool:
    if found is None or not name.endswith(".gz"):
        return wanted == found
    # Another version of the compressor may come to other bytes for the same content.
    try:
        return unpack(wanted, name) == unpack(found, name)
    except StoreError:
        return False


def _write(out: str, files: dict[str, bytes]) -> None:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(out)
    try:
        filesystem.makedirs(f"{path.rstrip('/')}/plots", exist_ok=True)
        for stale in _stale_plots(out, files):
            filesystem.rm_file(f"{path.rstrip('/')}/{stale}")
        for name, content in files.items():
            filesystem.pipe_file(f"{path.rstrip('/')}/{name}", content)
    except OSError as error:
        raise StoreError(
            f"cannot write the board to {out}: {error.strerror or error}; name another folder"
            " with --out"
        ) from error


def _stale_plots(folder: str, files: dict[str, bytes]) -> list[str]:
    """The plots in a board's folder that are not among its files."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(folder)
    plots = f"{path.rstrip('/')}/plots"
    if not filesystem.isdir(plots):
        return []
    found = [
        str(entry).rstrip("/").rpartition("/")[2] for entry in filesystem.ls(plots, detail=False)
    ]
    return sorted(
        f"plots/{name}" for name in found if name.endswith(".svg") and f"plots/{name}" not in files
    )
