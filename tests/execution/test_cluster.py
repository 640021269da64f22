"""Acceptance: a grid with a plugin, submitted to a cluster of two nodes of which one is killed."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from benchmark.results.store import read_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

WriteConfig = Callable[..., Path]

PLUGIN = """\
from benchmark import initializer


@initializer("mine", summary="small normal weights")
def mine(weight, layer, generator):
    weight.normal_(0.0, layer.fan_in**-0.5, generator=generator)
"""
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Look ten times a second whether something holds; fail where `process` ends before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        assert process is None or process.poll() is None, "\n".join(map(str, process.communicate()))
        time.sleep(0.1)


def has_started(node: subprocess.Popen[str], log: Path) -> bool:
    """Whether a node is up, or has given up."""
    return node.poll() is not None or "runtime started" in log.read_text()


def descendants(process: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def name_of(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    return ""


@dataclass
class Cluster:
    """A head and a worker node, each with one CPU, that ask for a token."""

    dashboard: str
    environment: dict[str, str]
    nodes: dict[str, subprocess.Popen[str]]

    def processes(self, node: str, title: str) -> list[int]:
        return [each for each in descendants(self.nodes[node].pid) if title in name_of(each)]

    def kill(self, node: str) -> None:
        """End a node as a power cut does: all of it at once."""
        whole = self.nodes[node]
        for process in (whole.pid, *descendants(whole.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        whole.wait()


@pytest.fixture
def cluster(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4, encoding="utf-8")
    port, dashboard, *agents = free_ports(4)
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A dead node is given up after seconds, rather than a quarter of a minute.
        "RAY_health_check_initial_delay_ms": "0",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }
    environment.pop("RAY_ADDRESS", None)
    # Sockets of the operating system have short names, and pytest's folders have long ones.
    temporary = tmp_path_factory.getbasetemp().parent / f"r{os.getpid()}"
    common = ["--block", "--num-cpus=1", "--num-gpus=0", "--object-store-memory=100000000"]
    common += ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    made = Cluster(environment["RAY_API_SERVER_ADDRESS"], environment, {})

    def start(name: str, *options: str) -> None:
        log = tmp_path / f"{name}.log"
        # Ray gives a node's agents 15 s to start, which a busy machine may take longer for.
        for _ in range(3):
            with log.open("w") as file:
                node = made.nodes[name] = subprocess.Popen(
                    [str(BIN / "ray"), "start", *common, *options],
                    env=environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    text=True,
                    cwd=tmp_path,
                )
            until(partial(has_started, node, log))
            if node.poll() is None:
                return
            made.kill(name)
        raise AssertionError(log.read_text())

    try:
        start(
            "head",
            "--head",
            f"--port={port}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            f"--dashboard-agent-listen-port={agents[0]}",
            f"--temp-dir={temporary}",
        )
        until(lambda: status_of(made.dashboard, token.read_text()) == 200, made.nodes["head"])
        start("worker", f"--address=127.0.0.1:{port}", f"--dashboard-agent-listen-port={agents[1]}")
        yield made
    finally:
        for name in reversed(made.nodes):
            made.kill(name)


def status_of(dashboard: str, token: str | None) -> int:
    """Return with which status the job server answers."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{dashboard}/api/jobs/", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def trials_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row.pop("seconds")) > 0
    return rows


def test_a_submitted_grid_survives_the_death_of_a_node(
    cluster: Cluster, write_config: WriteConfig, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    config = write_config(
        ("[timm, kaiming_normal]", "[timm, mine]"),
        ("seeds: 2", "seeds: 4"),
        ("epochs: 2", "epochs: 12"),
    )
    single = ["--set", "execution.cohort_size=1", "--plugin"]
    inline, submitted, short = (tmp_path / name for name in ("inline", "submitted", "short"))
    undisturbed = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmark", "run", config, *single, plugin),
            *("--executor", "inline", "--out", inline),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )

    # The long form: a working directory with the checkout's package, config and plugin in it.
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "benchmark").symlink_to(ROOT / "benchmark")
    (checkout / config.name).write_text(config.read_text())
    (checkout / plugin.name).write_text(PLUGIN)
    job = subprocess.Popen(
        [
            *(BIN / "ray", "job", "submit", "--working-dir", checkout, "--"),
            *("python", "-m", "benchmark", "run", config.name, *single, plugin.name),
            *("--out", submitted),
        ],
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )

    def midway() -> bool:
        records = submitted / "records.jsonl"
        some = records.exists() and records.read_bytes().count(b"\n") >= 3
        return some and bool(cluster.processes("worker", "Actor.train"))

    until(midway, job)
    cluster.kill("worker")
    output, _ = job.communicate()
    assert job.returncode == 0, output
    records = read_store(str(submitted)).records.values()
    assert max(record.provenance["attempt"] for record in records) == 2
    assert undisturbed.wait() == 0
    assert len(trials_of(inline)) == 16
    assert trials_of(submitted) == trials_of(inline)

    # The short form, on the node that is left; both take the token, and nobody gets in without.
    done = subprocess.run(
        [
            *(BIN / "initbench", "submit", config, "--address", cluster.dashboard),
            *("--set", "grid.seeds=1", *single, plugin, "--out", short),
        ],
        env=cluster.environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert trials_of(short) == [row for row in trials_of(inline) if row["seed"] == "0"]
    assert status_of(cluster.dashboard, None) == 401
    assert status_of(cluster.dashboard, "f" * 64) in (401, 403)
