"""The scripts of `perf/` still run: for correctness alone, no time is looked at."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import perf
from benchmark.config import load_config
from benchmark.execution import run
from benchmark.grid import expand
from benchmark.plugins import datasets, find_plugin
from perf import grid_price, overhead_run, ray_tune_grid, startup
from perf.against_ray_tune import agreement, agrees, interval
from perf.overhead import breakdown, phases, summary
from perf.processes import cost_of
from perf.ray_tune_grid import DATA, files_of_fashion, write_script_grid
from perf.ray_tune_script import loop
from tests.conftest import make_cell

ROOT = Path(__file__).parents[2]


def test_every_script_is_importable_without_running() -> None:
    names = [module.name for module in pkgutil.iter_modules(perf.__path__)]
    assert {"null_trials", "scale", "overhead", "startup", "against_ray_tune"} <= set(names)
    for name in names:
        importlib.import_module(f"perf.{name}")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread: several wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    assert not agrees(ways)
    ways["Ray Tune"]["trials"] = ways["loop"]["trials"]
    assert agrees(ways)


def test_more_comparisons_make_wider_intervals() -> None:
    one, other = [0.90, 0.91, 0.92], [0.80, 0.81, 0.82]
    # t(1 - 0.05 / 18, 4), by the closed form of the distribution with 4 degrees of freedom.
    assert interval(one, other, 1 - 0.05 / 9)[1] == pytest.approx(5.4366 * np.sqrt(2e-4 / 3), 1e-3)


def test_the_phases_of_a_run_are_all_of_the_workers_time() -> None:
    seen = {
        "ready": 12.0,
        "checked": 13.0,
        "measuring": 2.0,
        # Two workers: 16-26 and 27-31, and 16-25 and 25-29.
        "cohorts": [(16.0, 26.0), (16.0, 25.0), (25.0, 29.0), (27.0, 31.0)],
    }
    found = phases(seen, workers=2, start=5.0, end=35.0, training=24.0)
    assert found == {
        "start": 14.0,
        "check": 2.0,
        "measure": 4.0,
        "plan": 2.0,
        "training": 24.0,
        "cohorts": 3.0,
        "gaps": 1.0,
        "tail": 2.0,
        "end": 8.0,
    }
    assert sum(found.values()) == 2 * (35.0 - 5.0)
    row = summary({"trials": 4, "workers": 2, "wall": 30.0, "phases": found}).splitlines()[-1]
    assert row.strip("| ").split("|")[-1].strip() == "60.0"


def test_a_worker_that_never_gets_a_cohort_is_idle_to_the_end() -> None:
    seen = {"ready": 1.0, "checked": 1.0, "measuring": 0.0, "cohorts": [(2.0, 5.0)]}
    found = phases(seen, workers=3, start=0.0, end=6.0, training=3.0)
    assert (found["tail"], found["gaps"]) == (6.0, 0.0)
    assert sum(found.values()) == 18.0


def test_a_watched_run_trains_all_and_leaves_its_marks(
    monkeypatch: pytest.MonkeyPatch, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    marks = tmp_path / "marks.json"
    asked = [write_config(("epochs: 2", "epochs: 1")), tmp_path / "out", marks]
    changes = ["execution.executor=inline", "execution.cohort_size=4"]
    monkeypatch.setattr(sys, "argv", ["overhead_run", *map(str, asked), *changes])
    monkeypatch.setattr(run, "make_executor", run.make_executor)
    start = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        overhead_run.main()
    end = time.monotonic()
    assert ended.value.code == 0
    records = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    training = sum(sum(json.loads(line)["seconds"].values()) for line in records)
    found = phases(json.loads(marks.read_text()), 1, start, end, training)
    assert len(records) == 8
    assert sum(found.values()) == pytest.approx(end - start)
    assert min(found.values()) >= 0
    assert breakdown({"workers": 1, "wall": end - start, "phases": found}).count("\n") == 10


def test_the_script_to_compare_with_trains_the_same_trials(
    tmp_path: Path, one_thread: None
) -> None:
    grid = {
        "models": ("plain_cnn",),
        "initializers": ("timm", "orthogonal"),
        "seeds": 1,
        "recipe": {**DATA["fashion"]["recipe"], "warmup_epochs": 0},
    }
    folder = files_of_fashion(tmp_path, None, generated=True)
    try:
        config = load_config(ray_tune_grid.write_config(tmp_path, "fashion", grid, folder))
        script = json.loads(write_script_grid(tmp_path, "fashion", grid, folder).read_text())
        planned = expand(config).trials
        assert [(str(t.treatment), t.seed) for t in planned] == [
            (each["initializer"], each["seed"]) for each in script
        ]
        images = datasets.get("fashion").function(folder)
        assert images.train.pixels.shape == (2000, 1, 28, 28)
        (found,) = loop([script[1]])
    finally:
        datasets.forget(find_plugin(str(tmp_path / "fashion.py")).module)
    assert found["accuracy"] > 0.3
    assert set(found["seconds"]) == {"import", "data", "build", "train"}


def test_startup_times_commands_against_their_goals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    numbers = tmp_path / "numbers.json"
    monkeypatch.setattr(startup, "QUICK", (0, 2))
    monkeypatch.setattr(sys, "argv", ["startup", "--quick", "--json", str(numbers)])
    startup.main()
    rows = json.loads(numbers.read_text())["commands"]
    assert [row["command"] for row in rows] == ["initbench --help", "initbench list rewirings"]
    assert all(row["cpu"] > 0 and row["wall"] > 0 for row in rows)
    late = startup.table([{"command": "x", "goal": 0.5, "wall": 0.1, "cpu": 0.6}])
    assert late.rstrip("| ").endswith("no")
    assert capsys.readouterr().out.count("\n") == 4


def test_operations_are_those_of_convolutions_counted_by_hand() -> None:
    cell = replace(make_cell("plain_cnn(depth=1, widths=[4, 8])"), dataset="cifar10")
    # Products and sums of two convolutions, on 8 x 8 and 4 x 4 pixels, and of the head.
    first, second, head = 8 * 8 * 4 * 27, 4 * 4 * 8 * 4 * 9, 8 * 10
    expected = 3 * 2 * (first + second + head)
    assert grid_price.operations_per_image(cell) == pytest.approx(expected)


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
@pytest.mark.parametrize("script", ["null_trials", "scale"])
def test_the_quick_form_runs(script: str, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", f"perf.{script}", "--quick", "--json", str(numbers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("|")
    assert all(row["trials"] > 0 for row in json.loads(numbers.read_text())["sizes"])
