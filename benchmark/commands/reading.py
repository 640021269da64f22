"""`initbench status`: how far a grid is, from its records, without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmark.errors import FAILED
from benchmark.trial import Record

SHOWN_FAILURES = 10


def status(folder: str) -> int:
    """Print how far a grid is; return 1 if it is done and trials have no result."""
    from benchmark.results.frame import load_manifest
    from benchmark.results.store import read_store, running_driver

    manifest = load_manifest(folder)
    records = read_store(folder).records
    console = Console()
    total = len(manifest["trials"])
    found = {trial: records[trial] for trial, *_ in manifest["trials"] if trial in records}
    counts = Counter(record.status for record in found.values())
    driver = running_driver(folder)
    state = f"being written by {driver}" if driver else "no run at work"
    console.print(f"{manifest['name']} in {folder}: {state}", highlight=False)
    missing = total - len(found)
    parts = [f"{count} {name}" for name, count in counts.most_common()]
    console.print(
        f"{len(found)} of {total} trials done" + (f" ({', '.join(parts)})" if parts else ""),
        highlight=False,
    )
    _show_cells(manifest, found, console)
    failures = [each for each in found.values() if each.status not in ("ok", "diverged")]
    for record in failures[:SHOWN_FAILURES]:
        last = (record.message.strip().splitlines() or [""])[-1]
        console.print(
            f"{record.status}: {record.treatment}, seed {record.seed}, {record.dataset} /"
            f" {record.architecture}: {last}",
            style="yellow",
            highlight=False,
            markup=False,
        )
    if len(failures) > SHOWN_FAILURES:
        console.print(f"... and {len(failures) - SHOWN_FAILURES} more", style="yellow")
    return FAILED if failures and not missing else 0


def _show_cells(manifest: Mapping[str, Any], found: Mapping[str, Record], console: Console) -> None:
    totals: Counter[int] = Counter()
    done: Counter[int] = Counter()
    for trial, cell, *_ in manifest["trials"]:
        totals[cell] += 1
        done[cell] += trial in found
    table = Table(box=None, pad_edge=False)
    table.add_column("cell", overflow="fold")
    table.add_column("done", justify="right")
    for index, cell in enumerate(manifest["cells"]):
        name = f"{cell['dataset']} / {cell['architecture']} / {cell['recipe']}"
        table.add_row(name, f"{done[index]}/{totals[index]}")
    console.print(table, highlight=False)
