"""YAML files whose every value knows the line it was written on, and overrides on top of them.

Words mean what YAML 1.2 says: `no` and `on` are words, 1e-3 is a number, 010 is ten.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from benchmark.errors import UsageError
from benchmark.problems import Path, dotted, shown

MAX_BYTES = 1_000_000
"""Larger files are no configs: most likely a data file was named by mistake."""

_MAX_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: `configs/x.yaml:12` or `--set recipe.epochs=0`."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"

    @property
    def line(self) -> float:
        """The line of the file; what has none comes behind all that has."""
        _, _, line = self.place.rpartition(":")
        return int(line) if line.isdecimal() else float("inf")


class ConfigError(UsageError):
    """A config that cannot be run; lists every problem found, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass
class Document:
    """Plain data and, for each value in it, the place where it was written."""

    name: str = "config"
    data: Any = None
    places: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> str:
        """Return the place of a value, or of what it would stand in where it is missing."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def problem(self, path: Path, what: str) -> Problem:
        """Return the problem with the value at `path`: its place, its key, what is wrong."""
        return Problem(self.place(path), f"{dotted(path)}: {what}" if path else what)


class _Loader(yaml.SafeLoader):
    """Reads YAML, with the words that YAML 1.2 knows."""


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would read as something else than a word."""


# Without an own, empty table, a class would share the one of YAML 1.1.
_Loader.yaml_implicit_resolvers = {}
_Dumper.yaml_implicit_resolvers = {}
for _kind, (_pattern, _first) in _CORE_SCHEMA.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def read_document(path: str | FilePath) -> Document:
    """Read a YAML file of keys and values.

    Duplicate keys are collected in `problems`; raises ConfigError where there is nothing to go on
    with: no such file, no text, malformed YAML, another thing than keys with values.
    """
    name = str(path)
    data = _read_bytes(FilePath(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(name, f"is not a text file (UTF-8): {error.reason}") from error
    document = Document(name)
    _fill(document, text, lambda line: f"{name}:{line}")
    if document.data is None:
        raise _refusal(name, "is empty; configs/quickstart.yaml is an example to start from")
    if not isinstance(document.data, dict):
        raise _refusal(f"{name}:1", f"{shown(document.data)} where keys with values belong")
    return document


def override(document: Document, text: str) -> Path:
    """Set one value of the document from `recipe.epochs=3`; return its path.

    The value is read as YAML, keys on the way are made. Raises ConfigError where `text` is no
    such assignment.
    """
    place = f"--set {text}"
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise _refusal(place, "is no assignment; write --set recipe.epochs=3")
    parsed = Document(place)
    _fill(parsed, value, lambda _: place)
    if parsed.problems:
        raise ConfigError(parsed.problems)
    target = document.data
    for index, step in enumerate(path[:-1]):
        if target.get(step) is None:
            target[step] = {}
            document.places[path[: index + 1]] = place
        target = target[step]
        if not isinstance(target, dict):
            whole = ".".join(path[: index + 1])
            raise _refusal(
                place, f"{whole} is {shown(target)} without keys; set {whole} as a whole"
            )
    target[path[-1]] = parsed.data
    forget(document, path)
    document.places |= {path + below: place for below in parsed.places} | {path: place}
    return path


def forget(document: Document, path: Path) -> None:
    """Drop the places of a value and of all below it."""
    for known in [known for known in document.places if known[: len(path)] == path]:
        del document.places[known]


def write_yaml(data: Any) -> str:
    """Return YAML that `read_document` reads back as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _read_bytes(path: FilePath) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        siblings = [str(other) for other in path.parent.glob("*.y*ml")]
        if not path.exists() and (close := difflib.get_close_matches(str(path), siblings, 1)):
            what += f"; did you mean {close[0]}?"
        raise _refusal(str(path), what) from error
    if len(data) > MAX_BYTES:
        raise _refusal(str(path), f"is larger than {MAX_BYTES:,} bytes: that is no config")
    return data


def _fill(document: Document, text: str, place: Any) -> None:
    try:
        node = yaml.compose(text, Loader=_Loader)
        document.data = None if node is None else _Reader(document, place).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        where = place(mark.line + 1) if mark else document.name
        raise _refusal(where, f"is not YAML: {what}") from error
    except yaml.YAMLError as error:
        raise _refusal(document.name, f"is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise _refusal(document.name, "is nested too deeply") from error


class _Reader:
    """Turns YAML nodes into plain data and notes where each value stands."""

    def __init__(self, document: Document, place: Any) -> None:
        self._document = document
        self._place = place
        self._count = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > _MAX_VALUES:
            raise _refusal(self._document.name, f"has more than {_MAX_VALUES:,} values")
        self._document.places.setdefault(path, self._place(node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # Keys are words whatever they look like: `1: x` and `no: x` have the keys "1" and "no".
            key = str(key_node.value)
            below = (*path, key)
            place = self._place(key_node.start_mark.line + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(place, "a list or mapping cannot be a key")
            elif key in data:
                first = self._document.places[below]
                self._complain(place, f"{dotted(below)}: is given twice, first at {first}")
            else:
                self._document.places[below] = place
                data[key] = self.value(value_node, below)
        return data

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() == "true"
            if kind == "int":
                return int(text)
            if kind == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError as error:
            self._complain(self._document.place(path), f"{dotted(path)}: {error}")
            return None
        if kind != "str":
            place = self._document.place(path)
            self._complain(place, f"{dotted(path)}: the YAML tag {node.tag!r} is not supported")
        return text

    def _complain(self, place: str, what: str) -> None:
        self._document.problems.append(Problem(place, what))


def _refusal(place: str, what: str) -> ConfigError:
    return ConfigError([Problem(place, what)])
