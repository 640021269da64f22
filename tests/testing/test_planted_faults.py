"""The conformance kit finds every planted fault, by the check that is there for it."""

from __future__ import annotations

import textwrap

import pytest

from tests.testing.conftest import Plugin

TENSOR = """
import math, random
import numpy as np, torch
from benchmark import initializer
from benchmark.errors import UsageError

calls = []

@initializer("planted", summary="a fault", {declared})
def planted(weight, layer, generator):
    \"\"\"Fill the weight.\"\"\"
    scale = 1 / math.sqrt(layer.fan_in)
{body}
"""

MODEL = """
import random
import numpy as np, torch
from benchmark import initializer
from benchmark.layers import describe
from benchmark.seeds import torch_generator

def fill(model, generator):
    with torch.no_grad():
        for layer, weight in describe(model):
            own = torch_generator(generator.initial_seed(), layer.name)
            weight.copy_(0.1 * torch.randn(weight.shape, generator=own))

@initializer("planted", summary="a fault", level="model", {declared})
def planted(model, generator{batch}):
    \"\"\"Fill the model.\"\"\"
{body}
"""

REWIRING = """
import random
import numpy as np
from benchmark import rewiring

calls = []

@rewiring("planted", summary="a fault", permutes=True, {declared})
def planted(matrix, rng):
    \"\"\"Rewire the matrix.\"\"\"
{body}
"""

NORMAL = "weight.normal_(0, scale, generator=generator)"


def source(form: str, body: str, declared: str = "") -> str:
    batch = ", batch" if "needs_data=True" in declared else ""
    text = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return form.format(declared=declared, body=text, batch=batch)


TENSOR_FAULTS = {
    "if seed:": (
        """
        seed = generator.initial_seed()
        own = torch.Generator().manual_seed(seed) if seed else None
        weight.normal_(0, scale, generator=own)
        """,
        "seed 0",
        "the seed 0 gives other values in stem again",
    ),
    "random of Python": (
        "weight.fill_(random.gauss(0, scale))",
        "global random state",
        "the global generator of random was used",
    ),
    "numpy.random": (
        "weight.copy_(torch.from_numpy(np.random.normal(0, scale, weight.shape)))",
        "global random state",
        "the global generator of numpy.random was used",
    ),
    "torch's global generator": (
        "weight.normal_(0, scale)",
        "global random state",
        "the global generator of torch was used",
    ),
    "the global generator, put back": (
        """
        state = torch.get_rng_state()
        weight.normal_(0, scale)
        torch.set_rng_state(state)
        """,
        "global random state",
        "depend on a global generator",
    ),
    "entropy of the system": (
        "weight.copy_(torch.from_numpy(np.random.default_rng().normal(0, scale, weight.shape)))",
        "same seed",
        "seed 0 gives other values",
    ),
    "the generator ignored": (
        "weight.normal_(0, scale, generator=torch.Generator().manual_seed(7))",
        "other seed",
        "seeds 0 and 1 give the same weights",
    ),
    "fan of a grouped convolution": (
        """
        fan_out = weight.shape[0] * math.prod(weight.shape[2:])
        weight.normal_(0, 1 / math.sqrt(fan_out), generator=generator)
        """,
        "variance",
        "variance of grouped, as of group",
    ),
    "fan of a transposed convolution": (
        """
        fan_in = weight.shape[1] * math.prod(weight.shape[2:])
        weight.normal_(0, 1 / math.sqrt(fan_in), generator=generator)
        """,
        "variance",
        "variance of transposed, as of forward_conv",
    ),
    "torch's own fans": (
        "torch.nn.init.xavier_normal_(weight, generator=generator)",
        "variance",
        "variance of grouped",
    ),
    "overflow in bfloat16": (
        "weight.normal_(0, scale, generator=generator)\nweight[..., :1] = 3.4e38",
        "bfloat16",
        "not finite|non-finite",
    ),
    "another order of layers": (
        """
        calls.append(layer.name)
        weight.normal_(0, scale * (1 + len(calls) % 7), generator=generator)
        """,
        "order",
        "gets other values where the layers come in another order",
    ),
    "the hash seed": (
        """
        own = torch.Generator().manual_seed(generator.initial_seed() ^ abs(hash(layer.name)))
        weight.normal_(0, scale, generator=own)
        """,
        "other process",
        "in a process with another PYTHONHASHSEED",
    ),
    "a tensor returned": (
        "return torch.randn(weight.shape, generator=generator)",
        "in place",
        "returns a Tensor, which nobody takes",
    ),
    "nothing done": ("weight = weight + 1", "in place", "no weight was filled"),
    "another shape": (
        "weight.data = torch.zeros(1)",
        "in place",
        r"the weight became \(1,\)",
    ),
    "half of the entries": (
        "weight[: len(weight) // 2].normal_(0, scale, generator=generator)",
        "in place",
        "entries of stem depend on what stood there",
    ),
    "not a number": ("weight.fill_(float('nan'))", "runs", "non-finite"),
    "an error": ("raise KeyError('planted')", "runs", r"KeyError: 'planted' \(.*planted.py"),
}

DECLARED_FAULTS = {
    "a declared variance missed": (
        "weight.normal_(0, 1 / math.sqrt(layer.fan_out), generator=generator)",
        "variance=lambda layer: 1 / layer.fan_in",
        "variance",
        "variance of transposed: .* belongs",
    ),
    "falsely deterministic": (NORMAL, "deterministic=True", "other seed", "declared deterministic"),
}

MODEL_FAULTS = {
    "norms touched": (
        """
        fill(model, generator)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.LayerNorm)):
                    module.weight.fill_(0.5)
        """,
        "",
        "touches|runs",
        "changed .*norm.weight",
    ),
    "statistics of batch norm": (
        "fill(model, generator)\nmodel(batch[0])",
        "needs_data=True",
        "touches|runs",
        "changed .*running",
    ),
    "requires_grad": (
        "fill(model, generator)\nmodel.stem.weight.requires_grad_(False)",
        "",
        "surroundings|runs",
        "requires_grad",
    ),
    "device": ('model.to("meta")', "", "runs|surroundings", "device|moved from cpu to meta"),
    "dtype": ("fill(model, generator)\nmodel.double()", "", "surroundings|runs", "float64|dtype"),
    "mode": (
        "fill(model, generator)\nmodel.eval()",
        "",
        "surroundings|runs",
        "evaluation mode|another mode",
    ),
    "a hook left behind": (
        "fill(model, generator)\nmodel.stem.register_forward_hook(print)",
        "",
        "surroundings",
        "1 hooks",
    ),
    "another parameter object": (
        """
        fill(model, generator)
        model.stem.weight = torch.nn.Parameter(model.stem.weight.detach().clone())
        """,
        "",
        "surroundings|runs",
        "object|another parameter",
    ),
    "a gradient left behind": (
        "fill(model, generator)\nfor p in model.parameters():\n    p.grad = p.detach().clone()",
        "",
        "surroundings",
        "a gradient",
    ),
    "order of parameters": (
        """
        with torch.no_grad():
            for _, weight in describe(model):
                weight.copy_(torch.randn(weight.shape, generator=generator))
        """,
        "",
        "order",
        "registered in another order",
    ),
    "the generator ignored": (
        "fill(model, torch.Generator().manual_seed(7))",
        "",
        "other seed",
        "seeds 0 and 1 give the same weights",
    ),
    "infinite in bfloat16": (
        """
        fill(model, generator)
        with torch.no_grad():
            for _, weight in describe(model):
                weight.view(-1)[0] = 3.4e38
        """,
        "",
        "bfloat16",
        "finite",
    ),
    "state that cannot be pickled": (
        "fill(model, generator)\nmodel.note = lambda: generator",
        "",
        "pickle",
        "a pickle fails|a deep copy fails",
    ),
    "labels read": (
        "fill(model, generator)\nwith torch.no_grad(): model.head.weight.mul_(1 + batch[1].sum())",
        "needs_data=True",
        "data",
        "declare needs_labels=True",
    ),
    "data not read": ("fill(model, generator)", "needs_data=True", "data", "needs_data=False"),
    "the batch changed": (
        "fill(model, generator)\nbatch[0].mul_(2)",
        "needs_data=True",
        "data",
        "it changed the batch",
    ),
    "a layer more": (
        'fill(model, generator)\nmodel.add_module("more", torch.nn.Linear(2, 2))',
        "",
        "touches|runs",
        "changes_architecture=True",
    ),
}

REWIRING_FAULTS = {
    "other values": ("matrix *= 1.5", "values", "the values of a matrix"),
    "not a number": ("matrix[0] = np.nan", "values", "not finite|values"),
    "if seed:": (
        """
        if rng.bit_generator.seed_seq.entropy:
            rng.shuffle(matrix)
        else:
            np.random.shuffle(matrix)
        """,
        "same seed",
        "seed 0 gives another matrix",
    ),
    "numpy.random": (
        "np.random.shuffle(matrix)",
        "global random state",
        "numpy.random was used",
    ),
    "a matrix returned": ("return rng.permutation(matrix)", "in place", "returns a ndarray"),
    "the generator ignored": (
        "np.random.default_rng(7).shuffle(matrix)",
        "other seed",
        "declare deterministic=True",
    ),
    "what came before": (
        "calls.append(1)\nnp.random.default_rng(len(calls)).shuffle(matrix)",
        "order",
        "depends on those that came before",
    ),
    "the hash seed": (
        "np.random.default_rng(abs(hash('planted'))).shuffle(matrix)",
        "other process",
        "another PYTHONHASHSEED",
    ),
    "float32 taken for granted": (
        "matrix[...] = rng.permutation(matrix.astype(np.float32))",
        "float64 and bfloat16",
        "a matrix of float64 gets other values",
    ),
}


def assert_found(plugin: Plugin, text: str, names: str, found: str) -> None:
    checks = plugin(text)
    verdicts = {name: checks[name].verdict() for name in names.split("|")}
    failed = [name for name, verdict in verdicts.items() if verdict.status == "failed"]
    assert failed, verdicts
    with pytest.raises(AssertionError, match=found):
        checks[failed[0]]()


@pytest.mark.parametrize("fault", TENSOR_FAULTS)
def test_a_fault_of_a_tensor_level_initializer_is_found(plugin: Plugin, fault: str) -> None:
    body, name, found = TENSOR_FAULTS[fault]
    assert_found(plugin, source(TENSOR, body), name, found)


@pytest.mark.parametrize("fault", DECLARED_FAULTS)
def test_what_a_method_declares_is_held_against_it(plugin: Plugin, fault: str) -> None:
    body, declared, name, found = DECLARED_FAULTS[fault]
    assert_found(plugin, source(TENSOR, body, declared), name, found)


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_fault_of_a_model_level_initializer_is_found(plugin: Plugin, fault: str) -> None:
    body, declared, name, found = MODEL_FAULTS[fault]
    assert_found(plugin, source(MODEL, body, declared), name, found)


@pytest.mark.parametrize("fault", REWIRING_FAULTS)
def test_a_fault_of_a_rewiring_is_found(plugin: Plugin, fault: str) -> None:
    body, name, found = REWIRING_FAULTS[fault]
    assert_found(plugin, source(REWIRING, body), name, found)


@pytest.mark.parametrize(
    "text",
    [
        source(TENSOR, NORMAL),
        source(TENSOR, "weight.fill_(scale)", "deterministic=True"),
        source(MODEL, "fill(model, generator)"),
        source(REWIRING, "rng.shuffle(matrix)"),
    ],
    ids=["tensor", "deterministic", "model", "rewiring"],
)
def test_what_has_no_fault_passes(plugin: Plugin, text: str) -> None:
    failed = {
        name: verdict
        for name, check in plugin(text).items()
        if not check.group and (verdict := check.verdict()).status == "failed"
    }
    assert failed == {}


def test_a_network_that_a_method_refuses_is_skipped_with_its_reason(plugin: Plugin) -> None:
    body = f"if layer.depthwise: raise UsageError('not for depthwise')\n{NORMAL}"
    checks = plugin(source(TENSOR, body))
    assert checks["test_convnext"].verdict().found == "not for depthwise"
    assert checks["test_convnext"].verdict().status == "skipped"
    assert checks["test_resnet"].verdict().status == "ok"
    assert checks["order"].verdict().status == "ok"
