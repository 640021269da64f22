"""Results folders of made-up but realistic runs, the same for the same arguments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.statistics.trials import split_treatment
from benchmark.trial import PROTOCOL, SCHEMA, content_id

CHANGES = {"timm": 0.0, "kaiming_normal": -0.04, "orthogonal": -0.12, "zeros": 0.9}
"""By what each initializer changes the log of the error."""

TREATMENTS = (
    *("timm", "timm+pa", "timm+shuffle"),
    *("kaiming_normal", "kaiming_normal+pa", "kaiming_normal+shuffle"),
    *("orthogonal", "orthogonal+pa", "orthogonal+shuffle"),
)
CELLS = (
    ("digits", "test_resnet", "short"),
    ("digits", "test_vit", "short"),
    ("digits", "plain_cnn", "short"),
    ("fashion_mnist", "test_resnet", "short"),
)
N_TEST = {"digits": 360, "fashion_mnist": 10_000}
N_VALIDATION = 500
PROVENANCE = {
    "versions": {"python": "3.11.7", "initbench": "0.1.0", "torch": "2.11.0", "timm": "1.0.20"},
    "device": "Example CPU 3000",
    "device_type": "cpu",
    "host": "Linux x86_64",
    "threads": 1,
    "commit": "0123456789ab",
}


def write_results(
    folder: Path,
    treatments: Sequence[str] = TREATMENTS,
    cells: Sequence[tuple[str, str, str]] = CELLS,
    seeds: Iterable[int] = range(5),
    *,
    epochs: int = 8,
    random_seed: int = 0,
    missing: int = 0,
    statuses: dict[str, str] | None = None,
    seed_effect: float = 0.05,
    layers: int = 3,
    message: str = "RuntimeError: out of luck",
    manifest: dict[str, Any] | None = None,
) -> Path:
    """Write records.jsonl, grid.json and config.yaml for the whole grid of the arguments.

    `statuses` gives a treatment's runs another status than ok; `missing` leaves out so many
    records at the end; `message` is what runs with an error say last; `manifest` replaces keys of
    the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = list(seeds)
    rng = np.random.default_rng(random_seed)
    cell_error = np.exp(rng.normal(-2.6, 0.4, len(cells)))
    seed_error = rng.normal(0.0, seed_effect, (len(cells), len(seeds)))
    declared, lines = [], []
    for k, cell in enumerate(cells):
        for t, treatment in enumerate(treatments):
            initializer, rewiring = split_treatment(treatment)
            change = CHANGES.get(initializer, 0.02 * t) - 0.05 * (rewiring == "pa")
            for s, seed in enumerate(seeds):
                content = trial_content(cell, initializer, rewiring, seed, epochs)
                trial = content_id(content)
                declared.append([trial, k, t, seed])
                noise = rng.normal(0.0, 0.04)
                error = min(cell_error[k] * np.exp(change + seed_error[k, s] + noise), 0.95)
                status = (statuses or {}).get(treatment, "ok")
                record = {
                    **named(cell, treatment, initializer, rewiring, seed),
                    "trial": trial,
                    "content": content,
                    "status": status,
                    **results(rng, error, status, N_TEST.get(cell[0], 10_000), epochs, message),
                    "strength": strength(rng, rewiring, layers),
                    "provenance": {
                        **PROVENANCE,
                        "cohort": {"size": 4, "place": s % 4},
                        "finished": f"2026-11-{20 + s % 4}T12:30:{s % 60:02}Z",
                    },
                    "schema": SCHEMA,
                }
                lines.append(json.dumps(record, separators=(",", ":")))
    if missing:
        del lines[-missing:]
    (folder / "records.jsonl").write_text("".join(line + "\n" for line in lines))
    described = describe(treatments, cells, seeds, declared)
    (folder / "grid.json").write_text(json.dumps({**described, **(manifest or {})}))
    (folder / "config.yaml").write_text("name: synthetic\nseeds: 5\n")
    return folder


def trial_content(
    cell: tuple[str, str, str], initializer: str, rewiring: str, seed: int, epochs: int
) -> dict[str, Any]:
    return {
        "protocol": PROTOCOL,
        "dataset": cell[0],
        "architecture": cell[1],
        "recipe": {"epochs": epochs, "learning_rate": 0.05},
        "treatment": {"initializer": initializer, "rewiring": rewiring, "plugins": {}},
        "seed": seed,
    }


def named(
    cell: tuple[str, str, str], treatment: str, initializer: str, rewiring: str, seed: int
) -> dict[str, Any]:
    return {
        "dataset": cell[0],
        "architecture": cell[1],
        "recipe": cell[2],
        "treatment": treatment,
        "initializer": initializer,
        "rewiring": rewiring,
        "seed": seed,
    }


def results(
    rng: np.random.Generator, error: float, status: str, n_test: int, epochs: int, message: str
) -> dict[str, Any]:
    """The measured part of a record: binomial counts, curves that approach the final accuracy."""
    seconds = {"initialization": 0.004, "rewiring": 0.02, "training": 1.5 * epochs}
    if status not in ("ok", "diverged"):
        message = 'Traceback (most recent call last):\n  File "/home/someone/x.py", line 3\n'
        return {"message": f"{message}RuntimeError: {status}", "seconds": seconds}
    steps = np.arange(1, epochs + 1)
    shape = 1.0 - (1.0 - 0.3) * np.exp(-3.0 * steps / epochs)
    validation = rng.binomial(N_VALIDATION, np.clip((1.0 - error) * shape, 0, 1)) / N_VALIDATION
    curves = {
        "train_loss": (2.3 * (1.0 - shape) + error).tolist(),
        "train_accuracy": ((1.0 - error / 2) * shape).tolist(),
        "validation_loss": (2.3 * (1.0 - shape) + 2 * error).tolist(),
        "validation_accuracy": validation.tolist(),
        "learning_rate": (0.05 * (1 - steps / epochs)).tolist(),
        "seconds": [1.5] * epochs,
    }
    correct = int(rng.binomial(n_test, 1.0 - error))
    return {
        "accuracy": correct / n_test if status == "ok" else None,
        "n_test": n_test,
        "epoch1_accuracy": float(validation[0]),
        "n_validation": N_VALIDATION,
        "area_under_validation_curve": float(validation.mean()),
        "test_loss": 2 * error,
        "curves": curves,
        "seconds": seconds,
        "message": "" if status == "ok" else "the training loss became nan in epoch 2",
    }


def strength(rng: np.random.Generator, rewiring: str, layers: int) -> dict[str, Any]:
    before = float(np.exp(rng.normal(0.0, 0.2)))
    after = before * {"pa": 0.05, "none": 1.0}.get(rewiring, float(np.exp(rng.normal(0, 0.1))))
    each = [
        {
            "name": f"layers.{i}.conv",
            "shape": [16, 8, 3, 3],
            "before": [before, before],
            "after": [after, after],
        }
        for i in range(layers)
    ]
    measures = {"gain": before, "initial_loss": 2.0 + 0.1 * after}
    return {"before": before, "after": after, "layers": each, "measures": measures}


def describe(
    treatments: Sequence[str],
    cells: Sequence[tuple[str, str, str]],
    seeds: Sequence[int],
    trials: list[list[Any]],
) -> dict[str, Any]:
    """The manifest, as the grid writes it."""
    return {
        "schema": 1,
        "protocol": PROTOCOL,
        "name": "synthetic",
        "baseline": treatments[0],
        "family": max(len(treatments) - 1, 1),
        "margin": 0.05,
        "target": 0.005,
        "contrasts": [],
        "seeds": list(seeds),
        "cells": [
            {
                "dataset": dataset,
                "architecture": architecture,
                "recipe": recipe,
                "recipe_content": {"epochs": 8, "learning_rate": 0.05},
            }
            for dataset, architecture, recipe in cells
        ],
        "treatments": [
            {
                "treatment": treatment,
                "initializer": split_treatment(treatment)[0],
                "rewiring": split_treatment(treatment)[1],
                "changes_architecture": False,
                "needs_data": split_treatment(treatment)[0] == "lsuv",
                "needs_labels": False,
                "changes_learning_rate": False,
            }
            for treatment in treatments
        ],
        "trials": trials,
        "config": {"name": "synthetic", "seeds": list(seeds)},
    }
