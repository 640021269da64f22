"""Marks of the methods that do more than fill weights: they never stand in a list without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.publishing.text import shortened


@dataclass(frozen=True)
class Mark:
    """A letter beside a treatment's name, and what its method does."""

    letter: str
    meaning: str


_BY_FLAG = {
    "needs_data": Mark("D", "looks at training images"),
    "needs_labels": Mark("L", "looks at their labels"),
    "changes_architecture": Mark("A", "changes the architecture"),
    "changes_learning_rate": Mark("R", "changes learning rates"),
}
"""By the manifest's key for what an initializer declares."""

FLAGS = tuple(_BY_FLAG)


def marks_of(manifest: Mapping[str, Any]) -> dict[str, tuple[Mark, ...]]:
    """Return the marks of every treatment that a manifest declares."""
    return {
        str(each["treatment"]): tuple(mark for flag, mark in _BY_FLAG.items() if each.get(flag))
        for each in manifest["treatments"]
    }


def marks_used(manifest: Mapping[str, Any]) -> tuple[Mark, ...]:
    """Return the marks that some treatment of a manifest has."""
    used = {mark for marks in marks_of(manifest).values() for mark in marks}
    return tuple(mark for mark in _BY_FLAG.values() if mark in used)


def letters(marks: tuple[Mark, ...]) -> str:
    """Return the letters of marks, as in "D A"; empty without marks."""
    return " ".join(mark.letter for mark in marks)


def legend(marks: tuple[Mark, ...]) -> str:
    """Return what marks mean, as in "D looks at training images, A changes the architecture"."""
    return ", ".join(f"{mark.letter} {mark.meaning}" for mark in marks)


def labelled(name: str, marks: tuple[Mark, ...], most: int) -> str:
    """Return a name of at most `most` characters for a plot or a terminal, its marks behind it."""
    behind = f" [{letters(marks)}]" if marks else ""
    return shortened(name, most - len(behind)) + behind
