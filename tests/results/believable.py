"""Results folders whose records can be believed, and what it takes to spoil one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmark.statistics.trials import split_treatment
from benchmark.trial import PROTOCOL, SCHEMA, content_id

EPOCHS = 3
N_TEST = 359
N_VALIDATION = 100
RECIPE = {"epochs": EPOCHS, "image_size": 8}

Change = Callable[[dict[str, Any]], object]


def record(
    treatment: str,
    seed: int,
    architecture: str = "plain_cnn",
    correct: int = 300,
    plugins: dict[str, str] | None = None,
) -> dict[str, Any]:
    """An ok record of the digits, `correct` of 359 test images right."""
    initializer, rewiring = split_treatment(treatment)
    content = {
        "protocol": PROTOCOL,
        "dataset": "digits",
        "architecture": architecture,
        "recipe": dict(RECIPE),
        "treatment": {"initializer": initializer, "rewiring": rewiring, "plugins": plugins or {}},
        "seed": seed,
    }
    validation = [0.5, 0.7, 0.81]
    return {
        "trial": content_id(content),
        "content": content,
        "dataset": "digits",
        "architecture": architecture,
        "recipe": "short",
        "treatment": treatment,
        "initializer": initializer,
        "rewiring": rewiring,
        "seed": seed,
        "status": "ok",
        "accuracy": correct / N_TEST,
        "n_test": N_TEST,
        "epoch1_accuracy": validation[0],
        "n_validation": N_VALIDATION,
        "area_under_validation_curve": sum(validation) / EPOCHS,
        "test_loss": 0.5,
        "curves": {
            "train_loss": [2.0, 1.0, 0.6],
            "train_accuracy": [0.4, 0.7, 0.8],
            "validation_loss": [1.9, 1.1, 0.7],
            "validation_accuracy": validation,
            "learning_rate": [0.05, 0.02, 0.0],
            "seconds": [0.1, 0.1, 0.1],
        },
        "strength": {"before": 1.2, "after": 0.1, "layers": []},
        "seconds": {"initialization": 0.01, "rewiring": 0.02, "training": 0.3},
        "message": "",
        "provenance": {"device": "Example CPU 3000", "commit": "0123456789ab"},
        "schema": SCHEMA,
    }


def failed(values: dict[str, Any], status: str) -> dict[str, Any]:
    """The record of the same trial that ended without a result."""
    kept = ("trial", "content", "dataset", "architecture", "recipe", "treatment", "initializer")
    kept += ("rewiring", "seed", "schema", "provenance")
    return {name: values[name] for name in kept} | {"status": status, "message": "no room"}


def manifest(records: Iterable[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    """The manifest that declares the trials of records."""
    records = list(records)
    cells = sorted({(each["architecture"], each["recipe"]) for each in records})
    treatments = sorted({each["treatment"] for each in records})
    return {
        "schema": 1,
        "protocol": PROTOCOL,
        "name": "guests",
        "baseline": "timm",
        "family": 4,
        "margin": 0.05,
        "target": 0.005,
        "contrasts": [],
        "seeds": sorted({each["seed"] for each in records}),
        "cells": [
            {
                "dataset": "digits",
                "architecture": architecture,
                "recipe": recipe,
                "recipe_content": dict(RECIPE),
            }
            for architecture, recipe in cells
        ],
        "treatments": [
            {
                "treatment": treatment,
                "initializer": split_treatment(treatment)[0],
                "rewiring": split_treatment(treatment)[1],
            }
            for treatment in treatments
        ],
        "trials": [
            [
                each["trial"],
                cells.index((each["architecture"], each["recipe"])),
                treatments.index(each["treatment"]),
                each["seed"],
            ]
            for each in {each["trial"]: each for each in records}.values()
        ],
        "config": {"name": "guests"},
        **settings,
    }


def write_folder(
    folder: Path,
    records: Sequence[dict[str, Any]],
    declared: Sequence[dict[str, Any]] | None = None,
    **settings: Any,
) -> Path:
    """Write records and the manifest that declares them, or the `declared` ones."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(each) + "\n" for each in records)
    (folder / "records.jsonl").write_text(lines, encoding="utf-8")
    described = manifest(records if declared is None else declared, **settings)
    (folder / "grid.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def grid(
    treatments: Sequence[str] = ("timm", "orthogonal"),
    seeds: Iterable[int] = range(3),
    architecture: str = "plain_cnn",
) -> list[dict[str, Any]]:
    """A record of every treatment and seed, each with an accuracy of its own."""
    return [
        record(treatment, seed, architecture, correct=300 + 5 * index + seed)
        for seed in seeds
        for index, treatment in enumerate(treatments)
    ]
