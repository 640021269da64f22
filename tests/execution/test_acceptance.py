"""A grid submitted as a job, a node of the cluster lost midway: the same table as inline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.execution.clusters import (
    StartedCluster,
    descendants,
    process_named,
    started_cluster,
    table,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG = """\
name: accepted
grid:
  datasets: [digits]
  architectures: ["plain_cnn(depth=1, widths=[4, 8])"]
  initializers: [timm, mine]
  rewirings: [none, pa]
  seeds: 6
recipe: {epochs: 2, batch_size: 64, optimizer: adamw, learning_rate: 0.01, image_size: 8}
execution: {cohort_size: 2}
"""

RUN = ["run", "accepted.yaml", "--plugin", "mine.py", "--out"]

PLUGIN = """\
import os
import time
from pathlib import Path

from benchmark import initializer


@initializer("mine", summary="small normal weights; from the fourth record on, a node is lost")
def mine(weight, layer, generator):
    weight.normal_(0.0, 0.05, generator=generator)
    if "OUT" in os.environ:
        records = Path(os.environ["OUT"], "records.jsonl")
        if records.exists() and records.read_bytes().count(b"\\n") >= 4:
            in_flight = Path(os.environ["OUT"], "in-flight")
            if "DOOMED" in os.environ:
                in_flight.touch()
                in_flight = Path(os.environ["OUT"], "reached-again")
            while not in_flight.exists():
                time.sleep(0.1)
"""


@pytest.fixture
def cluster() -> Iterator[tuple[StartedCluster, Path]]:
    with started_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "accepted.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def inline(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the folder of a run by the inline executor that goes on meanwhile."""
    out = tmp_path_factory.mktemp("inline")
    reference = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *RUN, str(out), "--executor", "inline"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.DEVNULL,
    )
    yield out
    reference.kill()
    reference.wait()


@pytest.mark.parametrize("how", ["killed", "cut off and reached again"])
def test_a_submitted_grid_outlives_a_node_and_gives_the_table_of_inline(
    cluster: tuple[StartedCluster, Path], checkout: Path, inline: Path, tmp_path: Path, how: str
) -> None:
    started, folder = cluster
    out, log = tmp_path / "out", tmp_path / "job.log"
    started.start_head(folder / "head", 1, OUT=str(out))
    lost = started.start_node(folder / "lost", 1, OUT=str(out), DOOMED="yes")
    job = submit(started, checkout, ["initbench", *RUN, str(out)], log)
    wait_until((out / "in-flight").exists, 150, job)
    before = (out / "records.jsonl").read_bytes().count(b"\n")
    if how == "killed":
        os.kill(process_named("raylet", lost), signal.SIGKILL)
    else:
        of_node = descendants(lost.pid)
        for process in of_node:
            os.kill(process, signal.SIGSTOP)
        wait_until(lambda: b"cannot be reached" in log.read_bytes(), 120, job)
        (out / "reached-again").touch()
        for process in of_node:
            os.kill(process, signal.SIGCONT)
    assert job.wait(timeout=120) == 0, log.read_text(encoding="utf-8")
    wait_until((inline / "trials.csv").exists, 120)

    assert 4 <= before < 24
    assert table(out) == table(inline)
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len({record["trial"] for record in records}) == len(records) == 24
    assert {record["status"] for record in records} <= {"ok", "diverged"}
    again = [record["trial"] for record in records if record["provenance"]["attempt"] == 2]
    assert len(again) == 2
    for trial in again:
        text = (out / "logs" / f"{trial}.log").read_text(encoding="utf-8")
        assert "lost, tried again" in text
        assert "on node " in text
    assert "has died or cannot be reached" in log.read_text(encoding="utf-8")


def submit(
    cluster: StartedCluster, folder: Path, command: list[str], log: Path
) -> subprocess.Popen[bytes]:
    """Submit a command as a job and return the client that follows it."""
    line = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit"]
    line += ["--working-dir", str(folder), "--", *command]
    # The head's agent takes its time to come up.
    for _ in range(6):
        with log.open("wb") as file:
            job = subprocess.Popen(
                line,
                env=cluster.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        ended = job.poll
        wait_until(
            lambda ended=ended: ended() is not None or b"submitted success" in log.read_bytes(), 90
        )
        if ended() is None:
            return job
        assert b"No available agent" in log.read_bytes(), log.read_text(encoding="utf-8")
    raise TimeoutError(log.read_text(encoding="utf-8"))
