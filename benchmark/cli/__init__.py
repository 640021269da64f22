"""The commands of `initbench`, and nothing else."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from benchmark.cli import methods, results, training
from benchmark.errors import (
    FAILED,
    INTERRUPTED,
    UNREAD,
    WRONG_USE,
    RunError,
    UsageError,
    pydantic_message,
)
from benchmark.version import __version__


class StoppedError(Exception):
    """Ctrl-C, under a name by which typer lets it through."""


class Commands(TyperGroup):
    """The commands, with what typer would say in other words when they end early."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; raises BadParameter without pydantic's words, StoppedError on Ctrl-C."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = pydantic_message(error.message)
            raise
        except KeyboardInterrupt as error:
            raise StoppedError from error


app = typer.Typer(
    name="initbench",
    cls=Commands,
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

Exit codes: 0 all is well, 1 it ran but some trials failed, 2 wrong use, 130
stopped by Ctrl-C, 143 by SIGTERM, 141 nobody reads on (as after | head).""",
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"initbench {__version__}")
        raise typer.Exit


for group in (training, results, methods):
    app.add_typer(group.app)


def main() -> None:
    """Run the command line; errors for people end with their message and exit code."""
    atexit.register(_end_at_once)
    try:
        _run()
    except (BrokenPipeError, SystemExit) as error:
        # typer and rich make an exit with code 1 of it, which here says that trials failed.
        if BrokenPipeError not in (type(error), type(error.__context__)):
            raise
        _give_up_output()
        sys.exit(UNREAD)


def _run() -> None:
    try:
        app()
    except UsageError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(WRONG_USE)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(FAILED)
    except (KeyboardInterrupt, StoppedError):
        typer.echo("Stopped.", err=True)
        sys.exit(INTERRUPTED)
    finally:
        sys.stdout.flush()


def _give_up_output() -> None:
    """Send what is still to be written nowhere, so that Python does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _end_at_once() -> None:
    """Let the interpreter not look for garbage among what ends with it: that takes half a second.

    triton counts what is left, and would complain.
    """
    if "triton" not in sys.modules:
        gc.freeze()
