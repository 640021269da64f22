"""`benchmark.initialize`: what it draws from what, what it leaves alone, what it refuses."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import benchmark
from benchmark import initializer, models, plugins, rewiring
from benchmark.errors import UsageError
from benchmark.initialization import Report
from benchmark.strength import strength_variance
from benchmark.treatment import Treatment
from benchmark.trial import CHANGED_VALUES
from tests.random_state import global_state_kept, seed_globals


class Mixed(nn.Module):
    """A layer of every kind, with constants where no initializer belongs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 12)
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, groups=4)
        self.layer_norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.position = nn.Parameter(torch.full((1, 8), 0.25))
        self.head = nn.Linear(8, 5)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.125)


TREATED = {"stem.weight", "grouped.weight", "qkv.weight", "head.weight"}


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def treated(treatment: str, seed: int = 0) -> tuple[dict[str, torch.Tensor], Report]:
    model = Mixed()
    report = benchmark.initialize(model, treatment, seed=seed)
    return weights(model), report


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test enter methods that are gone behind it."""
    for registry in (plugins.initializers, plugins.rewirings):
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))


@pytest.mark.parametrize("initializer_name", ["kaiming_normal", "orthogonal"])
def test_two_rewirings_of_one_initializer_start_from_identical_weights(
    initializer_name: str,
) -> None:
    base, base_report = treated(initializer_name, seed=3)
    for name in ("pa", "shuffle"):
        rewired, report = treated(f"{initializer_name}+{name}", seed=3)
        for before, after in zip(base_report.layers, report.layers, strict=True):
            assert after.before == before.before
            assert after.after != after.before
        for name_of_weight in TREATED:
            values, expected = rewired[name_of_weight], base[name_of_weight]
            assert not torch.equal(values, expected)
            assert torch.equal(values.flatten().sort().values, expected.flatten().sort().values)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (treated("kaiming_normal+pa", seed)[0] for seed in (0, 0, 1))
    for name in TREATED:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_layers_of_one_shape_get_different_weights() -> None:
    for treatment in ("kaiming_normal", "orthogonal"):
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        benchmark.initialize(model, treatment)
        assert not torch.equal(model[0].weight, model[1].weight)


def test_the_rewiring_of_a_layer_has_a_stream_of_its_own() -> None:
    """Two layers with the same values are rewired differently, and by the seed alone."""
    results = []
    for seed in (0, 1):
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        with torch.no_grad():
            for layer in model:
                layer.weight.copy_(torch.arange(36.0).reshape(6, 6))
        benchmark.initialize(model, "timm+shuffle", seed=seed)
        results += [layer.weight.detach().clone() for layer in model]
    for one in range(4):
        for other in range(one):
            assert not torch.equal(results[one], results[other])


@pytest.mark.parametrize("treatment", ["kaiming_normal+pa", "orthogonal+shuffle"])
def test_a_layer_added_or_reordered_changes_nobody_elses_weights(treatment: str) -> None:
    small = nn.Sequential(OrderedDict(first=nn.Conv2d(2, 4, 3), last=nn.Linear(4, 4)))
    large = nn.Sequential(
        OrderedDict(
            added=nn.Linear(3, 3), last=nn.Linear(4, 4), first=nn.Conv2d(2, 4, 3), more=nn.ReLU()
        )
    )
    for model in (small, large):
        benchmark.initialize(model, treatment, seed=2)
    assert torch.equal(small.first.weight, large.first.weight)
    assert torch.equal(small.last.weight, large.last.weight)


@pytest.mark.parametrize("treatment", ["kaiming_normal+pa", "orthogonal+shuffle", "timm"])
def test_biases_norms_and_embeddings_stay_as_they_are(treatment: str) -> None:
    before, (after, _) = weights(Mixed()), treated(treatment)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == (set() if treatment == "timm" else TREATED)


@pytest.mark.parametrize("treatment", ["kaiming_normal+pa", "orthogonal+shuffle", "timm"])
def test_global_random_state_is_neither_read_nor_disturbed(treatment: str) -> None:
    results = []
    for seed in (1, 2):
        model = Mixed()
        seed_globals(seed)
        with global_state_kept():
            benchmark.initialize(model, treatment, seed=0)
        results.append(weights(model))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_tied_weight_is_treated_once_under_its_first_name() -> None:
    model = nn.Sequential(OrderedDict(one=nn.Linear(6, 6), two=nn.Linear(6, 6)))
    model.two.weight = model.one.weight
    alone = nn.Sequential(OrderedDict(one=nn.Linear(6, 6)))
    report = benchmark.initialize(model, "kaiming_normal+pa", seed=1)
    benchmark.initialize(alone, "kaiming_normal+pa", seed=1)
    assert [layer.name for layer in report.layers] == ["one"]
    assert model.two.weight is model.one.weight
    assert torch.equal(model.one.weight, alone.one.weight)


@pytest.mark.parametrize("initializer_name", ["kaiming_normal", "orthogonal"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_dtype_gets_the_float32_values_rounded(
    initializer_name: str, dtype: torch.dtype
) -> None:
    expected, _ = treated(initializer_name)
    model = Mixed().to(dtype)
    benchmark.initialize(model, initializer_name)
    for name in TREATED:
        assert model.state_dict()[name].dtype == dtype
        assert torch.equal(model.state_dict()[name], expected[name].to(dtype))


def test_a_bfloat16_model_is_rewired_within_its_own_values() -> None:
    base, rewired = Mixed().bfloat16(), Mixed().bfloat16()
    benchmark.initialize(base, "kaiming_normal")
    benchmark.initialize(rewired, "kaiming_normal+pa")
    for name in TREATED:
        one, other = (model.state_dict()[name].float().flatten() for model in (base, rewired))
        assert not torch.equal(one, other)
        assert torch.equal(one.sort().values, other.sort().values)


@pytest.mark.parametrize("treatment", ["kaiming_normal+pa", "orthogonal+pa", "timm+shuffle"])
def test_the_memory_format_changes_no_weight(treatment: str) -> None:
    expected, _ = treated(treatment)
    model = Mixed().to(memory_format=torch.channels_last)
    benchmark.initialize(model, treatment)
    for name in TREATED:
        assert torch.equal(model.state_dict()[name], expected[name])


def test_parameters_stay_the_same_objects_that_optimizers_hold() -> None:
    model = Mixed()
    before = {name: (id(p), p.data_ptr(), p.requires_grad) for name, p in model.named_parameters()}
    benchmark.initialize(model, "orthogonal+pa")
    after = {name: (id(p), p.data_ptr(), p.requires_grad) for name, p in model.named_parameters()}
    assert after == before
    assert all(parameter.grad_fn is None for parameter in model.parameters())


def strengths(module: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Sum a transposed convolution's weights one by one: of each input position, each output."""
    sources, targets, taps = module.in_channels, module.out_channels, module.kernel_size[0]
    per_source, per_target = sources // module.groups, targets // module.groups
    inputs, outputs = np.zeros((per_source, taps)), np.zeros(targets)
    for source in range(sources):
        group = source // per_source
        for place in range(per_target):
            for tap in range(taps):
                value = module.weight[source, place, tap].item()
                inputs[source % per_source, tap] += value
                outputs[group * per_target + place] += value
    return inputs.ravel(), outputs


@pytest.mark.parametrize("groups", [1, 4])
def test_the_neurons_of_a_transposed_convolution_are_not_swapped(groups: int) -> None:
    modules, reports = {}, {}
    for rewired in ("none", "pa_in", "pa_out"):
        modules[rewired] = nn.ConvTranspose1d(16, 24, 5, groups=groups)
        reports[rewired] = benchmark.initialize(modules[rewired], f"kaiming_normal+{rewired}")
    summed = {name: strengths(module) for name, module in modules.items()}
    for name, report in reports.items():
        expected = [np.var(sums, ddof=1) for sums in summed[name]]
        found = report.layers[0].after
        assert [found.inputs, found.outputs] == pytest.approx(expected, rel=1e-5)
        assert report.layers[0].before == reports["none"].layers[0].before
    (inputs, outputs), less = summed["none"], 0.7
    np.testing.assert_allclose(summed["pa_in"][1], outputs, atol=1e-5)
    np.testing.assert_allclose(summed["pa_out"][0], inputs, atol=1e-5)
    assert np.var(summed["pa_in"][0]) < less * np.var(inputs)
    assert np.var(summed["pa_out"][1]) < less * np.var(outputs)


def test_the_best_draw_of_a_transposed_convolution_is_the_one_of_its_own_neurons() -> None:
    module = nn.ConvTranspose1d(4, 12, 3, groups=2)
    scores = []
    for k in (1, 2, 3, 4, 5, 6):
        benchmark.initialize(module, f"best_of(kaiming_normal, k={k})", seed=1)
        scores.append(np.mean([np.var(sums, ddof=1) for sums in strengths(module)]))
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < scores[0]


def test_the_report_names_every_layer_with_its_strength_before_and_after() -> None:
    base, _ = treated("kaiming_normal", seed=1)
    after, report = treated("kaiming_normal+pa", seed=1)
    assert (report.treatment, report.seed) == ("kaiming_normal+pa", 1)
    assert [layer.name for layer in report.layers] == ["stem", "grouped", "qkv", "head"]
    for layer in report.layers:
        name = f"{layer.name}.weight"
        assert layer.shape == tuple(after[name].shape)
        assert layer.before == strength_variance(base[name].flatten(1).numpy())
        assert layer.after == strength_variance(after[name].flatten(1).numpy())
    assert report.strength_before == pytest.approx(np.mean([x.before.score for x in report.layers]))
    assert report.strength_after == pytest.approx(np.mean([x.after.score for x in report.layers]))
    assert report.strength_after < report.strength_before
    assert report.initialization_seconds > 0
    assert report.rewiring_seconds > 0
    text = str(report)
    assert "kaiming_normal+pa, seed 1: 4 layers" in text
    assert "8x2x3x3" in text


def test_a_treatment_may_be_text_or_a_treatment() -> None:
    model = Mixed()
    report = benchmark.initialize(model, Treatment("orthogonal(gain=2.0)", "pa"))
    assert report.treatment == "orthogonal(gain=2.0)+pa"
    expected, _ = treated("orthogonal(2)+pa")
    assert torch.equal(model.stem.weight, expected["stem.weight"])


def test_a_real_architecture_loses_strength_variance_under_pa_and_not_under_shuffle() -> None:
    def left(treatment: str) -> float:
        model = models.build("plain_cnn", channels=1, classes=10, image_size=32, seed=0)
        report = benchmark.initialize(model, treatment)
        factors = [layer.after.score / layer.before.score for layer in report.layers]
        return float(np.median(factors))

    assert left("kaiming_normal+pa") < 0.3
    assert 0.5 < left("kaiming_normal+shuffle") < 1.5
    assert left("kaiming_normal") == 1.0


def test_a_model_without_weights_gives_an_empty_report() -> None:
    report = benchmark.initialize(nn.Sequential(nn.ReLU()), "orthogonal+pa")
    assert report.layers == ()


@pytest.mark.usefixtures("registries")
def test_non_finite_weights_are_refused_with_the_method_and_the_layer() -> None:
    @initializer("overflowing", summary="too large for the second layer")
    def overflowing(weight, layer, generator) -> None:
        weight.fill_(float("inf") if layer.index == 1 else 1.0)

    with pytest.raises(UsageError, match="'overflowing' left non-finite weights in grouped"):
        benchmark.initialize(Mixed(), "overflowing")


@pytest.mark.usefixtures("registries")
def test_a_value_too_large_for_the_dtype_of_the_model_is_refused() -> None:
    @initializer("large", summary="finite in float32, infinite in float16")
    def large(weight, layer, generator) -> None:
        weight.fill_(1e6)

    benchmark.initialize(Mixed(), "large")
    with pytest.raises(UsageError, match="non-finite weights in stem"):
        benchmark.initialize(Mixed().half(), "large")


@pytest.mark.usefixtures("registries")
def test_a_rewiring_that_says_it_permutes_and_does_not_is_refused() -> None:
    @rewiring("liar", summary="doubles one value", permutes=True)
    def liar(matrix, rng) -> None:
        matrix[0, 0] *= 2

    with pytest.raises(UsageError, match=f"'liar' says that it permutes.*{CHANGED_VALUES} stem"):
        benchmark.initialize(Mixed(), "kaiming_normal+liar")


@pytest.mark.usefixtures("registries")
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_rewiring_that_draws_anew_may_change_values_but_not_into_nan() -> None:
    @rewiring("redraw", summary="new values")
    def redraw(matrix, rng, scale: float = 1.0) -> None:
        matrix[...] = rng.normal(size=matrix.shape) * scale

    model = Mixed()
    benchmark.initialize(model, "kaiming_normal+redraw(scale=100)")
    assert model.stem.weight.abs().max() > 50
    with pytest.raises(UsageError, match="'redraw' left non-finite weights in stem"):
        benchmark.initialize(Mixed(), "kaiming_normal+redraw(scale=1e39)")


@pytest.mark.usefixtures("registries")
def test_a_method_entered_by_the_decorator_gets_the_layer_and_its_parameters() -> None:
    seen = {}

    @initializer("constant", summary="one value")
    def constant(weight, layer, generator, value: float = 0.5) -> None:
        name = f"{layer.name} {layer.part}".strip()
        seen[name] = (layer.role, tuple(weight.shape), weight.dtype, generator.device.type)
        weight.fill_(value)

    model = Mixed().bfloat16()
    benchmark.initialize(model, "constant(value=2)+pa")
    assert (model.head.weight == 2).all()
    assert seen == {
        "stem": ("stem", (8, 3, 3, 3), torch.float32, "cpu"),
        "grouped": ("body", (8, 2, 3, 3), torch.float32, "cpu"),
        **{f"qkv {part}": ("qkv", (8, 8), torch.float32, "cpu") for part in "qkv"},
        "head": ("head", (5, 8), torch.float32, "cpu"),
    }


@pytest.mark.usefixtures("registries")
def test_a_model_level_method_gets_the_model_and_a_generator_of_the_seed() -> None:
    @initializer("biased", summary="draws a bias", level="model", touches=("biases",))
    def biased(model, generator) -> None:
        with torch.no_grad():
            model.head.bias.normal_(generator=generator)

    biases = []
    for seed in (0, 0, 1):
        model = Mixed()
        benchmark.initialize(model, "biased", seed=seed)
        biases.append(model.head.bias.detach())
    assert torch.equal(biases[0], biases[1])
    assert not torch.equal(biases[0], biases[2])


@pytest.mark.usefixtures("registries")
def test_a_method_that_looks_at_data_gets_the_batch_or_what_makes_it() -> None:
    seen = []

    @initializer("data_driven", summary="keeps its batch", level="model", needs_data=True)
    def data_driven(model, generator, batch, share: float = 0.5) -> None:
        seen.append((batch, share))

    batch = (torch.ones(2, 3, 4, 4), torch.tensor([0, 1]))
    benchmark.initialize(Mixed(), "data_driven", batch=batch)
    benchmark.initialize(Mixed(), "data_driven(share=1)", batch=lambda: batch)
    assert [share for _, share in seen] == [0.5, 1.0]
    assert all(given is batch for given, _ in seen)
    with pytest.raises(UsageError, match=r"'data_driven' looks at data.*batch=\(images, labels\)"):
        benchmark.initialize(Mixed(), "data_driven")


def test_a_method_without_data_does_not_make_the_batch() -> None:
    def batch():
        raise AssertionError("made a batch that nobody looks at")

    benchmark.initialize(Mixed(), "kaiming_normal+pa", batch=batch)
    benchmark.initialize(Mixed(), "timm", batch=batch)


@pytest.mark.parametrize(
    ("treatment", "message"),
    [
        ("ortogonal", "unknown initializer 'ortogonal'; did you mean 'orthogonal'"),
        ("orthogonal+shufle", "unknown rewiring 'shufle'; did you mean 'shuffle'"),
        ("orthogonal+pa(offset=0)", r"pa\(offset=...\) is 0.0: .* greater than 0"),
    ],
)
def test_a_wrong_treatment_is_refused(treatment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        benchmark.initialize(Mixed(), treatment)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("treatment", ["kaiming_normal+pa", "orthogonal+shuffle"])
def test_a_model_on_a_gpu_gets_the_same_bytes(treatment: str) -> None:
    expected, _ = treated(treatment)
    model = Mixed().cuda()
    before = torch.cuda.get_rng_state()
    benchmark.initialize(model, treatment)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    for name in TREATED:
        assert torch.equal(model.state_dict()[name].cpu(), expected[name])


def test_the_number_of_threads_changes_no_byte_and_stays_what_it_was() -> None:
    threads = torch.get_num_threads()
    states = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            torch.manual_seed(0)
            model = torch.nn.Sequential(
                torch.nn.Conv2d(3, 40, 3), torch.nn.Conv2d(40, 30, 5), torch.nn.Linear(70, 90)
            )
            benchmark.initialize(model, "timm+pa", seed=5)
            assert torch.get_num_threads() == count
            states.append([value.clone() for value in model.state_dict().values()])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
