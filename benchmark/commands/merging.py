"""`initbench merge`: others' records into a results folder, record by record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmark.errors import FAILED, UsageError
from benchmark.publishing.text import listed, plain
from benchmark.wording import counted

if TYPE_CHECKING:
    from benchmark.results.merge import Merge, Offer, Refusal

Manifest = dict[str, Any]


def merge(
    sources: Sequence[str],
    into: str,
    *,
    baseline: str | None = None,
    family: int | None = None,
    dry_run: bool = False,
) -> int:
    """Merge the records of folders into another, and say what was refused and why.

    The manifests must agree; `baseline` settles what they may disagree about. Families keep the
    sizes that they have in the target, else in the first folder that has them; `family` is that of
    the verdicts instead. Returns 1 if a record was refused. With `dry_run` nothing is written.
    """
    from benchmark.results.merge import read_offer, reconcile
    from benchmark.results.store import open_store, read_store

    _check(sources, into)
    offers = [read_offer(source) for source in sources]
    settings = {"baseline": baseline, "family": family}
    # What the manifests disagree about is found before the target is touched.
    refused = [refusal for offer in offers for refusal in offer.refused]
    writes = _unite(into, offers, refused, settings)[1] is not None and not dry_run
    expected = sum(len(offer.lines) for offer in offers)
    opened = open_store(into, expected) if writes else contextlib.nullcontext(read_store(into))
    with opened as store:
        found = reconcile(offers, store.records)
        before, after = _unite(into, offers, found.refused, settings)
        if writes and after is not None:
            store.write_manifest(after)
            store.append(*found.accepted)
    _report(found, before, after, into, dry_run)
    return FAILED if found.refused else 0


def _check(sources: Sequence[str], into: str) -> None:
    from benchmark.publishing.table_source import is_table
    from benchmark.results.frame import COMPRESSED_RECORDS, read_file
    from benchmark.results.lines import RECORDS

    places = [os.path.realpath(source) for source in sources]
    for source, place in zip(sources, places, strict=True):
        if is_table(source):
            raise UsageError(
                f"{source} is a table, which has no records to examine; a board takes it as it is:"
                f" initbench board DIR {source} --out BOARD"
            )
        if place == os.path.realpath(into):
            raise UsageError(f"{source} cannot be merged into itself; name another folder")
        if places.count(place) > 1:
            raise UsageError(f"{source} is named twice")
    packed = read_file(into, COMPRESSED_RECORDS) is not None
    if packed and read_file(into, RECORDS) is None:
        raise UsageError(
            f"{into} is a board, which is made of records and takes none; merge it with the others"
            " into a new folder"
        )


def _unite(
    into: str, offers: Sequence[Offer], refused: Sequence[Refusal], settings: dict[str, Any]
) -> tuple[Manifest | None, Manifest | None]:
    """The target's manifest, if it has one, and that of all without what was refused.

    The latter is None where nothing is left. Raises UsageError where the manifests disagree.
    """
    from benchmark.publishing.manifests import merge_manifests
    from benchmark.results.frame import read_file
    from benchmark.results.lines import MANIFEST
    from benchmark.results.merge import read_manifest, without

    before = read_manifest(into) if read_file(into, MANIFEST) is not None else None
    named = {into: before} if before else {}
    for offer in offers:
        own = {refusal.trial for refusal in refused if refusal.source == offer.source}
        if (left := without(offer.manifest, own))["trials"]:
            named[offer.source] = left
    if not named:
        return None, None
    overrides = {key: value for key, value in settings.items() if value is not None}
    overrides["name"] = before["name"] if before else os.path.basename(into.rstrip("/"))
    return before, merge_manifests(list(named.values()), list(named), overrides)


def _report(
    found: Merge, before: Manifest | None, after: Manifest | None, into: str, dry_run: bool
) -> None:
    console = Console(highlight=False, markup=False)
    for refusal in found.refused:
        where = f"{plain(refusal.source)}, line {refusal.line}"
        trial = f", trial {plain(refusal.trial)[:40]}" if refusal.trial else ""
        console.print(f"refused: {where}{trial}: {plain(refusal.why)[:500]}", style="yellow")
    new = len(found.accepted) - found.replacing
    would = "would be " if dry_run else ""
    console.print(f"{counted(new, 'record')} {would}added to {into}.")
    for count, what in (
        (found.replacing, "added for trials that had no result"),
        (found.duplicates, "there already"),
        (found.again, "of trials that have their result already"),
        (found.undeclared, "left out: the manifest beside them does not declare their trials"),
        (len(found.refused), "refused"),
    ):
        if count:
            console.print(f"{counted(count, 'record')} {what}.")
    if before and after:
        _report_growth(console, before, after)
    if found.accepted and not dry_run:
        console.print(f"Its board, written anew: initbench board {into}")


def _report_growth(console: Console, before: Manifest, after: Manifest) -> None:
    """Say what the target's grid has gained: a new cell is one that the old treatments lack."""

    def cells(manifest: Manifest) -> list[str]:
        keys = ("dataset", "architecture", "recipe")
        return [plain(" / ".join(cell[key] for key in keys)) for cell in manifest["cells"]]

    def treatments(manifest: Manifest) -> list[str]:
        return [plain(each["treatment"]) for each in manifest["treatments"]]

    if new := [name for name in treatments(after) if name not in set(treatments(before))]:
        console.print(f"New treatments: {listed(new)}.")
    if new := [name for name in cells(after) if name not in set(cells(before))]:
        console.print(
            f"New cells: {listed(new, most=3)}. A treatment without three pairs of runs there is"
            " no longer ranked."
        )
