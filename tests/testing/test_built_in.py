"""Every built-in method keeps its promises, on every network that it declares to support."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmark import plugins
from benchmark.testing import Check, checks_of, processes, specimens
from benchmark.testing.initializers import TIMM_MODELS

SPELLED = {
    "best_of": "best_of(kaiming_normal, k=3)",
    "worst_of": "worst_of(orthogonal, k=3)",
    "gradinit": "gradinit(iterations=3)",
    "metainit": "metainit(steps=2)",
}
"""Methods that need a parameter, or that take minutes with their own."""

METHODS = [
    (registry, SPELLED.get(method.name, method.name))
    for registry in (plugins.initializers, plugins.rewirings, plugins.recipes)
    for method in registry.all()
    if not method.plugin_hash
]
CHECKS = [check for registry, name in METHODS for check in checks_of(registry, name)]
DATA = list(checks_of(plugins.datasets, "digits"))


@pytest.fixture(scope="module", autouse=True)
def asked_ahead() -> Iterator[None]:
    """Put all questions to one other process; its start takes longer than the answers."""
    asked = [processes.question_of(registry, name) for registry, name in METHODS]
    processes.start([*filter(None, asked), processes.Question("digits", processes.DATA_SET)])
    return


def of(group: str) -> list[Check]:
    return [check for check in CHECKS if check.group == group]


@pytest.mark.parametrize("check", [*of(""), *DATA], ids=str)
def test_a_built_in_method_keeps_its_promises(check: Check) -> None:
    check()


@pytest.mark.slow
@pytest.mark.parametrize("check", of(TIMM_MODELS), ids=str)
def test_a_built_in_method_works_on_every_network_that_it_supports(check: Check) -> None:
    check()


def test_every_test_model_of_timm_is_looked_at() -> None:
    assert len(specimens.test_models()) >= 18
    assert {check.name for check in of(TIMM_MODELS)} == set(specimens.test_models())
