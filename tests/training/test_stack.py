"""A stacked network against its slow twins, the same networks trained alone: in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.seeds import derive
from benchmark.training.course import Candidate, build
from benchmark.training.data import CellData
from benchmark.training.network import Network, Stack, clip_each
from benchmark.training.optimization import make_optimizer, make_schedule
from benchmark.training.stacked_layers import StackedLayers
from benchmark.trial import Cell
from tests.conftest import make_cell, make_cohort

QUICKSTART = ["test_resnet", "test_vit(depth=3, patch_size=2)", "plain_cnn"]
MIXED = [("timm", 0), ("kaiming_normal+pa", 1), ("orthogonal+shuffle", 2)]
CPU = torch.device("cpu")
STEPS = 5


@pytest.fixture(scope="module")
def data() -> CellData:
    return Worker(Settings(device="cpu"))._prepare("digits", 8, 0, 0.1)


def candidates(cell: Cell, data: CellData, *pairs: tuple[str, int]) -> list[Candidate]:
    made = [build(trial, data, CPU) for trial in make_cohort(*pairs, cell=cell).trials]
    for each in made:
        each.model.double()
    return made


def train(network: Network, cell: Cell, data: CellData) -> dict[str, torch.Tensor]:
    """Take some steps and return the state: stacked, each value [replicas, ...]."""
    for _, (images, labels) in zip(
        range(STEPS), data.training_batches(cell.recipe, 0, 1), strict=False
    ):
        network.step(images.double(), labels)
    if isinstance(network, Stack):
        return {**network._weights, **network._buffers}
    return {name: value.unsqueeze(0) for name, value in network._model.state_dict().items()}


def test_a_cohort_of_one_is_the_plain_loop(data: CellData) -> None:
    cell = make_cell("test_resnet", batch_size=32, warmup_epochs=1, clip_gradient=0.5)
    recipe = cell.recipe
    (model,) = (each.model for each in candidates(cell, data, ("timm", 0)))
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, recipe, len(data.train) // recipe.batch_size)
    model.train()
    for update, (images, labels) in zip(
        range(STEPS), data.training_batches(recipe, 0, 1), strict=False
    ):
        optimizer.zero_grad()
        functional.cross_entropy(model(images.double()), labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step_update(update + 1)
    found = train(Network(candidates(cell, data, ("timm", 0)), data, CPU), cell, data)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[name][0], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("architecture", QUICKSTART)
@pytest.mark.parametrize("recipe", [{}, {"augmentation": ["flip", "shift_crop"]}], ids=str)
def test_each_replica_follows_its_solo_twin(
    architecture: str, recipe: dict[str, object], data: CellData
) -> None:
    cell = make_cell(architecture, batch_size=32, learning_rate=0.004, **recipe)
    together = train(Stack(candidates(cell, data, *MIXED), data, CPU), cell, data)
    for place, pair in enumerate(MIXED):
        alone = train(Network(candidates(cell, data, pair), data, CPU), cell, data)
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            torch.testing.assert_close(
                together[name][place], value[0], rtol=1e-6, atol=1e-9, msg=f"{pair} {name}"
            )


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "sgd", "learning_rate": 0.05, "clip_gradient": 0.5},
        # A large eps, so that gradients that are nothing but rounding do not become whole steps.
        {
            "optimizer": "adamw",
            "optimizer_args": {"eps": 0.001},
            "weight_decay": 0.5,
            "weight_decay_on_norm_and_bias": True,
            "label_smoothing": 0.1,
        },
    ],
    ids=str,
)
def test_optimizers_clipping_and_decay_act_on_each_replica(
    recipe: dict[str, object], data: CellData
) -> None:
    cell = make_cell("test_resnet", batch_size=32, **recipe)
    together = train(Stack(candidates(cell, data, *MIXED), data, CPU), cell, data)
    for place, pair in enumerate(MIXED):
        alone = train(Network(candidates(cell, data, pair), data, CPU), cell, data)
        for name, value in alone.items():
            torch.testing.assert_close(together[name][place], value[0], rtol=1e-6, atol=1e-9)


def test_dropout_and_stochastic_depth_draw_from_the_trials_own_stream(data: CellData) -> None:
    architecture = "test_vit(depth=2, drop_path_rate=0.5, drop_rate=0.3, patch_size=4)"
    cell = make_cell(architecture, batch_size=32)
    together = train(Stack(candidates(cell, data, *MIXED), data, CPU), cell, data)
    swapped = train(Stack(candidates(cell, data, *MIXED[::-1]), data, CPU), cell, data)
    for place, pair in enumerate(MIXED):
        alone = train(Network(candidates(cell, data, pair), data, CPU), cell, data)
        for name, value in alone.items():
            torch.testing.assert_close(together[name][place], value[0], rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(swapped[name][2 - place], value[0], rtol=1e-6, atol=1e-9)


def test_dropout_of_everything_gives_zeros_in_a_stack_as_alone() -> None:
    def dropped(values: torch.Tensor) -> torch.Tensor:
        with StackedLayers((1, 2)):
            return functional.dropout(values, 1.0, True)

    assert torch.equal(torch.func.vmap(dropped)(torch.ones(2, 5)), torch.zeros(2, 5))


def test_evaluation_uses_each_replicas_running_statistics(data: CellData) -> None:
    cell = make_cell("test_resnet", batch_size=32)

    def evaluated(network: Network) -> list[tuple[float, float]]:
        train(network, cell, data)
        network.evaluate(*(each.double() if each.is_floating_point() else each for each in batch))
        return network._evaluation.take()

    batch = next(data.evaluation_batches(data.validation))
    together = evaluated(Stack(candidates(cell, data, *MIXED), data, CPU))
    for found, pair in zip(together, MIXED, strict=True):
        (alone,) = evaluated(Network(candidates(cell, data, pair), data, CPU))
        assert found[0] == pytest.approx(alone[0], rel=1e-6)
        assert found[1] == alone[1]


def test_one_replicas_gradient_is_clipped_without_the_others() -> None:
    generator = torch.Generator().manual_seed(derive(0, "gradients"))
    gradients = [torch.randn(3, *shape, generator=generator) for shape in ((4, 2), (5,))]
    gradients[0][1] *= 100
    gradients[1][2] = float("inf")
    expected = [each.clone() for each in gradients]
    clip_each(gradients, 1.0)
    for replica in range(3):
        alone = [torch.nn.Parameter(each[replica].clone()) for each in expected]
        for parameter, each in zip(alone, expected, strict=True):
            parameter.grad = each[replica].clone()
        torch.nn.utils.clip_grad_norm_(alone, 1.0)
        for parameter, each in zip(alone, gradients, strict=True):
            torch.testing.assert_close(each[replica], parameter.grad, equal_nan=True)
