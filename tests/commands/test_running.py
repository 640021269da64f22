"""`initbench run`: what happens beside what, and when it is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.commands import running
from benchmark.commands.running import ClosedBeside
from tests.conftest import Command


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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_executor_ends_gives_its_code(
    command: Command,
    write_config: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
) -> None:
    ahead = running._executor_ahead

    @contextmanager
    def signalled(*arguments: Any) -> Iterator[running.Ahead]:
        with ahead(*arguments) as made:
            yield made
        os.kill(os.getpid(), number)

    def ours(*arguments: object) -> None:
        raise AssertionError("the handlers of before are back too soon")

    monkeypatch.setattr(running, "_executor_ahead", signalled)
    before = signal.signal(number, ours)
    try:
        ended, out, _ = command("run", write_config(), "--executor", "inline")
        assert signal.getsignal(number) is ours
    finally:
        signal.signal(number, before)
    assert ended == code
    assert out.endswith("Stopped.\n")
    assert (Path("results/small") / "README.md").exists()
