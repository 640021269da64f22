"""`initbench run`: what happens beside what, and when it is over."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

from benchmark.commands.running import ClosedBeside


def test_an_executor_closes_beside_what_follows_and_is_waited_for() -> None:
    board, closed = Event(), []

    def close() -> None:
        assert board.wait(10.0)
        closed.append(True)

    inner: Any = SimpleNamespace(close=close, workers=3)
    executor = ClosedBeside(inner)
    assert executor.workers == 3
    executor.close()
    executor.close()
    assert not closed
    board.set()
    executor.wait()
    assert closed == [True]


def test_an_executor_that_was_not_closed_is_closed_by_waiting() -> None:
    closed = []
    inner: Any = SimpleNamespace(close=lambda: closed.append(True))
    ClosedBeside(inner).wait()
    assert closed == [True]
