"""`initbench plan --seeds`: how many seeds settle a claim, and what those at hand could show."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from benchmark.commands.sources import DEFAULT_TARGET, Source, read_sources
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.statistics import PilotPlan, Plan

ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True)
class SeedPlan:
    """How many seeds show `difference`, a share of accuracy, in one of `family` comparisons.

    Either `pilots` hold a plan for every treatment asked for, or `assumed` rests on an sd that
    was given; `source` are the pilot's records.
    """

    difference: float
    power: float
    family: int
    source: Source | None = None
    pilots: tuple[PilotPlan, ...] = ()
    assumed: Plan | None = None
    pair: bool = False

    @property
    def alpha(self) -> float:
        """The level of one test."""
        return ALPHA / self.family

    @property
    def hardest(self) -> Plan | None:
        """The plan over all cells that takes most seeds; None where every pilot lacks a cell."""
        plans = [pilot.over_cells for pilot in self.pilots if pilot.over_cells]
        return self.assumed or max(plans, key=lambda each: each.sd, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        from benchmark.statistics import plain

        return {
            "difference": self.difference,
            "power": self.power,
            "family": self.family,
            "alpha": self.alpha,
            "assumed": plain(self.assumed),
            "pilots": plain(self.pilots),
        }


def plan_seeds(
    config: Path | None,
    out: str | None,
    changes: Sequence[str],
    plugins: Sequence[str],
    *,
    effect: float | None = None,
    power: float | None = None,
    records: Sequence[str] | None = None,
    sd: float | None = None,
    pair: tuple[str, str] | None = None,
    family: int | None = None,
    as_json: bool = False,
) -> None:
    """Print how many seeds it takes, from an assumed sd or from the records of a pilot.

    The pilot's records are those of `records`, else of the config's results folder. `effect` is
    by default the target of the records, `power` 0.8.
    """
    power = POWER if power is None else power
    _check(effect, power, records, sd, pair, family)
    if sd is not None:
        difference = DEFAULT_TARGET if effect is None else effect
        found = from_sd(difference, sd, power, 1 if family is None else family)
    else:
        folders = records or [_results_folder(config, out, changes, plugins)]
        found = from_records(read_sources(folders, family=family, target=effect), power, pair)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    from rich.console import Console

    from benchmark.commands.seeding_page import page

    Console(highlight=False).print(page(found))


def from_sd(difference: float, sd: float, power: float, family: int) -> SeedPlan:
    """Plan for an assumed sd of the paired difference; both are shares of accuracy."""
    from benchmark.statistics import plan

    found = SeedPlan(difference, power, family)
    return replace(found, assumed=plan(difference, sd, alpha=found.alpha, power=power))


def from_records(source: Source, power: float, pair: tuple[str, str] | None) -> SeedPlan:
    """Plan for the source's target: the claim "A beats B", else every treatment's against the
    baseline.

    Raises UsageError where no treatment has three pairs of runs in any cell.
    """
    from benchmark.statistics import arrange, plan_from_pilot

    found = SeedPlan(source.target, power, source.family, source, pair=pair is not None)
    reference = source.find(pair[1] if pair else source.baseline)
    present = sorted(set(source.table["treatment"]) - {reference})
    treatments = [source.find(pair[0])] if pair else present
    if reference in treatments:
        raise UsageError(f"{reference!r} is named twice; a claim is about two treatments")
    trials = arrange(source.table)
    pilots = tuple(
        plan_from_pilot(trials, treatment, reference, source.target, alpha=found.alpha, power=power)
        for treatment in treatments
    )
    if not any(cell.plan for pilot in pilots for cell in pilot.per_cell):
        raise UsageError(
            f"a spread takes three pairs of finished runs with the same seed, and no treatment has"
            f" them with {reference} in any cell; run more seeds, or assume a spread with --sd"
        )
    return replace(found, pilots=pilots)


def _check(
    effect: float | None,
    power: float,
    records: Sequence[str] | None,
    sd: float | None,
    pair: tuple[str, str] | None,
    family: int | None,
) -> None:
    if family is not None and family < 1:
        raise UsageError(f"--family {family}: a family is a number of comparisons, at least 1")
    for option, value in (("effect", effect), ("sd", sd)):
        if value is not None and not 0 < value < 1:
            raise UsageError(
                f"--{option} {value:g}: write a share of accuracy between 0 and 1, as in 0.005 for"
                " half a point"
            )
    if not ALPHA < power < 1:
        raise UsageError(f"--power {power:g}: write a share between 0.05 and 1, as in 0.8")
    if sd is not None and (records or pair):
        raise UsageError("--sd assumes a spread, --records and --pair measure one: give either")


def _results_folder(
    config: Path | None, out: str | None, changes: Sequence[str], plugins: Sequence[str]
) -> str:
    """The folder of a config's records, which must hold some; nothing that trains is loaded."""
    if config is None:
        raise UsageError(
            "seeds are planned from the spread of paired differences: name the records of a pilot"
            " with --records DIR or with a CONFIG, or assume a spread with --sd 0.01"
        )
    from benchmark.config import load_config
    from benchmark.plugins import load_plugins
    from benchmark.results.frame import read_file
    from benchmark.results.lines import MANIFEST

    load_plugins(plugins)
    folder = out or os.path.join("results", load_config(config, changes).name)
    if read_file(folder, MANIFEST) is None:
        raise UsageError(
            f"{folder} has no records of a pilot: run one of 5 seeds, name another folder with"
            " --records, or assume a spread with --sd 0.01"
        )
    return folder
