"""SmallInit: N(0, 2 / (5 fan_in))."""

from __future__ import annotations

import pytest

from tests.initializers.weights import LAYERS, assert_gaussian, filled


@pytest.mark.parametrize(("name", "fan_in"), [("linear", 512), ("conv", 576), ("grouped", 144)])
def test_weights_are_normal_with_the_variance_of_the_formula(name: str, fan_in: int) -> None:
    assert_gaussian(filled(LAYERS[name](), "small_init"), 0.4 / fan_in)
