"""The axes of a grid: which data sets, architectures, treatments and seeds are combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from benchmark.errors import UsageError
from benchmark.plugins import datasets, initializers, rewirings
from benchmark.problems import contradiction, shown
from benchmark.spelling import parse_call
from benchmark.treatment import Treatment, parse_treatment

MAX_SEEDS = 10_000
LARGEST_SEED = 2**63 - 1


def _spelled(canonical: Callable[[str], str]) -> AfterValidator:
    """Return the validator that puts a name into its one spelling, or says what is wrong."""

    def validate(text: str) -> str:
        try:
            return canonical(text)
        except UsageError as error:
            hint = "; quote a name that has commas" if text.count("(") != text.count(")") else ""
            raise contradiction([((), f"{error}{hint}")]) from error

    return AfterValidator(validate)


def _unless_pattern(canonical: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: text if is_pattern(text) else canonical(text)


def is_pattern(text: str) -> bool:
    """Whether a name has wildcards; brackets are none here, they belong to lists of arguments."""
    return "*" in text or "?" in text


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [
        ((index,), f"{value!r} is given twice, first as [{values.index(value)}]")
        for index, value in enumerate(values)
        if value in values[:index]
    ]
    if twice:
        raise contradiction(twice)
    return values


def _word_none(value: Any) -> Any:
    """Read what YAML and people make of the word none: null, None, no."""
    return "none" if str(value).lower() in ("none", "no") else value


def _seeds(value: Any) -> Any:
    """Check a number of seeds or a list of them, by one message for both."""
    if type(value) is int:
        good = 1 <= value <= MAX_SEEDS
    else:
        good = isinstance(value, (list, tuple)) and 1 <= len(value) <= MAX_SEEDS
        good = good and all(type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in value)
    if not good:
        wanted = f"a number of seeds (1 to {MAX_SEEDS:,}) or a list of them"
        what = f"{shown(value)} where {wanted} belongs"
        raise contradiction([((), what)])
    return value if isinstance(value, int) else _distinct(tuple(value))


Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], Field(strict=False), AfterValidator(_distinct)]
DataSetName = Annotated[str, _spelled(lambda text: datasets.canonical(text))]
# Which architectures there are is timm's to say, and importing timm takes seconds.
ArchitectureName = Annotated[str, _spelled(_unless_pattern(lambda text: str(parse_call(text))))]
InitializerName = Annotated[str, _spelled(lambda text: initializers.canonical(text))]
RewiringName = Annotated[
    str, BeforeValidator(_word_none), _spelled(lambda text: rewirings.canonical(text))
]
TreatmentName = Annotated[str, _spelled(lambda text: str(parse_treatment(text)))]
DataSetPattern = Annotated[str, _spelled(_unless_pattern(lambda text: datasets.canonical(text)))]
InitializerPattern = Annotated[
    str, _spelled(_unless_pattern(lambda text: initializers.canonical(text)))
]
RewiringPattern = Annotated[
    str,
    BeforeValidator(_word_none),
    _spelled(_unless_pattern(lambda text: rewirings.canonical(text))),
]
TreatmentPattern = Annotated[
    str, _spelled(_unless_pattern(lambda text: str(parse_treatment(text))))
]
Seeds = Annotated[
    Annotated[int, Field(ge=1, le=MAX_SEEDS)] | tuple[Annotated[int, Field(ge=0)], ...],
    BeforeValidator(_seeds),
]


class Section(BaseModel):
    """A part of a config: frozen, without unknown keys, each value of its own type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Rule(Section):
    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.given:
            raise contradiction([((), "names no key, so it would mean everything")])
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The keys that the rule names, with their values."""
        return {name: value for name, value in dict(self).items() if value is not None}


class Exclude(_Rule):
    """Drops the combinations that match every key given; * and ? are wildcards."""

    dataset: DataSetPattern | None = Field(default=None, description="Data set.")
    architecture: ArchitectureName | None = Field(
        default=None, description="Architecture.", examples=["plain*"]
    )
    recipe: str | None = Field(default=None, description="Name of the recipe.")
    treatment: TreatmentPattern | None = Field(
        default=None, description="Treatment.", examples=["*+shuffle"]
    )
    initializer: InitializerPattern | None = Field(default=None, description="Initializer.")
    rewiring: RewiringPattern | None = Field(
        default=None, description="Rewiring.", examples=["shuffle"]
    )
    seed: int | None = Field(default=None, ge=0, description="Seed.")


class Include(_Rule):
    """Adds combinations beside the product: all that the keys given allow.

    A key left out stands for everything the grid lists there. Where a treatment is named, the
    baseline joins it in the same cells with the same seeds, because comparisons are paired.
    """

    dataset: DataSetName | None = Field(default=None, description="Data set; may be a further one.")
    architecture: ArchitectureName | None = Field(
        default=None, description="Architecture or pattern with wildcards; may be a further one."
    )
    recipe: str | None = Field(default=None, description="Name of one of the recipes.")
    treatment: TreatmentName | None = Field(
        default=None, description="Treatment; may be a further one."
    )
    seeds: Seeds | None = Field(default=None, description="Number of seeds or list of them.")


class Axes(Section):
    """What is combined with what: the product of the lists, less `exclude`, plus `include`."""

    datasets: Listed[DataSetName] = Field(
        min_length=1, description="Data sets.", examples=[["digits"], ["cifar10", "cifar100"]]
    )
    architectures: Listed[ArchitectureName] = Field(
        min_length=1,
        description="timm's architectures, with arguments in parentheses, or its wildcards.",
        examples=[["test_resnet", "test_vit(patch_size=4)"], ["test_*"]],
    )
    initializers: Listed[InitializerName] = Field(
        default=(),
        description="Initializers, each combined with each rewiring.",
        examples=[["timm"]],
    )
    rewirings: Listed[RewiringName] = Field(
        default=("none",),
        min_length=1,
        description="Rewirings; none leaves the weights in place.",
        examples=[["none", "pa", "shuffle"]],
    )
    treatments: Listed[TreatmentName] = Field(
        default=(),
        description="Further treatments, written out.",
        examples=[["orthogonal+pa(offset=0.1)"]],
    )
    seeds: Seeds = Field(description="n for the seeds 0 to n-1, or a list.", examples=[5, [0, 7]])
    exclude: Listed[Exclude] = Field(
        default=(),
        description="Rules; a combination that matches all keys of one is dropped.",
        examples=[[{"architecture": "plain*", "rewiring": "shuffle"}]],
    )
    include: Listed[Include] = Field(
        default=(),
        description="Rules that add combinations beside the product, after `exclude`.",
        examples=[[{"architecture": "test_vit", "treatment": "orthogonal+pa", "seeds": 10}]],
    )

    @property
    def product(self) -> list[str]:
        """The treatments that initializers and rewirings make, initializer by initializer."""
        return [
            str(Treatment(initializer, rewiring))
            for initializer in self.initializers
            for rewiring in self.rewirings
        ]


def seed_list(seeds: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the seeds that a number or a list stands for."""
    return tuple(range(seeds)) if isinstance(seeds, int) else seeds
