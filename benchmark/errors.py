"""Errors for people: what was wrong, where, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FAILED, WRONG_USE, INTERRUPTED, UNREAD, TERMINATED = 1, 2, 130, 141, 143
"""Exit codes beside 0: some trials failed; wrong use; ended by Ctrl-C, by a reader that left (as
`head` does), by SIGTERM. The last three are what a shell reports for these signals: 128 and more.
"""


class UsageError(Exception):
    """Wrong use, found before anything was started; the command exits with code 2."""


class StoreError(UsageError):
    """A results folder that cannot be read or written as it is."""


class RunError(Exception):
    """Work that had begun cannot go on; what is finished is kept, and the exit code is 1."""


def pydantic_message(message: str) -> str:
    """Return pydantic's message without the class of the exception that it was made of."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> str:
    """Return the sentence for an unknown name, with the nearest known ones.

    `kind` is the noun in the singular ("initializer"), `hint` a last sentence.
    """
    known = sorted(known)
    folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), folded, n=4, cutoff=0.6)
    if close:
        offer = "did you mean " + " or ".join(repr(folded[name]) for name in close) + "?"
    elif len(known) <= 12:
        offer = "known are: " + (", ".join(known) or "none")
    else:
        offer = ""
    return " ".join(part for part in (f"unknown {kind} {name!r};", offer, hint) if part).rstrip(";")
