"""`initbench compare`: one treatment against another, and the analysis of a whole table as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from benchmark.commands.sources import Cell, Source, read_sources
from benchmark.errors import UsageError
from benchmark.publishing.text import listed, plain
from benchmark.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.statistics import Analysis, EarlyTraining, Headline, PilotPlan

LEAST_PAIRS = 3
_EPOCHS = "epochs_to_target"
_EARLY = ("epoch1_accuracy", "area_under_validation_curve")


@dataclass(frozen=True)
class Compared:
    """One treatment against another: what the page and its sentence are made of.

    `treatment` and `reference` are names of the source's table. `analysis` is over the cells in
    which the reference has runs, or, if `common`, both have; `left_out` are the other cells in
    which either has. `early` is None where the table says nothing of it.
    """

    source: Source
    treatment: str
    reference: str
    analysis: Analysis
    plan: PilotPlan
    early: EarlyTraining | None
    common: bool
    left_out: tuple[Cell, ...]

    @property
    def headline(self) -> Headline | None:
        """The change over all cells; None where a cell has fewer than three pairs."""
        return self.analysis.ranking[0] if self.analysis.ranking else None


def compare(
    treatment: str | None,
    reference: str | None,
    records: Sequence[str],
    *,
    baseline: str | None = None,
    family: int | None = None,
    margin: float | None = None,
    target: float | None = None,
    common: bool = False,
    as_json: bool = False,
) -> None:
    """Print the comparison of two treatments, or of all with the baseline as JSON.

    Without a `reference` the treatment is compared with the baseline of the records.
    """
    source = read_sources(records, baseline=baseline, family=family, margin=margin, target=target)
    if treatment is None:
        if not as_json:
            raise UsageError(
                "name two treatments to compare, or ask for all of them with --json; these"
                f" records have {listed(map(plain, source.treatments), most=20)}"
            )
        _print_json(analyse_all(source))
        return
    if as_json:
        _print_json(_analyse_two(source, *_named(source, treatment, reference), common)[1])
        return
    from rich.console import Console

    from benchmark.commands.comparison_page import page

    compared = compare_two(source, treatment, reference, common=common)
    Console(highlight=False).print(page(compared))


def analyse_all(source: Source) -> Analysis:
    """Compare every treatment of a source with its baseline, over the declared cells."""
    from benchmark.statistics import analyse

    return analyse(
        source.table,
        source.find(source.baseline),
        source.family,
        source.margin,
        source.target,
        cells=source.declared if source.evidence else None,
    )


def compare_two(
    source: Source, treatment: str, reference: str | None, *, common: bool = False
) -> Compared:
    """Compare two treatments of a source; `reference` defaults to its baseline.

    Raises UsageError for unknown names, and where no cell has three pairs of finished runs.
    """
    from benchmark.statistics import plan_from_pilot

    treatment, reference = _named(source, treatment, reference)
    table, analysis = _analyse_two(source, treatment, reference, common)
    return Compared(
        source,
        treatment,
        reference,
        analysis,
        plan_from_pilot(
            table,
            treatment,
            reference,
            source.target,
            alpha=0.05 / source.family,
            cells=analysis.cells,
        ),
        _early(source, table, reference, analysis),
        common,
        tuple(cell for cell in _cells_of(table) if cell not in analysis.cells),
    )


def _named(source: Source, treatment: str, reference: str | None) -> tuple[str, str]:
    treatment = source.find(treatment)
    reference = source.find(reference or source.baseline)
    if treatment == reference:
        raise UsageError(f"{treatment!r} is named twice; a treatment is compared with another one")
    return treatment, reference


def _analyse_two(
    source: Source, treatment: str, reference: str, common: bool
) -> tuple[pd.DataFrame, Analysis]:
    """The rows of the two treatments and their analysis."""
    from benchmark.statistics import analyse

    table = source.table[source.table["treatment"].isin((treatment, reference))]
    own, other = (
        set(_cells_of(table[table["treatment"] == name])) for name in (treatment, reference)
    )
    if not own & other:
        raise UsageError(
            f"{treatment} and {reference} have no cell in common:"
            f" {_places(treatment, own)}, {_places(reference, other)}"
        )
    cells = sorted(own & other if common else other)
    analysis = analyse(table, reference, source.family, source.margin, source.target, cells)
    most = max(row.n_pairs + row.n_diverged_pairs for row in analysis.comparisons)
    if most < LEAST_PAIRS:
        raise UsageError(
            f"{treatment} and {reference} have no more than {counted(most, 'pair')} of finished"
            f" runs with the same seed in a cell; a test takes {LEAST_PAIRS}. Run more seeds"
        )
    return table, analysis


def _places(treatment: str, cells: set[Cell]) -> str:
    names = [plain(" / ".join(cell)) for cell in sorted(cells)]
    return f"{treatment} has runs in {listed(names, most=3)}" if names else f"{treatment} has none"


def _cells_of(table: pd.DataFrame) -> list[Cell]:
    columns = [table[name].astype(str) for name in ("dataset", "architecture", "recipe")]
    return sorted(set(zip(*columns, strict=True)))


def _early(
    source: Source, table: pd.DataFrame, reference: str, analysis: Analysis
) -> EarlyTraining | None:
    """What the table tells of early training; the reference's own runs set the targets.

    Columns that some finished run lacks say nothing of the pairs, so they are left out.
    """
    from benchmark.statistics import early_training

    if source.evidence:
        from benchmark.publishing.findings import epochs_to_target

        manifest = {**source.evidence.manifest, "baseline": reference}
        _, epochs = epochs_to_target(dataclasses.replace(source.evidence, manifest=manifest))
        table = table.assign(**{_EPOCHS: epochs[table.index]})
    ok = table[table["status"] == "ok"]
    lacking = [
        name
        for name in _EARLY
        if name not in table
        or ok[name].isna().any()
        or "n_validation" not in table
        or ok["n_validation"].isna().any()
    ]
    if _EPOCHS in table and not ok[_EPOCHS].notna().any():
        lacking.append(_EPOCHS)
    table = table.drop(columns=lacking, errors="ignore")
    found = early_training(
        table, reference, source.family, source.margin, source.target, analysis.cells
    )
    return found if found.epoch1 or found.area or found.epochs else None


def _print_json(analysis: Analysis) -> None:
    typer.echo(json.dumps(analysis.to_dict(), indent=2, allow_nan=False))
