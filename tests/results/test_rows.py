"""A record's line as a row: the fast way takes nothing that the careful way would not."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.results import rows
from benchmark.results.rows import COLUMNS, read_record, read_row, row_of
from benchmark.trial import SCHEMA, Record

CURVE = "validation_accuracy"
RECORD = Record(
    trial="0" * 16,
    content={"seed": 3},
    dataset="digits",
    architecture="plain_cnn",
    recipe="default",
    treatment="timm+pa",
    initializer="timm",
    rewiring="pa",
    seed=3,
    status="ok",
    accuracy=0.5,
    n_test=360,
    epoch1_accuracy=0.25,
    n_validation=500,
    area_under_validation_curve=0.375,
    test_loss=1.5,
    curves={CURVE: [0.25, 0.5], "train_loss": [2.0, None]},
    strength={"before": 1.0, "after": 0.5, "layers": [], "measures": {"gain": 2.0}},
    seconds={"initialization": 0.125, "training": 2.0},
    provenance={"device": "cpu", "cohort": {"size": 4}},
)
LINE = json.dumps(asdict(RECORD))


def replaced(**values: Any) -> bytes:
    return json.dumps({**asdict(RECORD), **values}).encode()


def carefully(line: bytes, curves: tuple[str, ...] | None) -> Any:
    return row_of(read_record(line), curves)


def test_the_fast_way_knows_the_fields_of_a_record_and_their_defaults() -> None:
    usual = msgspec.structs.fields(rows._Usual)
    assert [each.name for each in usual] == [f.name for f in fields(Record) if f.name != "curves"]
    optional = {f.name for f in fields(Record) if f.default is not f.default_factory}
    assert {each.name for each in usual if not each.required} == optional - {"curves", "schema"}
    least = {f.name: asdict(RECORD)[f.name] for f in fields(Record) if f.default is MISSING}
    least = {name: value for name, value in least.items() if name in rows._Usual.__annotations__}
    line = json.dumps({**least, "schema": SCHEMA}).encode()
    assert read_row(line) == carefully(line, None)


@pytest.mark.parametrize("curves", [None, (CURVE,), (CURVE, "absent"), ()])
def test_both_ways_come_to_the_same_row(curves: tuple[str, ...] | None) -> None:
    row = read_row(LINE.encode(), curves)
    assert row == carefully(LINE.encode(), curves)
    values = dict(zip(COLUMNS, row or (), strict=True))
    assert values["seconds"] == 2.125
    assert values["measures"] == {"gain": 2.0}
    assert values["provenance"] == {"device": "cpu"}
    kept = RECORD.curves if curves is None else curves
    assert values["curves"] == {name: RECORD.curves[name] for name in RECORD.curves if name in kept}


def test_what_to_json_writes_goes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(line: bytes) -> None:
        raise AssertionError(line)

    monkeypatch.setattr(rows, "read_record", slow)
    line = RECORD.to_json().encode()
    assert read_row(line) is not None
    assert read_row(line, (CURVE,)) is not None


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec=None))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(), inner)),
    max_leaves=4,
)


@given(
    name=st.sampled_from([*(f.name for f in fields(Record)), "unknown"]),
    value=JSON,
    ascii_only=st.booleans(),
)
def test_whatever_a_field_holds_both_ways_agree(name: str, value: Any, ascii_only: bool) -> None:
    text = json.dumps({**asdict(RECORD), name: value}, ensure_ascii=ascii_only)
    line = text.encode("utf-8", "surrogatepass")
    outcomes = []
    for read in (read_row, carefully):
        try:
            outcomes.append(repr(read(line, (CURVE,))))
        except (ValueError, TypeError) as error:
            outcomes.append(type(error).__name__)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "wrong",
    [
        LINE.replace('"seed": 3, "status"', '"seed": 03, "status"'),
        LINE.replace('"content": {"seed": 3}', '"content": {"seed": 3,}'),
        LINE.replace('"layers": []', '"layers": [1 2]'),
        LINE.replace('"layers": []', '"layers": "\x01"'),
        LINE + "{}",
        LINE[:-1],
    ],
)
def test_json_that_is_none_is_refused_where_no_column_needs_it_too(wrong: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each parser has words of its own
        read_row(wrong.encode(), (CURVE,))


def test_bytes_that_are_no_text_are_refused_where_no_column_needs_them_too() -> None:
    line = LINE.replace('"layers": []', '"layers": "?"').encode().replace(b'"?"', b'"\xff"')
    with pytest.raises(UnicodeDecodeError):
        read_row(line, (CURVE,))


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity", "1" * 5000])
def test_numbers_that_are_none_are_as_the_careful_way_has_them(number: str) -> None:
    line = LINE.replace('"accuracy": 0.5', f'"accuracy": {number}').encode()
    if number.isdigit():
        with pytest.raises(ValueError, match="digits"):
            read_row(line)
    else:
        assert repr(read_row(line)) == repr(carefully(line, None))


def test_of_two_equal_keys_the_last_counts_both_ways() -> None:
    line = LINE.replace('"accuracy": 0.5', '"accuracy": 0.5, "accuracy": 0.75').encode()
    row = read_row(line)
    assert row == carefully(line, None)
    assert dict(zip(COLUMNS, row or (), strict=True))["accuracy"] == 0.75


def test_a_trial_that_is_not_declared_has_no_row() -> None:
    assert read_row(LINE.encode(), declared={RECORD.trial}) is not None
    assert read_row(LINE.encode(), declared={"other"}) is None
    assert read_row(replaced(trial=None, status="lost"), declared={"other"}) is None


def test_equal_provenances_are_one_object_whatever_the_cohort() -> None:
    found = [
        read_row(replaced(provenance={"device": "cpu", "cohort": {"place": place}}))
        for place in range(2)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][-1] is found[1][-1]


def compact(**provenance: Any) -> bytes:
    """A line as `Record.to_json` writes it."""
    values = {**asdict(RECORD), "provenance": provenance}
    return json.dumps(values, separators=(",", ":")).encode()


def test_what_is_kept_of_provenances_does_not_grow_with_the_cohorts() -> None:
    before = len(rows._around_cohort)
    for place in range(100):
        cohort = {"size": 100, "place": place}
        finished = f"2026-11-25T04:00:{place % 60:02}Z"
        line = compact(device="one of this test", cohort=cohort, attempt=1, finished=finished)
        assert read_row(line) == carefully(line, None)
    assert len(rows._around_cohort) == before + 1


@pytest.mark.parametrize(
    "provenance",
    [
        {"device": {"cohort": {"size": 4}}, "cohort": {"size": 4}},
        {"cohort": {"size": 4}, "device": {"cohort": {"size": 4}}},
        {"device": '"cohort":{"size":4}', "cohort": {"size": 4}},
        {"device": {"cohort": {"size": 4}}},
        {"cohort": {"why": '}"cohort":{', "cohort": {}}, "attempt": 1},
        {"cohort": {"size": 4}, "finished": "2026-11-25T04:00:00Z"},
        {"cohort": {"size": 4}, "finished": "2026-11-25T04:00:00Z", "attempt": 1},
        {"cohort": {"size": 4}, "device": {"finished": "2026-11-25T04:00:00Z"}},
        {"cohort": {"size": 4}, "finished": None},
        {"cohort": None},
        {},
    ],
)
def test_only_the_provenances_own_cohort_is_left_out(provenance: dict[str, Any]) -> None:
    line = compact(**provenance)
    for _ in range(2):
        assert read_row(line) == carefully(line, None)
