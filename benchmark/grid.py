"""From a config to trials, and from trials to cohorts.

Order: cells as the config lists data sets, architectures and recipes, data set by data set; in a
cell seed by seed, and within a seed treatment by treatment, so that whatever is finished early
is finished for all treatments of a seed and can be compared. The order decides no trial's id.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from benchmark.axes import Exclude, Include, is_pattern, seed_list
from benchmark.combinations import combine, numbered, without
from benchmark.config import ConfigError, GridConfig
from benchmark.errors import UsageError
from benchmark.plugins import initializers
from benchmark.problems import Finding, Path
from benchmark.recipe import check_names
from benchmark.treatment import Treatment, parse_treatment
from benchmark.trial import PROTOCOL, Cell, Trial, content_id

MANIFEST_SCHEMA = 1
"""Raised when the form of `manifest` changes."""

MAX_TRIALS = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True)
class Grid:
    """All trials of a config; every seed of every cell has the baseline."""

    config: GridConfig
    cells: tuple[Cell, ...]
    treatments: tuple[Treatment, ...]
    baseline: Treatment
    trials: tuple[Trial, ...]

    @property
    def family(self) -> int:
        """The number of comparisons that the family-wise p allows for."""
        return self.config.family or max(len(self.treatments) - 1, 1)


@dataclass(frozen=True)
class Cohort:
    """Trials of one cell and one data seed, trained side by side on one stream of batches."""

    trials: tuple[Trial, ...]

    def __post_init__(self) -> None:
        if len({(trial.cell, trial.data_seed) for trial in self.trials}) != 1:
            raise ValueError("a cohort is made of trials of one cell and one data seed")

    @property
    def cell(self) -> Cell:
        return self.trials[0].cell

    @property
    def data_seed(self) -> int:
        """The seed of the split, the batches and the augmentation that its trials share."""
        return self.trials[0].data_seed

    @property
    def id(self) -> str:
        """A hash of the trials' ids, in order."""
        return content_id({"trials": [trial.id for trial in self.trials]})

    def halves(self) -> tuple[Cohort, Cohort]:
        """Return two cohorts with half the trials each; raises ValueError for a single trial."""
        middle = (len(self.trials) + 1) // 2
        return Cohort(self.trials[:middle]), Cohort(self.trials[middle:])

    def singly(self) -> list[Cohort]:
        """Return a cohort for each of the trials."""
        return [Cohort((trial,)) for trial in self.trials]


def expand(config: GridConfig) -> Grid:
    """Return every trial of a config, in the order that this module describes.

    Imports timm for names of architectures, optimizers and schedules that timm_cache does not have.
    Raises ConfigError with every problem found: such names, rules that do nothing, an empty grid,
    a baseline that is missing somewhere.
    """
    axes, recipes = config.grid, config.named_recipes
    findings = _recipe_findings(config)
    architectures = _architectures(config, findings)
    excludes = [
        rule.model_copy(update={"architecture": _pattern(path, rule, findings)})
        for path, rule in numbered("exclude", axes.exclude)
    ]
    further = [_further(path, rule, findings) for path, rule in numbered("include", axes.include)]
    _refuse(config, findings)

    listed = [parse_treatment(text) for text in (*axes.product, *axes.treatments)]
    size = len(axes.datasets) * len(architectures) * len(recipes) * len(listed) * len(config.seeds)
    if size > MAX_TRIALS:
        findings = [(("grid",), f"makes {size:,} trials; the limit is {MAX_TRIALS:,}")]
        _refuse(config, findings)
    product = combine(axes.datasets, architectures, recipes, listed, config.seeds)
    kept = without(product, excludes, findings)
    trials = list(kept)
    for (path, rule), own in zip(numbered("include", axes.include), further, strict=True):
        added = combine(
            (rule.dataset,) if rule.dataset else axes.datasets,
            own or architectures,
            {rule.recipe: recipes[rule.recipe]} if rule.recipe else recipes,
            _with_baseline(config, rule.treatment) if rule.treatment else listed,
            config.seeds if rule.seeds is None else seed_list(rule.seeds),
        )
        if not set(added) - set(kept):
            findings.append((path, "adds nothing that the grid does not have"))
        trials += added
    grid = _in_order(config, trials)
    _refuse(config, findings or _gaps(grid))
    return grid


def missing(grid: Grid, done: Collection[str]) -> list[Trial]:
    """Return the trials whose id is not among `done`, in the grid's order."""
    return [trial for trial in grid.trials if trial.id not in done]


def make_cohorts(trials: Iterable[Trial], size: int) -> list[Cohort]:
    """Put trials that may be trained together into cohorts, at most `size` each, in order.

    Cohorts of one group differ by at most one trial in size: no small rest is left at its end.
    """
    return [Cohort(tuple(part)) for each in group(trials) for part in even_parts(each, size)]


def group(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return the trials that may be trained together, in order.

    Those of one cell and one data seed; an initializer that makes another network or learns at
    other rates stays by itself.
    """
    groups: dict[tuple[Cell, int, str], list[Trial]] = {}
    alone = cache(_alone)
    for trial in trials:
        key = trial.cell, trial.data_seed, alone(trial.treatment.initializer)
        groups.setdefault(key, []).append(trial)
    return list(groups.values())


def _alone(initializer: str) -> str:
    """Return the initializer if its trials stay by themselves, nothing if they mix."""
    method, _ = initializers.resolve(initializer)
    return initializer if method.changes_architecture or method.changes_learning_rate else ""


def even_parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield parts of at most `size` items, which differ by at most one in length."""
    count = -(-len(items) // size)
    bounds = [len(items) * part // count for part in range(count + 1)]
    for start, end in itertools.pairwise(bounds):
        yield items[start:end]


def manifest(grid: Grid) -> dict[str, Any]:
    """Return what a reader of results needs to know of a grid, as data for JSON.

    A trial is [id, index of its cell, index of its treatment, seed]. Neither torch nor timm is
    needed to read it.
    """
    config = grid.config
    cell_index = {cell: index for index, cell in enumerate(grid.cells)}
    treatment_index = {treatment: index for index, treatment in enumerate(grid.treatments)}
    return {
        "schema": MANIFEST_SCHEMA,
        "protocol": PROTOCOL,
        "name": config.name,
        "baseline": str(grid.baseline),
        "family": grid.family,
        "margin": config.margin,
        "target": config.target,
        "contrasts": [contrast.model_dump() for contrast in config.contrasts],
        **({"contrast_families": config.contrast_families} if config.contrast_families else {}),
        "seeds": list(dict.fromkeys(trial.seed for trial in grid.trials)),
        "cells": [_cell_entry(cell) for cell in grid.cells],
        "treatments": [_treatment_entry(treatment) for treatment in grid.treatments],
        "trials": [
            [trial.id, cell_index[trial.cell], treatment_index[trial.treatment], trial.seed]
            for trial in grid.trials
        ],
        "config": config.to_dict(),
    }


def _refuse(config: GridConfig, findings: Iterable[Finding]) -> None:
    if problems := [config.problem(path, what) for path, what in findings]:
        raise ConfigError(problems)


def _recipe_findings(config: GridConfig) -> list[Finding]:
    findings: dict[Finding, None] = {}
    for name, recipe in config.named_recipes.items():
        for path, what in check_names(recipe):
            own = path[0] in config.recipes.get(name, {})
            findings[(("recipes", name) if own else ("recipe",)) + path, what] = None
    return list(findings)


def _architectures(config: GridConfig, findings: list[Finding]) -> list[str]:
    """Return the grid's architectures, each once however many wildcards match it."""
    found: dict[str, None] = {}
    written: dict[str, int] = {}
    for index, text in enumerate(config.grid.architectures):
        path = ("grid", "architectures", index)
        names = _expand_architecture(path, text, findings)
        if names and not is_pattern(text):
            if names[0] in written:
                what = f"{text!r} is the same architecture as [{written[names[0]]}]"
                findings.append((path, what))
            written.setdefault(names[0], index)
        found |= dict.fromkeys(names)
    return list(found)


def _expand_architecture(path: Path, text: str, findings: list[Finding]) -> list[str]:
    from benchmark import models

    try:
        return models.expand(text)
    except UsageError as error:
        findings.append((path, str(error)))
        return []


def _pattern(path: Path, rule: Exclude, findings: list[Finding]) -> str | None:
    """Return a rule's architecture: a pattern as it is, a name in its one spelling."""
    text = rule.architecture
    if text is None or is_pattern(text):
        return text
    return next(iter(_expand_architecture((*path, "architecture"), text, findings)), None)


def _further(path: Path, rule: Include, findings: list[Finding]) -> list[str]:
    text = rule.architecture
    return _expand_architecture((*path, "architecture"), text, findings) if text else []


def _with_baseline(config: GridConfig, treatment: str) -> list[Treatment]:
    return [parse_treatment(text) for text in dict.fromkeys((config.baseline, treatment))]


def _in_order(config: GridConfig, trials: Iterable[Trial]) -> Grid:
    unique = dict.fromkeys(trials)
    cells = {cell: rank for rank, cell in enumerate(dict.fromkeys(t.cell for t in unique))}
    seeds = {seed: rank for rank, seed in enumerate(dict.fromkeys(t.seed for t in unique))}
    there = {trial.treatment for trial in unique}
    treatments = tuple(treatment for treatment in config.treatments if treatment in there)
    rank = {treatment: index for index, treatment in enumerate(treatments)}
    ordered = sorted(unique, key=lambda t: (cells[t.cell], seeds[t.seed], rank[t.treatment]))
    return Grid(config, tuple(cells), treatments, parse_treatment(config.baseline), tuple(ordered))


def _gaps(grid: Grid) -> Iterator[Finding]:
    """Yield what keeps the trials from being compared: nothing to compare, or nothing with it."""
    if not grid.trials:
        yield ("grid", "exclude"), "drops every combination; nothing is left to train"
        return
    paired = {(t.cell, t.seed) for t in grid.trials if t.treatment == grid.baseline}
    lacking = dict.fromkeys((t.cell, t.seed) for t in grid.trials)
    lacking = {key: None for key in lacking if key not in paired}
    if lacking:
        cell, seed = next(iter(lacking))
        more = f" (and {len(lacking) - 1:,} more)" if len(lacking) > 1 else ""
        what = f"{str(grid.baseline)!r} is excluded from {cell}, seed {seed}{more}"
        yield ("baseline",), f"{what}; every seed of a cell is compared with it"
    there = {str(treatment) for treatment in grid.treatments}
    for index, contrast in enumerate(grid.config.contrasts):
        for side, treatment in (("a", contrast.a), ("b", contrast.b)):
            if treatment not in there:
                yield ("contrasts", index, side), f"{treatment!r} is excluded everywhere"


def _cell_entry(cell: Cell) -> dict[str, Any]:
    return {
        "dataset": cell.dataset,
        "architecture": cell.architecture,
        "recipe": cell.recipe_name,
        "recipe_content": cell.content["recipe"],
    }


def _treatment_entry(treatment: Treatment) -> dict[str, Any]:
    method, _ = initializers.resolve(treatment.initializer)
    return {
        "treatment": str(treatment),
        "initializer": treatment.initializer,
        "rewiring": treatment.rewiring,
        "changes_architecture": method.changes_architecture,
        "needs_data": method.needs_data is True,
        "needs_labels": method.needs_labels,
        "changes_learning_rate": method.changes_learning_rate,
    }
