"""`initbench reproduce`: one trial run again from its record, and whether it came out the same."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.errors import FAILED, StoreError
from benchmark.publishing.text import NOTHING, last_line, percent, plain, share, significant
from benchmark.trial import RESULTS
from benchmark.wording import counted

if TYPE_CHECKING:
    from benchmark.execution.reproduce import Quantity, Reproduction
    from benchmark.trial import Record

LEAST_SEEDS = 3
"""So many results make a spread to hold a difference against."""


def reproduce(
    trial: str,
    folder: str,
    *,
    plugins: Sequence[str] = (),
    device: str = "auto",
    data_dir: str | None = None,
) -> int:
    """Run the trial whose id begins with `trial` again and print what differs.

    Returns 1 if it has another accuracy or ends in another status.
    """
    from benchmark.execution import reproduce as execution
    from benchmark.plugins import load_plugins

    console = Console(highlight=False)
    records = read_records(folder)
    then = execution.find_record(records, trial)
    load_plugins(plugins)
    again = execution.rebuild(then)
    cohort, alone = execution.rebuild_cohort(again, then, records)
    console.print(
        Text(
            f"{then.trial}: {plain(then.treatment)}, seed {then.seed}, in {plain(again.cell)},"
            f" {counted(again.cell.recipe.epochs, 'epoch')}"
        )
    )
    if alone:
        console.print(
            Text(
                "It is trained without the others of its cohort, so the last bits will differ:"
                f" {plain(alone)}."
            )
        )
    threads = execution.threads_of(then)
    now = execution.run_again(cohort, again, device=device, threads=threads, data_dir=data_dir)
    found = execution.compare(then, now)
    _report(found, _spread(then, records.values()), console)
    return 0 if found.same_result else FAILED


def read_records(folder: str) -> dict[str, Record]:
    """Return the record that counts of every trial of a results folder or a board."""
    from benchmark.results.frame import read_record_data
    from benchmark.results.lines import by_trial, read_record_lines

    name, lines = read_record_data(folder)
    if not lines:
        raise StoreError(
            f"{folder} has no records, neither records.jsonl nor records.jsonl.gz; name a folder"
            " that 'initbench run' wrote to, or a board"
        )
    return by_trial(record for _, record in read_record_lines(lines, f"{folder}/{name}"))


def _spread(then: Record, records: Iterable[Record]) -> tuple[int, float] | None:
    """How many seeds the record's treatment has a result of in its cell, and their sd."""
    own = (then.dataset, then.architecture, then.recipe, then.treatment)
    found = [
        record.accuracy
        for record in records
        if (record.dataset, record.architecture, record.recipe, record.treatment) == own
        and record.accuracy is not None
    ]
    return (len(found), statistics.stdev(found)) if len(found) >= LEAST_SEEDS else None


def _report(found: Reproduction, spread: tuple[int, float] | None, console: Console) -> None:
    console.print(Text(_verdict(found), style="bold"))
    then, now = found.then.accuracy, found.now.accuracy
    if then is not None and now is not None and then != now and spread:
        seeds, sd = spread
        console.print(
            Text(
                f"That is {percent(abs(now - then))} points; over the {seeds} seeds of this"
                f" treatment in this cell the sd is {percent(sd)}."
            )
        )
    differing = [each for each in found.quantities if each.differing]
    same = [each.name for each in found.quantities if not each.differing]
    if differing:
        if same:
            console.print(Text(f"Bit for bit the same: {', '.join(same)}."))
        console.print(Text(), _differences(differing))
    if found.environment:
        console.print(Text(), _environment(found))
    else:
        console.print(Text("Versions, device, threads and commit are those of the record."))
    if "commit" in {change.name for change in found.environment}:
        console.print(
            Text("The code is at another commit; the protocol says that it trains the same.")
        )
    seconds = [sum(record.seconds.values()) for record in (found.then, found.now)]
    console.print(
        Text(f"{significant(seconds[1], 3)} s here, {significant(seconds[0], 3)} s in the record.")
    )


def _verdict(found: Reproduction) -> str:
    then, now = found.then, found.now
    if then.status != now.status:
        reason = last_line(now.message)
        because = f" ({reason})" if reason else ""
        return f"It ended as {now.status} here{because}, as {then.status} in the record."
    if then.status not in RESULTS:
        return f"It ended as {now.status} here as well: {last_line(now.message)}"
    if not found.same_result:
        images = abs((then.accuracy or 0) - (now.accuracy or 0)) * (then.n_test or 0)
        return (
            f"Another accuracy: {now.accuracy} here, {then.accuracy} in the record,"
            f" {images:.0f} of {then.n_test} images apart."
        )
    result = "diverged" if then.accuracy is None else f"accuracy {then.accuracy}"
    exactly = "and every number is, bit for bit" if found.exact else "but other numbers differ"
    return f"The same result ({result}), {exactly}."


def _differences(quantities: Sequence[Quantity]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("quantity")
    table.add_column("values that differ", justify="right")
    table.add_column("largest difference", justify="right")
    for each in quantities:
        largest = NOTHING if each.largest is None else significant(each.largest, 3)
        table.add_row(*map(Text, (each.name, share(each.differing, each.values), largest)))
    return table


def _environment(found: Reproduction) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("environment", "in the record", "here"):
        table.add_column(heading, overflow="fold")
    for change in found.environment:
        table.add_row(*map(Text, map(plain, (change.name, change.then, change.now))))
    return table
