"""Ray nodes as operators start them, by `ray start`: several on this machine, all with a token."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAST_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}


@dataclass
class StartedCluster:
    """A head and further nodes, each the child of a `ray start --block` of its own.

    Every node has its own temporary folder, as on a machine of its own: nodes that share one
    unpack a job's working directory over each other, and the driver's current folder is gone.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(32))
    port: int = field(default_factory=lambda: free_port())
    dashboard: int = field(default_factory=lambda: free_port())
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of the cluster has in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{self.dashboard}",
            "RAY_USAGE_STATS_ENABLED": "0",
            # The machine is busy: workers as urgent as everything else, lest they starve.
            "RAY_worker_niceness": "0",
        }

    def start_head(self, folder: Path, cpus: int, *options: str, **variables: str) -> None:
        """Start the head and wait for it; `variables` are in its workers' environment."""
        self._start(
            folder,
            cpus,
            ["--head", f"--port={self.port}", f"--ray-client-server-port={free_port()}"],
            [f"--dashboard-port={self.dashboard}", "--dashboard-host=127.0.0.1"],
            ["--system-config", json.dumps(FAST_HEALTH_CHECKS)],
            list(options),
            variables=variables,
        )
        wait_until(lambda: answers(self.port) and answers(self.dashboard), 90, self.nodes[0])

    def start_node(self, folder: Path, cpus: int, **variables: str) -> subprocess.Popen[bytes]:
        """Start a node that joins the head; `variables` as above."""
        return self._start(folder, cpus, [f"--address={self.address}"], variables=variables)

    def _start(
        self,
        folder: Path,
        cpus: int,
        *options: list[str],
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += ["--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]
        command += [f"--num-cpus={cpus}", "--num-gpus=0"]
        command += [f"--dashboard-agent-listen-port={free_port()}"]
        command += [f"--object-store-memory={100 * 2**20}"]
        command += [option for group in options for option in group]
        with (folder / "start.log").open("wb") as log:
            node = subprocess.Popen(
                command,
                env={**self.environment, **(variables or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        """End every process of every node."""
        for node in reversed(self.nodes):
            everything = descendants(node.pid)
            for process in [*everything, node.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            node.wait()


@contextlib.contextmanager
def started_cluster() -> Iterator[tuple[StartedCluster, Path]]:
    """Yield a cluster without nodes, and a folder with a name short enough for Ray's sockets."""
    cluster = StartedCluster()
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        try:
            yield cluster, Path(folder)
        finally:
            cluster.stop()


def process_named(name: str, node: subprocess.Popen[bytes]) -> int:
    """Return the process id of a node's program, as in raylet."""
    for process in descendants(node.pid):
        with contextlib.suppress(OSError):
            program = Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
            if program.endswith(f"/{name}".encode()):
                return process
    raise LookupError(f"the node of process {node.pid} has no {name}")


def descendants(ancestor: int) -> list[int]:
    """Return the ids of a process's children and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(ancestor, []))
    for each in found:
        found += children.get(each, [])
    return found


def table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's trials.csv without the seconds."""
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Whether anything listens on a port of this machine."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    reached: Callable[[], bool], seconds: float, process: subprocess.Popen[Any] | None = None
) -> None:
    """Wait until something is so; fails if the process ends, or the time, before."""
    end = time.monotonic() + seconds
    while not reached():
        assert process is None or process.poll() is None, f"it has ended: {process.returncode}"
        assert time.monotonic() < end, f"not reached in {seconds} s"
        time.sleep(0.1)
