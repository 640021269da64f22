"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The grid, a YAML file.")]
Folder = Annotated[str, typer.Argument(metavar="DIR", help="A results folder.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in recipe.epochs=3."),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE|MODULE", help="Load methods from a plugin."),
]
Out = Annotated[
    str | None,
    typer.Option(help="The results folder: any path or URL. [default: results/NAME]"),
]
ExecutorName = Annotated[
    Literal["ray", "inline"] | None,
    typer.Option(
        "--executor",
        help="Where to train: Ray's workers, or this very process. [default: the config's]",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(help="The Ray cluster to join. [default: RAY_ADDRESS, else a local one]"),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="How many workers on each node. [default: the config's]"),
]
Records = Annotated[
    list[str] | None,
    typer.Option("--records", metavar="DIR|TABLE.csv", help="Results folder, board or tidy table."),
]
Family = Annotated[
    int | None,
    typer.Option(help="How many comparisons p allows for. [default: the grid's number]"),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option(help="What to train on. [default: the config's, else auto]"),
]
