"""What a check is and how it comes out: what was expected, what was found."""

from __future__ import annotations

import traceback
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmark.errors import UsageError
from benchmark.registry import Method

Status = Literal["ok", "failed", "skipped"]


class Unmet(Exception):  # noqa: N818
    """What was found instead of what a check expects."""


class NotApplicable(Exception):  # noqa: N818
    """Why a check has nothing to look at."""


@dataclass(frozen=True)
class Verdict:
    """How a check came out, `found` in words."""

    status: Status
    expected: str
    found: str


@dataclass(frozen=True)
class Check:
    """One promise of a method, to be kept: call it to assert that it is.

    `subject` is the kind and name of the method, `group` gathers checks that are printed together.
    `test` returns what it found, or raises `Unmet` or `NotApplicable`.
    """

    subject: str
    name: str
    expected: str
    test: Callable[[], str]
    group: str = ""

    def verdict(self) -> Verdict:
        """Run the check; what the method raises is a failure, but a UsageError its refusal."""
        try:
            return Verdict("ok", self.expected, self.test())
        except (NotApplicable, UsageError) as reason:
            return Verdict("skipped", self.expected, str(reason))
        except Unmet as found:
            return Verdict("failed", self.expected, str(found))
        except Exception as error:
            return Verdict("failed", self.expected, _raised(error))

    def __call__(self) -> None:
        """Raise AssertionError where the promise is broken, SkipTest where there is none."""
        verdict = self.verdict()
        if verdict.status == "skipped":
            raise unittest.SkipTest(verdict.found)
        if verdict.status == "failed":
            raise AssertionError(
                f"{self.subject}: {self.name}\nexpected: {verdict.expected}\nfound: {verdict.found}"
            )

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"


def raised_by(method: Method, error: BaseException) -> bool:
    """Whether an error comes from a method or what it calls, and not from whoever called it."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(each.f_globals.get("__name__") == method.function.__module__ for each in frames)


def _raised(error: Exception) -> str:
    """Return what was raised and the last line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    what = "".join(traceback.format_exception_only(error)).strip()
    return f"{what} ({last.filename}, line {last.lineno}: {last.line})"
