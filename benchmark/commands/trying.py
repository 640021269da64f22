"""`initbench try`: from a plugin to a first verdict, on three small networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from benchmark import plugins
from benchmark.commands import running
from benchmark.commands.checking import examine
from benchmark.errors import UsageError
from benchmark.testing import Found, find
from benchmark.treatment import parse_treatment

if TYPE_CHECKING:
    from benchmark.config import GridConfig

DATASET = "digits"
ARCHITECTURES = ("test_resnet", "test_vit(depth=3, patch_size=2)", "plain_cnn")
"""Small networks that differ in what corrects the signal: batch norm, layer norm, nothing."""
RECIPE = "digits_quick"
SEEDS = 6


def changes(
    executor: str | None, workers: int | None, device: str | None
) -> dict[str, str | int | None]:
    """Return what the command line says of where to train."""
    given = {"executor": executor, "workers": workers, "device": device}
    return {key: value for key, value in given.items() if value is not None}


def try_plugin(
    target: str,
    against: str,
    out: str | None,
    loaded: Sequence[str],
    execution: dict[str, str | int | None],
) -> int:
    """Check the methods of a plugin, train them on small networks, print the comparisons.

    Returns 1 if a check or a trial failed. Raises UsageError where there is no treatment to try.
    """
    plugins.load_plugins(loaded)
    found = find(target)
    arms = _arms(found, target, against)
    console = Console()
    if failed := examine(found, console):
        console.print("Nothing was trained: mend the plugin first.", highlight=False)
        return failed
    config = grid(found[0][1], arms, against, execution)
    folder = running.results_folder(config, out)
    code = running.run_config(config, folder, ())
    if code in (0, 1):
        _compare(arms, against, folder, console)
    return code


def grid(
    name: str, arms: Sequence[str], against: str, execution: dict[str, str | int | None]
) -> GridConfig:
    """Return the grid that compares treatments with one on three small networks."""
    from benchmark.config import GridConfig
    from benchmark.recipes import look_up
    from benchmark.spelling import parse_call

    return GridConfig.model_validate(
        {
            "name": f"try-{parse_call(name).name}",
            "grid": {
                "datasets": [DATASET],
                "architectures": list(ARCHITECTURES),
                "treatments": [against, *arms],
                "seeds": SEEDS,
            },
            "baseline": against,
            "recipes": {RECIPE: look_up(RECIPE).model_dump(mode="json", exclude_defaults=True)},
            "execution": execution,
        }
    )


def _arms(found: Sequence[Found], target: str, against: str) -> list[str]:
    """Return the treatments to try: initializers, and rewirings of the one compared with."""
    reference = parse_treatment(against)
    arms = [text for registry, text in found if registry is plugins.initializers]
    arms += [
        f"{reference.initializer}+{text}"
        for registry, text in found
        if registry is plugins.rewirings
    ]
    arms = [arm for arm in arms if parse_treatment(arm) != reference]
    if not arms:
        raise UsageError(
            f"{target} has no initializer or rewiring to compare with {against}; 'initbench check'"
            " is for the other kinds"
        )
    return arms


def _compare(arms: Sequence[str], against: str, folder: str, console: Console) -> None:
    from benchmark.commands.comparing import compare

    for arm in arms:
        console.print()
        try:
            compare(arm, against, [folder], baseline=None, family=None, margin=None, target=None)
        except UsageError as error:
            # Where nothing can be compared, the records and the board are there all the same.
            console.print(f"{arm}: {error}", highlight=False)
    console.print(
        f"A first look, on three small networks: initbench compare A B --records {folder} shows it"
        " again; a grid of your own is worth more.",
        highlight=False,
    )
