"""The spelling `name(parameter=value, ...)` that methods, architectures and data sets share.

What values a parameter may have is written where it is declared, and checked when a name is read:
`mode: Literal["fan_in", "fan_out"]`, `offset: Annotated[float, Gt(0)]` with the constraints of
`annotated_types` (or any other of pydantic's).
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from benchmark.errors import UsageError, pydantic_message, unknown_name
from benchmark.wording import counted

_NAME = re.compile(r"[A-Za-z_][\w.\-/]*")
_OPEN, _CLOSE = "([", ")]"


@dataclass(frozen=True)
class Call:
    """A name with its arguments as they were written."""

    name: str
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        parts = [spell(value) for value in self.positional]
        parts += [f"{key}={spell(value)}" for key, value in self.keywords]
        return f"{self.name}({', '.join(parts)})" if parts else self.name


def bare(text: str) -> str:
    """Return the name of what is spelled `name(parameter=value, ...)`."""
    return text.partition("(")[0]


def split_top_level(text: str, separator: str) -> list[str]:
    """Split `text` at `separator` wherever no bracket is open."""
    pieces, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in _OPEN) - (character in _CLOSE)
        if depth < 0:
            break
        if character == separator and depth == 0:
            pieces.append(text[start:index])
            start = index + 1
    if depth != 0:
        raise UsageError(f"{text!r}: brackets do not match")
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces]


def parse_call(text: str) -> Call:
    """Read `name` or `name(value, key=value)`.

    Raises UsageError where the text is no such spelling.
    """
    text = text.strip()
    name = _NAME.match(text)
    rest = text[name.end() :] if name else text
    if not name or (rest and not (rest[0] == "(" and rest[-1] == ")")):
        raise UsageError(f"{text!r} is not a name; write name or name(parameter=value)")
    positional, keywords = [], {}
    for piece in filter(None, split_top_level(rest[1:-1], ",")):
        key, equals, value = piece.partition("=")
        if equals and _NAME.fullmatch(key.strip()):
            if key.strip() in keywords:
                raise UsageError(f"{text!r} gives {key.strip()!r} twice")
            keywords[key.strip()] = parse_value(value)
        elif keywords:
            raise UsageError(f"{text!r}: {piece!r} stands after a named parameter")
        else:
            positional.append(parse_value(piece))
    return Call(name.group(), tuple(positional), tuple(keywords.items()))


def parse_value(text: str) -> Any:
    """Read a number, true, false, null, [a, b] or a word."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return [parse_value(piece) for piece in split_top_level(text[1:-1], ",") if piece]
    words = {"true": True, "false": False, "null": None, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if not text:
        raise UsageError("a parameter has no value")
    return text.strip("'\"")


def spell(value: Any) -> str:
    """Write a value so that `parse_value` reads it back."""
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(spell(item) for item in value) + "]"
    return str(value)


def canonical_call(call: Call, parameters: Mapping[str, inspect.Parameter], kind: str) -> Call:
    """Return the one spelling of `call`: named, in signature order, defaults left out.

    A leading parameter that must be given is written without its name. Raises UsageError for an
    unknown parameter, a value of another type than the default's, or one that the parameter's
    annotation does not allow.
    """
    names = list(parameters)
    if len(call.positional) > len(names):
        takes = f"takes {counted(len(names), 'parameter')}" if names else "takes no parameters"
        raise UsageError(f"{kind} {call.name!r} {takes}, {call} gives {len(call.positional)}")
    given = dict(zip(names, call.positional, strict=False))
    for key, value in call.keywords:
        if key not in parameters:
            raise UsageError(unknown_name(f"parameter of {call.name}", key, names))
        if key in given:
            raise UsageError(f"{call}: {key!r} is given twice")
        given[key] = value
    for name, parameter in parameters.items():
        if name in given:
            value = _as_default(given[name], parameter.default, f"{call.name}({name}=...)")
            given[name] = _allowed(value, parameter.annotation, f"{call.name}({name}=...)")
        elif parameter.default is inspect.Parameter.empty:
            raise UsageError(f"{kind} {call.name!r} needs its parameter {name!r}")
    required = tuple(itertools.takewhile(lambda name: is_required(parameters[name]), names))
    kept = tuple(
        (name, given[name])
        for name in names[len(required) :]
        if name in given and given[name] != parameters[name].default
    )
    return Call(call.name, tuple(given[name] for name in required), kept)


def is_required(parameter: inspect.Parameter) -> bool:
    """Tell whether a parameter has no default."""
    return parameter.default is inspect.Parameter.empty


def _as_default(value: Any, default: Any, where: str) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    untyped = default is None or default is inspect.Parameter.empty
    if not untyped and type(value) is not type(default):
        raise UsageError(f"{where} takes a value like {spell(default)}, not {spell(value)!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where} takes a finite number, not {value}")
    return value


def _allowed(value: Any, annotation: Any, where: str) -> Any:
    """Return the value as its annotation has it: one of a Literal's, within Annotated's bounds."""
    if get_origin(annotation) is Literal:
        if value not in get_args(annotation):
            choices = " or ".join(spell(choice) for choice in get_args(annotation))
            raise UsageError(f"{where} is {choices}, not {spell(value)!r}")
    elif get_origin(annotation) is Annotated:
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(annotation).validate_python(value, strict=True)
        except ValidationError as error:
            reason = pydantic_message(error.errors()[0]["msg"])
            reason = reason.replace("Input should", "a value should")
            raise UsageError(f"{where} is {spell(value)}: {reason}") from error
    return value


def keyword_parameters(function: Callable[..., Any], skip: int) -> dict[str, inspect.Parameter]:
    """Return the parameters of `function` behind its first `skip`: the ones a name may set.

    Annotations that are text, as under `from __future__ import annotations`, are evaluated in the
    function's module; one that names what is imported for type checkers only stays text.
    """
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return {
        each.name: each.replace(annotation=_evaluated(each.annotation, function))
        for each in parameters
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(function, "__globals__", {}))  # noqa: S307 - as inspect does
    except NameError:
        return annotation
