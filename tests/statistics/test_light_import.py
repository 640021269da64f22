"""The statistics load nothing that trains, schedules or draws."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import benchmark.statistics as statistics
{use}
print(*(name for name in {heavy} if name in sys.modules))
"""
USE = """
import pandas as pd
names = ("timm", "he", "he+pa")
rows = [("d", "a", "r", t, s, "ok", .9 + s / 100, 1000) for t in names for s in range(4)]
names = ["dataset", "architecture", "recipe", "treatment", "seed", "status", "accuracy", "n_test"]
table = pd.DataFrame(rows, columns=names)
table["epochs_to_target"], table["measures"] = 3, [{"strength": i} for i in range(len(table))]
table["epoch1_accuracy"], table["n_validation"] = table["accuracy"], 1000
statistics.analyse(table, "timm").to_dict()
statistics.early_training(table, "timm").to_dict()
statistics.associations(table)
statistics.contrast_families(table)
statistics.plan_from_pilot(table, "he", "timm")
"""
TRAINING = ("torch", "timm", "ray", "matplotlib", "statsmodels", "scikit_posthocs")


@pytest.mark.parametrize(
    ("use", "heavy"), [("", (*TRAINING, "pandas", "scipy.stats")), (USE, TRAINING)]
)
def test_neither_importing_nor_analysing_loads_anything_heavy(use, heavy):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(use=use, heavy=heavy)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
