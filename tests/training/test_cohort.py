"""Training one cohort: independence of replicas, divergence, errors, memory, random state."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.recipe import Recipe
from benchmark.results import plausibility
from benchmark.training import stackable
from benchmark.training.course import Course
from benchmark.training.device import autocast, own_global_state
from benchmark.training.network import Network, Stack
from benchmark.trial import Record
from tests.conftest import make_cell, make_cohort


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(Settings(device="cpu"))


def numbers(record: Record) -> tuple[object, ...]:
    """Return what of a record must not depend on who trained beside it."""
    curves = {name: values for name, values in record.curves.items() if name != "seconds"}
    return record.status, record.accuracy, record.test_loss, curves, record.strength


@pytest.fixture
def never_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stackable, "why_not", lambda *given: "the test says so")


def test_a_cohort_repeated_gives_the_same_bytes(worker: Worker) -> None:
    cohort = make_cohort(("timm", 0), ("kaiming_normal+pa", 0), ("timm", 1))
    first = worker.train(cohort).records
    again = Worker(Settings(device="cpu")).train(cohort).records
    assert [numbers(r) for r in first] == [numbers(r) for r in again]
    assert len({r.test_loss for r in first}) == 3


@pytest.mark.usefixtures("never_stacked")
def test_one_by_one_a_trial_has_the_bytes_that_it_has_alone(worker: Worker) -> None:
    pairs = [("timm", 0), ("kaiming_normal+pa", 0), ("timm", 1)]
    together = worker.train(make_cohort(*pairs)).records
    shuffled = worker.train(make_cohort(*reversed(pairs))).records
    alone = [worker.train(make_cohort(pair)).records[0] for pair in pairs]
    assert [numbers(r) for r in together] == [numbers(r) for r in alone]
    assert [numbers(r) for r in reversed(shuffled)] == [numbers(r) for r in alone]
    assert together[0].provenance["cohort"]["one_by_one"] == "the test says so"


def test_the_record_says_with_whom_and_in_which_place(worker: Worker) -> None:
    cohort = make_cohort(("timm", 0), ("orthogonal", 0))
    records = worker.train(cohort).records
    ids = [trial.id for trial in cohort.trials]
    assert [each.provenance["cohort"] for each in records] == [
        {"size": 2, "place": place, "id": cohort.id, "trials": ids} for place in (0, 1)
    ]


def test_what_stacked_training_raises_leads_to_one_by_one(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = worker.train(make_cohort(("timm", 0))).records[0]

    def step(self: Stack, images: torch.Tensor, labels: torch.Tensor) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Stack, "step", step)
    first, _ = worker.train(make_cohort(("timm", 0), ("timm", 1))).records
    assert numbers(first) == numbers(alone)
    assert "ZeroDivisionError: planted" in first.provenance["cohort"]["one_by_one"]


def test_training_learns_and_the_record_is_complete(worker: Worker) -> None:
    recipe = {"epochs": 6, "batch_size": 32, "augmentation": ["shift_crop"], "label_smoothing": 0.1}
    cell = make_cell("plain_cnn(depth=1, widths=[16, 32])", **recipe)
    (record,) = worker.train(make_cohort(("kaiming_normal", 0), cell=cell)).records
    assert record.status == "ok"
    assert record.accuracy is not None
    assert record.accuracy > 0.5
    assert record.n_test == 359
    assert record.accuracy * record.n_test == pytest.approx(round(record.accuracy * record.n_test))
    assert all(len(curve) == 6 for curve in record.curves.values())
    assert record.epoch1_accuracy == record.curves["validation_accuracy"][0]
    mean = sum(record.curves["validation_accuracy"]) / 6
    assert record.area_under_validation_curve == pytest.approx(mean)
    assert record.strength["before"] == record.strength["after"] > 0
    assert record.provenance["cohort"] == {"size": 1, "place": 0}
    assert record.provenance["threads"] == torch.get_num_threads()
    assert Record.from_dict(json.loads(record.to_json())).trial == record.trial


def test_rewirings_of_an_initializer_start_from_identical_base_weights(worker: Worker) -> None:
    plain, rewired, other = worker.train(
        make_cohort(("kaiming_normal", 3), ("kaiming_normal+pa", 3), ("kaiming_normal+pa", 4))
    ).records
    assert plain.strength["before"] == rewired.strength["before"]
    assert rewired.strength["after"] < rewired.strength["before"]
    assert other.strength["before"] != rewired.strength["before"]


def test_a_diverging_replica_is_recorded_and_touches_nobody(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort(("timm", 0), ("timm", 1), ("orthogonal", 2))
    calm = worker.train(cohort).records
    original = Stack.step
    steps = []

    def step(self: Stack, images: torch.Tensor, labels: torch.Tensor) -> None:
        steps.append(images)
        if len(steps) == 3:
            with torch.no_grad():
                next(iter(self._weights.values()))[1] = float("nan")
        original(self, images, labels)

    monkeypatch.setattr(Stack, "step", step)
    before, diverged, behind = worker.train(cohort).records
    assert (numbers(before), numbers(behind)) == (numbers(calm[0]), numbers(calm[2]))
    assert diverged.status == "diverged"
    assert diverged.accuracy is None
    assert diverged.test_loss is None
    assert "nan in epoch 1" in diverged.message
    assert len(diverged.curves["train_loss"]) == 1
    assert '"train_loss":[null]' in diverged.to_json()


@pytest.mark.parametrize("together", [False, True], ids=["solo", "cohort"])
def test_a_last_update_that_breaks_the_weights_is_divergence(
    together: bool, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Network.step

    def step(self: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
        original(self, images, labels)
        updates = 2 * len(images_of_training) // self.recipe.batch_size
        if self._update == updates:
            with torch.no_grad():
                first = next(iter(self._numbers.values()))
                (first[1] if together else first).fill_(float("nan"))

    pairs = [("timm", 0), ("timm", 1), ("timm", 2)] if together else [("timm", 1)]
    calm = worker.train(make_cohort(*pairs)).records
    images_of_training = worker._prepare("digits", 8, 0, 0.1).train
    monkeypatch.setattr(Network, "step", step)
    records = worker.train(make_cohort(*pairs)).records
    place = 1 if together else 0
    broken = records[place]
    assert (broken.status, broken.accuracy, broken.test_loss) == ("diverged", None, None)
    assert math.isfinite(broken.curves["train_loss"][-1])
    assert "validation loss after the last update was nan" in broken.message
    assert plausibility.problems(Record.from_dict(json.loads(broken.to_json()))) == []
    assert "NaN" not in broken.to_json()
    others = [numbers(each) for each in records if each is not broken]
    assert others == [numbers(each) for each in calm if each.trial != broken.trial]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_test_loss_that_is_not_finite_is_divergence(
    loss: float, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Course.record

    def record(self: Course, data: object, test: object, *rest: object) -> Record:
        return original(self, data, (loss, 0.5), *rest)

    monkeypatch.setattr(Course, "record", record)
    (broken,) = worker.train(make_cohort(("timm", 0))).records
    assert (broken.status, broken.accuracy, broken.test_loss) == ("diverged", None, None)
    assert f"the test loss after the last update was {loss}" in broken.message


@pytest.mark.usefixtures("never_stacked")
def test_one_by_one_a_diverged_trial_is_trained_no_further(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Network.step
    steps: list[int] = []

    def step(self: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
        seed = self.courses[0].trial.seed
        steps.append(seed)
        if seed == 1:
            with torch.no_grad():
                next(self._model.parameters()).fill_(float("nan"))
        original(self, images, labels)

    monkeypatch.setattr(Network, "step", step)
    calm, diverged = worker.train(make_cohort(("timm", 0), ("timm", 1))).records
    assert (calm.status, diverged.status) == ("ok", "diverged")
    assert steps.count(0) == 2 * steps.count(1)


def test_a_loss_that_ends_above_that_of_a_guess_is_divergence(worker: Worker) -> None:
    cell = make_cell(optimizer="sgd", learning_rate=300.0, epochs=1)
    (record,) = worker.train(make_cohort(("kaiming_normal(gain=10.0)", 0), cell=cell)).records
    assert record.status == "diverged"
    assert record.accuracy is None
    losses = record.curves["train_loss"][-1], record.curves["validation_loss"][-1]
    assert not all(math.isfinite(loss) for loss in losses) or min(losses) > math.log(10)


@pytest.mark.usefixtures("never_stacked")
def test_an_exception_in_a_model_is_a_record_and_the_others_go_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Network.step

    def step(self: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
        if self.courses[0].trial.seed == 1:
            raise ZeroDivisionError("planted")
        original(self, images, labels)

    monkeypatch.setattr(Network, "step", step)
    good, bad = worker.train(make_cohort(("timm", 0), ("timm", 1))).records
    assert good.status == "ok"
    assert bad.status == "error"
    assert "ZeroDivisionError: planted" in bad.message
    assert bad.accuracy is None


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("full"), MemoryError(), RuntimeError("not enough memory: x")]
)
def test_out_of_memory_concerns_the_whole_cohort(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def step(self: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
        raise error

    monkeypatch.setattr(Network, "step", step)
    outcome = worker.train(make_cohort(("timm", 0), ("timm", 1)))
    assert outcome.failure == "out_of_memory"
    assert outcome.records == ()


def test_training_neither_reads_nor_disturbs_global_random_state(worker: Worker) -> None:
    def state() -> tuple[bytes, object, object]:
        torch_state = torch.get_rng_state().numpy().tobytes()
        return torch_state, random.getstate(), np.random.get_state()[1].tolist()

    torch.manual_seed(1)
    before = state()
    first = worker.train(make_cohort(("orthogonal+pa", 0))).records[0]
    assert state() == before
    torch.manual_seed(2)
    random.seed(2)
    assert numbers(worker.train(make_cohort(("orthogonal+pa", 0))).records[0]) == numbers(first)


def test_per_seed_data_vary_and_fixed_data_do_not(worker: Worker) -> None:
    seeds = {}
    for data_seed in ("fixed", "per_seed"):
        cell = make_cell(data_seed=data_seed)
        trials = [make_cohort(("timm", seed), cell=cell).trials[0] for seed in (0, 1)]
        seeds[data_seed] = [trial.data_seed for trial in trials]
    assert seeds == {"fixed": [0, 0], "per_seed": [0, 1]}


def test_bfloat16_on_a_cpu_gives_finite_gradients_of_images_of_one_pixel() -> None:
    recipe, device = Recipe(dtype="bfloat16"), torch.device("cpu")
    enabled = torch.backends.mkldnn.enabled
    for seed in range(6):
        with own_global_state(recipe, device):
            torch.manual_seed(seed)
            model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
            with autocast(recipe, device):
                logits = model(torch.randn(32, 1, 8, 8))
            logits.float().square().mean().backward()
        assert all(weight.grad.isfinite().all() for weight in model.parameters())
    assert torch.backends.mkldnn.enabled == enabled


def test_bfloat16_and_clipping_train(worker: Worker) -> None:
    cell = make_cell(dtype="bfloat16", clip_gradient=0.1, batch_size=64)
    (record,) = worker.train(make_cohort(("kaiming_normal", 0), cell=cell)).records
    assert record.status == "ok"
    unclipped = make_cell(dtype="bfloat16", batch_size=64)
    (other,) = worker.train(make_cohort(("kaiming_normal", 0), cell=unclipped)).records
    assert numbers(record) != numbers(other)


def test_schedule_warms_up_and_falls(worker: Worker) -> None:
    cell = make_cell(epochs=4, warmup_epochs=1, schedule="cosine")
    (record,) = worker.train(make_cohort(("timm", 0), cell=cell)).records
    rates = record.curves["learning_rate"]
    assert rates[0] == max(rates)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.3 * rates[0]
    constant = make_cell(epochs=3, schedule="constant")
    (record,) = worker.train(make_cohort(("timm", 0), cell=constant)).records
    assert record.curves["learning_rate"] == [0.01, 0.01, 0.01]


def test_weight_decay_spares_norms_and_biases_unless_asked() -> None:
    from benchmark.training.optimization import make_optimizer

    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    recipe = make_cell(weight_decay=0.5).recipe
    decayed = {
        parameter.shape
        for group in make_optimizer(model, recipe).param_groups
        if group["weight_decay"]
        for parameter in group["params"]
    }
    assert decayed == {model[0].weight.shape}
    everywhere = recipe.model_copy(update={"weight_decay_on_norm_and_bias": True})
    groups = make_optimizer(model, everywhere).param_groups
    assert sum(len(group["params"]) for group in groups if group["weight_decay"]) == 4


def test_check_names_what_a_model_cannot_take(worker: Worker) -> None:
    good = make_cell()
    too_small = make_cell("test_vit(patch_size=16)", image_size=8)
    problems = worker.check([good, too_small])
    assert len(problems) == 1
    assert "test_vit(patch_size=16)" in problems[0]
    assert "8" in problems[0]


def test_check_names_a_data_set_that_is_not_there(worker: Worker) -> None:
    absent = replace(make_cell(), dataset="cifar10")
    (problem,) = worker.check([absent])
    assert "cifar10" in problem
    assert "download=True" in problem
