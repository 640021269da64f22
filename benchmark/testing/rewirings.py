"""What every rewiring promises, as checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmark.errors import UsageError
from benchmark.initialization import initialize
from benchmark.plugins import Rewiring
from benchmark.testing import metadata, processes, specimens
from benchmark.testing.state import (
    first_few,
    global_random_state,
    global_random_state_kept,
    snapshot,
)
from benchmark.testing.verdicts import Check, Unmet, raised_by
from benchmark.wording import counted

TIMM_MODELS = "timm's test models"

SHAPES = ((1, 1), (1, 7), (7, 1), (2, 3), (16, 27), (27, 16), (40, 40))
BASE = "timm"
"""The initializer whose weights are rewired in whole networks."""


@dataclass(frozen=True)
class Case:
    """A rewiring with the arguments of its name, `text`."""

    method: Rewiring
    text: str
    arguments: dict[str, Any]

    def rewired(self, matrix: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return a rewired copy of a matrix; raises Unmet where it was not done in place."""
        copy = matrix.copy()
        returned = self.method.function(copy, np.random.default_rng(seed), **self.arguments)
        if returned is not None and returned is not copy:
            raise Unmet(
                f"it returns a {type(returned).__name__}, which nobody takes; write into the"
                " matrix, as in matrix[...] = rewired"
            )
        if copy.shape != matrix.shape or copy.dtype != matrix.dtype:
            raise Unmet(f"{matrix.shape} of {matrix.dtype} became {copy.shape} of {copy.dtype}")
        return copy


def matrices() -> list[np.ndarray]:
    """Return matrices [out, in] of several shapes: normal, of few values, constant, tiny."""
    rng = np.random.default_rng(0)
    normal = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    few = rng.integers(-1, 2, size=(16, 27)).astype(np.float32)
    return [*normal, few, np.zeros((5, 9), np.float32), normal[4] * np.float32(1e-6)]


def checks(case: Case) -> Iterator[Check]:
    """Yield every check of a rewiring."""
    subject = f"rewiring {case.text}"
    promises: list[tuple[str, str, Callable[[Case], str]]] = [
        ("in place", "the matrix [out, in] is rewired where it is, of any shape", _in_place),
        ("values", "the multiset stays if it permutes; finite", _values),
        ("same seed", "the same seed gives the same bytes, 0 included", _same_seed),
        ("other seed", "another seed, another matrix; none if deterministic", _other_seed),
        ("global random state", "neither read nor disturbed", _global_state),
        ("order", "matrices that came before change nothing", _order),
        ("other process", "the same bytes, whatever PYTHONHASHSEED", _other_process),
        ("float64 and bfloat16", "it works in both, within their values", _dtypes),
    ]
    describes = partial(metadata.describes, case.method)
    yield Check(subject, "description", metadata.EXPECTED, describes)
    for name, expected, test in promises:
        yield Check(subject, name, expected, partial(test, case))
    for network in specimens.test_models():
        works = partial(_works_on, case, network)
        yield Check(subject, network, "it works, touching weights alone", works, TIMM_MODELS)


def _in_place(case: Case) -> str:
    changed = 0
    for matrix in matrices():
        changed += not np.array_equal(case.rewired(matrix), matrix)
    if not changed and case.method.name != "none":
        raise Unmet("no matrix is changed; write into it, as in matrix[...] = rewired")
    return f"{changed} of {len(matrices())} matrices changed"


def _values(case: Case) -> str:
    for matrix in matrices():
        rewired = case.rewired(matrix)
        shape = "x".join(map(str, matrix.shape))
        if not np.isfinite(rewired).all():
            raise Unmet(f"a matrix {shape} is not finite")
        kept = np.array_equal(np.sort(matrix, axis=None), np.sort(rewired, axis=None))
        if case.method.permutes and not kept:
            raise Unmet(f"the values of a matrix {shape} change, though it declares permutes=True")
    return "the same values" if case.method.permutes else "finite values, declared to be others"


def _same_seed(case: Case) -> str:
    for seed in (0, 1):
        for matrix in matrices():
            with global_random_state(1):
                one = case.rewired(matrix, seed)
            with global_random_state(2):
                other = case.rewired(matrix, seed)
            if not np.array_equal(one, other):
                shape = "x".join(map(str, matrix.shape))
                raise Unmet(f"seed {seed} gives another matrix {shape} the second time")
    return "seeds 0 and 1, each twice"


def _other_seed(case: Case) -> str:
    differing = sum(
        not np.array_equal(case.rewired(matrix, 0), case.rewired(matrix, 1))
        for matrix in matrices()
    )
    if case.method.deterministic and differing:
        raise Unmet(f"declared deterministic, but seed 1 gives {differing} other matrices")
    if not case.method.deterministic and not differing:
        raise Unmet(
            "seeds 0 and 1 give the same matrices: draw from rng, or declare deterministic=True"
        )
    return f"{differing} of {len(matrices())} matrices differ between the seeds 0 and 1"


def _global_state(case: Case) -> str:
    with global_random_state_kept():
        for matrix in matrices():
            case.rewired(matrix)
    return "as it was"


def _order(case: Case) -> str:
    given = matrices()
    forwards = [case.rewired(matrix) for matrix in given]
    backwards = [case.rewired(matrix) for matrix in given[::-1]][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        if not np.array_equal(one, other):
            raise Unmet(f"a matrix {one.shape} depends on those that came before it")
    return f"{len(given)} matrices forwards and backwards: the same"


def _other_process(case: Case) -> str:
    treatment = f"{BASE}+{case.text}"
    here = snapshot(_network(case, specimens.SPECIMEN)).digest
    there = processes.digest(treatment, specimens.SPECIMEN)
    if here != there:
        raise Unmet(f"{here} here, {there} in a process with another PYTHONHASHSEED")
    return f"{there} in both"


def _dtypes(case: Case) -> str:
    wide = np.random.default_rng(0).normal(size=(16, 27))
    rewired = case.rewired(wide)
    if case.method.permutes and not np.array_equal(np.sort(wide, None), np.sort(rewired, None)):
        raise Unmet("a matrix of float64 gets other values")
    model = _apply(case, specimens.build(specimens.SPECIMEN).bfloat16())
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise Unmet(f"{name} of a network in bfloat16 is not finite")
    return "both"


def _works_on(case: Case, network: str) -> str:
    before = snapshot(specimens.build(network))
    model = _network(case, network)
    changed = before.changed(snapshot(model))
    if foreign := [name for name in changed if before.values[name].ndim < 2]:
        raise Unmet(f"it changed {first_few(foreign)}")
    return counted(len(changed), "weight")


def _network(case: Case, network: str) -> torch.nn.Module:
    return _apply(case, specimens.build(network))


def _apply(case: Case, model: torch.nn.Module) -> torch.nn.Module:
    try:
        initialize(model, f"{BASE}+{case.text}")
    except UsageError as error:
        if raised_by(case.method, error):
            raise
        raise Unmet(str(error)) from error
    return model
