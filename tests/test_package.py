"""`import benchmark`: light, with everything that README names."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "ray", "pandas", "scipy", "sklearn", "matplotlib", "numba")


def loaded_by(statements: str) -> set[str]:
    """Return the heavy packages that statements load in a fresh interpreter."""
    show = f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"{statements}\n{show}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_alone_loads_nothing_heavy() -> None:
    assert loaded_by("import benchmark; benchmark.__version__; benchmark.initializer") == set()


def test_looking_methods_up_loads_nothing_heavy() -> None:
    statements = """
from benchmark import plugins
for registry in (plugins.initializers, plugins.rewirings, plugins.datasets):
    [method.parameters for method in registry.all()]
from benchmark.treatment import parse_treatment
parse_treatment("orthogonal(gain=2)+pa(offset=0.5)").content
"""
    assert loaded_by(statements) == set()


def test_a_numpy_array_is_rewired_without_torch() -> None:
    statements = "import benchmark, numpy; benchmark.rewire(numpy.eye(4), 'pa', seed=1)"
    assert "torch" not in loaded_by(statements)
    assert "timm" not in loaded_by(statements)


def test_the_functions_of_the_readme_are_there() -> None:
    import benchmark
    from benchmark.initialization import initialize, rewire
    from benchmark.results.frame import load_records

    assert benchmark.initialize is initialize
    assert benchmark.rewire is rewire
    assert benchmark.load_records is load_records
    for name in benchmark.__all__:
        assert getattr(benchmark, name) is not None


def test_the_decorators_stay_functions_once_the_packages_of_methods_are_imported() -> None:
    """Packages `rewirings` and `datasets` must not hide `rewiring` and `dataset`."""
    statements = """
import benchmark.datasets, benchmark.initializers, benchmark.rewirings
import benchmark.initialization
from benchmark import dataset, initialize, initializer, rewiring
assert all(callable(each) for each in (dataset, initialize, initializer, rewiring))
"""
    assert "ray" not in loaded_by(statements)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    import benchmark

    with pytest.raises(AttributeError, match="'benchmark' has no attribute 'initialise'"):
        benchmark.initialise  # noqa: B018
