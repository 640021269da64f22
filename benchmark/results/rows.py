"""A record's line as a row of the table: the usual one fast, any other with all care."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Literal

import msgspec

from benchmark.trial import Record, Status

_NAMES = ("trial", "dataset", "architecture", "recipe", "treatment", "initializer", "rewiring")
_METRICS = (
    *("accuracy", "n_test", "epoch1_accuracy", "n_validation", "area_under_validation_curve"),
    "test_loss",
)
_PHASES = ("initialization", "rewiring", "training")
FLOATS = (
    *_METRICS,
    *("strength_variance_before", "strength_variance_after"),
    *(f"seconds_{phase}" for phase in _PHASES),
    "seconds",
)
TEXTS = (*_NAMES, "status", "message")
COLUMNS = (*_NAMES, "seed", "status", *FLOATS, "measures", "curves", "message", "provenance")
"""The columns of `load_records`: TEXTS, FLOATS, the seed, and dictionaries."""

Row = tuple[Any, ...]
"""A record's values for COLUMNS."""

_Number = float | int | None
_NUMERIC = frozenset((float, int, type(None)))
_names_of = itemgetter(*_NAMES)


class _Strength(msgspec.Struct, gc=False):
    before: _Number = None
    after: _Number = None
    measures: Any = None


class _Seconds(msgspec.Struct, gc=False):
    initialization: _Number = None
    rewiring: _Number = None
    training: _Number = None


class _Usual(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The fields of Record but `curves`, with their types and defaults."""

    trial: str
    content: msgspec.Raw
    dataset: str
    architecture: str
    recipe: str
    treatment: str
    initializer: str
    rewiring: str
    seed: int
    status: Status
    accuracy: _Number = None
    n_test: _Number = None
    epoch1_accuracy: _Number = None
    n_validation: _Number = None
    area_under_validation_curve: _Number = None
    test_loss: _Number = None
    strength: _Strength = msgspec.field(default_factory=_Strength)
    seconds: _Seconds = msgspec.field(default_factory=_Seconds)
    message: str = ""
    provenance: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    schema: Literal[1]


_head_of = attrgetter(*_NAMES, "seed", "status", *_METRICS)


def read_row(
    line: bytes, curves: Collection[str] | None = None, declared: Collection[str] | None = None
) -> Row | None:
    """Return a line's values for COLUMNS; None if its trial is none of those `declared`.

    `curves` names those to keep, None keeps all. Raises ValueError or RecursionError for a line
    that is no record, or one with a value of another type than its column's.
    """
    try:
        # What is not looked at is not decoded: only in ASCII is it text for sure.
        usual = (
            _decoder(None if curves is None else tuple(curves))(line) if line.isascii() else None
        )
    except (ValueError, RecursionError):
        usual = None
    if usual is None:
        values = read_record(line)
        wanted = declared is None or values["trial"] in declared
        return row_of(values, curves) if wanted else None
    if declared is not None and usual.trial not in declared:
        return None
    strength, seconds = usual.strength, usual.seconds
    phases = seconds.initialization, seconds.rewiring, seconds.training
    known = [value for value in phases if value is not None]
    kept = usual.curves
    if curves is not None:
        kept = msgspec.structs.asdict(kept)
        if msgspec.UNSET in kept.values():
            kept = {name: curve for name, curve in kept.items() if curve is not msgspec.UNSET}
    return (
        *_head_of(usual),
        strength.before,
        strength.after,
        *phases,
        sum(known) if known else None,
        strength.measures,
        kept,
        usual.message,
        _provenance(bytes(usual.provenance)),
    )


def read_record(line: bytes) -> dict[str, Any]:
    """Return a line's record as a dictionary with all fields, as `Record.from_dict` checks it."""
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return vars(Record.from_dict(values))


def row_of(values: Mapping[str, Any], curves: Collection[str] | None = None) -> Row:
    """Return a record's values for COLUMNS, with the named curves only; None keeps all.

    Raises ValueError for a value of another type than its column's.
    """
    if type(values["seed"]) is not int:
        raise ValueError(f"the seed is {values['seed']!r}")
    kept, strength, seconds = values["curves"], values["strength"], values["seconds"]
    if not (isinstance(kept, dict) and isinstance(strength, dict) and isinstance(seconds, dict)):
        raise ValueError("curves, strength or seconds is no JSON object")
    if curves is not None:
        kept = {name: kept[name] for name in curves if name in kept}
    numbers = (
        *map(values.get, _METRICS),
        strength.get("before"),
        strength.get("after"),
        *map(seconds.get, _PHASES),
    )
    if not _NUMERIC.issuperset(map(type, numbers)):
        raise ValueError(_no_number(numbers))
    known = [value for value in numbers[-len(_PHASES) :] if value is not None]
    return (
        *map(_text, _names_of(values)),
        values["seed"],
        values["status"],
        *numbers,
        sum(known) if known else None,
        strength.get("measures"),
        kept,
        _text(values["message"]),
        _shared(values["provenance"]),
    )


@cache
def _decoder(curves: tuple[str, ...] | None) -> Callable[[bytes], Any]:
    """Return what decodes the record that `Record.to_json` writes, as far as a row needs it.

    It takes no line that `read_record` and `row_of` refuse.
    """
    curve = list[_Number] | msgspec.UnsetType
    kind: type = dict
    if curves is not None:
        kind = msgspec.defstruct("_Curves", [(name, curve, msgspec.UNSET) for name in curves])
    own = ("curves", kind, msgspec.field(default_factory=kind))
    options: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}
    return msgspec.json.Decoder(
        msgspec.defstruct("_Record", [own], bases=(_Usual,), **options)
    ).decode


def _text(value: object) -> str:
    """Return a text that can be encoded: half a surrogate pair becomes a question mark."""
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _no_number(numbers: Sequence[Any]) -> str:
    """Say which of the numbers of a row is none."""
    return next(
        f"{name} is {value!r}"
        for name, value in zip(FLOATS, numbers, strict=False)
        if type(value) not in _NUMERIC
    )


def _provenance(written: bytes) -> dict[str, Any]:
    """Return what `_shared` does for written JSON, decoded once for all cohorts of a day."""
    around = tuple(_COHORT.split(_TIME_OF_DAY.sub(b'"}', written)))
    if around not in _around_cohort:
        found = json.loads(written)
        if len(around) != 2 or json.loads(_NO_COHORT.join(around)).get("cohort") != {}:
            return _shared(found)  # It has no cohort, or one where another thing has this name.
        _around_cohort[around] = _shared(found)
    return _around_cohort[around]


_COHORT = re.compile(rb'"cohort":\{(?:"\w+":\d+,?)+\}')
_NO_COHORT = b'"cohort":{}'
_TIME_OF_DAY = re.compile(rb'(?<="finished":".{10})T[\d:]{8}Z"}\Z')
_around_cohort: dict[tuple[bytes, ...], dict[str, Any]] = {}
_provenances: dict[str, dict[str, Any]] = {}
_DAY = len("2026-11-25")


def _shared(provenance: Any) -> dict[str, Any]:
    """Return one object for equal provenances, cohorts and times of day apart.

    Thousands of records share it; of the moment at which they were finished it keeps the day.
    """
    if not isinstance(provenance, dict):
        raise ValueError("provenance is no JSON object")
    kept = {key: value for key, value in provenance.items() if key != "cohort"}
    if isinstance(finished := kept.get("finished"), str):
        kept["finished"] = finished[:_DAY]
    return _provenances.setdefault(repr(kept), kept)
