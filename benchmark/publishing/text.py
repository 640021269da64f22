"""Numbers and names as readers see them, in markdown, in the terminal and on the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

Escape = Callable[[object], str]
"""How names enter a text: `md` for markdown, `plain` where something else escapes."""

NOTHING = "–"
MINUS = "−"
MOST_PERCENT = 1e9
"""From here on a relative change is said to be unbounded."""
LEAST_PERCENT = -99.99
"""The furthest that a relative change is shown to go: an error cannot become less by 100 %."""

_UNBOUNDED = "unbounded"
_MARKUP = re.compile(r"[\\`*<>\[\]~$|]|&(?=[#\w])|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)")
_LINK = re.compile(r"\bwww\.|@", re.IGNORECASE)
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", ":": "&#58;", "@": "&#64;"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/]+[^\s\\/'\",:;()]+)+[\\/]+([^\s\\/'\",:;()]+)")


def plain(text: object) -> str:
    """Return a name on one line: control characters and line ends become spaces."""
    return _CONTROL.sub(" ", str(text)).encode("utf-8", "replace").decode().strip()


def md(text: object) -> str:
    """Escape a name for markdown, table cells included, so that it is read as it is written."""
    escaped = _MARKUP.sub(lambda m: _ENTITIES.get(m[0], "\\" + m[0]), plain(text))
    return _LINK.sub(lambda m: m[0].replace(".", "&#46;").replace("@", "&#64;"), escaped)


def shortened(text: object, most: int = 48) -> str:
    """Return a name of at most `most` characters, its middle left out."""
    name = plain(text)
    if len(name) <= most:
        return name
    head = (most - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def last_line(message: str, most: int = 160) -> str:
    """Return what a message ends with, folders left out: the reader has others."""
    lines = [plain(line) for line in message.strip().splitlines() if line.strip()]
    return shortened(_PATH.sub(r"\1", lines[-1]), most) if lines else ""


def number(value: float | None, digits: int = 2) -> str:
    """Return a plain decimal number with a true minus sign."""
    if value is None:
        return NOTHING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """Return a number with its sign, + included; nothing but zero stays without."""
    text = number(value, digits)
    return text if value is None or text[0] == MINUS or not float(text) else "+" + text


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share as a number of percent, without the sign."""
    return number(None if share is None else 100 * share, digits)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return [low, high], each with its sign."""
    if low is None or high is None:
        return NOTHING
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def change(value: float | None) -> str:
    """Return a relative change in percent with as many digits as make sense."""
    if value is None:
        return NOTHING
    return _change(value, change_digits(value))


def change_interval(low: float | None, high: float | None) -> str:
    """Return the interval of a relative change in percent, both ends with the same digits."""
    if low is None or high is None:
        return NOTHING
    digits = change_digits(low, high)
    return f"[{_change(low, digits)}, {_change(high, digits)}]"


def change_digits(*percents: float) -> int:
    """Return how many decimals changes that stand together have, once they are rounded to them.

    One, or none from 100 % on, but two where a reduction would read as one by 100 %.
    """
    digits = 1 if max(round(percent, 1) for percent in percents) < 100 else 0
    reads_as_all = any(round(max(each, LEAST_PERCENT), digits) == -100 for each in percents)
    return 2 if reads_as_all else digits


def _change(percent: float, digits: int) -> str:
    if round(percent, 0) >= MOST_PERCENT:
        return _UNBOUNDED
    return signed(max(percent, LEAST_PERCENT), digits)


def p_value(p: float | None) -> str:
    """Return a p value with two significant digits, from .001 on; never .05 or 1 for one beside it.

    Beside .05 it has as many digits as tell on which side it is.
    """
    if p is None:
        return NOTHING
    if p < 0.001:
        return "< 0.001"
    if p >= 0.995:
        return "1" if p == 1 else "> 0.99"
    digits = 3 if round(p, 3) < 0.1 else 2
    while p != 0.05 and round(p, digits) == 0.05:
        digits += 1
    return f"{p:.{digits}f}"


def share(k: int, n: int) -> str:
    """Return k/n."""
    return f"{k:,}/{n:,}"


def cells_by_pairs(pairs: Sequence[int]) -> str:
    """Return "4 × 10", or "4 × 8–10" where cells have unlike numbers of pairs."""
    least, most = min(pairs), max(pairs)
    return f"{len(pairs)} × {least}" + (f"–{most}" if most > least else "")


def significant(value: float | None, digits: int = 2) -> str:
    """Return a positive number with so many significant digits, thousands set apart."""
    if value is None or value != value:
        return NOTHING
    if value == 0:
        return "0"
    exponent = int(f"{abs(value):e}".partition("e")[2])
    if exponent < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return "a, b and c", and beyond `most` names how many more there are."""
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def hours(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds >= 3600:
        return f"{significant(seconds / 3600, 3)} hours"
    if seconds >= 60:
        return f"{significant(seconds / 60, 3)} minutes"
    return f"{significant(seconds, 3)} seconds"


def slug(text: str, taken: Sequence[str] = ()) -> str:
    """Return a file name made of a name, unlike those taken."""
    base = re.sub(r"[^a-z0-9]+", "-", plain(text).lower())[:60].strip("-") or "unnamed"
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    return name
