"""Commands that train a grid: what it costs, its run, how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.options import (
    Address,
    Config,
    Device,
    ExecutorName,
    Family,
    Folder,
    Out,
    Overrides,
    Plugins,
    Records,
    Workers,
)
from benchmark.errors import UsageError

app = typer.Typer()


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
        typer.Option(
            metavar="STATUS",
            help="Run trials again that ended so too, e.g. error; repeatable. [default: lost]",
        ),
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
