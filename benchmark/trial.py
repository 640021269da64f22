"""Trial and Record: the two nouns that everything hands on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from benchmark.plugins import architectures, datasets

if TYPE_CHECKING:
    from benchmark.recipe import Recipe
    from benchmark.treatment import Treatment

PROTOCOL = 4
"""Raised when built-in code changes what a trial comes out as; part of every trial's id."""

SCHEMA = 1
"""Raised when the fields of a record change."""

Status = Literal["ok", "diverged", "out_of_memory", "timeout", "lost", "error"]
STATUSES: tuple[Status, ...] = get_args(Status)
RESULTS: tuple[Status, ...] = ("ok", "diverged")
"""The statuses that say something of a treatment."""

CHANGED_VALUES = "changed the values of"
"""What the message of a run says whose rewiring did other than permute."""

CellKey = tuple[str, str, str]
"""Data set, architecture and recipe name of a cell."""


def counts_over(status: Status, earlier: Status | None) -> bool:
    """Whether a record counts in place of an earlier one of its trial, if there is one.

    The last does, but for one without a result after one with: a result is never lost again.
    """
    return status in RESULTS or earlier not in RESULTS


@dataclass(frozen=True)
class Cell:
    """The conditions under which treatments are compared: data set, architecture, recipe."""

    dataset: str
    architecture: str
    recipe_name: str
    recipe: Recipe

    @property
    def key(self) -> CellKey:
        return self.dataset, self.architecture, self.recipe_name

    def __str__(self) -> str:
        return " / ".join(self.key)

    @cached_property
    def content(self) -> dict[str, Any]:
        """What of the cell decides an outcome; values equal to their default are left out.

        Where a plugin brings the data set or the architecture, the hash of its source.
        """
        methods = {
            "dataset": datasets.find(self.dataset),
            "architecture": architectures.find(self.architecture),
        }
        hashes = {kind: method.plugin_hash for kind, method in methods.items() if method}
        plugins = {kind: own for kind, own in hashes.items() if own}
        return {
            "dataset": self.dataset,
            "architecture": self.architecture,
            "recipe": self.recipe.model_dump(mode="json", exclude_defaults=True),
            **({"plugins": plugins} if plugins else {}),
        }


@dataclass(frozen=True)
class Trial:
    """A treatment and a seed in a cell: one network to train."""

    cell: Cell
    treatment: Treatment
    seed: int

    @property
    def content(self) -> dict[str, Any]:
        return {
            "protocol": PROTOCOL,
            **self.cell.content,
            "treatment": self.treatment.content,
            "seed": self.seed,
        }

    @cached_property
    def id(self) -> str:
        """The hash of what decides the outcome, and of nothing else."""
        return content_id(self.content)

    @property
    def data_seed(self) -> int:
        """The seed of splits, batch order and augmentation: 0 unless the recipe varies it."""
        return self.seed if self.cell.recipe.data_seed == "per_seed" else 0


_canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def content_id(content: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of canonical JSON."""
    return hashlib.sha256(_canonical_json(content).encode()).hexdigest()[:16]


_record_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True)
class Record:
    """What one finished trial leaves.

    `accuracy` is that of the test set at the last epoch, `curves` hold a value per epoch
    (train_loss, train_accuracy, validation_loss, validation_accuracy, learning_rate, seconds),
    `strength` the strength variance before and after rewiring (mean over layers, and `layers`) and
    the other training-free `measures` after it (benchmark.measures), and the weights that no
    treatment reaches, if any (`untreated`),
    `seconds` the wall time of initialization, rewiring and training. Only `ok` has an accuracy.
    """

    trial: str
    content: dict[str, Any]
    dataset: str
    architecture: str
    recipe: str
    treatment: str
    initializer: str
    rewiring: str
    seed: int
    status: Status
    accuracy: float | None = None
    n_test: int | None = None
    epoch1_accuracy: float | None = None
    n_validation: int | None = None
    area_under_validation_curve: float | None = None
    test_loss: float | None = None
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    strength: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    message: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    @classmethod
    def of(cls, trial: Trial, status: Status, **results: Any) -> Record:
        """Make the record of `trial`, with its content and the columns that name it."""
        return cls(
            trial=trial.id,
            content=trial.content,
            dataset=trial.cell.dataset,
            architecture=trial.cell.architecture,
            recipe=trial.cell.recipe_name,
            treatment=str(trial.treatment),
            initializer=trial.treatment.initializer,
            rewiring=trial.treatment.rewiring,
            seed=trial.seed,
            status=status,
            **results,
        )

    def to_json(self) -> str:
        """Return one line of strict JSON; a non-finite number becomes null."""
        try:
            return _record_json(vars(self))
        except ValueError:
            return _record_json(_finite(vars(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """Read back what `to_json` wrote.

        Raises ValueError for another schema version, missing or unknown fields, or a status
        that is none.
        """
        schema = values.get("schema")
        if schema != SCHEMA:
            newer = isinstance(schema, int) and schema > SCHEMA
            raise ValueError(
                f"record of schema {schema!r}, this version of initbench reads {SCHEMA}"
                + ("; install a newer initbench" if newer else "")
            )
        names = {each.name for each in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f"record with unknown fields {', '.join(unknown)}")
        if values.get("status") not in STATUSES:
            raise ValueError(f"record with the unknown status {values.get('status')!r}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"incomplete record: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
