"""Manifests: what several grids declare, merged into one canonical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.errors import StoreError, UsageError, unknown_name
from benchmark.publishing.marks import FLAGS
from benchmark.statistics.contrasts import FAMILIES, family_sizes
from benchmark.trial import PROTOCOL

_SETTINGS = ("protocol", "baseline", "margin", "target")
_DEFAULTS = {"protocol": PROTOCOL, "margin": 0.05, "target": 0.005}
"""What holds where all sources are tables, which say nothing about it."""

_OF_THE_MACHINE = ("data_dir", "execution")
"""Keys of a config that say where it ran, not what."""

_NUMBERS = (int, float)

GUEST = "guest"
"""The key, true, of a treatment that another source added to those that the first one declares."""

SIZES = "contrast_families"
"""The key of the sizes of contrast families, in manifests and in configs."""

Cell = tuple[str, str, str]
Declared = tuple[Cell, str, int]
"""Cell, treatment and seed of a trial."""


def cell_key(cell: Mapping[str, Any]) -> Cell:
    """Return a manifest's cell as (dataset, architecture, recipe)."""
    return str(cell["dataset"]), str(cell["architecture"]), str(cell["recipe"])


def declared_trials(manifest: Mapping[str, Any], source: str) -> dict[str, Declared]:
    """Return what a manifest says every trial is, by its name; StoreError where it cannot be."""
    try:
        cells = [cell_key(cell) for cell in manifest["cells"]]
        names = [str(each["treatment"]) for each in manifest["treatments"]]
        parts = [(each["initializer"], each["rewiring"]) for each in manifest["treatments"]]
        contrasts = [(each["name"], each["a"], each["b"]) for each in manifest["contrasts"]]
        found = {
            str(trial): (cells[cell], names[treatment], int(seed))
            for trial, cell, treatment, seed in manifest["trials"]
        }
        if not all(isinstance(text, str) for texts in (*parts, *contrasts) for text in texts):
            raise ValueError("a name that is no text")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(
            f"{source}: its manifest has cells, treatments or trials that cannot be read"
            f" ({type(error).__name__}: {error}). Run the same grid again: it writes the manifest"
            " anew and keeps every record"
        ) from error
    return found


def contrast_sizes(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return the fixed size of every contrast family, by its name.

    It is what the manifest says, else the number of contrasts that its grid declares, finished or
    not. Raises UsageError for families that there are not and sizes that are none.
    """
    parts = {(each["initializer"], each["rewiring"]) for each in manifest["treatments"]}
    declared = family_sizes(sorted(parts), len(manifest["contrasts"]))
    sizes = manifest.get(SIZES, {})
    if not isinstance(sizes, dict):
        raise UsageError(f"{SIZES} is {sizes!r}; write the size of each family by its name")
    for name, size in sizes.items():
        if name not in FAMILIES:
            raise UsageError(f"{SIZES}: {unknown_name('contrast family', name, FAMILIES)}")
        if type(size) is not int or size < 1:
            raise UsageError(f"{SIZES}: the size of {name!r} is {size!r}; it is a number above 0")
    return declared | sizes


def founding(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the treatments that the board was founded with, as the manifest declares them."""
    return [each for each in manifest["treatments"] if not each.get(GUEST)]


def founders(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (initializer, rewiring) of the treatments that the board was founded with, sorted."""
    return sorted((each["initializer"], each["rewiring"]) for each in founding(manifest))


def merge_manifests(
    manifests: Sequence[dict[str, Any]], sources: Sequence[str], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the canonical manifest of all: sorted, each cell, treatment and trial once.

    Merging a canonical manifest alone changes nothing. The first source founds the board:
    treatments that only others declare are marked as guests, see `founding`, and every family has
    the size that it has in the first manifest with that family, so that no guest changes what was
    there. Sizes are written out, and into the configs, from which the next guest takes them. Raises
    UsageError where the manifests disagree about anything else.
    """
    settings = {key: _agreed(key, manifests, sources, overrides) for key in _SETTINGS}
    settings = {
        key: _DEFAULTS.get(key) if value is None else value for key, value in settings.items()
    }
    _check_settings(settings)
    if settings["baseline"] is None:
        raise UsageError("a table names no baseline; say which treatment it is with --baseline")
    cells: dict[Cell, dict[str, Any]] = {}
    treatments: dict[str, dict[str, Any]] = {}
    trials: dict[str, Declared] = {}
    configs: list[Any] = []
    for manifest, source in zip(manifests, sources, strict=True):
        for cell in manifest["cells"]:
            if cells.setdefault(cell_key(cell), cell) != cell:
                raise UsageError(
                    f"{source} trains the cell {' / '.join(cell_key(cell))} by another recipe than"
                    f" {sources[0]}: give one of the recipes another name"
                )
        for treatment in manifest["treatments"]:
            name = str(treatment["treatment"])
            own = treatment if manifest is manifests[0] else {**treatment, GUEST: True}
            known = treatments.setdefault(name, own)
            # Who says that a method gets help is believed.
            treatments[name] = known | {flag: True for flag in FLAGS if treatment.get(flag)}
        trials |= declared_trials(manifest, source)
        own = manifest.get("configs", [manifest["config"]])
        configs += [each for each in map(_what_is_run, own) if each and each not in configs]
    if settings["baseline"] not in treatments:
        raise UsageError(
            f"the baseline {settings['baseline']!r} is not among the treatments:"
            f" {', '.join(sorted(treatments))}"
        )
    order = sorted(treatments, key=lambda name: (name != settings["baseline"], name))
    cell_at = {key: index for index, key in enumerate(sorted(cells))}
    treatment_at = {name: index for index, name in enumerate(order)}
    names = list(dict.fromkeys(str(manifest["name"]) for manifest in manifests))
    contrasts = [each for manifest in manifests for each in manifest["contrasts"]]
    merged = {
        "schema": manifests[0]["schema"],
        "name": overrides.get("name") or " + ".join(names),
        **settings,
        "family": _family(manifests, len(treatments) - 1, overrides),
        "contrasts": [each for i, each in enumerate(contrasts) if each not in contrasts[:i]],
        "seeds": sorted({seed for _, _, seed in trials.values()}),
        "cells": [cells[key] for key in sorted(cells)],
        "treatments": [treatments[name] for name in order],
        "trials": [
            [trial, cell, treatment, seed]
            for cell, treatment, seed, trial in sorted(
                (cell_at[cell], treatment_at[name], seed, trial)
                for trial, (cell, name, seed) in trials.items()
            )
        ],
    }
    sizes = _sizes([*manifests, merged])
    fixed = {"family": merged["family"]} | ({SIZES: sizes} if sizes else {})
    configs = [config | fixed for config in configs]
    configs = [each for i, each in enumerate(configs) if each not in configs[:i]]
    return {
        **merged,
        SIZES: sizes,
        "config": configs[0] if configs else {},
        "configs": configs,
    }


def _family(
    manifests: Sequence[Mapping[str, Any]], compared: int, overrides: Mapping[str, Any]
) -> int:
    """The number of comparisons with the baseline that a verdict allows for."""
    said = (overrides, *manifests)
    sizes = [each["family"] for each in said if each.get("family") is not None]
    family = sizes[0] if sizes else max(compared, 1)
    _check_number("family", family, (int,))
    return int(family)


def _sizes(manifests: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The size of every contrast family in the first manifest that has it."""
    found: dict[str, int] = {}
    for manifest in manifests:
        found = contrast_sizes(manifest) | found
    return {name: found[name] for name in FAMILIES if name in found}


def _agreed(
    key: str,
    manifests: Sequence[dict[str, Any]],
    sources: Sequence[str],
    overrides: Mapping[str, Any],
) -> Any:
    """The one value that all manifests with an opinion have."""
    if key in overrides:
        return overrides[key]
    said = [
        (manifest[key], source)
        for manifest, source in zip(manifests, sources, strict=True)
        if manifest[key] is not None
    ]
    for value, source in said[1:]:
        if value != said[0][0]:
            advice = "; settle it with --baseline" if key == "baseline" else ""
            raise UsageError(
                f"the {key} is {said[0][0]!r} in {said[0][1]}, but {value!r} in {source}{advice}"
            )
    return said[0][0] if said else None


def _what_is_run(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _OF_THE_MACHINE}


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise UsageError for values with which nothing can be computed."""
    for key, kinds in (("protocol", (int,)), ("margin", _NUMBERS), ("target", _NUMBERS)):
        if settings[key] is not None:
            _check_number(key, settings[key], kinds)


def _check_number(key: str, value: Any, kinds: tuple[type, ...]) -> None:
    if not (type(value) in kinds and value > 0):
        raise UsageError(f"the {key} is {value!r}; it is a number above 0")
