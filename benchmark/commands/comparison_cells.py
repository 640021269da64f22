"""The cells of a comparison: a row each, and the notes below them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from benchmark.commands.comparing import Compared
from benchmark.commands.sources import cell_labels
from benchmark.narrow import Name
from benchmark.publishing.cell_tables import in_points, is_marked
from benchmark.publishing.text import (
    NOTHING,
    interval,
    listed,
    p_value,
    percent,
    plain,
    share,
    signed,
)
from benchmark.statistics.results import Arm, Comparison
from benchmark.trial import RESULTS


def cell_table(compared: Compared) -> Table:
    """Return a row a cell: both accuracies, the paired difference, and how many pairs there are."""
    analysis = compared.analysis
    diverged = any(arm.n_diverged for arm in analysis.arms)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("cell")
    for heading in ("A", "B", "A − B", "95 % interval", "p", "pairs"):
        # An interval in two lines leaves a narrow terminal more room for names.
        table.add_column(heading, justify="right", no_wrap=heading != "95 % interval")
    if diverged:
        table.add_column("diverged", justify="right", no_wrap=True)
    labels = cell_labels(analysis.cells)
    for row in analysis.comparisons:
        arms = _arms(compared, row)
        texts = [
            *(percent(arm.mean) for arm in arms),
            *_difference(row),
            share(row.n_pairs, row.n_pairs + row.n_diverged_pairs + row.n_missing),
        ]
        if diverged:
            texts.append(" : ".join(str(arm.n_diverged) for arm in arms))
        table.add_row(Name(labels[row.cell]), *map(Text, texts))
    return table


def _arms(compared: Compared, row: Comparison) -> list[Arm]:
    """The two arms of a comparison; one without rows has no runs."""
    found = {
        arm.treatment: arm
        for arm in compared.analysis.arms
        if (arm.dataset, arm.architecture, arm.recipe) == row.cell
    }
    names = (compared.treatment, compared.reference)
    return [found.get(name) or Arm(*row.cell, name, 0, 0, 0, None, None, None) for name in names]


def _difference(row: Comparison) -> tuple[str, str, str]:
    if row.mean_difference is None:
        return NOTHING, "too few pairs" if row.n_pairs else "no pairs", NOTHING
    mark = " *" if is_marked(row) else "  "
    points = signed(in_points(row.mean_difference))
    if row.state == "identical":
        return points + mark, "identical", "1"
    inside = interval(in_points(row.ci_low), in_points(row.ci_high))
    return points + mark, inside, p_value(row.p)


def cell_notes(compared: Compared) -> Iterator[str]:
    """Yield what a reader of the table has to know, a sentence each."""
    analysis = compared.analysis
    if any(map(is_marked, analysis.comparisons)):
        yield "* stands out among these cells (Benjamini-Hochberg, 5 %)."
    if any(arm.n_ok != row.n_pairs for row in analysis.comparisons for arm in _arms(compared, row)):
        yield "A and B are means over all finished runs, A − B is over pairs of them."
    statuses = compared.source.table
    lost = Counter(
        str(status)
        for cell, name, status in zip(
            zip(statuses["dataset"], statuses["architecture"], statuses["recipe"], strict=True),
            statuses["treatment"],
            statuses["status"],
            strict=True,
        )
        if name in (compared.treatment, compared.reference)
        and status not in RESULTS
        and cell in analysis.cells
    )
    if lost:
        counts = listed(f"{n} {status}" for status, n in lost.most_common())
        yield f"Runs without a result, held against neither: {counts}."
    if analysis.near_ceiling:
        names = listed(plain(" / ".join(cell)) for cell in analysis.near_ceiling)
        yield f"B errs on fewer than 10 images in {names}: there one image is a large step."
    if compared.left_out:
        names = listed((plain(" / ".join(cell)) for cell in compared.left_out), most=3)
        has = "not both have" if compared.common else "B has no"
        yield f"Left out, because {has} runs there: {names}."
