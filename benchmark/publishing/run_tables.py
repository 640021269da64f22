"""Failures, early training, what was run and on what: the rest of a board's tables."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.publishing.cell_tables import ranked_order
from benchmark.publishing.evidence import CELL, as_list
from benchmark.publishing.findings import TARGET_SHARE, Findings
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    NOTHING,
    change,
    change_interval,
    hours,
    last_line,
    listed,
    md,
    number,
    p_value,
    percent,
    share,
    significant,
)
from benchmark.statistics.results import Analysis, Headline
from benchmark.statistics.variance import data_order
from benchmark.wording import counted

_MESSAGES = 12


def failure_table(findings: Findings) -> str:
    """Return how often training diverged, and whether more than the baseline's, in markdown."""
    failures = findings.failures()
    some = any(row.diverges_more for row in failures.values())
    rows = [
        (
            md(name),
            share(row.k, row.n),
            f"[{percent(row.wilson_low, 1)}, {percent(row.wilson_high, 1)}]" if row.n else NOTHING,
            NOTHING if row.only_treatment is None else str(row.only_treatment),
            NOTHING if row.only_baseline is None else str(row.only_baseline),
            p_value(row.p),
            *(("**diverges more**" if row.diverges_more else NOTHING,) if some else ()),
        )
        for name in ranked_order(findings)
        if (row := failures.get(name))
    ]
    headers = (
        "Treatment",
        "Diverged, k/n",
        "95 % interval (Wilson), %",
        "Pairs where it alone diverged",
        "Pairs where the baseline alone did",
        "p (exact McNemar)",
        *(("Verdict",) if some else ()),
    )
    return table(headers, rows, "lrrrrr" + "l" * some)


def message_table(findings: Findings) -> str:
    """Return what failed runs said, the most frequent first; empty if none failed."""
    frame = findings.evidence.frame[["status", "message", "treatment"]]
    bad = frame[frame["status"] != "ok"]
    said = zip(bad["status"], map(last_line, bad["message"]), bad["treatment"], strict=True)
    counts: Counter[tuple[str, str]] = Counter()
    treatments: dict[tuple[str, str], set[str]] = {}
    for status, message, treatment in said:
        counts[status, message] += 1
        treatments.setdefault((status, message), set()).add(treatment)
    rows = [
        (
            md(key[0].replace("_", " ")),
            str(n),
            listed(map(md, sorted(treatments[key])), most=4),
            md(key[1]) or NOTHING,
        )
        for key, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MESSAGES]
    ]
    return table(("Status", "Runs", "Treatments", "Said"), rows, "lrll") if rows else ""


def early_table(findings: Findings) -> str:
    """Return the three measures of early training against the baseline, in markdown."""
    early = findings.early
    if early is None or not (early.epoch1 or early.area or early.epochs):
        return ""
    epoch1, area = _by_treatment(early.epoch1), _by_treatment(early.area)
    races = findings.races()
    rows = []
    for name in ranked_order(findings):
        if name == findings.evidence.baseline or not (name in races or name in epoch1):
            continue
        race = races.get(name)
        rows.append(
            (
                md(name),
                *_headline(findings, epoch1.get(name)),
                *_headline(findings, area.get(name)),
                f"{race.overall.first_treatment} / {race.overall.first_baseline}"
                f" / {race.overall.ties}"
                if race
                else NOTHING,
                share(race.overall.reached_treatment, race.overall.n_pairs) if race else NOTHING,
                number(race.overall.median_ratio) if race else NOTHING,
                p_value(race.p_family) if race and race.verdict else NOTHING,
                (race.verdict or "not tested: a cell lacks pairs") if race else NOTHING,
            )
        )
    headers = (
        "Treatment",
        "Error after epoch 1, % [95 % interval]",
        "Verdict",
        "Mean error over epochs, % [95 % interval]",
        "Verdict",
        "Target first: it / baseline / tie, pairs",
        "Reached, k/n",
        "Epochs, × baseline",
        "p, family-wise",
        "Verdict",
    )
    return table(headers, rows, "lrlrlrrrrl") if rows else ""


def targets_sentence(findings: Findings) -> str:
    """Say what a cell's target is, and what it comes to."""
    targets = findings.targets or {}
    values = [percent(target, 1) for _, target in sorted(targets.items())]
    span = ""
    if values:
        ends = min(values, key=float), max(values, key=float)
        span = f" (here {ends[0]} %)" if ends[0] == ends[1] else f" (here {' to '.join(ends)} %)"
    return (
        f"A cell's target is {percent(TARGET_SHARE, 0)} % of the median validation accuracy that"
        f" the baseline's runs have at the last epoch{span}; a run that never gets there loses"
        " against one that does."
    )


def run_table(findings: Findings) -> str:
    """Return what was trained in every cell and what it took, in markdown."""
    evidence = findings.evidence
    declared = Counter(trial[1] for trial in evidence.manifest["trials"])
    columns = [*CELL, "status", "n_test", "seconds"]
    groups = dict(tuple(evidence.frame[columns].groupby(list(CELL), sort=True)))
    rows = []
    for index, cell in enumerate(evidence.cells):
        frame = groups.get(cell)
        counts = Counter() if frame is None else Counter(as_list(frame["status"]))
        epochs = evidence.manifest["cells"][index].get("recipe_content", {}).get("epochs")
        n_test = None if frame is None else frame["n_test"].max()
        rows.append(
            (
                *map(md, cell),
                NOTHING if epochs is None else md(epochs),
                NOTHING if n_test is None or n_test != n_test else f"{int(n_test):,}",
                share(counts["ok"], declared[index]),
                str(counts["diverged"]),
                str(sum(counts.values()) - counts["ok"] - counts["diverged"]),
                NOTHING if frame is None else hours(float(frame["seconds"].sum())),
            )
        )
    headers = (
        "Data set",
        "Architecture",
        "Recipe",
        "Epochs",
        "Test images",
        "Runs ok, k/n declared",
        "Diverged",
        "Other failures",
        "Compute",
    )
    return table(headers, rows, "lllrrrrrr")


def provenance_table(findings: Findings) -> str:
    """Return versions, devices and commits with how many records each has, in markdown."""
    kinds: dict[str, Counter[str]] = {}
    for provenance, n in findings.evidence.provenances:
        versions = provenance.get("versions")
        found = dict(versions) if isinstance(versions, dict) else {}
        found["device"] = provenance.get("device")
        found["system"] = provenance.get("host")
        found["commit"] = provenance.get("commit")
        for kind, value in found.items():
            if value is not None:
                kinds.setdefault(str(kind), Counter())[str(value)] += n
    rows = [
        (
            md(kind),
            listed(
                (
                    f"{md(value)} ({n:,})"
                    for value, n in sorted(values.items(), key=lambda v: (-v[1], v[0]))
                ),
                most=8,
            ),
        )
        for kind, values in kinds.items()
    ]
    return table(("What", "Version or kind (records)"), rows, "ll") if rows else ""


def variance_table(findings: Findings) -> str:
    """Return what the error varies with, in markdown; empty without a balanced block."""
    variance = findings.analysis.variance if findings.analysis else None
    if variance is None:
        return ""
    shares, df = variance.shares, variance.degrees_of_freedom
    of_noise = shares["residual"] / df["residual"]
    rows = [
        (
            name,
            percent(share_of, 1),
            NOTHING if name == "residual" else percent(of_noise * df[name], 1),
            str(df[name]),
        )
        for name, share_of in shares.items()
    ]
    headers = (
        "Source",
        "Share of the sum of squares of log error, %",
        "Without an effect, about, %",
        "df",
    )
    return table(headers, rows, "lrrr")


def data_order_notes(findings: Findings) -> list[str]:
    """Return, for recipes that differ in their data order alone, what it brings of the scatter."""
    if findings.trials is None:
        return []
    trials = findings.trials.on(findings.evidence.cells)
    notes = []
    for fixed, per_seed in _data_order_recipes(findings.evidence.manifest["cells"]):
        found = data_order(trials, fixed, per_seed)
        if found is None or found.share is None:
            continue
        brings = "no part" if found.share <= 0 else f"{percent(found.share, 0)} %"
        notes.append(
            f"The recipes {md(fixed)} and {md(per_seed)} differ in `data_seed` alone: the data"
            " order, split and augmentation that follow the seed in the latter bring"
            f" {brings} of its variance over seeds. The log error's variance over seeds is"
            f" {significant(found.fixed)} with one order for all seeds (df"
            f" {found.degrees_of_freedom_fixed:,}) and {significant(found.per_seed)} with one for"
            f" each (df {found.degrees_of_freedom_per_seed:,}), averaged over"
            f" {counted(found.arms, 'treatment')} in their cells."
        )
    return notes


def _data_order_recipes(cells: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The pairs of recipes alike in all but that a seed changes the weights alone in the first."""
    contents: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for cell in cells:
        where = str(cell["dataset"]), str(cell["architecture"])
        contents.setdefault(str(cell["recipe"]), {})[where] = cell.get("recipe_content", {})
    return [
        (fixed, per_seed)
        for fixed, per_seed in itertools.permutations(sorted(contents), 2)
        if (both := contents[fixed].keys() & contents[per_seed].keys())
        and all(
            "data_seed" not in contents[fixed][where]
            and contents[per_seed][where] == {**contents[fixed][where], "data_seed": "per_seed"}
            for where in both
        )
    ]


def total_seconds(findings: Findings) -> float:
    """Return the compute behind all records, failed ones included, in seconds."""
    return float(findings.evidence.frame["seconds"].sum())


def _by_treatment(analysis: Analysis | None) -> dict[str, Headline]:
    return {row.treatment: row for row in (analysis.ranking if analysis else ())}


def _headline(findings: Findings, headline: Headline | None) -> tuple[str, str]:
    if headline is None:
        return NOTHING, NOTHING
    inside = change_interval(headline.low_percent, headline.high_percent)
    return f"{change(headline.change_percent)} {inside}", findings.verdict(headline)
