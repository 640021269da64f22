"""Commands around single methods and what a grid can be made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.cli.options import (
    Device,
    ExecutorName,
    Out,
    Plugins,
    Workers,
)

app = typer.Typer()


@app.command()
def inspect(
    architecture: Annotated[
        str, typer.Argument(metavar="MODEL", help="An architecture, as in test_resnet.")
    ],
    treatment: Annotated[
        str, typer.Option(metavar="T", help="The treatment to look at, as in orthogonal+pa.")
    ] = "timm",
    against: Annotated[
        list[str] | None, typer.Option(metavar="U", help="Another one beside it; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the weights.")] = 0,
    dataset: Annotated[
        str | None, typer.Option(help="Take a training batch of it. [default: normal noise]")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels. [default: the model's own]")
    ] = None,
    plugin: Plugins = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page.")] = None,
) -> None:
    """Show a model's weights, signals and gradients under a treatment, layer by layer.

    The last line of each table says in words what is unusual.
    """
    from benchmark.commands import inspecting

    inspecting.inspect(
        architecture,
        [treatment, *(against or [])],
        seed=seed,
        dataset=dataset,
        image_size=image_size,
        plugins=plugin or [],
        svg=svg,
        html=html,
    )


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the method is called.")],
    kind: Annotated[
        Literal["tensor", "model", "data", "rewiring", "dataset", "architecture", "recipe"],
        typer.Option(
            help="tensor, model, data: initializers of a weight, a network, from a batch."
        ),
    ] = "tensor",
) -> None:
    """Write NAME.py, a commented plugin to start from.

    It passes `initbench check` as it is; nothing is ever overwritten.
    """
    from benchmark.commands import checking

    checking.new_plugin(name, kind)


@app.command()
def check(
    target: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A method, or a plugin's file or module.")
    ],
    plugin: Plugins = None,
) -> None:
    """Check that methods keep their promises: seeds, dtypes, what they touch, ...

    Prints what was expected and what was found. Exit code 1: a promise is broken.
    """
    from benchmark.commands import checking

    raise typer.Exit(checking.check(target, plugin or []))


@app.command("try")
def try_command(
    target: Annotated[
        str,
        typer.Argument(metavar="PLUGIN", help="A plugin's file or module, or a method's name."),
    ],
    against: Annotated[str, typer.Option(help="The treatment to compare with.")] = "timm",
    out: Out = None,
    plugin: Plugins = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    device: Device = None,
) -> None:
    """Check a plugin, train it on three small networks, and compare.

    A few minutes on two cores: digits, six seeds. Interrupt it whenever you like, the same command
    goes on. It is a first look: what it shows holds for these networks.
    """
    from benchmark.commands import trying

    changes = trying.changes(executor, workers, device)
    raise typer.Exit(trying.try_plugin(target, against, out, plugin or [], changes))


@app.command("list")
def list_command(
    kind: Annotated[
        Literal["initializers", "rewirings", "architectures", "datasets", "recipes", "optimizers"],
        typer.Argument(metavar="KIND", help="What to list."),
    ],
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Only names that match, as in 'test_*'.")
    ] = "*",
    plugin: Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what a grid can be made of, a line each with its source."""
    from benchmark.commands import listing

    listing.show(kind, pattern, plugin or [], as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON schema of a config, for editors."""
    import json

    from benchmark.config import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))
