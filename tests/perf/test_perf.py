"""The scripts of `perf/` still run: for correctness alone, no time is looked at."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import perf
from perf.against_ray_tune import agreement, interval
from perf.processes import cost_of

ROOT = Path(__file__).parents[2]


def test_every_script_is_importable_without_running() -> None:
    names = [module.name for module in pkgutil.iter_modules(perf.__path__)]
    assert {"null_trials", "scale", "overhead", "startup", "against_ray_tune"} <= set(names)
    for name in names:
        importlib.import_module(f"perf.{name}")


def test_accuracies_that_differ_by_more_than_their_noise_do_not_agree() -> None:
    difference, half = interval([0.90, 0.91, 0.92], [0.80, 0.81, 0.82])
    # Welch: 0.1 +- t(0.975, 4) sqrt(2 (0.01)^2 / 3).
    assert difference == pytest.approx(0.1)
    assert half == pytest.approx(2.7764 * np.sqrt(2e-4 / 3), rel=1e-4)
    trial = {"architecture": "a", "initializer": "i"}
    ways = {
        way: {"trials": [{**trial, "accuracy": mean + noise} for noise in (0.0, 0.01, 0.02)]}
        for way, mean in (("initbench", 0.9), ("Ray Tune", 0.8), ("loop", 0.9))
    }
    assert agreement(ways).rstrip("| ").endswith("no")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_cpu_time_of_a_daemon_counts() -> None:
    """A daemon leaves its parent, its session and whoever waits for it."""
    spin = "import time\nwhile time.process_time() < 0.6: pass"
    program = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {spin!r}], start_new_session=True)\n"
        "child.wait()"
    )
    assert cost_of([sys.executable, "-c", program]).cpu >= 0.4


@pytest.mark.slow
@pytest.mark.parametrize("script", ["null_trials", "scale", "startup"])
def test_the_quick_form_runs(script: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"perf.{script}", "--quick"]
    numbers = tmp_path / "numbers.json"
    if script != "startup":
        command += ["--json", str(numbers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("|")
    if numbers.exists():
        assert all(row["trials"] > 0 for row in json.loads(numbers.read_text())["sizes"])
