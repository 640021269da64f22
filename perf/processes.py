"""What a command costs with all its processes: wall time, and CPU time however they descend."""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "INITBENCH_PERF_RUN"
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of all processors, and what the command printed."""

    wall: float
    cpu: float
    output: str


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command and return its cost; raises CalledProcessError where it fails.

    Daemons that it starts count as well: they are known by a variable of their environment, and
    seen every POLL_SECONDS, so that a process loses at most that much. Needs /proc.
    """
    token = secrets.token_hex(8)
    seen: dict[int, float] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(token, _processes(), seen, ended), daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, env={**os.environ, MARK: token}, capture_output=True, text=True, check=True
        )
    except subprocess.CalledProcessError as error:
        print(error.stdout[-2000:], error.stderr[-2000:], sep="\n")
        raise
    finally:
        wall = time.perf_counter() - start
        ended.set()
        watcher.join()
    return Cost(wall, sum(seen.values()), done.stdout)


def _processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _watch(token: str, strangers: set[int], seen: dict[int, float], ended: threading.Event) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    mark = f"{MARK}={token}".encode()
    while not ended.wait(POLL_SECONDS):
        for pid in _processes() - strangers:
            folder = Path("/proc") / str(pid)
            try:
                if pid not in seen and mark not in (folder / "environ").read_bytes():
                    continue
                fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            seen[pid] = (int(fields[11]) + int(fields[12])) / tick
