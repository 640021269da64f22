"""Words that go with numbers, wherever something is said of them."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Return "1 cell", "4 cells"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
