"""Clusters that grow on demand: what is asked for, how long it is waited for, and what is left."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.errors import RunError, UsageError
from benchmark.execution import ray_requests
from benchmark.execution.jobs import Settings
from benchmark.execution.ray_nodes import Demand
from benchmark.execution.ray_requests import Requests
from benchmark.execution.ray_workers import Workers
from tests.execution.clusters import StartedCluster, descendants, started_cluster, wait_until

CPU = Demand(Settings(device="cpu", threads=2))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, float]]]:
    """What was asked of the autoscaler, in order."""
    made: list[list[dict[str, float]]] = []
    monkeypatch.setattr(ray_requests, "_request", made.append)
    return made


def empty_cluster(demand: Demand, patience: float) -> Workers:
    """Return the workers of a cluster whose only node is a head without room."""
    head = {"NodeID": "h", "Alive": True, "NodeManagerAddress": "h", "Resources": {"CPU": 0.0}}
    state = SimpleNamespace(get_draining_nodes=dict)
    ray: Any = SimpleNamespace(
        nodes=lambda: [head],
        _private=SimpleNamespace(state=SimpleNamespace(state=state)),
        get_runtime_context=lambda: SimpleNamespace(gcs_address="127.0.0.1:1"),
    )
    workers = Workers(ray, demand, object, Requests(demand, patience))
    workers.head.answers = lambda: True  # type: ignore[method-assign]
    return workers


def test_room_is_asked_for_as_many_workers_as_there_are_jobs_and_given_back(
    asked: list[list[dict[str, float]]],
) -> None:
    requests = Requests(Demand(Settings(device="cuda"), gpus_per_worker=0.5), patience=60)
    requests.withdraw()
    for jobs in (3, 3, 2, 10**6):
        requests.ask(jobs)
    requests.withdraw()
    # The same is asked again: another run may have put its own request in this one's place.
    assert [len(bundles) for bundles in asked] == [3, 3, 2, ray_requests.MOST_BUNDLES, 0]
    assert asked[2] == [{"CPU": 1.0, "GPU": 0.5}] * 2


def test_without_patience_nothing_is_asked_and_an_empty_cluster_is_refused_at_once(
    asked: list[list[dict[str, float]]],
) -> None:
    workers = empty_cluster(CPU, patience=0)
    with pytest.raises(UsageError, match="room for a worker of 2 CPUs.*wait_for_nodes_minutes"):
        workers.settle_emptiness(working=False)
    assert asked == []


def test_nodes_are_waited_for_in_one_line_and_not_for_ever(
    asked: list[list[dict[str, float]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    clock = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    monkeypatch.setattr("benchmark.execution.ray_workers.time", clock)
    workers = empty_cluster(CPU, patience=120)
    while now[0] <= 120:
        workers.settle_emptiness(working=False)
    with pytest.raises(RunError, match="room for a worker of 2 CPUs after 2 min"):
        workers.settle_emptiness(working=False)
    assert len(asked) > 100
    assert all(bundles == [{"CPU": 2.0}] for bundles in asked)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("asked for one, and waited for up to 2 minutes.")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_begins_without_a_node_and_leaves_none_behind(
    write_config: Callable[..., Path], tmp_path: Path
) -> None:
    with started_cluster() as (cluster, folder):
        growing = tmp_path / "growing.json"
        growing.write_text(json.dumps(autoscaling(cluster)), encoding="utf-8")
        option = f"--autoscaling-config={growing}"
        cluster.start_head(folder / "head", 0, option, RAY_FAKE_CLUSTER="1")
        run = [sys.executable, "-m", "benchmark", "run", str(write_config())]
        run += [
            "--out",
            str(tmp_path / "out"),
            "--address",
            cluster.address,
            "--set",
            "execution.wait_for_nodes_minutes=4",
        ]
        done = subprocess.run(
            run,
            env={**cluster.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("autoscaler is asked for one") == 1
        assert done.stdout.count("has joined") >= 1
        wait_until(lambda: raylets(cluster) == 1, 60)


def raylets(cluster: StartedCluster) -> int:
    """Count the nodes that run: the head is one."""
    found = 0
    for process in descendants(cluster.nodes[0].pid):
        command = Path(f"/proc/{process}/cmdline")
        found += command.exists() and b"/raylet\0" in command.read_bytes()
    return found


def autoscaling(cluster: StartedCluster) -> dict[str, Any]:
    """Return the config of an autoscaler whose machines are processes of this one."""
    lists = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")
    commands = [f"{who}_commands" for who in ("setup", "head_setup", "worker_setup")]
    commands += ["head_start_ray_commands", "worker_start_ray_commands"]
    return {
        "cluster_name": "growing",
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": cluster.address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        "auth": {"ssh_user": "nobody"},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in (*lists, *commands)},
    }
