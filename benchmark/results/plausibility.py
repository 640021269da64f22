"""What a stranger's record has to be before it is believed: whole, consistent, possible.

Nothing of a record is run or imported: it is compared with itself, with its manifest, and with
what the built-in registries know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark import spelling
from benchmark.errors import UsageError
from benchmark.plugins import datasets, initializers, rewirings
from benchmark.problems import dotted, findings_of
from benchmark.recipe import Recipe
from benchmark.registry import Registry
from benchmark.trial import PROTOCOL, RESULTS, Record, content_id
from benchmark.wording import counted

Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
NotNegative = Annotated[float, Field(ge=0)]

_SHARES = ("train_accuracy", "validation_accuracy")
_TOLERANCE = 1e-6


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Methods(_Form):
    initializer: Name
    rewiring: Name
    plugins: dict[Name, Hash]


class _Content(_Form):
    protocol: int
    dataset: Name
    architecture: Name
    recipe: dict[str, Any]
    treatment: _Methods
    plugins: dict[Literal["dataset", "architecture"], Hash] = {}
    seed: Seed


class _Strength(_Form):
    model_config = ConfigDict(extra="allow")

    before: NotNegative | None = None
    after: NotNegative | None = None
    measures: dict[Name, Annotated[float, Field(allow_inf_nan=False)]] = {}


class _Record(_Form):
    """The types and ranges of a record's fields; its schema is checked before."""

    trial: Hash
    content: _Content
    dataset: Name
    architecture: Name
    recipe: Annotated[Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    treatment: Name
    initializer: Name
    rewiring: Name
    seed: Seed
    status: Literal["ok", "diverged", "out_of_memory", "timeout", "lost", "error"]
    accuracy: Share | None
    n_test: Count | None
    epoch1_accuracy: Share | None
    n_validation: Count | None
    area_under_validation_curve: Share | None
    test_loss: NotNegative | None
    curves: dict[str, list[float | None]]
    strength: _Strength
    seconds: dict[str, NotNegative]
    message: str
    provenance: dict[str, Any]


def read_line(line: bytes) -> Record:
    """Read a record from strict JSON; raises ValueError for anything else."""
    try:
        values = json.loads(line, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return Record.from_dict(values)


def problems(record: Record) -> list[str]:
    """Return what is wrong with a record by itself; nothing where it can be believed."""
    values = {key: value for key, value in vars(record).items() if key != "schema"}
    try:
        _Record.model_validate(values)
    except ValidationError as error:
        return sentences(error, values, _Record)
    try:
        if (own := content_id(record.content)) != record.trial:
            return [f"its id is {record.trial}, its content's {own}"]
    except ValueError:
        return ["content: a number that is not finite"]
    if record.content["protocol"] != PROTOCOL:
        return [f"protocol {record.content['protocol']}, this version's is {PROTOCOL}"]
    return [*_naming(record), *_methods(record), *_outcome(record), *_curves(record)]


def disagreements(
    record: Record, cell: Mapping[str, Any], treatment: Mapping[str, Any], seed: int
) -> str:
    """Return in what a record is not the trial that its manifest declares; empty if in nothing."""
    expected = {name: cell[name] for name in ("dataset", "architecture", "recipe")}
    expected |= {name: treatment[name] for name in ("treatment", "initializer", "rewiring")}
    for name, value in {**expected, "seed": seed}.items():
        if getattr(record, name) != value:
            return f"{name}: {getattr(record, name)!r}, declared as {value!r}"
    if record.content["recipe"] != cell["recipe_content"]:
        return f"trained by another recipe than the {cell['recipe']!r} of its manifest"
    return ""


def sentences(error: ValidationError, values: Any, model: type[BaseModel]) -> list[str]:
    """Return what is wrong with `values`, which did not become a `model`; at least one thing."""
    found = [f"{dotted(path)}: {what}" for path, what in findings_of(error, values, model)]
    return found or [str(error)]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _naming(record: Record) -> Iterator[str]:
    """The columns say the same as the content that the id rests on."""
    content, methods = record.content, record.content["treatment"]
    rewired = f"{methods['initializer']}+{methods['rewiring']}"
    expected = {
        "dataset": content["dataset"],
        "architecture": content["architecture"],
        "seed": content["seed"],
        "initializer": methods["initializer"],
        "rewiring": methods["rewiring"],
        "treatment": methods["initializer"] if methods["rewiring"] == "none" else rewired,
    }
    for name, value in expected.items():
        if getattr(record, name) != value:
            yield f"{name}: {getattr(record, name)!r}, its content says {value!r}"


def _methods(record: Record) -> Iterator[str]:
    """Recipe and names are in their one spelling, and what is not built in has a plugin's hash."""
    content, plugins = record.content, record.content["treatment"]["plugins"]
    try:
        recipe = Recipe.model_validate(content["recipe"])
        if recipe.model_dump(mode="json", exclude_defaults=True) != content["recipe"]:
            yield "recipe: it writes out what is a default, so that its id is another"
    except ValidationError as error:
        for sentence in sentences(error, content["recipe"], Recipe):
            yield f"recipe.{sentence}"
    of_cell = content.get("plugins", {})
    named = set()
    registries: tuple[tuple[str, Registry[Any]], ...] = (
        (record.initializer, initializers),
        (record.rewiring, rewirings),
        (record.dataset, datasets),
    )
    try:
        for text, registry in registries:
            name = spelling.parse_call(text).name
            known = any(each.name == name and not each.plugin_hash for each in registry.all())
            if known and registry.canonical(text) != text:
                yield f"{registry.kind} {text!r}, in one spelling {registry.canonical(text)!r}"
            if registry is not datasets:
                named.add(name)
            if known == ("dataset" in of_cell if registry is datasets else name in plugins):
                what = "is built in, yet has" if known else "is not built in, yet lacks"
                yield f"{registry.kind} {name!r} {what} a plugin's hash"
        call = spelling.parse_call(record.architecture)
        plain = spelling.Call(call.name.partition(".")[0], (), tuple(sorted(call.keywords)))
        if str(plain) != record.architecture:
            yield f"architecture {record.architecture!r}, in one spelling {str(plain)!r}"
    except UsageError as error:
        yield str(error)
    if extra := sorted(set(plugins) - named):
        yield f"plugin hash of {extra[0]!r}, which is not in the treatment"


def _outcome(record: Record) -> Iterator[str]:
    if (record.accuracy is not None) != (record.status == "ok"):
        has = "an" if record.accuracy is not None else "no"
        yield f"status {record.status} with {has} accuracy"
    if record.status in RESULTS and not (record.n_test and record.n_validation):
        yield f"status {record.status} without n_test or n_validation"
    shares = {"accuracy": record.n_test, "epoch1_accuracy": record.n_validation}
    for name, images in shares.items():
        value = getattr(record, name)
        if value is not None and not _is_count(value, images):
            yield f"{name}: {value} is no whole number of {images} images"
    try:
        declared = datasets.resolve(record.dataset)[0].test_size
    except UsageError:
        declared = None
    if declared and record.n_test not in (None, declared):
        yield f"n_test: {record.n_test}, but {record.dataset} has {declared} test images"


def _curves(record: Record) -> Iterator[str]:
    """A value an epoch: as many as the recipe has, fewer only where training diverged."""
    if record.status not in RESULTS:
        return
    epochs = record.content["recipe"].get("epochs", Recipe().epochs)
    lengths = {name: len(curve) for name, curve in record.curves.items()}
    least = epochs if record.status == "ok" else 1
    for name in ("train_loss", "validation_accuracy"):
        if not least <= lengths.setdefault(name, 0) <= epochs:
            values = counted(lengths[name], "value")
            yield f"curves.{name}: {values}, the recipe has {counted(epochs, 'epoch')}"
            return
    if len(set(lengths.values())) > 1:
        yield f"curves of unlike length: {sorted(set(lengths.values()))}"
        return
    validation = record.curves["validation_accuracy"]
    for name in _SHARES:
        if any(value is None or not 0 <= value <= 1 for value in record.curves.get(name, ())):
            yield f"curves.{name}: values outside [0, 1]"
            return
    if not all(_is_count(value, record.n_validation) for value in validation if value is not None):
        yield f"curves.validation_accuracy: no whole numbers of {record.n_validation} images"
    if any((value or 0) < 0 for value in record.curves.get("seconds", ())):
        yield "curves.seconds: below 0"
    if record.status == "ok" and None in record.curves["train_loss"]:
        yield "status ok with a training loss that is not finite"
    if record.status == "ok" and record.curves.get("validation_loss", [0.0])[-1] is None:
        yield "status ok with a last validation loss that is not finite"
    first, area = record.epoch1_accuracy, record.area_under_validation_curve
    known = [value for value in validation if value is not None]
    if first != validation[0]:
        yield f"epoch1_accuracy: {first}, its curve begins with {validation[0]}"
    if area is None or not math.isclose(area, sum(known) / len(known), abs_tol=_TOLERANCE):
        yield f"area_under_validation_curve: {area}, not its curve's mean"


def _is_count(share: float, images: int | None) -> bool:
    return not images or abs(share * images - round(share * images)) < _TOLERANCE
