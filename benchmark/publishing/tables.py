"""Markdown tables: aligned pipes around cells that are already text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

LEFT, RIGHT, CENTRE = "left", "right", "center"
_ALIGNMENTS = {"l": LEFT, "r": RIGHT, "c": CENTRE}


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Return a pipe table; `align` has l, r or c for each column.

    Cells are markdown: names in them go through `md` first. Numbers come as text, so that what is
    printed is what was rounded.
    """
    return tabulate(
        [list(row) for row in rows],
        list(headers),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=[_ALIGNMENTS[letter] for letter in align],
        preserve_whitespace=False,
    )
