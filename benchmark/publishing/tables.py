"""Tables of text, and their markdown: aligned pipes around cells that are already text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tabulate import tabulate

_ALIGNMENTS = {"l": "left", "r": "right", "c": "center"}


@dataclass(frozen=True)
class Table:
    """Headers and rows of text; `align` has l, r or c for each column."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str

    def markdown(self) -> str:
        """Return a pipe table; names in the cells have been through `md`."""
        return table(self.headers, self.rows, self.align)


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
