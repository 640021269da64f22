"""LSUV, Kraehenbuehl, patch whitening, MetaInit and GradInit: what each makes of one batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

import benchmark
from benchmark import models
from benchmark.drawing import draw
from benchmark.errors import UsageError
from benchmark.initializers.metainit import gradient_quotient
from benchmark.layers import describe
from benchmark.plugins import initializers
from benchmark.propagation import adjust_in_order, observed
from benchmark.seeds import torch_generator
from tests.random_state import global_state_kept, seed_globals

Batch = tuple[torch.Tensor, torch.Tensor]
QUICK = {
    "lsuv": "lsuv",
    "krahenbuhl": "krahenbuhl",
    "patch_whitening": "patch_whitening",
    "metainit": "metainit(steps=2)",
    "gradinit": "gradinit(iterations=2)",
}


def built(architecture: str, seed: int = 0) -> nn.Module:
    return models.build(architecture, channels=3, classes=10, image_size=32, seed=seed)


def batch(count: int = 12, channels: int = 3, size: int = 32) -> Batch:
    """Images whose neighbouring pixels and channels are alike, with labels."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(count, channels, size, size, generator=generator)
    smooth = functional.avg_pool2d(noise, 3, 1, 1) * 2 + noise.mean(1, keepdim=True)
    return smooth, torch.randint(10, (count,), generator=generator)


class Small(nn.Module):
    """Batch norm, dropout, a frozen weight, and registration against the order of execution."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 10)
        self.second = nn.Conv2d(6, 8, 3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.2, 0.3, generator=generator)
        self.norm.weight.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.first(images)).relu()
        return self.head(self.drop(self.second(hidden).relu().mean((2, 3))))


def outputs_in_order(model: nn.Module, images: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    found: list[tuple[str, torch.Tensor]] = []
    with observed(model):
        adjust_in_order(model, images, lambda layer, _, out: found.append((layer.name, out())))
    return found


@pytest.mark.parametrize("treatment", QUICK.values(), ids=QUICK)
def test_the_model_and_the_random_state_are_left_as_they_were_but_for_values(
    treatment: str,
) -> None:
    results = []
    for state in (1, 2):
        model = Small().train()
        model.drop.eval()
        buffers = {name: each.clone() for name, each in model.named_buffers()}
        parameters = {name: id(each) for name, each in model.named_parameters()}
        seed_globals(state)
        with global_state_kept():
            benchmark.initialize(model, treatment, seed=0, batch=batch())
        assert all(torch.equal(each, buffers[name]) for name, each in model.named_buffers())
        assert {name: id(each) for name, each in model.named_parameters()} == parameters
        frozen = [name for name, each in model.named_parameters() if not each.requires_grad]
        assert frozen == ["norm.weight"]
        assert all(each.grad is None for each in model.parameters())
        assert all(each.is_leaf for each in model.parameters())
        assert (model.training, model.norm.training, model.drop.training) == (True, True, False)
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_what_they_look_at_is_declared() -> None:
    assert all(initializers.get(name).needs_data for name in QUICK)
    assert {name for name in QUICK if initializers.get(name).needs_labels} == {"gradinit"}


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_convnext2", "plain_cnn"])
def test_lsuv_gives_every_layer_a_deviation_within_the_tolerance(architecture: str) -> None:
    model, (images, labels) = built(architecture), batch()
    benchmark.initialize(model, "lsuv(tolerance=0.02)", batch=(images, labels))
    deviations = {name: out.std().item() for name, out in outputs_in_order(model, images)}
    assert all(abs(std - 1) <= 0.02 for std in deviations.values()), deviations
    assert len(deviations) >= 7


def test_lsuv_follows_the_order_of_execution_and_zeroes_biases() -> None:
    model, (images, labels) = Small(), batch()
    benchmark.initialize(model, "lsuv(tolerance=0.001)", batch=(images, labels))
    found = outputs_in_order(model, images)
    assert [name for name, _ in found] == ["first", "second", "head"]
    assert all(abs(out.std() - 1) <= 0.001 for _, out in found)
    assert not any(layer.bias.any() for layer in (model.first, model.second, model.head))


def test_lsuv_scales_orthogonal_matrices() -> None:
    model = Small()
    benchmark.initialize(model, "lsuv(tolerance=0.001)", batch=batch())
    matrix = model.second.weight.detach().flatten(1)
    gram = matrix @ matrix.T
    assert torch.allclose(gram / gram[0, 0], torch.eye(8), atol=1e-5)


def test_lsuv_leaves_a_deviation_within_the_tolerance_and_gives_up_after_the_attempts() -> None:
    loose, none, scaled = Small(), Small(), Small()
    benchmark.initialize(loose, "lsuv(tolerance=1000)", batch=batch())
    benchmark.initialize(none, "lsuv(attempts=0)", batch=batch())
    benchmark.initialize(scaled, "lsuv", batch=batch())
    for name in ("first", "second", "head"):
        assert torch.equal(loose.get_submodule(name).weight, none.get_submodule(name).weight)
    assert not torch.equal(scaled.head.weight, none.head.weight)


def test_lsuv_scales_a_shared_weight_where_it_is_used_first() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late, self.early = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
            self.late.weight = self.early.weight

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return self.late(self.early(values) * 5)

    model, values = Tied(), 3 * torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    benchmark.initialize(model, "lsuv(tolerance=0.01)", batch=(values, torch.zeros(64)))
    assert model.late.weight is model.early.weight
    assert abs(model.early(values).std().item() - 1) <= 0.01


def test_lsuv_survives_an_output_that_does_not_vary() -> None:
    model = Small()
    benchmark.initialize(model, "lsuv", batch=(torch.zeros(4, 3, 32, 32), torch.zeros(4)))
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("method", ["lsuv", "krahenbuhl"])
def test_standardised_weights_whose_scale_has_no_effect_stay_as_drawn(method: str) -> None:
    drawn, scaled = built("test_nfnet"), built("test_nfnet")
    benchmark.initialize(drawn, method, batch=(torch.zeros(2, 3, 32, 32), torch.zeros(2)))
    benchmark.initialize(scaled, method, batch=batch())
    assert torch.equal(drawn.stages[0][0].conv2.weight, scaled.stages[0][0].conv2.weight)
    assert not torch.equal(drawn.head.fc.weight, scaled.head.fc.weight)


def test_krahenbuhl_normalises_every_channel_of_every_layer() -> None:
    model, (images, labels) = Small(), batch()
    benchmark.initialize(model, "krahenbuhl(bias=0.3)", batch=(images, labels))
    for name, out in outputs_in_order(model, images):
        channels = out.movedim(-1 if name == "head" else 1, 0).flatten(1)
        std, mean = torch.std_mean(channels, dim=1, correction=0)
        assert torch.allclose(std, torch.ones_like(std), atol=1e-4), name
        assert torch.allclose(mean, torch.full_like(mean, 0.3), atol=1e-4), name


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    "convolution", [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d]
)
def test_krahenbuhl_divides_the_weights_of_each_output_by_the_deviation_of_that_output(
    convolution: type[_ConvNd], groups: int
) -> None:
    module = convolution(4, 12, 3, groups=groups)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 4, *[6] * (module.weight.ndim - 2), generator=generator) + 0.5
    benchmark.initialize(module, "krahenbuhl", seed=2, batch=(images, torch.zeros(5)))
    drawn, stream = copy.deepcopy(module), torch_generator(2, "weights")
    draw(describe(drawn), lambda weight, _, own: weight.normal_(generator=own), stream)
    nn.init.zeros_(drawn.bias)
    before, weight = drawn(images), drawn.weight
    for output in range(12):
        values = before[:, output]
        for source in range(4):
            if source // (4 // groups) != output // (12 // groups):
                continue
            place = output, source % (4 // groups)
            if module.transposed:
                place = source, output % (12 // groups)
            expected = weight[place] / values.std(correction=0)
            torch.testing.assert_close(module.weight[place], expected)
        expected = 0.1 - values.mean() / values.std(correction=0)
        torch.testing.assert_close(module.bias[output], expected)
    after = module(images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(after.std(1, correction=0), torch.ones(12))
    torch.testing.assert_close(after.mean(1), torch.full((12,), 0.1))


def test_patch_whitening_decorrelates_patches_and_adds_the_negatives() -> None:
    """48 filters for patches of 27 values: 24 eigenvectors, the largest, and their negatives."""
    model, (images, labels) = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1)), batch()
    model[0].bias.data.zero_()
    benchmark.initialize(model, "patch_whitening(eps=0)", batch=(images, labels))
    outputs = model(images).detach()[:, :, 1:-1, 1:-1].movedim(1, 0).flatten(1).double()
    assert torch.allclose(outputs[24:], -outputs[:24], atol=1e-4)
    moments = outputs[:24] @ outputs[:24].T / outputs.shape[1]
    assert torch.allclose(moments, torch.eye(24, dtype=torch.float64), atol=1e-3)
    energy = model[0].weight.detach()[:24].flatten(1).norm(dim=1)
    assert (energy.diff() >= -1e-5).all()


def test_patch_whitening_leaves_filters_beyond_twice_the_patch_and_other_layers() -> None:
    model, reference = built("test_vit"), built("test_vit")
    benchmark.initialize(model, "patch_whitening", batch=batch())
    before, after = reference.state_dict(), model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"patch_embed.proj.weight"}
    wide = nn.Sequential(nn.Conv2d(1, 12, 2))
    old = wide[0].weight.detach().clone()
    benchmark.initialize(wide, "patch_whitening", batch=batch(channels=1))
    assert torch.equal(wide[0].weight[8:], old[8:])
    assert not torch.equal(wide[0].weight[:8], old[:8])


def test_patch_whitening_needs_a_convolution_in_front() -> None:
    values = torch.randn(8, 6)
    with pytest.raises(UsageError, match="whose first layer is a 2-d convolution"):
        benchmark.initialize(
            nn.Sequential(nn.Linear(6, 4)), "patch_whitening", batch=(values, torch.zeros(8))
        )


def quotient_of(model: nn.Module) -> float:
    """Gradient quotient on inputs and labels that the method has not seen."""
    generator = torch.Generator().manual_seed(99)
    images = torch.randn(64, 3, 16, 16, generator=generator)
    labels = torch.randint(10, (64,), generator=generator)
    with observed(model, differentiated=3):
        loss = functional.cross_entropy(model(images), labels)
        parameters = [each for each in model.parameters() if each.requires_grad]
        return gradient_quotient(loss, parameters).item()


def test_the_gradient_quotient_of_a_quadratic_is_its_closed_form() -> None:
    """Loss (a x^2 + b y^2) / 2: g = (a x, b y), H g = (a^2 x, b^2 y), so |-a| and |-b|, halved."""
    x, y = (torch.tensor([value], requires_grad=True) for value in (2.0, -3.0))
    loss = (0.5 * x.square() + 4 * y.square()).sum() / 2
    expected = (0.5 + 4) / 2
    assert gradient_quotient(loss, [x, y]).item() == pytest.approx(expected, rel=1e-4)


def test_metainit_lowers_the_gradient_quotient_by_norms_alone() -> None:
    model, reference = Small(), Small()
    images, labels = batch(size=16)
    benchmark.initialize(model, "metainit(steps=30, learning_rate=0.02)", batch=(images, labels))
    assert quotient_of(model) < 0.8 * quotient_of(reference)
    for name in ("first", "second", "head"):
        new, old = model.get_submodule(name), reference.get_submodule(name)
        similarity = functional.cosine_similarity(new.weight.flatten(), old.weight.flatten(), dim=0)
        assert similarity.item() == pytest.approx(1, abs=1e-5)
        assert not torch.equal(new.weight, old.weight)
        assert torch.equal(new.bias, old.bias)


def test_metainit_looks_at_the_shape_of_the_batch_alone() -> None:
    models_ = [Small(), Small()]
    for factor, model in enumerate(models_):
        images, labels = batch(size=16)
        benchmark.initialize(model, "metainit(steps=2)", batch=(images * factor, labels * factor))
    assert torch.equal(models_[0].head.weight, models_[1].head.weight)


def loss_after_a_step(model: nn.Module, data: Batch, eta: float = 0.1) -> float:
    """Loss behind one step of length eta along the normalised gradient."""
    images, labels = data
    with observed(model):
        parameters = list(model.parameters())
        loss = functional.cross_entropy(model(images), labels)
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.stack([each.square().sum() for each in gradients]).sum().sqrt()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= eta * gradient / norm
            after = functional.cross_entropy(model(images), labels).item()
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter += eta * gradient / norm
    return after


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradinit_lowers_the_loss_behind_the_first_step(optimizer: str) -> None:
    model, reference, data = Small(), Small(), batch(count=24, size=16)
    treatment = f"gradinit(iterations=40, learning_rate=0.02, optimizer={optimizer}, gamma=1000)"
    benchmark.initialize(model, treatment, batch=data)
    assert loss_after_a_step(model, data) < loss_after_a_step(reference, data) - 0.02


def test_gradinit_lowers_the_gradient_norm_that_is_above_gamma() -> None:
    model, reference, data = Small(), Small(), batch(size=16)

    def norm(network: nn.Module) -> float:
        images, labels = data
        with observed(network):
            loss = functional.cross_entropy(network(images), labels)
            gradients = torch.autograd.grad(loss, list(network.parameters()))
        return torch.stack([each.square().sum() for each in gradients]).sum().sqrt().item()

    benchmark.initialize(
        model, "gradinit(iterations=30, learning_rate=0.02, gamma=0.0001)", batch=data
    )
    assert norm(model) < 0.9 * norm(reference)


def test_gradinit_multiplies_each_parameter_by_one_scale_of_at_least_a_hundredth() -> None:
    model, reference = Small(), Small()
    benchmark.initialize(model, "gradinit(iterations=4, learning_rate=5)", batch=batch(size=16))
    scales = set()
    for name, parameter in model.named_parameters():
        ratio = (parameter / reference.get_parameter(name)).detach()
        assert ratio.max() - ratio.min() < 1e-4, name
        lowest = 0.0 if name.endswith("bias") else 0.01
        assert ratio.min() >= lowest - 1e-6
        scales.add(round(ratio.mean().item(), 3))
    assert 0.01 in scales
    assert len(scales) > 1


def test_gradinit_refuses_an_unknown_optimizer_and_a_tiny_batch() -> None:
    with pytest.raises(UsageError, match="optimizer=sgd or optimizer=adam"):
        benchmark.initialize(Small(), "gradinit(optimizer=lion)", batch=batch())
    with pytest.raises(UsageError, match="3 images or more, not 2"):
        benchmark.initialize(Small(), "gradinit", batch=batch(count=2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("treatment", QUICK.values(), ids=QUICK)
def test_on_a_gpu_the_weights_are_the_same_to_rounding(treatment: str) -> None:
    here, there, data = Small(), Small().cuda(), batch()
    benchmark.initialize(here, treatment, batch=data)
    benchmark.initialize(there, treatment, batch=(data[0].cuda(), data[1].cuda()))
    for name, parameter in here.named_parameters():
        assert torch.allclose(there.get_parameter(name).cpu(), parameter, atol=1e-2)
