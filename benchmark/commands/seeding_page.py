"""The page of a plan of seeds: 80 columns of a terminal."""

from __future__ import annotations

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.commands.seeding import SeedPlan
from benchmark.commands.sources import cell_labels
from benchmark.narrow import Name
from benchmark.publishing.cell_tables import in_points
from benchmark.publishing.text import NOTHING, listed, number, percent, plain, signed
from benchmark.statistics import Plan
from benchmark.statistics.planning import TIERS, detectable
from benchmark.wording import counted

CLIMBING = (
    "Choose the number of seeds before the run and test once: climbing from 5 to 10 to 30 with a"
    " test at each errs in 12.5 % of all cases instead of 5 %, a test after every seed from 3 to"
    " 30 in 26 %."
)


def page(found: SeedPlan) -> Group:
    """Return the plan for a console of 80 columns."""
    points = f"{percent(found.difference)} points"
    claim = f"show a difference of {points} of accuracy"
    if found.pair:
        first, second = plain(found.pilots[0].treatment), plain(found.pilots[0].baseline)
        claim = f"show that {first} beats {second} by {points} of accuracy"
    level = "0.05" if found.family == 1 else f"0.05/{found.family}"
    of = "" if found.family == 1 else f", one of {counted(found.family, 'comparison')}"
    parts: list[RenderableType] = [
        Text(f"How many seeds {claim}?", style="bold"),
        Text(f"Paired t-test, two-sided at {level}{of}; power {percent(found.power, 0)} %."),
    ]
    if found.assumed:
        parts.append(Text(f"Assumed sd of the paired difference: {percent(found.assumed.sd)}."))
    elif found.source:
        pilot = listed(map(plain, found.source.names))
        parts.append(Text(f"Pilot: {pilot}; differences in points of accuracy."))
        parts += [Text(), _pilot_table(found)]
    parts += [Text(), *map(Text, _totals(found)), Text(), _tier_table(found, points)]
    return Group(*parts, Text(), Text(CLIMBING))


def _pilot_table(found: SeedPlan) -> Table:
    """A row a cell for a pair, else a row a treatment; both with the mean over all cells."""
    table = _table("cell" if found.pair else "over all cells")
    labels = cell_labels([cell.cell for cell in found.pilots[0].per_cell])
    for heading in ("pairs", "difference", "sd", "shown\nby these", "seeds", "cautious"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pilot in found.pilots:
        cells = pilot.per_cell
        for cell in cells if found.pair else ():
            points = signed(in_points(cell.mean_difference))
            texts = str(cell.n_pairs), points, *_columns(cell.plan)
            table.add_row(Name(labels[cell.cell]), *map(Text, texts))
        means = [cell.mean_difference for cell in cells if cell.mean_difference is not None]
        mean = sum(means) / len(cells) if len(means) == len(cells) else None
        counts = sorted({cell.n_pairs for cell in cells})
        pairs = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        points = NOTHING if mean is None else signed(100 * mean)
        name = "mean over all cells" if found.pair else plain(pilot.treatment)
        texts = pairs, points, *_columns(pilot.over_cells)
        table.add_row(Name(name), *map(Text, texts))
    return table


def _columns(plan: Plan | None) -> tuple[str, ...]:
    if plan is None or plan.at_hand is None:
        return (NOTHING,) * 4
    shown = percent(plan.at_hand.detectable)
    return percent(plan.sd), shown, _seeds(plan.seeds), _seeds(plan.seeds_cautious)


def _totals(found: SeedPlan) -> list[str]:
    if found.assumed:
        return [f"It takes {_seeds(found.assumed.seeds)} seeds, if the sd is right."]
    cells, arms = len(found.pilots[0].per_cell), len(found.pilots) + 1

    def total(needed: list[int | None]) -> str:
        if any(each is None for each in needed):
            return "more than 1000 seeds"
        seeds = max(filter(None, needed))
        product = f"{seeds} seeds x {counted(cells, 'cell')} x {arms} treatments"
        return f"{product} = {seeds * cells * arms:,} trainings"

    over = [pilot.over_cells.seeds_cautious for pilot in found.pilots if pilot.over_cells]
    lone = [c.plan.seeds_cautious for pilot in found.pilots for c in pilot.per_cell if c.plan]
    lines = [f"For the mean over all cells: {total(over)}."] if over else []
    lines.append(f"For every cell alone: {total(lone)}.")
    if lacking := [plain(pilot.treatment) for pilot in found.pilots if not pilot.over_cells]:
        lines.append(f"Not planned, for want of 3 pairs in some cell: {listed(lacking)}.")
    return [
        *lines,
        "Both take the cautious sd, its upper 80 % limit: a small pilot knows it badly. More seeds"
        " never widen a claim to other data sets or architectures.",
    ]


def _tier_table(found: SeedPlan, points: str) -> Table:
    """What 5, 10 and 30 seeds can show: in sds, and over all cells in points."""
    plan = found.hardest
    where = "shown,\npoints" if found.assumed else "shown over all\ncells, points"
    headings = (where, f"power for\n{points}") if plan else ()
    table = _table("seeds", justify="right")
    for heading in ("shown,\nsds (d_z)", *headings):
        table.add_column(heading, justify="right", no_wrap=True)
    for at, seeds in enumerate(TIERS):
        d_z = float(detectable(seeds, 1.0, found.alpha, found.power))
        texts = [str(seeds), number(d_z, 3)]
        if plan:
            tier = plan.tiers[at]
            texts += [percent(tier.detectable), f"{percent(tier.power, 0)} %"]
        table.add_row(*map(Text, texts))
    return table


def _table(first: str, justify: JustifyMethod = "left") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, justify=justify)
    return table


def _seeds(needed: int | None) -> str:
    return "> 1000" if needed is None else str(needed)
