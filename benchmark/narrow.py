"""Names in the tables of a terminal: a narrow column breaks them between their words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

_WORDS = re.compile(r"(?<=[ +,/])")
_SYLLABLES = re.compile(r"(?<=[_(=-])|(?<=\.)(?=\D)")


@dataclass(frozen=True)
class Name:
    """A name such as `test_vit(depth=4, patch_size=4)`, as rich draws it in a column.

    A word wider than the column is broken behind its signs, and anywhere only where that does not
    do either.
    """

    text: str

    def lines(self, width: int) -> list[str]:
        """Return the name in lines of at most `width`, where its words allow it."""
        lines = [""]
        for word in filter(None, _WORDS.split(self.text)):
            for piece in _SYLLABLES.split(word) if len(word.rstrip()) > width else [word]:
                if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
                    lines.append("")
                lines[-1] += piece
        return [line.strip() for line in lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text("\n".join(self.lines(options.max_width)))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = max(map(len, self.lines(1)))
        return Measurement(widest, max(widest, len(self.text))).with_maximum(options.max_width)
