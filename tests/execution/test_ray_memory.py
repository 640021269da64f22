"""Ray's memory monitor ends a worker: a bounded number of tries, a status, and nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.execution.clusters import started_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GIB = 2**30

# A bounded meal: where the monitor does not step in, the trial ends ok and the test fails. Others
# may free memory meanwhile, so that it looks at what is left instead of what it has taken.
EATER = """\
import time
from pathlib import Path

from benchmark import initializer


def available():
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


@initializer("eater", summary="takes memory until little more than {least} bytes are left")
def eater(weight, layer, generator):
    weight.normal_(0.0, 0.05, generator=generator)
    eaten = []
    while available() > {least}:
        eaten.append(b"x" * 2**26)
        time.sleep(0.05)
"""


def test_a_method_that_eats_its_hosts_memory_is_out_of_memory_and_no_other(
    write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config(
        ("[timm, kaiming_normal]", "[timm, eater]"),
        ("[none, pa]", "[none]"),
        ("recipe:", "execution: {cohort_size: 2}\nrecipe:"),
    )
    out = tmp_path / "out"
    total, used = memory()
    if total - used < 8 * GIB:
        pytest.skip("this machine has no 8 GiB of memory to spare")
    eater = tmp_path / "eater.py"
    eater.write_text(EATER.format(least=total - used - 6 * GIB), encoding="utf-8")
    with started_cluster() as (cluster, folder):
        threshold = str((used + 4 * GIB) / total)
        monitor = {
            "RAY_memory_usage_threshold": threshold,
            "RAY_memory_monitor_refresh_ms": "50",
        }
        cluster.start_head(folder / "head", 1, **monitor)
        run = [sys.executable, "-m", "benchmark", "run", str(config), "--plugin", str(eater)]
        done = subprocess.run(
            [*run, "--out", str(out), "--address", cluster.address],
            env={**cluster.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1, done.stdout + done.stderr
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert sorted((record["treatment"], record["status"]) for record in records) == [
        ("eater", "out_of_memory"),
        ("eater", "out_of_memory"),
        ("timm", "ok"),
        ("timm", "ok"),
    ], done.stdout + done.stderr


def memory() -> tuple[int, int]:
    """Return the bytes of memory that this machine has, and those in use."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    found = {
        name: int(rest.split()[0]) * 1024 for name, rest in (each.split(":") for each in lines)
    }
    return found["MemTotal"], found["MemTotal"] - found["MemAvailable"]
