"""Whether an optimizer goes on from a saved state as if it had never stopped: tried out."""

from __future__ import annotations

import copy
from functools import lru_cache

import torch

from benchmark.recipe import Recipe
from benchmark.seeds import torch_generator
from benchmark.training.checkpoint import pack, unpack
from benchmark.training.optimization import make_optimizer
from benchmark.training.stackable import TRIED_UPDATES, some_layers


@lru_cache
def why_not(recipe: Recipe, device: str) -> str:
    """Return why a recipe's optimizer cannot go on to the same bytes; nothing if it can.

    One that keeps something beside its `state_dict`, such as random numbers of its own, cannot.
    """
    name = recipe.optimizer
    try:
        undisturbed = some_layers(0).to(device)
        optimizer = make_optimizer(undisturbed, recipe)
        for update in range(TRIED_UPDATES):
            _step(undisturbed, optimizer, update)
        resumed = some_layers(0).to(device)
        optimizer = make_optimizer(resumed, recipe)
        for update in range(TRIED_UPDATES):
            if update == TRIED_UPDATES // 2:
                _, state = unpack(pack({}, optimizer.state_dict()))
                resumed = copy.deepcopy(resumed)
                optimizer = make_optimizer(resumed, recipe)
                optimizer.load_state_dict(state)
            _step(resumed, optimizer, update)
    except Exception as error:
        return f"the optimizer {name} cannot be saved: {error}"
    pairs = zip(undisturbed.parameters(), resumed.parameters(), strict=True)
    if not all(torch.equal(one, other) for one, other in pairs):
        return f"the optimizer {name} keeps more than its state says"
    return ""


def _step(layers: torch.nn.Module, optimizer: torch.optim.Optimizer, update: int) -> None:
    for name, parameter in layers.named_parameters():
        generator = torch_generator(0, "gradient", name, update)
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.device)
    optimizer.step()
