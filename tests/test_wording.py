"""Words that go with numbers."""

from __future__ import annotations

import pytest

from benchmark.wording import counted


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells"), (1350, "1,350 cells")]
)
def test_one_is_singular_and_thousands_are_set_apart(n: int, text: str) -> None:
    assert counted(n, "cell") == text


def test_an_irregular_plural_is_given() -> None:
    assert [counted(n, "retry", "retries") for n in (1, 2)] == ["1 retry", "2 retries"]
