"""`initbench status` and `initbench logs`: how a run goes, from another terminal, without torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmark.errors import FAILED, UsageError
from benchmark.narrow import Name
from benchmark.trial import RESULTS, Record
from benchmark.wording import counted

SHOWN = 10
"""So many failures, running cohorts and notes are shown; of more, how many there are."""

WATCH_SECONDS = 2.0


def status(folder: str) -> int:
    """Print how far a grid is; return 1 if it is done and trials have no result."""
    shown, code, _ = _look(folder)
    Console().print(shown, highlight=False)
    return code


def watch(folder: str) -> int:
    """Show the status anew every few seconds until no run is at work; return as `status`."""
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            shown, code, at_work = _look(folder)
            live.update(shown, refresh=True)
            if not at_work:
                return code
            time.sleep(WATCH_SECONDS)


def logs(trial: str, folder: str) -> None:
    """Print how the trial whose id begins with `trial` ended, and its log.

    Raises UsageError for an id that is unknown or that several trials share.
    """
    from benchmark.results.frame import load_manifest
    from benchmark.results.logs import Logs

    records = _records(folder)
    known = {*records, *(each for each, *_ in load_manifest(folder)["trials"])}
    found = sorted(each for each in known if each.startswith(trial))
    if len(found) != 1:
        shown = ", ".join(found[:4]) or f"see initbench status {folder}"
        raise UsageError(f"{len(found)} trials of {folder} begin with {trial!r}: {shown}")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_ending(found[0], records.get(found[0])))
    log = Logs(folder).read(found[0])
    record = records.get(found[0])
    console.print(log or (record.message if record else "") or "It left no log.", end="\n")


def _ending(trial: str, record: Record | None) -> str:
    if record is None:
        return f"{trial}: no record yet"
    attempt = record.provenance.get("attempt", 1)
    return (
        f"{trial}: {record.status} at attempt {attempt}; {record.treatment}, seed {record.seed},"
        f" {record.dataset} / {record.architecture} / {record.recipe}"
    )


def _look(folder: str) -> tuple[RenderableType, int, bool]:
    """Return what there is to show, the exit code, and whether a run is at work."""
    from benchmark.execution.checkpoints import count_checkpoints
    from benchmark.results.frame import load_manifest
    from benchmark.results.live import read_status
    from benchmark.results.store import running_driver

    manifest = load_manifest(folder)
    records = _records(folder)
    trials = [trial for trial, *_ in manifest["trials"]]
    found = {trial: records[trial] for trial in trials if trial in records}
    driver = running_driver(folder)
    state = f"being written by {driver}" if driver else "no run at work"
    counts = Counter(record.status for record in found.values())
    parts = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    done = f"{len(found):,} of {counted(len(trials), 'trial')} done"
    shown: list[RenderableType] = [
        Text(f"{manifest['name']} in {folder}: {state}"),
        Text(done + (f" ({parts})" if parts else "")),
        _cells(manifest, found),
    ]
    live = read_status(folder)
    if live and driver:
        shown += _at_work(live)
    elif live and live["state"] == "running":
        shown.append(_warning("the last run was ended from outside; run again to go on"))
    if saved := count_checkpoints(folder):
        cohorts = counted(saved, "cohort that is not done has", "cohorts that are not done have")
        shown.append(Text(f"{cohorts} a checkpoint to go on from"))
    failures = [each for each in found.values() if each.status not in RESULTS]
    shown += _shortened([_failure(each) for each in failures])
    failed = bool(failures) and len(found) == len(trials)
    return Group(*shown), FAILED if failed else 0, bool(driver)


def _records(folder: str) -> dict[str, Record]:
    """Return a run's records by trial; raises UsageError for a board, which has no run."""
    from benchmark.results.frame import is_board
    from benchmark.results.store import read_store

    if is_board(folder):
        raise UsageError(
            f"{folder} is a published board, not the folder of a run: its README.md says how its"
            " trials ended, trials.csv each of them"
        )
    return read_store(folder).records


def _cells(manifest: Mapping[str, Any], found: Mapping[str, Record]) -> Table:
    totals: Counter[int] = Counter()
    done: Counter[int] = Counter()
    for trial, cell, *_ in manifest["trials"]:
        totals[cell] += 1
        done[cell] += trial in found
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    table.add_column("done", justify="right")
    for index, cell in enumerate(manifest["cells"]):
        name = f"{cell['dataset']} / {cell['architecture']} / {cell['recipe']}"
        table.add_row(Name(name), f"{done[index]}/{totals[index]}")
    return table


def _at_work(live: Mapping[str, Any]) -> list[RenderableType]:
    """Return the nodes, what runs on them, and the last lines of a driver that is at work."""
    from benchmark.execution.progress import duration

    retries = counted(live["retries"], "retry", "retries")
    shown: list[RenderableType] = [Text(f"at work for {duration(live['seconds'])}, {retries}")]
    running = Table(box=None, pad_edge=False)
    running.add_column("running for", no_wrap=True)
    running.add_column("trials", no_wrap=True)
    for name in ("cell", "on"):
        running.add_column(name)
    for each in live["running"][:SHOWN]:
        count = len(each["trials"])
        running.add_row(
            duration(each["seconds"])
            + (f"\nattempt {each['attempt']}" if each["attempt"] > 1 else ""),
            each["trials"][0] + (f"\nand {count - 1} more" if count > 1 else ""),
            Name(each["cell"]),
            f"{each['node']}\n{each['device']}",
        )
    if live["running"]:
        shown.append(running)
    if len(live["running"]) > SHOWN:
        shown.append(Text(f"... and {len(live['running']) - SHOWN} more"))
    shown += [
        _warning(f"node {node['node']} ({node['kind']}): {node['state']}")
        for node in live["nodes"]
        if node["state"]
    ]
    shown += [
        _warning(f"{duration(line['seconds_ago'])} ago: {line['line']}")
        for line in live["lines"][-SHOWN:]
    ]
    return shown


def _failure(record: Record) -> RenderableType:
    last = (record.message.strip().splitlines() or [""])[-1]
    return _warning(
        f"{record.status}: {record.trial}, {record.treatment}, seed {record.seed},"
        f" {record.dataset} / {record.architecture}: {last}"
    )


def _shortened(lines: Sequence[RenderableType]) -> list[RenderableType]:
    more = [_warning(f"... and {len(lines) - SHOWN} more")] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def _warning(text: str) -> Text:
    return Text(text, style="yellow")
