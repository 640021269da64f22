"""The commands of `initbench`, and nothing else."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from benchmark.cli import methods, results, training
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

Exit codes: 0 all is well, 1 it ran but some trials failed, 2 wrong use, 130
stopped by Ctrl-C, 143 by SIGTERM.""",
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
        app()
    except UsageError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(WRONG_USE)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_at_once() -> None:
    """Let the interpreter not look for garbage among what ends with it: that takes half a second.

    triton counts what is left, and would complain.
    """
    if "triton" not in sys.modules:
        gc.freeze()
