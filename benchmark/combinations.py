"""Combinations of a grid's axes: the product, and the rules that take from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from benchmark.axes import Exclude, Include
from benchmark.problems import Finding, Path
from benchmark.recipe import Recipe
from benchmark.treatment import Treatment
from benchmark.trial import Cell, Trial

R = TypeVar("R", Exclude, Include)


def numbered(key: str, rules: Sequence[R]) -> Iterator[tuple[Path, R]]:
    """Yield each rule of `grid.exclude` or `grid.include` with its path in the config."""
    for index, rule in enumerate(rules):
        yield ("grid", key, index), rule


def combine(
    datasets: Iterable[str],
    architectures: Iterable[str],
    recipes: Mapping[str, Recipe],
    treatments: Iterable[Treatment],
    seeds: Iterable[int],
) -> list[Trial]:
    """Return the product, cell by cell, within these seed by seed, then treatment by treatment."""
    conditions = itertools.product(datasets, architectures, recipes.items())
    cells = [Cell(dataset, architecture, *recipe) for dataset, architecture, recipe in conditions]
    return [
        Trial(cell, treatment, seed)
        for cell, seed, treatment in itertools.product(cells, seeds, treatments)
    ]


def without(
    trials: list[Trial], rules: Sequence[Exclude], findings: list[Finding]
) -> dict[Trial, None]:
    """Return the trials that no rule matches; a rule that matches none is a finding."""
    dropped: set[Trial] = set()
    for path, rule in numbered("exclude", rules):
        given = rule.given
        matched = [trial for trial in trials if _matches(trial, given)]
        dropped.update(matched)
        if not matched:
            alone = [
                key
                for key, pattern in given.items()
                if not any(_matches(trial, {key: pattern}) for trial in trials)
            ]
            why = "; ".join(f"no {key} of the grid is {given[key]!r}" for key in alone)
            findings.append((path, f"drops nothing: {why or 'its keys never meet'}"))
    return {trial: None for trial in trials if trial not in dropped}


def _matches(trial: Trial, given: Mapping[str, Any]) -> bool:
    values = {
        "dataset": trial.cell.dataset,
        "architecture": trial.cell.architecture,
        "recipe": trial.cell.recipe_name,
        "treatment": str(trial.treatment),
        "initializer": trial.treatment.initializer,
        "rewiring": trial.treatment.rewiring,
        "seed": str(trial.seed),
    }
    return all(
        fnmatchcase(values[key], str(pattern).replace("[", "[[]")) for key, pattern in given.items()
    )
