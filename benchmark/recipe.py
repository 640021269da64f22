"""Recipe: how every network of a cell is trained."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    JsonValue,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from benchmark import timm_cache
from benchmark.errors import unknown_name
from benchmark.problems import Finding, contradiction

Augmentation = Literal["flip", "shift_crop"]
Schedule = Literal["cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant"]
"""The schedules of timm that do not look at the results."""

Argument = Annotated[Any, GetPydanticSchema(lambda _, handler: handler.generate_schema(JsonValue))]
"""What YAML can say and JSON can keep, which a NaN is not; for a type checker it is anything."""

_SET_BY_RECIPE = {
    "lr": "learning_rate",
    "weight_decay": "weight_decay",
    "num_epochs": "epochs",
    "warmup_epochs": "warmup_epochs",
}
_NO_ARGUMENTS = {"params", "lr", "weight_decay"}

_EVERY_SCHEDULE = ("warmup_lr", "noise", "noise_pct", "noise_std", "noise_seed")
# What timm takes besides would change how many epochs there are, or shows in later ones alone.
_SCHEDULE_ARGUMENTS: dict[Schedule, tuple[str, ...]] = {
    "cosine": ("min_lr", "k_decay"),
    "tanh": ("min_lr",),
    "step": ("decay_epochs", "decay_rate"),
    "multistep": ("decay_milestones", "decay_rate"),
    "poly": ("min_lr", "k_decay", "decay_rate"),
    "wsd": ("min_lr", "decay_epochs", "decay_fn"),
    "rsqrt": ("min_lr", "decay_epochs", "decay_fn", "stable_timescale"),
    "constant": (),
}
"""The arguments of timm's schedules that change the learning rate of an epoch of the recipe."""

_WARMUP_LR = 1e-5
"""Where timm's warm-up begins unless it is told."""


def _augmentation_list(value: Any) -> Any:
    return () if value is None or value == "none" else value


class Recipe(BaseModel):
    """How every network of a cell is trained: the same for every treatment.

    A value that equals its default is not part of a trial's id, so that a new key changes no id.
    A default is therefore never changed without raising `benchmark.trial.PROTOCOL`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    epochs: int = Field(default=10, ge=1, description="Passes over the training images.")
    batch_size: int = Field(
        default=128, ge=1, description="Images per optimizer step, per network."
    )
    optimizer: str = Field(
        default="sgd",
        min_length=1,
        description="An optimizer of timm.optim; 'initbench list optimizers' shows all.",
        examples=["sgd", "adamw"],
    )
    learning_rate: float = Field(
        default=0.05,
        gt=0,
        description="Learning rate per step: warm-up climbs towards it, the schedule lowers it.",
    )
    weight_decay: float = Field(
        default=5e-4, ge=0, description="Weight decay, in the unit of the optimizer."
    )
    weight_decay_on_norm_and_bias: bool = Field(
        default=False,
        description="Whether one-dimensional parameters (norms, biases) decay as well.",
    )
    optimizer_args: dict[str, Argument] = Field(
        default={},
        description="Further arguments of the optimizer; momentum is 0.9 where it has one.",
        examples=[{"momentum": 0.9}, {"betas": [0.9, 0.99]}],
    )
    schedule: Schedule = Field(
        default="cosine",
        description="Course of the learning rate (timm.scheduler). Warm-up takes the place of its"
        " first epochs; wsd and rsqrt begin after it.",
    )
    schedule_args: dict[str, Argument] = Field(
        default={},
        description="Further arguments of timm.scheduler.create_scheduler_v2 that the schedule"
        " takes; units: epochs.",
        examples=[{"min_lr": 1e-5}, {"decay_milestones": [30, 60, 90], "decay_rate": 0.1}],
    )
    warmup_epochs: int = Field(
        default=0,
        ge=0,
        description="Epochs of warm-up, counted in `epochs`; fewer than these. Update by update the"
        " rate climbs in a straight line from warmup_lr (schedule_args; 1e-5 unless set) towards"
        " learning_rate, then goes on as the schedule has it by that time: with cosine, after 2 of"
        " 6 epochs, at three quarters of learning_rate.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread evenly over all classes."
    )
    augmentation: Annotated[
        tuple[Augmentation, ...],
        BeforeValidator(_augmentation_list),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": "none"},
                    {"type": "array", "items": {"enum": ["flip", "shift_crop"]}},
                ]
            }
        ),
    ] = Field(
        default=(),
        strict=False,
        description="Random changes of training images, the same for every treatment: flip"
        " (left-right), shift_crop (moved by up to an eighth of the side), or none.",
        examples=["none", ["flip", "shift_crop"]],
    )
    clip_gradient: float | None = Field(
        default=None, gt=0, description="Largest norm of a network's gradient; null: no clipping."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Number format of forward and backward passes (autocast)."
    )
    data_seed: Literal["fixed", "per_seed"] = Field(
        default="fixed",
        description="fixed: seeds differ in the weights alone; per_seed: also in the validation"
        " split, the order of batches and the augmentation.",
    )
    validation_fraction: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="Share of the training images held out for the curves.",
    )
    image_size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="Side of the images in pixels; auto: the architecture's own, often 224, to"
        " which smaller images are enlarged.",
    )

    def __hash__(self) -> int:
        return hash((self.epochs, self.batch_size, self.learning_rate, self.optimizer))

    @field_validator("augmentation")
    @classmethod
    def _in_one_order(cls, value: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        if len(set(value)) < len(value):
            raise contradiction([((), "names an augmentation twice")])
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _warmup_ends(self) -> Recipe:
        if self.warmup_epochs >= self.epochs:
            what = f"{self.warmup_epochs} of {self.epochs} epochs leave none after warm-up"
            raise contradiction([(("warmup_epochs",), what)])
        return self


def check_names(recipe: Recipe) -> list[Finding]:
    """Return what timm would refuse: optimizer, schedule, their arguments and values.

    Both are made once, for a layer that nobody trains, so that values out of range show up before
    anything starts. Imports torch and timm, unless timm is known to take what is asked.
    """
    key = _timm_key(recipe)
    if timm_cache.accepts(key):
        return []
    findings = _ask_timm(recipe)
    if not findings:
        timm_cache.accept(key, recipe.optimizer)
    return findings


def _timm_key(recipe: Recipe) -> str:
    """Return what timm is asked for by a recipe, as text."""
    own = {"learning_rate", "weight_decay", "weight_decay_on_norm_and_bias", "epochs"}
    names = {"optimizer", "optimizer_args", "schedule", "schedule_args", "warmup_epochs"}
    asked = recipe.model_dump(mode="json", include=own | names)
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _ask_timm(recipe: Recipe) -> list[Finding]:
    import torch
    from timm.optim import get_optimizer_class, list_optimizers
    from timm.scheduler import create_scheduler_v2

    from benchmark.training.optimization import make_optimizer, make_schedule

    if recipe.optimizer not in (names := [str(name) for name in list_optimizers()]):
        hint = "'initbench list optimizers' shows all."
        return [(("optimizer",), unknown_name("optimizer", recipe.optimizer, names, hint))]
    # Optimizers and schedules refuse what they cannot do by whatever exception their authors chose.
    try:
        optimizer_class = get_optimizer_class(recipe.optimizer, bind_defaults=False)
    except Exception as error:
        return [(("optimizer",), f"{recipe.optimizer!r} cannot be used here: {error}")]
    findings = [
        *_unknown_arguments(optimizer_class, recipe.optimizer_args),
        *_idle_arguments(recipe, inspect.signature(create_scheduler_v2).parameters),
        *_rates_above(recipe),
    ]
    if findings:
        return findings
    try:
        optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    except Exception as error:
        return [(("optimizer_args",), f"timm cannot make {recipe.optimizer!r}: {error}")]
    try:
        make_schedule(optimizer, recipe, updates_per_epoch=1)
    except Exception as error:
        return [(("schedule_args",), f"timm cannot make {recipe.schedule!r}: {error}")]
    return []


def _unknown_arguments(optimizer_class: Any, given: dict[str, Argument]) -> Iterator[Finding]:
    takes = [
        name
        for name, parameter in inspect.signature(optimizer_class).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in _NO_ARGUMENTS
    ]
    for name in given:
        if own := _SET_BY_RECIPE.get(name):
            yield ("optimizer_args", name), f"is set by the recipe's key {own!r}"
        elif name not in takes:
            what = unknown_name("argument of the optimizer", name, takes)
            yield ("optimizer_args", name), what


def _idle_arguments(recipe: Recipe, known: Collection[str]) -> Iterator[Finding]:
    """Yield the schedule's arguments that would change nothing; timm ignores them in silence."""
    given = recipe.schedule_args
    own = (*_SCHEDULE_ARGUMENTS[recipe.schedule], *_EVERY_SCHEDULE)
    takes = [name for name in own if name in known]
    for name in given:
        others = [each for each, theirs in _SCHEDULE_ARGUMENTS.items() if name in theirs]
        if key := _SET_BY_RECIPE.get(name):
            what = f"is set by the recipe's key {key!r}"
        elif name not in takes and others:
            what = f"is ignored by the {recipe.schedule} schedule, which takes {', '.join(takes)}"
            what += f"; leave it out, or write schedule: {' or '.join(others)}"
        elif name not in takes:
            what = unknown_name(f"argument of the {recipe.schedule} schedule", name, takes)
        elif name == "warmup_lr" and not recipe.warmup_epochs:
            what = (
                "changes nothing without warm-up; leave it out, or set the recipe's warmup_epochs"
            )
        elif name.startswith("noise_") and given.get("noise") is None:
            what = "changes nothing without noise; leave it out, or set schedule_args.noise"
        else:
            continue
        yield ("schedule_args", name), what


def _rates_above(recipe: Recipe) -> Iterator[Finding]:
    """Yield the rates of the schedule that are not between 0 and the recipe's learning rate."""
    given = recipe.schedule_args
    roles = {"warmup_lr": "to which warm-up climbs", "min_lr": "from which the schedule falls"}
    for name, role in roles.items():
        rate = given.get(name)
        if isinstance(rate, (int, float)) and not 0 <= rate <= recipe.learning_rate:
            what = f"{rate:g} is not between 0 and the learning rate {recipe.learning_rate:g},"
            yield ("schedule_args", name), f"{what} {role}"
    if recipe.warmup_epochs and "warmup_lr" not in given and recipe.learning_rate < _WARMUP_LR:
        what = f"warm-up begins at {_WARMUP_LR:g}, above the learning rate {recipe.learning_rate:g}"
        yield ("warmup_epochs",), f"{what}; write schedule_args: {{warmup_lr: 0}}"
