"""Names stay what they are in markdown, and numbers read as they were rounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    change,
    change_interval,
    hours,
    last_line,
    listed,
    md,
    number,
    p_value,
    percent,
    plain,
    shortened,
    signed,
    significant,
    slug,
)
from tests.publishing.conftest import NASTY

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False, "html": True}).enable("table")


def cells_of(markdown: str) -> list[str]:
    """Return the text of every cell of the tables in a piece of markdown."""
    cells = []
    tokens = MARKDOWN.parse(markdown)
    for index, token in enumerate(tokens):
        if token.type in ("td_open", "th_open"):
            children = tokens[index + 1].children or []
            kinds = {child.type for child in children}
            assert kinds <= {"text", "text_special"}, kinds
            cells.append("".join(child.content for child in children))
    return cells


@pytest.mark.parametrize("name", NASTY)
def test_a_name_that_is_markup_is_the_text_of_its_cell(name: str) -> None:
    rendered = cells_of(table(("name", "other"), [(md(name), "x")], "ll"))
    assert rendered == ["name", "other", plain(name), "x"]


@given(st.text(alphabet="ab_*`|<>&[]()!\\~$:/.@#+- \t\n={}'\"1", max_size=24))
def test_any_name_is_the_text_of_its_cell(name: str) -> None:
    rendered = cells_of(table(("name", "other"), [(md(name) or "-", "x")], "ll"))
    assert [" ".join(cell.split()) for cell in rendered[2:]] == [
        " ".join(plain(name).split()) or "-",
        "x",
    ]


def test_plain_names_stay_readable_in_the_source() -> None:
    for name in ("orthogonal+pa", "kaiming_normal", "plain_cnn(depth=2, width=1.5)"):
        assert md(name) == name


@pytest.mark.parametrize("name", ["https://evil.example", "www.evil.example", "me@evil.example"])
def test_a_name_never_becomes_a_link_on_a_code_host(name: str) -> None:
    assert "://" not in md(name)
    assert "www." not in md(name)
    assert "@" not in md(name)


def test_directions_and_line_ends_in_names_do_not_reach_the_reader() -> None:
    assert plain("safe\u202etxt.exe\nnext\x1b[31m") == "safe txt.exe next [31m"


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert number(-1.239) == "−1.24"
    assert number(-0.001) == "0.00"
    assert signed(0.004) == "0.00"
    assert signed(1.5) == "+1.50"
    assert percent(0.5) == "50.00"
    assert number(None) == percent(None) == signed(None) == "–"


def test_changes_have_one_digit_until_they_are_large() -> None:
    assert change(-14.36) == "−14.4"
    assert change(150.4) == "+150"
    assert change_interval(-14.36, 3.2) == "[−14.4, +3.2]"
    assert change_interval(-81.4, 111.2) == "[−81, +111]"
    assert change(1e9) == "unbounded"
    assert change_interval(-85.4, 1e12) == "[−85, unbounded]"


def test_no_reduction_reads_as_one_by_100_percent() -> None:
    assert change(-99.94) == "−99.9"
    assert change(-99.96) == "−99.96"
    assert change(-99.9999) == change(-100.0) == "−99.99"
    assert change_interval(-99.7, 171.3) == "[−99.70, +171.30]"
    assert change_interval(-99.4, 171.3) == "[−99, +171]"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        *((0.0004, "< 0.001"), (0.00123, "0.001"), (0.0496, "0.0496"), (0.05, "0.050")),
        *((0.0504, "0.0504"), (0.0512, "0.051"), (0.26, "0.26"), (1.0, "1")),
        *((0.04996, "0.04996"), (0.0500001, "0.0500001"), (0.0999, "0.10"), (0.0994, "0.099")),
        *((0.994, "0.99"), (0.996, "> 0.99"), (0.99999, "> 0.99")),
    ],
)
def test_p_values(p: float, text: str) -> None:
    assert p_value(p) == text


def test_significant_digits_and_durations() -> None:
    assert [significant(x) for x in (0.00123, 1.26, 12345.0, 0.0)] == [
        "0.0012",
        "1.3",
        "12,345",
        "0",
    ]
    assert [hours(x) for x in (7200, 90, 1.5)] == ["2.00 hours", "1.50 minutes", "1.50 seconds"]


def test_lists_and_short_names() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh"), most=4) == "a, b, c and 5 more"
    long = "initializer_with_a_very_long_name(parameter=1.0, other=2.0)+pa"
    assert len(shortened(long, 30)) == 30
    assert shortened(long, 30).endswith("+pa")


def test_the_last_line_of_a_message_names_no_folder() -> None:
    message = (
        'Traceback:\n  File "/home/me/x.py"\nOSError: cannot open /home/me/data/train.npz: gone\n'
    )
    assert last_line(message) == "OSError: cannot open train.npz: gone"
    assert last_line(r"OSError: C:\Users\me\data.npz is locked") == "OSError: data.npz is locked"


def test_file_names_are_safe_and_unlike() -> None:
    assert slug("../Fashion MNIST") == "fashion-mnist"
    assert slug("a/b", ["a-b"]) == "a-b-2"
    assert slug("…") == "unnamed"
