"""What pydantic found wrong, in sentences for people."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from benchmark.problems import findings_of


class Even(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number is needed")
        return value


def test_what_a_validator_says_stands_without_the_class_of_its_exception() -> None:
    with pytest.raises(ValidationError) as caught:
        Even.model_validate({"n": 3})
    found = findings_of(caught.value, {"n": 3}, Even)
    assert found == [(("n",), "3 where something else (an even number is needed) belongs")]
