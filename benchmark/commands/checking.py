"""`initbench check`: does a method keep its promises; `initbench new-plugin`: one that does."""

from __future__ import annotations

import keyword
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from benchmark import templates
from benchmark.errors import UsageError
from benchmark.plugins import REGISTRIES, load_plugins
from benchmark.testing import Check, Found, Verdict, checks_of, find
from benchmark.wording import counted

Examined = tuple[Check, Verdict]

_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


def check(target: str, plugins: Sequence[str]) -> int:
    """Print every check of a method or of a plugin's methods; return 1 if one failed."""
    load_plugins(plugins)
    return examine(find(target), Console())


def examine(found: Sequence[Found], console: Console) -> int:
    """Run and print the checks of methods; return 1 if one failed."""
    from benchmark.testing import processes

    start = time.perf_counter()
    questions = [processes.question_of(registry, text) for registry, text in found]
    if ahead := [question for question in questions if question]:
        processes.start(ahead)
    _one_thread()
    counts = dict.fromkeys(_STYLES, 0)
    for registry, text in found:
        console.print(Text(f"{registry.kind} {text}", style="bold"))
        for _, together in groupby(checks_of(registry, text), key=lambda each: each.group or each):
            examined = [(each, each.verdict()) for each in together]
            for _, verdict in examined:
                counts[verdict.status] += 1
            _show(examined, console)
    seconds = time.perf_counter() - start
    console.print(
        f"{counts['ok']} ok, {counts['failed']} failed,"
        f" {counted(counts['skipped'], 'does not apply', 'do not apply')},"
        f" {seconds:.0f} s",
        highlight=False,
    )
    return 1 if counts["failed"] else 0


def new_plugin(name: str, kind: templates.Kind) -> None:
    """Write a commented plugin into the current folder; raises UsageError rather than overwrite."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot name a function; use letters, digits and _, as in half_kaiming"
        )
    load_plugins()
    for registry in REGISTRIES:
        registry.all()
        if known := registry.find(name):
            raise UsageError(f"{name!r} is taken: {registry.kind} of {known.origin}")
    path = Path(f"{name}.py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(templates.fill(kind, name))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; choose another name, or delete it") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    console = Console()
    console.print(f"wrote {path}; next: initbench check {path}", highlight=False)


def _show(examined: Iterable[Examined], console: Console) -> None:
    """Print a check in three lines; of a group, what passed in one line and the rest apart."""
    passed = []
    for check, verdict in examined:
        if check.group and verdict.status == "ok":
            passed.append(check.name)
            continue
        _line(verdict.status, check.name, console)
        _detail(f"expected: {verdict.expected}", console)
        _detail(f"found: {verdict.found}", console)
    if passed:
        _line("ok", counted(len(passed), "network"), console)
        _detail(f"expected: {check.expected}", console)
        _detail(f"found: so on {', '.join(passed)}", console)


def _line(status: str, name: str, console: Console) -> None:
    console.print(Text.assemble((f"  {status:8}", _STYLES[status]), name))


def _detail(text: str, console: Console) -> None:
    console.print(Padding(Text(text, style="dim"), (0, 0, 0, 10)))


def _one_thread() -> None:
    """Small networks take longer on several threads than on one."""
    import torch

    torch.set_num_threads(1)
