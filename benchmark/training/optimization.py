"""A recipe's optimizer and learning rate schedule, both timm's."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from timm.optim import create_optimizer_v2, get_optimizer_class
from timm.scheduler import create_scheduler_v2

if TYPE_CHECKING:
    import torch
    from timm.scheduler.scheduler import Scheduler

    from benchmark.recipe import Recipe


def make_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimizer; weight decay spares norms and biases unless the recipe says otherwise.

    One that has a fused implementation uses it, which costs a fifth of a loop over parameters.
    """
    arguments = dict(recipe.optimizer_args)
    optimizer_class = get_optimizer_class(recipe.optimizer, bind_defaults=False)
    implementations = inspect.signature(optimizer_class).parameters
    if "fused" in implementations and not {"fused", "foreach"} & set(arguments):
        arguments["fused"] = True
    return create_optimizer_v2(
        model,
        opt=recipe.optimizer,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        filter_bias_and_bn=not recipe.weight_decay_on_norm_and_bias,
        **arguments,
    )


def make_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, updates_per_epoch: int
) -> Scheduler:
    """Make the schedule, which is stepped after every update; the learning rate is set at once."""
    arguments = dict(recipe.schedule_args)
    name = recipe.schedule
    if name == "constant":
        # timm has no constant schedule with warm-up: a step schedule whose first step never comes.
        name, arguments = "step", {**arguments, "decay_epochs": recipe.epochs + 1}
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched=name,
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        step_on_epochs=False,
        updates_per_epoch=updates_per_epoch,
        **arguments,
    )
    schedule.step_update(0)
    return schedule
