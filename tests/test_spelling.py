"""The spelling name(parameter=value): read, written, and brought into one form."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator

from benchmark.errors import UsageError
from benchmark.spelling import (
    Call,
    canonical_call,
    keyword_parameters,
    parse_call,
    parse_value,
    spell,
    split_top_level,
)

READ_AS_OTHER = {"true", "false", "null", "none", "nan", "inf", "infinity"}
words = st.from_regex(r"[a-z_][a-z_]{0,8}", fullmatch=True).filter(lambda w: w not in READ_AS_OTHER)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words
)
values = st.one_of(scalars, st.lists(scalars, max_size=3))


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return keyword_parameters(function, 1)


def method(weight: object, mode: str = "fan_in", gain: float = 1.0, blocks: int = 2) -> None: ...


@given(
    name=words,
    positional=st.lists(values, max_size=2),
    keywords=st.dictionaries(words, values, max_size=3),
)
def test_what_is_written_is_read_back(
    name: str, positional: list[Any], keywords: dict[str, Any]
) -> None:
    call = Call(name, tuple(positional), tuple(keywords.items()))
    assert parse_call(str(call)) == call


@given(value=values)
def test_a_value_keeps_its_type(value: Any) -> None:
    read = parse_value(spell(value))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", ["", "(a=1)", "name(a=1", "name a", "name)", "name(a=1)b", "name(a=)", "name(a=1, 2)"]
)
def test_what_is_no_spelling_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_call(text)


def test_separators_in_brackets_do_not_split() -> None:
    assert split_top_level("a(x=[1,2],y=3),b", ",") == ["a(x=[1,2],y=3)", "b"]
    with pytest.raises(UsageError, match="brackets do not match"):
        split_top_level("a(b", ",")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("method", "method"),
        ("method()", "method"),
        ("method(fan_in)", "method"),
        ("method(gain=1)", "method"),
        ("method(gain=2)", "method(gain=2.0)"),
        ("method( blocks = 3 , mode=fan_out )", "method(mode=fan_out, blocks=3)"),
        ("method(fan_out, 0.5)", "method(mode=fan_out, gain=0.5)"),
    ],
)
def test_every_way_to_write_a_call_has_one_canonical_form(text: str, canonical: str) -> None:
    assert str(canonical_call(parse_call(text), parameters(method), "method")) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method(gian=2)", "did you mean 'gain'"),
        ("method(gain=wide)", "takes a value like 1.0"),
        ("method(blocks=2.5)", "takes a value like 2"),
        ("method(blocks=true)", "takes a value like 2"),
        ("method(a, 1, 2, 3)", "takes 3 parameters"),
        ("method(fan_in, mode=fan_out)", "given twice"),
        ("method(gain=1, gain=2)", "twice"),
    ],
)
def test_wrong_parameters_are_refused_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        canonical_call(parse_call(text), parameters(method), "method")


def test_a_parameter_without_default_must_be_given() -> None:
    def needs(weight: object, rank: int) -> None: ...

    with pytest.raises(UsageError, match="needs its parameter 'rank'"):
        canonical_call(parse_call("needs"), parameters(needs), "method")
    for text in ("needs(4)", "needs(rank=4)"):
        assert str(canonical_call(parse_call(text), parameters(needs), "method")) == "needs(4)"


def even(value: int) -> int:
    if value % 2:
        raise ValueError("odd, and halves of it are needed")
    return value


def bounded(
    weight: object,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    offset: Annotated[float, Gt(0)] = 1.0,
    k: Annotated[int, Ge(1), Le(9)] = 3,
    free: float = 0.0,
    n: Annotated[int, AfterValidator(even)] = 2,
) -> None: ...


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bounded(mode=fan_avg)", r"bounded\(mode=...\) is fan_in or fan_out, not 'fan_avg'"),
        ("bounded(offset=0)", r"bounded\(offset=...\) is 0.0: a value should be greater than 0"),
        ("bounded(offset=-1)", "greater than 0"),
        ("bounded(k=0)", "greater than or equal to 1"),
        ("bounded(k=10)", "less than or equal to 9"),
        ("bounded(n=3)", r"bounded\(n=...\) is 3: odd, and halves of it are needed"),
        ("bounded(free=nan)", "takes a finite number"),
        ("bounded(offset=inf)", "takes a finite number"),
    ],
)
def test_a_value_that_the_annotation_does_not_allow_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        canonical_call(parse_call(text), parameters(bounded), "method")


def test_allowed_values_at_the_bounds_pass() -> None:
    text = "bounded(mode=fan_out, offset=0.001, k=9, free=-1.0, n=4)"
    assert str(canonical_call(parse_call(text), parameters(bounded), "method")) == text


def test_an_annotation_for_type_checkers_only_is_no_obstacle() -> None:
    def hidden(weight: object, rank: NotImported = 3) -> None: ...  # type: ignore[name-defined] # noqa: F821

    assert str(canonical_call(parse_call("hidden(4)"), parameters(hidden), "method")) == (
        "hidden(rank=4)"
    )
