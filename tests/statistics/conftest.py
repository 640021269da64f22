"""The worked cases, and tables made from a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

COLUMNS = ["dataset", "architecture", "recipe", "treatment", "seed", "status", "accuracy", "n_test"]


@pytest.fixture(scope="session")
def cases() -> dict[str, dict[str, Any]]:
    """The worked cases by name, each with its rows as `table`."""
    path = Path(__file__).parent / "statistics_cases.json"
    tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
    return {
        case["name"]: case | {"table": pd.DataFrame(case["rows"], columns=case["columns"])}
        for case in tables
    }


@pytest.fixture(scope="session")
def arm_rows() -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of one arm: `arm_rows("pa", [.9, "diverged", .92])`, seeds 0, 1, 2."""

    def make(
        treatment: str,
        results: list[float | str | None],
        cell: tuple[str, str, str] = ("digits", "mlp", "short"),
        n_test: int = 1000,
    ) -> list[tuple[Any, ...]]:
        return [
            (
                *cell,
                treatment,
                seed,
                *((result, None) if isinstance(result, str) else ("ok", result)),
                n_test,
            )
            for seed, result in enumerate(results)
            if result is not None
        ]

    return make


@pytest.fixture(scope="session")
def as_table() -> Callable[..., pd.DataFrame]:
    """A table from rows of arms."""

    def make(*arms: list[tuple[Any, ...]]) -> pd.DataFrame:
        return pd.DataFrame([row for arm in arms for row in arm], columns=COLUMNS)

    return make


@pytest.fixture(scope="session")
def random_table() -> Callable[..., pd.DataFrame]:
    """A table of normal accuracies with some divergence and some losses, from a seed."""

    def make(
        seed: int,
        treatments: int = 4,
        datasets: int = 3,
        architectures: int = 2,
        seeds: int = 6,
        failing: float = 0.04,
    ) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        rows = []
        for d in range(datasets):
            for a in range(architectures):
                for s in range(seeds):
                    common = rng.normal(0, 0.02)
                    for t in range(treatments):
                        value = 0.8 + 0.03 * d + 0.01 * t + common + rng.normal(0, 0.01)
                        status = rng.choice(
                            ["ok", "diverged", "lost"], p=[1 - 2 * failing, failing, failing]
                        )
                        accuracy = round(float(np.clip(value, 0, 1)), 3) if status == "ok" else None
                        name = "timm" if t == 0 else f"init{t}+pa"
                        rows.append((f"d{d}", f"a{a}", "short", name, s, status, accuracy, 1000))
        table = pd.DataFrame(rows, columns=COLUMNS)
        return table.sample(frac=1, random_state=seed).reset_index(drop=True)

    return make
