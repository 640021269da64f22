"""Names in narrow columns."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from benchmark.narrow import Name

VIT = "digits / test_vit(depth=4, patch_size=4) / default"


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        (VIT, 50, [VIT]),
        (VIT, 30, ["digits / test_vit(depth=4,", "patch_size=4) / default"]),
        (VIT, 38, ["digits / test_vit(depth=4,", "patch_size=4) / default"]),
        ("orthogonal+shuffle", 13, ["orthogonal+", "shuffle"]),
        ("blocks.0.attn.qkv", 10, ["blocks.0.", "attn.qkv"]),
        ("pa(offset=0.25)", 8, ["pa(", "offset=", "0.25)"]),
    ],
)
def test_a_name_is_broken_between_its_words(name: str, width: int, lines: list[str]) -> None:
    assert Name(name).lines(width) == lines


@given(st.text("ab +_(,/=-.0", max_size=40), st.integers(1, 30))
def test_no_character_of_a_name_is_lost(name: str, width: int) -> None:
    assert "".join(Name(name).lines(width)).replace(" ", "") == name.replace(" ", "")


def test_a_column_of_names_gives_way_to_numbers() -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    table.add_column("n", no_wrap=True)
    table.add_row(Name("plain_cnn(depth=1)"), "12345678")
    console = Console(file=io.StringIO(), width=20)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert [line.rstrip() for line in text.splitlines()[1:]] == ["plain_cnn(  12345678", "depth=1)"]
