"""What a decorator is told of a method, checked where it stands: before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from benchmark.errors import UsageError
from benchmark.registry import M, Method, Registry, place_of

if TYPE_CHECKING:
    from pydantic import BaseModel

Touched = Literal["biases", "norms", "embeddings", "scales", "other", "buffers"]
"""The kinds of what an initializer may change besides the weights of layers (`ownership.kinds`)."""

_NEEDS_THE_MODEL = ("needs_data", "needs_labels", "touches", "changes_architecture")


def enter(registry: Registry[M], method: Method, kind: type[M], declared: Mapping[str, Any]) -> M:
    """Enter a method with what it declares, fields of `kind` beside those that every method has.

    Raises UsageError, which names the file and its function, for a field that is none, for a value
    that it cannot have, and for what does not go together.
    """
    entered = kind(**vars(method), **_checked(registry, method, kind, declared))
    registry.add(entered)
    return entered


def _checked(
    registry: Registry[M], method: Method, kind: type[Method], declared: Mapping[str, Any]
) -> dict[str, Any]:
    from pydantic import ValidationError

    from benchmark.problems import dotted, findings_of

    form = _form(kind)  # type: ignore[arg-type]  # mypy looks at the hash of the instances.
    try:
        checked = form.model_validate(dict(declared))
        findings = _contradictions(declared)
    except ValidationError as error:
        findings = [f"{dotted(path)}: {what}" for path, what in findings_of(error, declared, form)]
    if findings:
        where = f"{place_of(method.function)}: {registry.kind} {method.name!r} is declared wrongly"
        raise UsageError(f"{where}: {'; '.join(findings)}")
    return {name: getattr(checked, name) for name in checked.model_fields_set}


def _contradictions(declared: Mapping[str, Any]) -> list[str]:
    """Return what an initializer says that cannot hold together."""
    findings = []
    if declared.get("level", "tensor") == "tensor":
        for name in _NEEDS_THE_MODEL:
            if declared.get(name):
                what = "a tensor-level method is given one weight and nothing else"
                findings.append(f'{name}: {what}; write level="model" and take the model')
    elif declared.get("needs_labels") and declared.get("needs_data") is not True:
        findings.append("needs_labels: labels come with the data; write needs_data=True, too")
    return findings


@cache
def _form(kind: type[Method]) -> type[BaseModel]:
    """Return the pydantic model of what a decorator of this kind may be told."""
    from pydantic import ConfigDict, create_model

    hints = get_type_hints(kind, include_extras=True)
    common = {field.name for field in dataclasses.fields(Method)}
    fields: dict[str, Any] = {
        field.name: (hints[field.name], field.default)
        for field in dataclasses.fields(kind)
        if field.name not in common
    }
    return create_model(kind.__name__, __config__=ConfigDict(strict=True, extra="forbid"), **fields)
