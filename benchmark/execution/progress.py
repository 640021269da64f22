"""What a run shows while it goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from benchmark.execution.jobs import Event, NodesSeen, Notice, Started
from benchmark.trial import Record
from benchmark.wording import counted

PLAIN_SECONDS = 10.0
FAILED = ("out_of_memory", "timeout", "lost", "error")


class Progress:
    """Counts trials done, running and failed, and guesses the time that is left."""

    def __init__(self, console: Console, total: int, done_before: int) -> None:
        self._console = console
        self._total = total
        self._before = done_before
        self._statuses: Counter[str] = Counter()
        self._running = 0
        self._best: Record | None = None
        self._started = time.monotonic()
        self._first_start: float | None = None
        self._last_line = self._started
        self._live = (
            Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        self._console.print(self._line(), highlight=False)

    def show(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, NodesSeen):
            return
        if isinstance(event, Notice):
            self._console.print(event.text, style="yellow", highlight=False, markup=False)
            return
        trials = len(event.job.cohort.trials)
        if isinstance(event, Started):
            self._running += trials
            self._first_start = self._first_start or time.monotonic()
            self._print_line_now_and_then()
            return
        self._running -= trials
        for record in event.records:
            self._statuses[record.status] += 1
            if record.accuracy is not None and (
                self._best is None or record.accuracy > (self._best.accuracy or 0)
            ):
                self._best = record
        if event.note:
            self._console.print(event.note, style="yellow", highlight=False, markup=False)

    def _print_line_now_and_then(self) -> None:
        now = time.monotonic()
        if not self._live and now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self._console.print(self._line(), highlight=False)

    @property
    def _finished(self) -> int:
        return sum(self._statuses.values())

    def _line(self) -> str:
        failed = sum(self._statuses[status] for status in FAILED)
        parts = [f"{self._before + self._finished:,}/{counted(self._total, 'trial')} done"]
        if self._running:
            parts.append(f"{self._running} running")
        if self._statuses["diverged"]:
            parts.append(f"{self._statuses['diverged']} diverged")
        parts.append(f"{failed} failed")
        left = self._seconds_left()
        if left is None:
            parts.append(f"at work for {duration(time.monotonic() - self._started)}")
        else:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def _seconds_left(self) -> float | None:
        """Guess from the trials finished since the first began; those running count half."""
        left = self._total - self._before - self._finished - self._running / 2
        if self._first_start is None or not self._finished or left <= 0:
            return None
        elapsed = time.monotonic() - self._first_start
        return elapsed / (self._finished + self._running / 2) * left

    def _render(self) -> Group:
        bar = ProgressBar(self._total, self._before + self._finished, width=40)
        line = Text(self._line(), overflow="ellipsis", no_wrap=True)
        best = Text(overflow="ellipsis", no_wrap=True)
        if self._best:
            best.append(
                f"best so far: {100 * (self._best.accuracy or 0):.2f} % test accuracy,"
                f" {self._best.treatment} on {self._best.architecture}",
                style="dim",
            )
        return Group(bar, line, best)


def duration(seconds: float) -> str:
    """Write seconds as people do: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
