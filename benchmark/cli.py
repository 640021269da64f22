"""The commands of `initbench`, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from benchmark.errors import FAILED, INTERRUPTED, WRONG_USE, RunError, UsageError
from benchmark.version import __version__

app = typer.Typer(
    name="initbench",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: to import what draws boxes around it would take longer than all else.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help="""Benchmark initializers of neural networks: train a grid of architectures x
initializers x rewirings x seeds, and read the verdicts.

\b
From nothing to a leaderboard:
  initbench plan configs/quickstart.yaml     what it would cost
  initbench run configs/quickstart.yaml      train it; run again to continue
  initbench status results/quickstart        how far it is
  initbench board results/quickstart         write its leaderboard anew

\b
Changing a grid:
  initbench list initializers                what there is
  initbench run configs/quickstart.yaml --set recipe.epochs=3 --out /tmp/short

\b
Adding an initializer:
  initbench new-plugin my_init               a file to start from
  initbench check my_init.py                 does it keep its promises?
  initbench try my_init.py                   is it better than timm's?

Exit codes: 0 all is well, 1 it ran but some trials failed, 2 wrong use.""",
)

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
    typer.Option("--executor", help="Where to train: Ray's workers, or this very process."),
]
Address = Annotated[
    str | None,
    typer.Option(help="The Ray cluster to join. [default: RAY_ADDRESS, else a local one]"),
]
Workers = Annotated[int | None, typer.Option(min=1, help="How many workers on each node.")]
Records = Annotated[
    list[str] | None,
    typer.Option("--records", metavar="DIR|TABLE.csv", help="Results folder, board or tidy table."),
]
Family = Annotated[
    int | None,
    typer.Option(help="How many comparisons p allows for. [default: the grid's number]"),
]
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option(help="What to train on.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"initbench {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Config,
    out: Out = None,
    overrides: Overrides = None,
    plugin: Plugins = None,
    executor: ExecutorName = None,
    address: Address = None,
    workers: Workers = None,
    device: Device = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Run trials again that ended so, e.g. error."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Send one generated batch through every cell, no more."),
    ] = False,
) -> None:
    """Train what is missing of a grid and write its leaderboard.

    Every record is kept as soon as its trial ends. Interrupt it or kill it whenever you like:
    the same command goes on where it stopped.
    """
    from benchmark.commands import running

    changes = running.overrides(overrides, executor, address, workers, device)
    if dry_run:
        running.dry_run(config, changes, plugin or [])
    else:
        raise typer.Exit(running.run(config, out, changes, plugin or [], retry or []))


@app.command()
def submit(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="The grid, a YAML file.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="The cluster's dashboard, http://HEAD:8265. [default: RAY_ADDRESS]"),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The results folder: a URL, or a path that nodes share.")
    ] = None,
    overrides: Overrides = None,
    plugin: Plugins = None,
    runtime_env: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ray's runtime environment, YAML, e.g. with pip: [...]."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    follow: Annotated[
        str | None, typer.Option(metavar="JOB", help="Follow a job that was submitted earlier.")
    ] = None,
) -> None:
    """Run a grid as a job of a Ray cluster and follow it.

    Uploads this code, CONFIG and plugin files; data sets and results stay where they are. Exits
    with the job's code. Ctrl-C leaves the job running.
    """
    from benchmark.commands import submitting

    if follow is not None:
        raise typer.Exit(submitting.resume(follow, address))
    if config is None:
        raise UsageError("name the CONFIG to run, or a job with --follow JOB")
    raise typer.Exit(
        submitting.submit(
            config,
            address=address,
            out=out,
            changes=overrides or [],
            plugins=plugin or [],
            runtime_env=runtime_env,
            detach=detach,
        )
    )


@app.command()
def plan(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="The grid, a YAML file.")
    ] = None,
    out: Out = None,
    overrides: Overrides = None,
    plugin: Plugins = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    measure: Annotated[
        bool, typer.Option(help="Measure a few steps of cells that have no records.")
    ] = True,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Plan the number of seeds instead; what follows is its.")
    ] = False,
    effect: Annotated[
        float | None, typer.Option(help="The accuracy difference to show. [default: 0.005]")
    ] = None,
    power: Annotated[
        float | None, typer.Option(help="How surely to show it. [default: 0.8]")
    ] = None,
    records: Records = None,
    sd: Annotated[
        float | None, typer.Option(help="Assume this sd of paired differences, without a pilot.")
    ] = None,
    pair: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="The claim: A beats B.")
    ] = None,
    family: Family = None,
) -> None:
    """Say what a grid holds, what is done, and what the rest costs.

    With --seeds: how many seeds show a difference, from the records of a pilot (of CONFIG, or
    --records) or from an assumed spread (--sd), and what the seeds at hand could have shown.
    """
    from benchmark.commands import running

    changes = running.overrides(overrides, executor, None, workers, device)
    asked: dict[str, Any] = {
        "effect": effect,
        "power": power,
        "records": records,
        "sd": sd,
        "pair": pair,
    }
    if seeds:
        from benchmark.commands import seeding

        seeding.plan_seeds(
            config, out, changes, plugin or [], family=family, as_json=as_json, **asked
        )
        return
    for option, value in {**asked, "family": family}.items():
        if value is not None:
            raise UsageError(f"--{option} belongs to plan --seeds")
    if config is None:
        raise UsageError("name the CONFIG to plan, or plan a number of seeds with --seeds")
    from benchmark.commands import planning

    planning.plan(config, out, changes, plugin or [], as_json=as_json, measure=measure)


@app.command()
def status(
    folder: Folder,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every few seconds until the run ends.")
    ] = False,
) -> None:
    """Show how far a grid is, what runs where, what failed and why."""
    from benchmark.commands import watching

    raise typer.Exit(watching.watch(folder) if watch else watching.status(folder))


@app.command()
def logs(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="A trial's id, or the beginning of it.")
    ],
    records: Annotated[str, typer.Option("--records", metavar="DIR", help="A results folder.")],
) -> None:
    """Show what a trial that failed, or was tried again, printed and raised."""
    from benchmark.commands import watching

    watching.logs(trial, records)


@app.command()
def board(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Results folders, boards or tidy tables (.csv)."),
    ],
    out: Annotated[
        str | None, typer.Option(help="Where to write the board. [default: the folder itself]")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only see that each board is what its records give."),
    ] = False,
    diff: Annotated[
        bool,
        typer.Option("--diff", help="Only say, in markdown, what changed from OLD to NEW."),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="The board's name. [default: its grid's]")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="What all are compared with. [default: the grid's]")
    ] = None,
    family: Family = None,
) -> None:
    """Write the leaderboard of one or more results folders.

    \b
      initbench board results/mine --out leaderboard/mine   publish it
      initbench board --check leaderboard                   see that nobody edited it
      initbench board --diff leaderboard/mine results/mine  what would change

    A board is a function of its records alone: --check builds it anew and fails, with exit code
    1, on a byte's difference. A folder called leaderboard keeps an index of its boards.
    """
    from benchmark.commands import boards

    settings: dict[str, Any] = {"name": name, "baseline": baseline, "family": family}
    if check or diff:
        given = {"out": out, **settings, **({"diff": diff} if check else {})}
        for option, value in given.items():
            if value:
                raise UsageError(f"--{option} does not go with {'--check' if check else '--diff'}")
    if check:
        raise typer.Exit(boards.check_boards(sources))
    if diff:
        boards.show_diff(sources)
    else:
        boards.board(sources, out, **settings)


@app.command()
def compare(
    treatment: Annotated[
        str | None, typer.Argument(metavar="A", help="The treatment, as in orthogonal+pa.")
    ] = None,
    reference: Annotated[
        str | None, typer.Argument(metavar="B", help="What it is compared with.")
    ] = None,
    records: Records = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON.")] = False,
    baseline: Annotated[
        str | None, typer.Option(help="B where none is named. [default: the grid's, else timm]")
    ] = None,
    family: Family = None,
    margin: Annotated[
        float | None, typer.Option(help="Change of the error that is none. [default: 0.05]")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Accuracy difference to plan for. [default: 0.005]")
    ] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Leave out cells in which A has no runs.")
    ] = False,
) -> None:
    """Compare treatment A with B, seed by seed, on one page.

    Without A and B, --json prints the analysis of every treatment against the baseline.
    """
    from benchmark.commands import comparing

    comparing.compare(
        treatment,
        reference,
        records or [],
        baseline=baseline,
        family=family,
        margin=margin,
        target=target,
        common=common,
        as_json=as_json,
    )


@app.command()
def cite(
    folder: Annotated[str, typer.Argument(metavar="BOARD", help="A board or a results folder.")],
    treatment: Annotated[
        str | None, typer.Argument(metavar="A", help="What is cited. [default: the first]")
    ] = None,
    reference: Annotated[
        str | None, typer.Argument(metavar="B", help="Against what. [default: the baseline]")
    ] = None,
) -> None:
    """Print a claim that can be traced: sentence, table rows, BibTeX and hash of the evidence."""
    from benchmark.commands import citing

    citing.cite(folder, treatment, reference)


@app.command()
def export(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A results folder or a board.")],
    form: Annotated[
        Literal["csv", "parquet", "latex"],
        typer.Option("--format", help="The trials as CSV or Parquet, the ranking as LaTeX."),
    ] = "csv",
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where to. [default: standard output]")
    ] = None,
) -> None:
    """Print every trial as a table for other programs, or the ranking as one for LaTeX."""
    from benchmark.commands import boards

    boards.export(folder, form, out)


@app.command()
def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="DIR...", help="Results folders or boards.")
    ],
    into: Annotated[str, typer.Option(metavar="DIR", help="The folder that gets the records.")],
    baseline: Annotated[
        str | None, typer.Option(help="Settle which treatment is the baseline.")
    ] = None,
    family: Annotated[
        int | None, typer.Option(min=1, help="Settle how many comparisons verdicts allow for.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be refused.")
    ] = False,
) -> None:
    """Examine others' records and merge what can be believed.

    Nothing of them is run. Exit code 1: a record was refused, and the rest was merged.
    """
    from benchmark.commands import merging

    raise typer.Exit(
        merging.merge(sources, into, baseline=baseline, family=family, dry_run=dry_run)
    )


@app.command()
def reproduce(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="A trial's id, or the beginning of it.")
    ],
    records: Annotated[
        str, typer.Option("--records", metavar="DIR", help="Results folder or board.")
    ],
    plugin: Plugins = None,
    device: Device = None,
    data_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of downloaded data sets.")
    ] = None,
) -> None:
    """Run one trial again and say whether it comes out the same.

    Exit code 0: the same accuracy; 1: another one, or another end.
    """
    from benchmark.commands import reproducing

    raise typer.Exit(
        reproducing.reproduce(
            trial, records, plugins=plugin or [], device=device or "auto", data_dir=data_dir
        )
    )


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
        typer.Argument(help="What to list."),
    ],
    pattern: Annotated[str, typer.Argument(help="Only names that match, as in 'test_*'.")] = "*",
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


def main() -> None:
    """Run the command line; errors for people end with their message and exit code."""
    try:
        app()
    except UsageError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(WRONG_USE)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
