"""Commands that read records: boards, comparisons, exchange with others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from benchmark.cli.options import (
    Device,
    Family,
    Plugins,
    Records,
)
from benchmark.errors import UsageError

app = typer.Typer()


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
