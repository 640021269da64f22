"""`initbench list`: what a grid can be made of."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Sequence

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from benchmark import plugins
from benchmark.errors import UsageError

Row = tuple[str, str, str]


def show(kind: str, pattern: str, plugin: Sequence[str], *, as_json: bool) -> None:
    """Print name, summary and source of all that matches; raises UsageError where nothing does."""
    plugins.load_plugins(plugin)
    rows = [row for row in _rows(kind, pattern) if fnmatch.fnmatchcase(row[0], pattern)]
    if not rows:
        raise UsageError(f"none of the {kind} matches {pattern!r}")
    if as_json:
        keys = ("name", "summary", "source")
        typer.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    console = Console()
    for name, summary, source in rows:
        line = Text(name, style="bold")
        if source:
            line.append(f"  {source}", style="not bold dim")
        console.print(line, soft_wrap=True)
        if summary:
            console.print(Padding(Text(summary), (0, 0, 0, 4)))


def _rows(kind: str, pattern: str) -> Iterator[Row]:
    registries: dict[str, plugins.Registry] = {
        "initializers": plugins.initializers,
        "rewirings": plugins.rewirings,
        "datasets": plugins.datasets,
    }
    if kind in registries:
        for method in registries[kind].all():
            yield _spelled(method), method.summary, method.source
    elif kind == "architectures":
        from benchmark import models

        for name in models.names(pattern):
            yield name, "", ""
    else:
        from timm.optim import get_optimizer_info, list_optimizers

        for name in map(str, list_optimizers(pattern)):
            yield name, get_optimizer_info(name).description, "timm.optim"


def _spelled(method: plugins.Method) -> str:
    """Return the name with its parameters and their defaults, floats to four digits."""
    from benchmark.spelling import is_required, spell

    parameters = []
    for name, parameter in method.parameters.items():
        value = parameter.default
        shown = f"{value:.4g}" if isinstance(value, float) else spell(value)
        parameters.append(name if is_required(parameter) else f"{name}={shown}")
    return f"{method.name}({', '.join(parameters)})" if parameters else method.name
