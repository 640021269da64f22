"""The head of a cluster dies in a run: a clear end, nothing lost, and the next run goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import RunError
from benchmark.execution import ray_connection
from benchmark.execution.ray_connection import Head
from tests.conftest import Command
from tests.execution.clusters import free_port, process_named, started_cluster, table, wait_until

GUARDED = """\
import sys, time
from benchmark.execution import ray_connection

ray_connection.HEAD_SECONDS = ray_connection.GRACE_SECONDS = 0.0
guard = ray_connection.Guard(sys.argv[1])
if "stopped" in sys.argv:
    guard.stop()
    time.sleep(2)
else:
    time.sleep(60)
"""

# The head is given up sooner than by a user's run: the test would wait for nothing else.
DRIVER = """\
from benchmark.cli import main
from benchmark.execution import ray_connection

ray_connection.HEAD_SECONDS = 3.0
ray_connection.GRACE_SECONDS = 10.0
main()
"""


def test_a_head_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(f"127.0.0.1:{free_port()}")
    assert not head.silent
    assert not head.answers()
    assert head.silent
    monkeypatch.setattr(ray_connection, "HEAD_SECONDS", 0.0)
    with pytest.raises(RunError, match="What is finished is kept; run again"):
        head.answers()


def test_a_head_with_an_ipv6_address_answers() -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with listening:
        assert Head(f"[::1]:{listening.getsockname()[1]}").answers()


@pytest.mark.parametrize(("wish", "code"), [("held", 1), ("stopped", 0)])
def test_a_main_thread_that_a_lost_head_holds_is_ended_with_a_word_unless_it_is_done(
    wish: str, code: int
) -> None:
    command = [sys.executable, "-c", GUARDED, f"127.0.0.1:{free_port()}", wish]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert ended.returncode == code
    assert ("error: the head of the Ray cluster at" in ended.stderr) == (wish == "held")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_the_heads_death_records_are_kept_and_the_next_run_ends_in_the_same_table(
    write_config: Callable[..., Path], command: Command, tmp_path: Path
) -> None:
    config = write_config(
        ("seeds: 2", "seeds: 12"), ("recipe:", "execution: {cohort_size: 2}\nrecipe:")
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with started_cluster() as (cluster, folder):
        cluster.start_head(folder / "head", cpus=1)
        where = ["--out", str(killed), "--address", cluster.address]
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, "run", str(config), *where],
            env={**cluster.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        records = killed / "records.jsonl"
        wait_until(lambda: records.exists() and records.read_bytes().count(b"\n") >= 4, 120, driver)
        os.kill(process_named("gcs_server", cluster.nodes[0]), signal.SIGKILL)
        said, _ = driver.communicate(timeout=100)
    assert driver.returncode == 1
    assert "error: the head of the Ray cluster at" in said
    kept = records.read_text(encoding="utf-8").splitlines()
    assert 4 <= len(kept) < 48
    code, _, _ = command("run", config, "--out", killed, "--executor", "inline")
    assert code == 0
    assert records.read_text(encoding="utf-8").splitlines()[: len(kept)] == kept
    assert command("run", config, "--out", whole, "--executor", "inline")[0] == 0
    assert table(killed) == table(whole)
