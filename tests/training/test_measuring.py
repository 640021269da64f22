"""Measures of stacked networks against those of each network by itself."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.measures import DESCRIPTIONS
from benchmark.training import measuring
from benchmark.training.course import Candidate, build
from benchmark.training.data import CellData
from benchmark.training.measuring import measured, measured_together
from tests.conftest import make_cell, make_cohort

MIXED = [("timm", 0), ("kaiming_normal+pa", 1), ("orthogonal+shuffle", 2)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> CellData:
    return Worker(Settings(device="cpu"))._prepare("digits", 8, 0, 0.1)


def candidates(architecture: str, data: CellData) -> list[Candidate]:
    cell = make_cell(architecture, batch_size=32)
    return [build(trial, data, CPU) for trial in make_cohort(*MIXED, cell=cell).trials]


@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_vit(depth=2, patch_size=2)", "plain_cnn", "test_nfnet"]
)
def test_every_measure_is_that_of_the_network_alone(architecture: str, data: CellData) -> None:
    made = candidates(architecture, data)
    for each, together in zip(made, measured_together(made, data), strict=True):
        alone = measured(each, data).measures
        assert set(together.measures) == set(alone) == set(DESCRIPTIONS)
        assert together.measures == pytest.approx(alone, rel=2e-3, abs=1e-5)
        assert together.trial == each.trial


def test_networks_of_which_one_gives_no_numbers_are_measured_beside_it(data: CellData) -> None:
    made = candidates("plain_cnn", data)
    healthy = measured_together(made, data)
    with torch.no_grad():
        head = [each for each in made[1].model.parameters() if each.ndim > 1][-1]
        head.fill_(torch.finfo(head.dtype).max)
    first, broken, last = measured_together(made, data)
    for before, after in ((healthy[0], first), (healthy[2], last)):
        assert after.measures == pytest.approx(before.measures)
    assert {"isometry_distance", "initial_loss"}.isdisjoint(broken.measures)
    assert all(math.isfinite(value) for value in broken.measures.values())


def test_parts_of_a_cohort_are_measured_in_turn(
    data: CellData, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = candidates("plain_cnn", data)
    whole = measured_together(made, data)
    monkeypatch.setattr(measuring, "MOST_TOGETHER", 2)
    for one, other in zip(whole, measured_together(made, data), strict=True):
        assert other.trial == one.trial
        assert other.measures == pytest.approx(one.measures, rel=2e-3, abs=1e-5)


def test_models_stay_as_they_are(data: CellData) -> None:
    made = candidates("test_resnet", data)
    before = [{k: v.clone() for k, v in each.model.state_dict().items()} for each in made]
    modes = [module.training for module in made[0].model.modules()]
    measured_together(made, data)
    for each, state in zip(made, before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in each.model.state_dict().items())
        assert all(parameter.grad is None for parameter in each.model.parameters())
        assert not any(module._forward_hooks for module in each.model.modules())
    assert [module.training for module in made[0].model.modules()] == modes
