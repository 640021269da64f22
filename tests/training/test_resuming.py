"""A cohort that is killed goes on from its checkpoint, to the bytes of one that was not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.execution.jobs import Settings
from benchmark.execution.provenance import provenance
from benchmark.execution.worker import Worker
from benchmark.grid import Cohort
from benchmark.recipe import Recipe
from benchmark.training import resumable, stackable
from benchmark.training.checkpoint import pack, unpack
from benchmark.training.cohort import train_cohort
from benchmark.training.data import CellData
from benchmark.training.network import Network, Stack
from benchmark.trial import Record
from tests.conftest import make_cell, make_cohort

CPU = torch.device("cpu")
EPOCHS, STEPS, KILLED = 4, 2, 3
"""Steps of an epoch, and the epoch in which training is killed."""

MIXED = [("timm", 0), ("kaiming_normal+pa", 1), ("orthogonal", 2)]
TRANSFORMER = (
    "test_vit(depth=1, drop_path_rate=0.5, drop_rate=0.3, patch_size=4, embed_dim=16, num_heads=2)"
)
RESNET = "test_resnet(layers=[1, 1, 1, 1], channels=[4, 4, 4, 4])"


class Killed(BaseException):
    """Like a signal, nothing that training may take for a fault of a trial."""


class Memory:
    """Keeps the bytes of the last state, as a file would; one is due after every epoch."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.saved = 0
        self.notes: list[str] = []

    def load(self) -> Any:
        return unpack(self.data)[1] if self.data else None

    def is_due(self) -> bool:
        return True

    def save(self, state: Any) -> None:
        self.data = pack({}, state)
        self.saved += 1

    def refuse(self, why: str) -> None:
        self.notes.append(why)

    def give_up(self, why: str) -> None:
        self.notes.append(why)


@pytest.fixture(scope="module")
def data() -> CellData:
    return Worker(Settings(device="cpu"))._prepare("digits", 8, 0, 0.1)


def cohort_of(*pairs: tuple[str, int], **recipe: object) -> Cohort:
    settings = {"epochs": EPOCHS, "batch_size": 512, "warmup_epochs": 1, **recipe}
    architecture = str(settings.pop("architecture", "plain_cnn(depth=1, widths=[4, 8])"))
    return make_cohort(*(pairs or MIXED), cell=make_cell(architecture, **settings))


def train(cohort: Cohort, data: CellData, memory: Memory) -> list[Record]:
    return train_cohort(cohort, data, CPU, provenance(CPU), memory)


def untimed(records: list[Record]) -> list[str]:
    """Return the lines of the records, without what a clock says."""
    for record in records:
        assert len(record.curves.pop("seconds", [])) == len(record.curves.get("train_loss", []))
        record.seconds.clear()
    return [record.to_json() for record in records]


class Steps:
    """Counts the steps of every trial, kills at one, and makes weights of a seed diverge."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: dict[int, int] = {}
        self.kill_at: int | None = None
        self.diverge: set[int] = set()
        original = Network.step

        def step(network: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
            update = network._update
            if self.kill_at is not None and update == self.kill_at:
                raise Killed
            for place, course in enumerate(network._replicas):
                seed = course.trial.seed
                self.taken[seed] = self.taken.get(seed, 0) + 1
                if seed in self.diverge and update == STEPS + 1:
                    with torch.no_grad():
                        weight = next(iter(network._numbers.values()))
                        (weight[place] if isinstance(network, Stack) else weight).fill_(torch.nan)
            original(network, images, labels)

        monkeypatch.setattr(Network, "step", step)

    def killed_and_resumed(self, cohort: Cohort, data: CellData) -> list[Record]:
        memory = Memory()
        self.kill_at = (KILLED - 1) * STEPS + 1
        with pytest.raises(Killed):
            train(cohort, data, memory)
        assert memory.saved == KILLED - 1
        self.kill_at = None
        self.taken.clear()
        records = train(cohort, data, memory)
        assert memory.notes == []
        return records


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


@pytest.fixture(params=["stacked", "one by one"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "one by one":
        monkeypatch.setattr(stackable, "why_not", lambda *given: "the test says so")
    return str(request.param)


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "adamw", "architecture": TRANSFORMER, "augmentation": ["shift_crop"]},
        {"optimizer": "sgd", "clip_gradient": 0.5, "architecture": RESNET},
    ],
    ids=["adamw and dropout", "sgd and batch norm"],
)
@pytest.mark.usefixtures("how")
def test_a_killed_cohort_goes_on_to_the_same_bytes_and_trains_only_what_is_left(
    recipe: dict[str, object], steps: Steps, data: CellData
) -> None:
    cohort = cohort_of(*MIXED[:2], **recipe)
    undisturbed = untimed(train(cohort, data, Memory()))
    assert untimed(steps.killed_and_resumed(cohort, data)) == undisturbed
    assert steps.taken == dict.fromkeys((0, 1), (EPOCHS - KILLED + 1) * STEPS)


def test_a_diverged_trial_stays_what_it_was(how: str, steps: Steps, data: CellData) -> None:
    steps.diverge = {1}
    cohort = cohort_of()
    undisturbed = train(cohort, data, Memory())
    assert [each.test_loss is None for each in undisturbed] == [False, True, False]
    resumed = steps.killed_and_resumed(cohort, data)
    assert len(resumed[1].curves["train_loss"]) == 2
    assert untimed(resumed) == untimed(undisturbed)
    assert steps.taken.get(1, 0) == (0 if how == "one by one" else 2 * STEPS)


def test_a_trial_that_raised_is_not_tried_again(
    how: str, steps: Steps, data: CellData, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = cohort_of(("timm", 0), ("zero", 1), ("orthogonal", 2))
    built = []

    def build(trial: Any, *given: Any) -> Any:
        built.append(trial.seed)
        if trial.seed == 1:
            raise ZeroDivisionError("planted")
        return original(trial, *given)

    from benchmark.training import cohort as module

    original = module.build
    monkeypatch.setattr(module, "build", build)
    undisturbed = train(cohort, data, Memory())
    resumed = steps.killed_and_resumed(cohort, data)
    assert built[-2:] == [0, 2]
    assert "planted" in resumed[1].message
    assert untimed(resumed) == untimed(undisturbed)


def test_what_initialization_found_and_took_comes_from_the_checkpoint(
    steps: Steps, data: CellData, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = cohort_of()
    memory = Memory()
    steps.kill_at = 2 * STEPS
    with pytest.raises(Killed):
        train(cohort, data, memory)
    assert memory.data is not None
    steps.kill_at = None
    courses = unpack(memory.data)[1]["networks"][0]["courses"]
    for record, course in zip(train(cohort, data, memory), courses, strict=True):
        assert record.strength == course["strength"]
        assert record.seconds["initialization"] == course["seconds"]["initialization"] > 0
        assert record.curves["seconds"][:2] == course["curves"]["seconds"]


def test_a_state_of_another_network_is_refused_and_training_begins_anew(
    steps: Steps, data: CellData
) -> None:
    cohort = cohort_of()
    memory, other = Memory(), Memory()
    train(cohort_of(architecture="plain_cnn"), data, other)
    undisturbed = untimed(train(cohort, data, Memory()))
    memory.data = other.data
    steps.taken.clear()
    assert untimed(train(cohort, data, memory)) == undisturbed
    assert steps.taken[0] == EPOCHS * STEPS
    assert memory.notes == [
        "it does not fit these networks (its weights have other names or shapes)"
    ]


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "lamb", "muon", "adafactor", "nadamw"])
def test_optimizers_of_many_kinds_go_on_as_if_never_stopped(name: str) -> None:
    assert resumable.why_not(Recipe(optimizer=name, learning_rate=0.001), "cpu") == ""


def test_an_optimizer_that_keeps_more_than_its_state_is_found_and_trained_without(
    steps: Steps, data: CellData, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(torch.optim.SGD):
        """Its step size depends on a counter of its own."""

        counter = 0

        def step(self, closure: Any = None) -> None:
            self.counter += 1
            for group in self.param_groups:
                group["lr"] = 0.01 / self.counter
            super().step(closure)

    def make(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        return Forgetful(model.parameters(), lr=0.01)

    monkeypatch.setattr(resumable, "make_optimizer", make)
    memory = Memory()
    cohort = cohort_of(optimizer="sgd", learning_rate=0.0123)
    assert all(record.test_loss for record in train(cohort, data, memory))
    assert memory.saved == 0
    assert memory.notes[0] == "the optimizer sgd keeps more than its state says"


def test_half_a_diverged_stack_is_taken_out_and_the_rest_follows_its_twins(
    steps: Steps, data: CellData
) -> None:
    pairs = [("timm", 0), ("timm", 1), ("orthogonal", 2), ("kaiming_normal", 3)]
    cohort = cohort_of(*pairs)
    calm = train(cohort, data, Memory())
    steps.diverge = {0, 2}
    steps.taken.clear()
    records = train(cohort, data, Memory())
    assert steps.taken == {0: 2 * STEPS, 1: 4 * STEPS, 2: 2 * STEPS, 3: 4 * STEPS}
    assert [record.test_loss is None for record in records] == [True, False, True, False]
    for place in (1, 3):
        for name in ("train_loss", "validation_loss"):
            found, expected = (each[place].curves[name] for each in (records, calm))
            assert found[:2] == expected[:2]
            assert found == pytest.approx(expected, rel=1e-3)
        assert records[place].test_loss == pytest.approx(calm[place].test_loss, rel=1e-3)
    again = train(cohort, data, Memory())
    resumed = steps.killed_and_resumed(cohort, data)
    assert untimed(again) == untimed(records) == untimed(resumed)
    assert steps.taken == {1: 2 * STEPS, 3: 2 * STEPS}


def test_a_cohort_of_which_all_have_diverged_ends_at_once(
    how: str, steps: Steps, data: CellData
) -> None:
    steps.diverge = {0, 1, 2}
    records = train(cohort_of(), data, Memory())
    assert [record.status for record in records] == ["diverged"] * 3
    assert all(count == 2 * STEPS for count in steps.taken.values())
