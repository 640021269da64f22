"""Paired seeds: treatments of a seed differ in their weights and in nothing else."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import pytest
import torch

from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.training.course import build
from benchmark.training.network import Network
from tests.conftest import make_cell, make_cohort

AUGMENTED = {"augmentation": ["flip", "shift_crop"], "batch_size": 64}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], list[str]]:
    """Note the hash of every training batch, by treatment and seed."""
    batches: dict[tuple[str, int], list[str]] = defaultdict(list)
    original = Network.step

    def step(self: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
        content = images.numpy().tobytes() + labels.numpy().tobytes()
        for course in self.courses:
            key = str(course.trial.treatment), course.trial.seed
            batches[key].append(hashlib.sha256(content).hexdigest())
        original(self, images, labels)

    monkeypatch.setattr(Network, "step", step)
    return batches


def test_every_treatment_and_seed_sees_the_same_batches_in_the_same_order(
    seen: dict[tuple[str, int], list[str]],
) -> None:
    cell = make_cell(**AUGMENTED)
    worker = Worker(Settings(device="cpu"))
    worker.train(make_cohort(("timm", 0), ("orthogonal+pa", 0), cell=cell))
    Worker(Settings(device="cpu")).train(make_cohort(("kaiming_normal", 1), cell=cell))
    worker.train(make_cohort(("timm+shuffle", 2), cell=cell))
    streams = list(seen.values())
    assert len(streams) == 4
    assert all(stream == streams[0] for stream in streams)
    first, second = streams[0][: len(streams[0]) // 2], streams[0][len(streams[0]) // 2 :]
    assert not set(first) & set(second)


def test_per_seed_data_pair_treatments_and_vary_seeds(
    seen: dict[tuple[str, int], list[str]],
) -> None:
    cell = make_cell(data_seed="per_seed", **AUGMENTED)
    worker = Worker(Settings(device="cpu"))
    for seed in (0, 1):
        worker.train(make_cohort(("timm", seed), cell=cell))
        worker.train(make_cohort(("orthogonal", seed), cell=cell))
    assert seen["timm", 0] == seen["orthogonal", 0]
    assert seen["timm", 1] == seen["orthogonal", 1]
    assert not set(seen["timm", 0]) & set(seen["timm", 1])


def test_treatments_of_a_seed_share_every_parameter_that_they_do_not_treat() -> None:
    cell = make_cell("test_vit(depth=1, patch_size=4)", epochs=1)
    data = Worker(Settings(device="cpu"))._prepare("digits", 8, 0, 0.1)
    states = [
        build(trial, data, torch.device("cpu")).model.state_dict()
        for trial in make_cohort(("timm", 0), ("orthogonal+pa", 0), cell=cell).trials
    ]
    treated = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert treated == {
        f"{layer}.weight"
        for layer in (
            "patch_embed.proj",
            "blocks.0.attn.qkv",
            "blocks.0.attn.proj",
            "blocks.0.mlp.fc1",
            "blocks.0.mlp.fc2",
            "head",
        )
    }
