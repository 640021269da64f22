"""One trial again, from its record: rebuilt, trained here, and compared number by number."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.errors import UsageError
from benchmark.execution.jobs import Finished, Job, Settings
from benchmark.plugins import REGISTRIES, initializers, installed_plugins, rewirings
from benchmark.recipe import Recipe
from benchmark.registry import Method
from benchmark.results.plausibility import sentences
from benchmark.spelling import parse_call
from benchmark.treatment import Treatment
from benchmark.trial import PROTOCOL, Cell, Record, Trial

if TYPE_CHECKING:
    from benchmark.grid import Cohort

MOST_THREADS = 1024
_NUMBERS = (
    *("accuracy", "test_loss", "epoch1_accuracy", "area_under_validation_curve"),
    *("n_test", "n_validation"),
)
_ENVIRONMENT = ("device", "device_type", "host", "threads", "commit")


@dataclass(frozen=True)
class Quantity:
    """A number or a curve of both records: over `values` places, `differing` are not the same.

    `largest` is the largest difference; None where all are the same, or where one of the two
    has no number there.
    """

    name: str
    values: int
    differing: int
    largest: float | None


@dataclass(frozen=True)
class Change:
    """What differs in the environment: a version, the device, the commit."""

    name: str
    then: str
    now: str


@dataclass(frozen=True)
class Reproduction:
    """A record, that of the same trial run now, and in what they differ."""

    then: Record
    now: Record
    quantities: tuple[Quantity, ...]
    environment: tuple[Change, ...]

    @property
    def same_result(self) -> bool:
        """Whether it ended in the same status with the same accuracy."""
        return (self.then.status, self.then.accuracy) == (self.now.status, self.now.accuracy)

    @property
    def exact(self) -> bool:
        """Whether every number is the same, bit for bit."""
        return self.same_result and not any(each.differing for each in self.quantities)


def find_record(records: Mapping[str, Record], start: str) -> Record:
    """Return the record of the one trial whose id begins so; raises UsageError."""
    found = [trial for trial in records if trial.startswith(start)]
    if len(found) == 1:
        return records[found[0]]
    if found:
        some = ", ".join(sorted(found)[:4]) + (", ..." if len(found) > 4 else "")
        raise UsageError(f"{len(found)} trials begin with {start!r}: {some}; write more of the id")
    raise UsageError(
        f"none of the {len(records):,} records is of the trial {start!r}; an id is in the column"
        " trial of trials.csv"
    )


def rebuild(record: Record) -> Trial:
    """Make the trial of a record anew from its content.

    Raises UsageError where this version of the code or the plugins at hand would train something
    else: another protocol, a plugin that is missing or has another source, a content that does
    not have the record's id.
    """
    content = record.content
    if not content:
        raise UsageError(
            f"the record of the trial {record.trial} does not say how it was trained: it comes from"
            " a table, not from initbench"
        )
    if content.get("protocol") != PROTOCOL:
        raise UsageError(
            f"the trial {record.trial} was run under protocol {content.get('protocol')}, this"
            f" version trains under {PROTOCOL} and gives other numbers; install the initbench of"
            f" its record ({_version(record)})"
        )
    try:
        recipe = Recipe.model_validate(content["recipe"])
        methods = content["treatment"]
        names = methods["initializer"], methods["rewiring"]
        of_cell = {content[kind]: own for kind, own in content.get("plugins", {}).items()}
        _check_plugins(record, {**methods["plugins"], **of_cell})
        treatment = Treatment(initializers.canonical(names[0]), rewirings.canonical(names[1]))
        cell = Cell(content["dataset"], content["architecture"], record.recipe, recipe)
        trial = Trial(cell, treatment, content["seed"])
    except ValidationError as error:
        what = sentences(error, content["recipe"], Recipe)[0]
        raise UsageError(f"its recipe cannot be followed: {what}") from error
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"the record of the trial {record.trial} lacks what it takes to run it again: {error}"
        ) from error
    if trial.id != record.trial:
        raise UsageError(
            f"the record's content makes the trial {trial.id}, not {record.trial}: it was changed"
            " after the run, or a method has the name of another one"
        )
    return trial


def rebuild_cohort(
    trial: Trial, record: Record, records: Mapping[str, Record]
) -> tuple[Cohort, str]:
    """Make the cohort that a trial was trained in anew, from the records of its members.

    Where a member's record is missing or cannot be followed it is the trial alone, which will
    differ in the last bits, and why.
    """
    from benchmark.grid import Cohort

    alone = Cohort((trial,))
    trials = []
    for member in _members(record):
        if member not in records:
            return alone, f"the record of the trial {member} is not here"
        try:
            trials.append(trial if member == trial.id else rebuild(records[member]))
        except UsageError as error:
            return alone, str(error)
    return (Cohort(tuple(trials)) if trials else alone), ""


def _members(record: Record) -> list[str]:
    cohort = record.provenance.get("cohort")
    members = cohort.get("trials", []) if isinstance(cohort, dict) else []
    known = isinstance(members, list) and all(isinstance(each, str) for each in members)
    return members if known and record.trial in members else []


def run_again(
    cohort: Cohort, trial: Trial, *, device: str, threads: int, data_dir: str | None
) -> Record:
    """Train a trial's cohort in this process and return its record, as it would be read back.

    Raises UsageError where its data set or its architecture cannot be had here, or its cohort does
    not fit into memory.
    """
    from benchmark.execution.inline import InlineExecutor

    plugins = tuple(installed_plugins())
    executor = InlineExecutor(
        Settings(device=device, threads=threads, data_dir=data_dir, plugins=plugins)
    )
    if problems := executor.check([trial.cell]):
        raise UsageError("\n".join(problems))
    for event in executor.run([Job(cohort)], attempts=1, begun={}):
        if isinstance(event, Finished) and event.again:
            raise UsageError(f"the cohort of the trial {trial.id} cannot be had here: {event.note}")
        if isinstance(event, Finished):
            found = {record.trial: record for record in event.records}
            return Record.from_dict(json.loads(found[trial.id].to_json()))
    raise AssertionError("an executor ended without the trial")


def threads_of(record: Record) -> int:
    """Return how many CPU threads the record's run had; sums depend on it."""
    threads = record.provenance.get("threads")
    if not isinstance(threads, int) or record.provenance.get("device_type") != "cpu":
        return 1
    return min(max(threads, 1), MOST_THREADS)


def compare(then: Record, now: Record) -> Reproduction:
    """Compare two records of one trial; times are left out, they never are the same."""
    return Reproduction(
        then, now, tuple(_quantities(then, now)), tuple(_changes(then.provenance, now.provenance))
    )


def _check_plugins(record: Record, plugins: Mapping[str, str]) -> None:
    known: dict[str, Method] = {
        method.name: method for registry in REGISTRIES for method in registry.all()
    }
    for text, source in plugins.items():
        name = parse_call(text).name
        if name not in known:
            raise UsageError(
                f"the trial {record.trial} uses {name!r} of a plugin (source {source}); load it"
                " with --plugin FILE"
            )
        if (own := known[name].plugin_hash) != source:
            raise UsageError(
                f"the plugin with {name!r} has the source {own or 'of a built-in method'}, that of"
                f" the trial {record.trial} was {source}; load the file as it was with --plugin"
            )


def _version(record: Record) -> str:
    versions = record.provenance.get("versions")
    known = versions.get("initbench") if isinstance(versions, dict) else None
    return str(known or "its version is not recorded")


def _quantities(then: Record, now: Record) -> Iterator[Quantity]:
    for name in _NUMBERS:
        yield _quantity(name.replace("_", " "), [getattr(then, name)], [getattr(now, name)])
    for when in ("before", "after"):
        sides = [[record.strength.get(when)] for record in (then, now)]
        yield _quantity(f"strength variance {when}", *sides)
    for name in sorted({*then.curves, *now.curves} - {"seconds"}):
        sides = [record.curves.get(name, []) for record in (then, now)]
        yield _quantity(f"curve of {name.replace('_', ' ')}", *sides)


def _quantity(name: str, then: Sequence[Any], now: Sequence[Any]) -> Quantity:
    differing = [pair for pair in itertools.zip_longest(then, now) if pair[0] != pair[1]]
    distances = [abs(one - other) for one, other in differing if _are_numbers(one, other)]
    complete = len(distances) == len(differing)
    largest = max(distances, default=None) if complete else None
    return Quantity(name, max(len(then), len(now)), len(differing), largest)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    flat = [_flat(provenance) for provenance in (then, now)]
    for name in dict.fromkeys([*flat[0], *flat[1]]):
        one, other = (side.get(name, "not recorded") for side in flat)
        if one != other:
            yield Change(name, one, other)


def _flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    versions, cohort = provenance.get("versions"), provenance.get("cohort")
    found = dict(versions) if isinstance(versions, dict) else {}
    found |= {name.replace("_", " "): provenance.get(name) for name in _ENVIRONMENT}
    found["trials trained together"] = cohort.get("size") if isinstance(cohort, dict) else None
    return {name: str(value) for name, value in found.items() if value is not None}
