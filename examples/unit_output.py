"""Data-dependent: every layer scaled so that its outputs have standard deviation `target`.

One pass of layer-sequential normalisation in the spirit of LSUV (arXiv:1511.06422), without its
orthonormal start and without its iterations.
"""

import torch

from benchmark import initializer
from benchmark.layers import describe


@initializer(
    "unit_output",
    summary="each layer scaled to outputs of unit deviation on a batch",
    paper="arXiv:1511.06422",
    level="model",
    needs_data=True,
)
def unit_output(model, generator, batch, target: float = 1.0) -> None:
    """Scale the weights that the constructor drew, layer by layer in the order of execution.

    Looks at the images of `batch` alone, in evaluation mode: batch norm keeps its statistics.
    """
    modules = dict(model.named_modules())
    treated = [modules[layer.name] for layer, _ in describe(model) if layer.name in modules]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        for module in _in_order(model, treated, batch[0]):
            deviation = _output(model, module, batch[0]).float().std().item()
            if deviation > 0:
                with torch.no_grad():
                    module.weight.mul_(target / deviation)
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def _in_order(model, modules, images):
    """Return the modules in the order in which a forward pass comes to them."""
    order = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: order.setdefault(module))
        for module in modules
    ]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


@torch.no_grad()
def _output(model, module, images):
    """Return what a module gives in a forward pass of the model."""
    outputs = []
    hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        model(images)
    finally:
        hook.remove()
    return outputs[0]
