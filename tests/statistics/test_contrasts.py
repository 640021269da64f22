"""Contrasts: which arms are paired, and what pooling over initializers means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmark.statistics import TableError, analyse, arrange, contrast_families
from benchmark.statistics.paired import mean_and_sd, pair, pool, t_test

FAMILIES = [
    "rewiring against none",
    "rewiring against none, pooled",
    "pa against shuffle",
    "pa against shuffle, pooled",
    "named",
]


@pytest.fixture(scope="module")
def grid(random_table):
    """Two initializers, each as drawn, with pa and with shuffle, and the baseline."""
    table = random_table(11, treatments=7, failing=0.02, seeds=8)
    names = ["timm", "he", "he+pa(offset=1)", "he+shuffle"]
    names += ["orthogonal+none", "orthogonal+pa(offset=1)", "orthogonal+shuffle"]
    spelled = {"timm": "timm"} | {f"init{i}+pa": names[i] for i in range(1, 7)}
    return table.assign(treatment=table["treatment"].map(spelled))


def by_name(families):
    return {family.name: family for family in families}


def test_every_family_has_its_pairs(grid):
    found = by_name(contrast_families(grid, named=[("he", "timm")]))
    assert list(found) == FAMILIES
    pairs = {
        name: [(row.treatment, row.reference) for row in family.contrasts]
        for name, family in found.items()
    }
    assert pairs["rewiring against none"] == [
        ("he+pa(offset=1)", "he"),
        ("he+shuffle", "he"),
        ("orthogonal+pa(offset=1)", "orthogonal+none"),
        ("orthogonal+shuffle", "orthogonal+none"),
    ]
    assert pairs["rewiring against none, pooled"] == [("pa(offset=1)", "none"), ("shuffle", "none")]
    assert pairs["pa against shuffle"] == [
        ("he+pa(offset=1)", "he+shuffle"),
        ("orthogonal+pa(offset=1)", "orthogonal+shuffle"),
    ]
    assert pairs["pa against shuffle, pooled"] == [("pa(offset=1)", "shuffle")]
    assert pairs["named"] == [("he", "timm")]
    assert all(
        row.initializers == ("he", "orthogonal")
        for row in found["rewiring against none, pooled"].contrasts
    )


def test_a_contrast_is_what_analyse_finds_with_its_reference_as_baseline(grid):
    families = contrast_families(grid, named=[("he", "timm")], families={"named": 3})
    for family in families:
        for row in family.contrasts:
            if row.initializers:
                continue
            twin = analyse(grid, row.reference, family=family.family)
            headline = next(each for each in twin.ranking if each.treatment == row.treatment)
            assert replace(row.headline, p_holm=0) == replace(headline, p_holm=0, rank=None)
            assert row.comparisons == tuple(
                each for each in twin.comparisons if each.treatment == row.treatment
            )
            both = {each.treatment: each for each in twin.failures}
            assert row.failures == both[row.treatment]
            assert row.reference_failures == both[row.reference]


def test_families_have_their_own_fixed_size(grid):
    sizes = {"rewiring against none": 10, "pa against shuffle, pooled": 2}
    for name, family in by_name(contrast_families(grid, families=sizes)).items():
        assert family.family == sizes.get(name, len(family.contrasts))
        p = [row.headline.p for row in family.contrasts]
        assert [row.headline.p_family for row in family.contrasts] == [
            min(1.0, family.family * each) for each in p
        ]
        adjusted = [row.headline.p_holm for row in family.contrasts]
        assert min(adjusted) == pytest.approx(min(1.0, len(p) * min(p)))


def test_another_initializer_changes_no_unpooled_contrast(grid):
    kept = grid[grid["treatment"].isin(["timm"]) | grid["treatment"].str.startswith("he")]
    sizes = dict.fromkeys(FAMILIES[:4], 10)
    for name in ("rewiring against none", "pa against shuffle"):
        whole = by_name(contrast_families(grid, families=sizes))[name]
        fewer = by_name(contrast_families(kept, families=sizes))[name]
        shared = [row for row in whole.contrasts if row.treatment.startswith("he")]
        assert len(shared) == len(fewer.contrasts)
        for one, other in zip(shared, fewer.contrasts, strict=True):
            assert replace(one.headline, p_holm=0) == replace(other.headline, p_holm=0)


@pytest.fixture
def two_initializers(arm_rows, as_table):
    def make(cells=(("digits", "mlp", "short"),), **changes):
        results = {
            "a": [0.90, 0.80, 0.85, 0.88],
            "a+pa": [0.92, 0.81, 0.88, 0.89],
            "b": [0.70, 0.75, 0.72, 0.71],
            "b+pa": [0.72, 0.74, 0.75, 0.73],
        } | changes
        return as_table(*(arm_rows(t, r, cell) for cell in cells for t, r in results.items()))

    return make


def test_pooling_averages_the_initializers_at_every_seed(two_initializers):
    table = two_initializers(**{"b+pa": [0.72, "diverged", 0.75, 0.73]})
    row = by_name(contrast_families(table))["rewiring against none, pooled"].contrasts[0]
    # Seed 1 has no pair of b, so that three seeds are left.
    a = np.log([0.08 / 0.10, 0.12 / 0.15, 0.11 / 0.12])
    b = np.log([0.28 / 0.30, 0.25 / 0.28, 0.27 / 0.29])
    averages = (a + b) / 2
    assert row.headline.estimate == pytest.approx(averages.mean(), abs=1e-12)
    se = averages.std(ddof=1) / np.sqrt(3)
    assert row.headline.seeds.se == pytest.approx(se, rel=1e-9)
    assert row.headline.seeds.p == pytest.approx(
        scipy.stats.ttest_1samp(averages, 0).pvalue, rel=1e-7
    )
    cell = row.comparisons[0]
    assert (cell.n_pairs, cell.n_diverged_pairs, cell.n_missing) == (3, 1, 0)
    d = np.mean([[0.02, 0.03, 0.01], [0.02, 0.03, 0.02]], axis=0)
    assert cell.mean_difference == pytest.approx(d.mean(), abs=1e-9)
    assert cell.sd_difference == pytest.approx(d.std(ddof=1), rel=1e-6)
    assert cell.spread_state is None


def test_equal_pooled_differences_are_floored_by_the_rounding_of_their_average(two_initializers):
    table = two_initializers(**{"a+pa": [0.91, 0.81, 0.86, 0.89], "b+pa": [0.71, 0.76, 0.73, 0.72]})
    cell = (
        by_name(contrast_families(table))["rewiring against none, pooled"]
        .contrasts[0]
        .comparisons[0]
    )
    assert cell.floored
    assert cell.sd_difference == pytest.approx(0.001 / np.sqrt(6) / np.sqrt(2), rel=1e-12)


def test_an_initializer_that_lacks_a_cell_is_left_out_of_all_cells(two_initializers):
    cells = (("digits", "mlp", "short"), ("fashion", "mlp", "short"))
    table = two_initializers(cells)
    lacking = (table["dataset"] == "fashion") & (table["treatment"] == "b+pa") & (table["seed"] > 1)
    row = by_name(contrast_families(table[~lacking]))["rewiring against none, pooled"].contrasts[0]
    assert row.initializers == ("a",)
    assert [
        (out.treatment, [(r.dataset, r.state, r.n_pairs) for r in out.reasons])
        for out in row.left_out
    ] == [("b", [("fashion", "too_few", 2)])]
    alone = by_name(contrast_families(table))["rewiring against none"].contrasts[0]
    assert row.headline.estimate == alone.headline.estimate


def test_a_pooled_contrast_without_any_complete_initializer_has_reasons_and_no_headline(
    two_initializers,
):
    table = two_initializers()
    table = table[table["seed"] < 2]
    row = by_name(contrast_families(table))["rewiring against none, pooled"].contrasts[0]
    assert row.headline is None
    assert row.initializers == ()
    assert {out.treatment for out in row.left_out} == {"a", "b"}
    assert row.comparisons[0].state == "too_few"
    assert row.comparisons[0].n_diverged_pairs == 0


def test_a_pooled_seed_fails_where_more_initializers_do(two_initializers):
    table = two_initializers(
        **{
            "a": [0.9, "diverged", 0.9, 0.9],
            "a+pa": ["diverged", 0.9, 0.9, "diverged"],
            "b+pa": ["diverged", "diverged", 0.9, 0.9],
        }
    )
    row = by_name(contrast_families(table))["rewiring against none, pooled"].contrasts[0]
    # Seed 0: both fail with pa; seed 1: one fails on either side; seed 3: one fails with pa.
    assert (row.failures.k, row.failures.n) == (4, 8)
    assert (row.reference_failures.k, row.reference_failures.n) == (1, 8)
    assert (row.failures.only_treatment, row.failures.only_baseline) == (2, 0)
    assert row.failures.p == 0.5


def test_pooling_is_calibrated_although_initializers_share_what_a_seed_brings():
    rng = np.random.default_rng(0)
    replicates, initializers, seeds = 2000, 6, 6
    shape = (replicates, initializers, seeds)
    # What a seed does to every rewired run alike is no effect of rewiring.
    accuracy = (
        0.8
        + rng.normal(0, 0.01, (2, *shape))
        + np.stack(
            [np.broadcast_to(rng.normal(0, 0.01, (replicates, 1, seeds)), shape), np.zeros(shape)]
        )
    )
    table = pd.DataFrame(
        [
            ("d", "a", "r", f"{i}{w}", s, "ok", 0.5, 10_000)
            for i in range(6)
            for w in ("", "+pa")
            for s in range(6)
        ],
        columns=[
            "dataset",
            "architecture",
            "recipe",
            "treatment",
            "seed",
            "status",
            "accuracy",
            "n_test",
        ],
    )
    one = arrange(table)
    trials = replace(
        one,
        cells=one.cells * replicates,
        seeds=np.repeat(one.seeds, replicates, axis=0),
        status=np.repeat(one.status, replicates, axis=0),
        images=np.repeat(one.images, replicates),
        outcome=np.stack([accuracy[1], accuracy[0]], axis=2).reshape(replicates, 12, seeds),
    )
    pairs = pair(trials, range(1, 12, 2), range(0, 12, 2))
    pooled = pool(pairs, range(6))
    errs = (t_test(pooled.difference, pooled.both, pooled.floor).p < 0.05).mean()
    assert 0.035 < errs < 0.065
    # Every run as if it were evidence of its own errs far more often.
    flat = pairs.difference.reshape(replicates, -1)
    mean, sd = mean_and_sd(flat, np.ones_like(flat, dtype=bool))
    naive = 2 * scipy.stats.t.sf(np.abs(mean / sd * 6), 35)
    assert (naive < 0.05).mean() > 0.2


def test_columns_for_initializer_and_rewiring_win_over_the_name(grid):
    parts = {"he": ("x", "none"), "he+shuffle": ("x", "anti_pa")}
    named = grid.assign(
        initializer=[parts.get(t, (None, None))[0] for t in grid["treatment"]],
        rewiring=[parts.get(t, (None, None))[1] for t in grid["treatment"]],
    )
    found = by_name(contrast_families(named))
    assert ("he+shuffle", "he") in [
        (row.treatment, row.reference) for row in found["rewiring against none"].contrasts
    ]
    pooled = [row.treatment for row in found["rewiring against none, pooled"].contrasts]
    assert pooled == ["anti_pa", "pa(offset=1)", "shuffle"]


def test_a_treatment_with_two_rewirings_in_the_columns_is_refused(grid):
    mixed = grid.assign(initializer="he", rewiring=grid["seed"].astype(str))
    with pytest.raises(TableError, match="more than one"):
        contrast_families(mixed)


def test_two_spellings_of_one_treatment_are_refused(two_initializers):
    table = two_initializers(**{"a+none": [0.9, 0.8, 0.85, 0.88]})
    with pytest.raises(TableError, match=r"'a' and 'a\+none' are the same"):
        contrast_families(table)


def test_unknown_names_are_answered_with_the_nearest(grid):
    with pytest.raises(TableError, match="orthogonal"):
        contrast_families(grid, named=[("he", "orthogonl+none")])
    with pytest.raises(TableError, match="rewiring against none"):
        contrast_families(grid, families={"rewirings": 3})


def test_declared_cells_leave_a_contrast_without_headline_where_one_is_missing(grid):
    cells = [("d0", "a0", "short"), ("svhn", "a0", "short")]
    row = contrast_families(grid, cells=cells)[0].contrasts[0]
    assert row.headline is None
    assert [(each.dataset, each.state) for each in row.reasons] == [("svhn", "absent")]


def test_contrasts_of_another_outcome(grid):
    early = grid.assign(epoch1_accuracy=grid["accuracy"] / 2, n_validation=500)
    found = contrast_families(early, outcome="epoch1_accuracy", n_column="n_validation")
    usual = contrast_families(grid)
    one = found[0].contrasts[0].comparisons[0]
    other = usual[0].contrasts[0].comparisons[0]
    assert one.mean_difference == pytest.approx(other.mean_difference / 2, abs=1e-9)


def test_to_dict_is_plain(grid):
    family = contrast_families(grid)[0].to_dict()
    assert list(family) == ["name", "family", "margin", "target", "contrasts"]
    assert family["contrasts"][0]["headline"]["seeds"]["df"] > 0


def test_no_other_initializer_changes_a_pooled_contrast_whose_initializers_are_fixed(
    two_initializers,
):
    founders = [("a", "none"), ("a", "pa"), ("b", "none"), ("b", "pa"), ("c", "none"), ("c", "pa")]
    guest = {"guest": [0.5, 0.5, 0.5], "guest+pa": [0.6, 0.6, 0.6], "guest+shuffle": [0.6] * 3}
    guest |= {"a+shuffle": [0.9, 0.8, 0.85, 0.88]}
    alone = contrast_families(two_initializers(), pooled=founders)
    beside = contrast_families(two_initializers(**guest), pooled=founders)
    pooled = "rewiring against none, pooled"
    assert by_name(alone)[pooled] == by_name(beside)[pooled]
    row = by_name(beside)[pooled].contrasts[0]
    assert row.initializers == ("a", "b")
    assert [(out.treatment, out.reasons[0].state) for out in row.left_out] == [("c", "absent")]
    assert "pa against shuffle, pooled" not in by_name(beside)
