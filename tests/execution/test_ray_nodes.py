"""How many workers a node takes: whole GPUs, shares, kinds; and which cohorts go to which kind."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmark.execution.jobs import Settings
from benchmark.execution.pairs import Kinds, begun
from benchmark.execution.ray_nodes import Demand, Nodes
from benchmark.trial import Record
from tests.conftest import make_cohort

H100 = {"CPU": 64.0, "GPU": 8.0, "accelerator_type:H100": 1.0}
AUTO = Settings()


@pytest.mark.parametrize(
    ("share", "workers"),
    [(1.0, 8), (0.5, 16), (0.4, 16), (1 / 3, 24), (0.25, 32), (2.0, 4), (3.0, 2), (16.0, 0)],
)
def test_a_worker_has_a_share_of_one_gpu_or_whole_ones(share: float, workers: int) -> None:
    assert Demand(AUTO, share).slots(H100) == workers


@pytest.mark.parametrize(
    ("demand", "resources", "workers"),
    [
        (Demand(AUTO), {"CPU": 8.0}, 8),
        (Demand(Settings(threads=3)), {"CPU": 8.0}, 2),
        (Demand(Settings(device="cuda")), {"CPU": 8.0}, 0),
        (Demand(Settings(device="cpu")), H100, 64),
        (Demand(AUTO), {"CPU": 4.0, "GPU": 8.0}, 4),
        (Demand(AUTO, workers_per_node=3), H100, 3),
        (Demand(AUTO), {}, 0),
    ],
)
def test_cpus_gpus_and_the_config_bound_the_workers_of_a_node(
    demand: Demand, resources: dict[str, float], workers: int
) -> None:
    assert demand.slots(resources) == workers


@pytest.mark.parametrize(
    ("devices", "workers"),
    [
        (("H100",), 8),
        (("h100", "A100"), 8),
        (("NVIDIA H100 80GB HBM3",), 8),
        (("*H100*",), 8),
        (("A100",), 0),
        (("NVIDIA A100*",), 0),
    ],
)
def test_a_kind_of_device_can_be_demanded(devices: tuple[str, ...], workers: int) -> None:
    assert Demand(AUTO, devices=devices).slots(H100) == workers


def test_the_full_name_of_a_device_decides_where_ray_knows_none() -> None:
    demand = Demand(AUTO, devices=("*A100*80GB*",))
    assert demand.allows("NVIDIA A100-SXM4-80GB")
    assert not demand.allows("NVIDIA A100-SXM4-40GB")


@pytest.mark.parametrize(
    ("devices", "kind"),
    [
        (("h100",), {"accelerator_type:H100": 0.001}),
        (("*H100*",), {}),
        (("H100", "A100"), {}),
        (("NVIDIA H100 80GB HBM3",), {}),
    ],
)
def test_the_autoscaler_is_asked_for_a_kind_of_device_that_ray_has_a_name_for(
    devices: tuple[str, ...], kind: dict[str, float]
) -> None:
    assert Demand(AUTO, devices=devices).resources == {"CPU": 1.0, "GPU": 1.0, **kind}


class FakeRay:
    """Answers which nodes there are."""

    def __init__(self) -> None:
        self.table: list[dict[str, object]] = []
        self.draining: dict[str, int] = {}
        state = SimpleNamespace(get_draining_nodes=lambda: self.draining)
        self._private = SimpleNamespace(state=SimpleNamespace(state=state))

    def nodes(self) -> list[dict[str, object]]:
        return self.table


def node(name: str, alive: bool = True, **resources: float) -> dict[str, object]:
    return {"NodeID": name, "Alive": alive, "NodeManagerAddress": name, "Resources": resources}


def test_nodes_that_join_die_and_drain_are_seen_and_those_without_room_are_not_named() -> None:
    ray = FakeRay()
    nodes = Nodes(ray, Demand(AUTO))
    ray.table = [node("head"), node("a", CPU=2.0), node("b", CPU=4.0)]
    assert nodes.look() == (["a", "b"], [], [])
    ray.table, ray.draining = [node("head", False), node("a", False), node("b", CPU=4.0)], {"b": 0}
    assert nodes.look() == ([], ["a"], ["b"])
    assert nodes.usable == []
    ray.table, ray.draining = [node("c", CPU=1.0)], {}
    assert nodes.look() == (["c"], ["b"], [])
    assert nodes.usable == ["c"]


@pytest.mark.parametrize(
    ("demand", "times"),
    [
        # Without bounds the autoscaler packs nodes as this does.
        (Demand(Settings(device="cpu")), 6),
        # The nodes that are there take 2 workers, where 12 bundles fit.
        (Demand(Settings(device="cpu"), workers_per_node=1), 36),
        # A bundle with one CPU, but a node has no more workers than GPUs.
        (Demand(AUTO), 12),
        (Demand(Settings(device="cuda")), 6),
    ],
)
def test_more_is_asked_for_where_nodes_take_fewer_workers_than_fit(
    demand: Demand, times: int
) -> None:
    ray = FakeRay()
    nodes = Nodes(ray, demand)
    assert nodes.bundles(6) == 6
    ray.table = [node("head"), node("a", CPU=4.0), node("b", CPU=8.0, GPU=2.0)]
    nodes.look()
    assert nodes.bundles(6) == times


def test_a_node_whose_starts_fail_twice_in_a_row_is_left_out() -> None:
    nodes = Nodes(FakeRay(), Demand(AUTO))
    assert not nodes.started("a", "no driver")
    assert not nodes.started("a", "")
    assert not nodes.started("a", "no driver")
    assert nodes.started("a", "no driver")


def test_pairs_stay_on_the_kind_of_device_where_they_began() -> None:
    first, twin = make_cohort(("timm", 0), ("timm", 1)), make_cohort(("orthogonal", 1))
    other, both = make_cohort(("timm", 2)), ["H100", "A100"]
    kinds = Kinds({})
    kinds.begin("H100", first)
    assert kinds.accepts("H100", twin, both)
    assert not kinds.accepts("A100", twin, both)
    assert kinds.accepts("A100", other, both)
    # No H100 is left: the pair is finished elsewhere rather than never.
    assert kinds.accepts("A100", twin, ["A100"])


def test_a_resumed_run_knows_where_pairs_began() -> None:
    cohort = make_cohort(("timm", 0), ("timm", 1))
    ran = Record.of(cohort.trials[0], "ok", provenance={"device": "H100"})
    lost = Record.of(cohort.trials[1], "lost", provenance={"device": "A100"})
    assert begun([ran, lost]) == {(cohort.cell.key, 0): "H100"}
