"""Grids: which trials a config stands for, and that nothing but their content names them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.axes import Exclude
from benchmark.combinations import combine, without
from benchmark.config import ConfigError, GridConfig, load_config
from benchmark.grid import Cohort, Grid, expand, make_cohorts, manifest, missing
from benchmark.problems import Finding
from benchmark.recipe import Recipe
from benchmark.treatment import Treatment
from benchmark.trial import Cell, Trial

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))

AXES: dict[str, Any] = {
    "datasets": ["digits", "cifar10"],
    "architectures": ["plain_cnn", "test_vit(patch_size=4)"],
    "initializers": ["timm", "orthogonal"],
    "rewirings": ["none", "pa"],
    "seeds": 2,
}
quick = settings(max_examples=40, deadline=None)


def config(changes: dict[str, Any] | None = None, /, **keys: Any) -> GridConfig:
    """Return the small grid above, with other axes and other keys beside them."""
    return GridConfig.model_validate({"name": "small", "grid": AXES | (changes or {})} | keys)


def ids(grid: Grid) -> set[str]:
    return {trial.id for trial in grid.trials}


def named(grid: Grid) -> list[tuple[str, str, str, str, int]]:
    return [(*trial.cell.key, str(trial.treatment), trial.seed) for trial in grid.trials]


def problems(wrong: GridConfig) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        expand(wrong)
    return [problem.what for problem in raised.value.problems]


def test_the_product_comes_cell_by_cell_then_seed_by_seed_then_treatment_by_treatment() -> None:
    grid = expand(config(recipes={"short": {}, "long": {"epochs": 20}}))
    assert named(grid) == [
        (dataset, architecture, recipe, treatment, seed)
        for dataset in ("digits", "cifar10")
        for architecture in ("plain_cnn", "test_vit(patch_size=4)")
        for recipe in ("short", "long")
        for seed in (0, 1)
        for treatment in ("timm", "timm+pa", "orthogonal", "orthogonal+pa")
    ]
    assert len(ids(grid)) == len(grid.trials) == 64
    assert grid.cells[1].recipe == Recipe(epochs=20)
    assert (str(grid.baseline), grid.family) == ("timm", 3)


@given(order=st.randoms(use_true_random=False))
@quick
def test_ids_do_not_depend_on_order_name_or_machinery(order: random.Random) -> None:
    shuffled: dict[str, Any] = {"seeds": order.choice([[0, 1], [1, 0]])}
    for axis in ("datasets", "architectures", "initializers", "rewirings"):
        shuffled[axis] = order.sample(AXES[axis], len(AXES[axis]))
    other = config(
        shuffled,
        name="renamed",
        recipes={"other_name": {}},
        family=20,
        margin=0.1,
        data_dir="/elsewhere",
        execution={"executor": "inline", "cohort_size": 7, "gpus_per_worker": 0.5, "threads": 2},
    )
    assert ids(expand(other)) == ids(expand(config()))


@pytest.mark.parametrize(
    "more",
    [
        {"datasets": ["fashion_mnist", *AXES["datasets"]]},
        {"architectures": ["test_resnet", *AXES["architectures"]]},
        {"initializers": ["kaiming_normal", *AXES["initializers"]]},
        {"rewirings": ["shuffle", *AXES["rewirings"]]},
        {"treatments": ["orthogonal+pa(offset=0.1)"]},
        {"seeds": 3},
    ],
)
def test_whatever_is_added_keeps_all_other_ids(more: dict[str, Any]) -> None:
    before, after = ids(expand(config())), ids(expand(config(more)))
    assert before < after


@pytest.mark.parametrize(
    "recipe",
    [
        {"epochs": 11},
        {"optimizer_args": {"momentum": 0.8}},
        {"augmentation": ["flip"]},
        {"data_seed": "per_seed"},
        {"dtype": "bfloat16"},
    ],
)
def test_another_recipe_gives_other_ids(recipe: dict[str, Any]) -> None:
    assert not ids(expand(config(recipe=recipe))) & ids(expand(config()))


@given(
    size=st.integers(1, 20),
    data_seed=st.sampled_from(["fixed", "per_seed"]),
    seeds=st.sets(st.integers(0, 50), min_size=1, max_size=6),
)
@quick
def test_cohorts_partition_the_trials(size: int, data_seed: str, seeds: set[int]) -> None:
    grid = expand(config({"seeds": list(seeds)}, recipe={"data_seed": data_seed}))
    cohorts = make_cohorts(grid.trials, size)
    together = [trial for cohort in cohorts for trial in cohort.trials]
    assert sorted(together, key=grid.trials.index) == list(grid.trials)
    assert len({cohort.id for cohort in cohorts}) == len(cohorts)
    for cohort in cohorts:
        assert 1 <= len(cohort.trials) <= size
        assert {trial.cell for trial in cohort.trials} == {cohort.cell}
        assert {trial.data_seed for trial in cohort.trials} == {cohort.data_seed}
        assert data_seed == "fixed" or len({trial.seed for trial in cohort.trials}) == 1


def test_cohorts_of_a_cell_have_nearly_equal_sizes() -> None:
    grid = expand(config({"datasets": ["digits"], "architectures": ["plain_cnn"], "seeds": 9}))
    cohorts = make_cohorts(grid.trials, 16)
    assert [len(cohort.trials) for cohort in cohorts] == [12, 12, 12]
    assert sum((cohort.trials for cohort in cohorts), ()) == grid.trials


def test_a_cohort_is_halved_and_taken_apart_without_loss() -> None:
    grid = expand(config({"seeds": 5}))
    cohort = make_cohorts(grid.trials, 5)[0]
    first, second = cohort.halves()
    assert (len(first.trials), len(second.trials)) == (3, 2)
    assert first.trials + second.trials == cohort.trials
    assert [single.trials for single in cohort.singly()] == [(trial,) for trial in cohort.trials]
    with pytest.raises(ValueError, match="one cell"):
        cohort.singly()[0].halves()


def test_a_cohort_of_several_cells_or_data_seeds_is_refused() -> None:
    cell = Cell("digits", "plain_cnn", "default", Recipe(data_seed="per_seed"))
    trial = Trial(cell, Treatment("timm"), 0)
    other_cell = Cell("cifar10", "plain_cnn", "default", cell.recipe)
    for other in (Trial(cell, trial.treatment, 1), Trial(other_cell, trial.treatment, 0)):
        with pytest.raises(ValueError, match="one cell and one data seed"):
            Cohort((trial, other))


def test_missing_is_what_is_not_done_in_order() -> None:
    grid = expand(config())
    done = {trial.id for trial in grid.trials[::2]}
    assert missing(grid, done) == list(grid.trials[1::2])
    assert missing(grid, ids(grid)) == []
    assert missing(grid, {"0" * 16}) == list(grid.trials)


@pytest.mark.parametrize(
    ("rule", "dropped"),
    [
        ({"architecture": "plain*", "rewiring": "pa"}, 8),
        ({"architecture": "plain_cnn"}, 16),
        ({"architecture": "test_vit(patch_size=4)"}, 16),
        ({"architecture": "test_vit*", "dataset": "digits"}, 8),
        ({"treatment": "*+pa", "seed": 1}, 8),
        ({"treatment": "orthogonal(gain=1)+pa(offset=1)"}, 8),
        ({"initializer": "orthogonal", "rewiring": "none"}, 8),
        ({"dataset": "*", "recipe": "default", "treatment": "timm+pa"}, 8),
    ],
)
def test_exclude_drops_what_matches_all_keys(rule: dict[str, Any], dropped: int) -> None:
    grid, whole = expand(config({"exclude": [rule]})), expand(config())
    assert ids(grid) < ids(whole)
    assert len(whole.trials) - len(grid.trials) == dropped


def test_brackets_in_a_rule_are_no_wildcard() -> None:
    architectures = ["plain_cnn(widths=[8, 16])", "plain_cnn(widths=[8, 8])"]
    trials = combine(["digits"], architectures, {"default": Recipe()}, [Treatment("timm")], [0])
    findings: list[Finding] = []
    kept = without(trials, [Exclude(architecture="plain_cnn(widths=[8, 16]*")], findings)
    assert [trial.cell.architecture for trial in kept] == ["plain_cnn(widths=[8, 8])"]
    assert findings == []


def test_include_adds_beside_the_product_and_brings_the_baseline() -> None:
    rule = {
        "dataset": "digits",
        "architecture": "plain_cnn",
        "treatment": "kaiming_normal+pa",
        "seeds": [1, 7],
    }
    grid, whole = expand(config({"include": [rule]})), expand(config())
    assert set(named(grid)) - set(named(whole)) == {
        ("digits", "plain_cnn", "default", "timm", 7),
        ("digits", "plain_cnn", "default", "kaiming_normal+pa", 1),
        ("digits", "plain_cnn", "default", "kaiming_normal+pa", 7),
    }
    assert ids(whole) < ids(grid)
    assert grid.family == 4


def test_include_without_a_treatment_adds_every_listed_one() -> None:
    grid = expand(config({"include": [{"architecture": "test_resnet"}]}))
    added = [trial for trial in grid.trials if trial.cell.architecture == "test_resnet"]
    assert len(added) == 2 * 2 * 4
    assert [cell.architecture for cell in grid.cells][-2:] == ["test_resnet", "test_resnet"]


def test_wildcards_are_those_of_timm_and_name_each_architecture_once() -> None:
    architectures = ["test_vit", "test_vit?", "test_vit*", "plain_*"]
    grid = expand(config({"architectures": architectures, "datasets": ["digits"]}))
    found = [cell.architecture for cell in grid.cells]
    assert found[:3] == ["test_vit", "test_vit2", "test_vit3"]
    assert "plain_cnn" in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"architectures": ["test_resnett"]},
            "grid.architectures[0]: unknown architecture 'test_resnett'; did you mean 'test_resnet",
        ),
        (
            {"architectures": ["nothing_like_it*"]},
            "grid.architectures[0]: no architecture matches 'nothing_like_it*'",
        ),
        (
            {"architectures": ["test_resnet", "plain_cnn", "test_resnet.r160_in1k"]},
            "grid.architectures[2]: 'test_resnet.r160_in1k' is the same architecture as [0]",
        ),
        (
            {"exclude": [{"architecture": "plian*"}]},
            "grid.exclude[0]: drops nothing: no architecture of the grid is 'plian*'",
        ),
        (
            {"exclude": [{"architecture": "plian_cnn"}]},
            "grid.exclude[0].architecture: unknown architecture 'plian_cnn'; did you mean 'plain",
        ),
        (
            {"exclude": [{"rewiring": "shuffle", "recipe": "long"}]},
            "grid.exclude[0]: drops nothing: no recipe of the grid is 'long';"
            " no rewiring of the grid is 'shuffle'",
        ),
        (
            {"exclude": [{"initializer": "timm", "treatment": "orthogonal*"}]},
            "grid.exclude[0]: drops nothing: its keys never meet",
        ),
        (
            {"include": [{"treatment": "orthogonal", "seeds": 1}]},
            "grid.include[0]: adds nothing that the grid does not have",
        ),
        (
            {"include": [{"architecture": "plain_cn"}]},
            "grid.include[0].architecture: unknown architecture 'plain_cn'",
        ),
        (
            {"exclude": [{"dataset": "*"}]},
            "grid.exclude: drops every combination; nothing is left to train",
        ),
        (
            {"exclude": [{"treatment": "timm", "architecture": "plain_cnn"}]},
            "baseline: 'timm' is excluded from digits / plain_cnn / default, seed 0 (and 3 more)",
        ),
        (
            {"exclude": [{"treatment": "timm", "seed": 1, "dataset": "digits"}]},
            "baseline: 'timm' is excluded from digits / plain_cnn / default, seed 1 (and 1 more)",
        ),
        ({"seeds": 10_000, "architectures": ["test_*"]}, "grid: makes 1,"),
    ],
)
def test_what_makes_no_grid_is_refused(changes: dict[str, Any], expected: str) -> None:
    [problem] = problems(config(changes))
    assert problem.startswith(expected)


def test_a_contrast_of_an_excluded_treatment_is_refused() -> None:
    contrast = {"name": "balance", "a": "orthogonal+pa", "b": "orthogonal"}
    wrong = config({"exclude": [{"treatment": "orthogonal+pa"}]}, contrasts=[contrast])
    assert problems(wrong) == ["contrasts[0].a: 'orthogonal+pa' is excluded everywhere"]


def test_unknown_names_of_timm_are_all_found_and_where_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "name: small\n"
        "grid:\n"
        "  datasets: [digits]\n"
        "  architectures:\n"
        "    - test_resnet\n"
        "    - test_vitt\n"
        "  initializers: [timm, orthogonal]\n"
        "  seeds: 2\n"
        "recipe:\n"
        "  optimizer_args: {momentun: 0.9}\n"
        "recipes:\n"
        "  sgd: {}\n"
        "  adam:\n"
        "    optimizer: addamw\n"
    )
    with pytest.raises(ConfigError) as raised:
        expand(load_config(path, ["recipe.schedule_args.minlr=0"]))
    assert [
        (problem.place, problem.what.partition(":")[0]) for problem in raised.value.problems
    ] == [
        (f"{path}:6", "grid.architectures[1]"),
        (f"{path}:10", "recipe.optimizer_args.momentun"),
        (f"{path}:14", "recipes.adam.optimizer"),
        ("--set recipe.schedule_args.minlr=0", "recipe.schedule_args.minlr"),
    ]


def test_the_manifest_says_everything_a_reader_needs() -> None:
    contrast = {"name": "balance", "a": "orthogonal+pa", "b": "orthogonal"}
    grid = expand(config({"seeds": [3, 0]}, recipe={"epochs": 4}, contrasts=[contrast]))
    said = json.loads(json.dumps(manifest(grid), allow_nan=False))
    assert said["name"] == "small"
    assert (said["baseline"], said["family"], said["seeds"]) == ("timm", 3, [3, 0])
    assert (said["margin"], said["target"], said["contrasts"]) == (0.05, 0.005, [contrast])
    assert "contrast_families" not in said
    fixed = {"pa against shuffle": 20}
    assert manifest(expand(config({}, contrast_families=fixed)))["contrast_families"] == fixed
    assert said["cells"][1] == {
        "dataset": "digits",
        "architecture": "test_vit(patch_size=4)",
        "recipe": "default",
        "recipe_content": {"epochs": 4},
    }
    assert said["treatments"][3] == {
        "treatment": "orthogonal+pa",
        "initializer": "orthogonal",
        "rewiring": "pa",
        "changes_architecture": False,
        "needs_data": False,
        "needs_labels": False,
        "changes_learning_rate": False,
    }
    assert [
        (trial, *said["cells"][cell].values(), said["treatments"][treatment]["treatment"], seed)
        for trial, cell, treatment, seed in said["trials"]
    ] == [
        (
            trial.id,
            *trial.cell.key,
            trial.cell.content["recipe"],
            str(trial.treatment),
            trial.seed,
        )
        for trial in grid.trials
    ]
    assert GridConfig.model_validate(said["config"]) == grid.config


def test_a_fixed_family_is_kept_however_many_treatments_there_are() -> None:
    assert expand(config(family=20)).family == 20


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_expand(path: Path) -> None:
    grid = expand(load_config(path))
    sizes = {
        "all_initializers": (4, 55, 150),
        "digits": (4, 9, 360),
        "quickstart": (3, 9, 135),
        "fashion_mnist": (3, 9, 135),
        "paper": (6, 9, 540),
        "imagenet": (3, 6, 54),
    }
    assert (len(grid.cells), len(grid.treatments), len(grid.trials)) == sizes[path.stem]
