"""From what pydantic found wrong to sentences for people, each with the path of its key."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from benchmark.errors import pydantic_message, unknown_name

Path = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""

Finding = tuple[Path, str]
"""Where something is wrong, and what."""

_CONTRADICTION = "contradiction"

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a word",
    "tuple_type": "a list, [a, b],",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
    "too_short": "at least one entry",
    "string_too_long": "a word of at most {max_length} characters",
    "string_pattern_mismatch": "a name of letters, digits, '-' and '_' that begins with no sign",
}
"""What belongs in the place of a wrong value, by pydantic's type of error and its context."""


def contradiction(findings: Iterable[Finding]) -> PydanticCustomError:
    """Return the error that a validator raises for several findings below its own place."""
    findings = list(findings)
    text = "; ".join(f"{dotted(path)}: {what}" if path else what for path, what in findings)
    return PydanticCustomError(_CONTRADICTION, "{text}", {"text": text, "findings": findings})


def dotted(path: Path) -> str:
    """Write a path as people do: `grid.initializers[1]`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def findings_of(error: ValidationError, data: Any, model: type[BaseModel]) -> list[Finding]:
    """Return what is wrong with `data`, which did not become a `model`; one finding a place."""
    found: list[Finding] = []
    alternatives: dict[Path, list[ErrorDetails]] = {}
    for each in error.errors(include_url=False):
        path = _path_in(data, each["loc"])
        if each["type"] == _CONTRADICTION:
            found += [(path + below, what) for below, what in each["ctx"]["findings"]]
        elif each["type"] == "missing":
            found.append((tuple(each["loc"]), "is missing"))
        elif each["type"] == "extra_forbidden":
            found.append((path, unknown_name("key", str(path[-1]), known_keys(model, path[:-1]))))
        # pydantic counts only the entries that are right; the wrong ones are findings of their own.
        elif not (each["type"] == "too_short" and each["input"]):
            alternatives.setdefault(path, []).append(each)
    return found + [(path, _wrong_value(errors)) for path, errors in alternatives.items()]


def known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that may stand at `path` below a `model`; none where any may."""
    for step in path:
        if isinstance(step, str):
            field = model.model_fields.get(step)
            below = _model_within(field.annotation) if field else None
            if below is None:
                return []
            model = below
    return list(model.model_fields)


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, types.UnionType):
        return next(filter(None, map(_model_within, get_args(annotation))), None)
    return None


def _path_in(data: Any, location: Iterable[str | int]) -> Path:
    """Return the steps of `location` that `data` has: pydantic adds the names of union members."""
    path: list[str | int] = []
    for step in location:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            break
        path.append(step)
    return tuple(path)


def _wrong_value(errors: list[ErrorDetails]) -> str:
    value = errors[0]["input"]
    expected = " or ".join(dict.fromkeys(_belongs(each) for each in errors))
    sentence = f"{shown(value)} where {expected} belongs"
    choices = [name for each in errors for name in _choices(each)]
    if isinstance(value, str) and choices:
        _, _, offer = unknown_name("word", value, choices).partition("; ")
        sentence += f"; {offer}" if offer.startswith("did you mean") else ""
    return sentence


def _belongs(error: ErrorDetails) -> str:
    template = _EXPECTED.get(error["type"])
    context = error.get("ctx", {})
    if template is None:
        return f"something else ({pydantic_message(error['msg'])})"
    if error["type"] == "string_type" and isinstance(error["input"], (int, float)):
        return "a word in quotes"
    return template.format(**context)


def _choices(error: ErrorDetails) -> Iterator[str]:
    if error["type"] == "literal_error":
        yield from error["ctx"]["expected"].split("'")[1::2]


def shown(value: Any) -> str:
    """Write a value shortly, as a YAML file would spell it."""
    if value is None or isinstance(value, bool):
        return {None: "nothing (null)", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "keys with values"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
