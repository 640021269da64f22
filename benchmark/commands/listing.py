"""`initbench list`: what a grid can be made of."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from benchmark import plugins, timm_cache
from benchmark.documentation import marks, spelled
from benchmark.errors import UsageError, unknown_name
from benchmark.spelling import bare

Row = dict[str, Any]

REGISTRIES: dict[str, plugins.Registry[Any]] = {
    "initializers": plugins.initializers,
    "rewirings": plugins.rewirings,
    "datasets": plugins.datasets,
    "recipes": plugins.recipes,
}


def show(kind: str, pattern: str, plugin: Sequence[str], *, as_json: bool) -> None:
    """Print name, source, marks and summary of all that matches.

    Raises UsageError where nothing does, with the nearest names.
    """
    plugins.load_plugins(plugin)
    rows = list(_rows(kind, pattern))
    matching = [row for row in rows if fnmatch.fnmatchcase(bare(row["name"]), pattern)]
    if not matching:
        names = [bare(row["name"]) for row in rows]
        singular = REGISTRIES[kind].kind if kind in REGISTRIES else kind[:-1]
        wild = "*" in pattern or "?" in pattern
        nothing = f"none of the {kind} matches {pattern!r}"
        raise UsageError(nothing if wild else unknown_name(singular, pattern, names))
    if as_json:
        typer.echo(json.dumps(matching, indent=2))
        return
    console = Console()
    for row in matching:
        line = Text(row["name"], style="bold")
        line.append(f"  {row['source']}" if row["source"] else "", style="not bold dim")
        line.append(f"  [{', '.join(row['marks'])}]" if row["marks"] else "", style="not bold cyan")
        # Words are never broken over lines, so that a source can be copied.
        widest = max(map(len, line.plain.split()))
        console.print(line, soft_wrap=not console.is_terminal or widest > console.width)
        if row["summary"]:
            console.print(Padding(Text(row["summary"]), (0, 0, 0, 4)))


def _rows(kind: str, pattern: str) -> Iterator[Row]:
    if kind in REGISTRIES:
        for method in REGISTRIES[kind].all():
            yield _row(spelled(method), method.summary, method.source, marks(method))
    elif kind == "architectures":
        from benchmark import models

        wild = "*" in pattern or "?" in pattern
        for name in models.names(pattern if wild else ""):
            own = plugins.architectures.find(name)
            yield _row(name, own.summary if own else "", own.source if own else "")
    else:
        for name, description in timm_cache.optimizers().items():
            yield _row(name, description, "timm.optim")


def _row(name: str, summary: str, source: str, marked: Sequence[str] = ()) -> Row:
    return {"name": name, "summary": summary, "source": source, "marks": list(marked)}
