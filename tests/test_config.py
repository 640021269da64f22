"""Configs: whatever is wrong is refused at once, with file, line, key and what to write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark import document, plugins
from benchmark.config import ConfigError, GridConfig, config_schema, load_config
from benchmark.document import read_document
from benchmark.recipe import Recipe

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = sorted(CONFIGS.glob("*.yaml"))

GOOD = """\
name: small
grid:
  datasets: [digits]
  architectures: [test_resnet, plain_cnn]
  initializers: [timm, orthogonal]
  rewirings: [none, pa]
  seeds: 3
recipe:
  epochs: 4
  learning_rate: 1e-2
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return write_file


def problems(path: Path, *overrides: str) -> list[str]:
    """Return the problems of a config, with places relative to its folder."""
    with pytest.raises(ConfigError) as raised:
        load_config(path, overrides)
    return str(raised.value).replace(f"{path.parent}/", "").splitlines()


def test_a_good_file_becomes_a_config(write: Write) -> None:
    config = load_config(write(GOOD))
    assert config.name == "small"
    assert config.recipe == Recipe(epochs=4, learning_rate=0.01)
    assert config.seeds == (0, 1, 2)
    assert list(map(str, config.treatments)) == ["timm", "timm+pa", "orthogonal", "orthogonal+pa"]
    assert (config.baseline, config.margin, config.target) == ("timm", 0.05, 0.005)
    assert config.named_recipes == {"default": config.recipe}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  epochs: 4",
            "  epoks: 4",
            "grid.yaml:9: recipe.epoks: unknown key 'epoks'; did you mean 'epochs'",
        ),
        ("recipe:", "recip:", "grid.yaml:8: recip: unknown key 'recip'; did you mean 'recipe'"),
        ("  seeds: 3", "  exclude: []", "grid.yaml:2: grid.seeds: is missing"),
        ("  seeds: 3", "  seeds: 0", "grid.yaml:7: grid.seeds: 0 where a number of seeds"),
        ("  seeds: 3", "  seeds: []", "grid.yaml:7: grid.seeds: an empty list where"),
        ("  seeds: 3", "  seeds: [1, -2]", "grid.yaml:7: grid.seeds: a list where a number"),
        ("  seeds: 3", "  seeds: [4, 4]", "grid.yaml:7: grid.seeds[1]: 4 is given twice"),
        ("  seeds: 3", "  seeds: true", "grid.yaml:7: grid.seeds: true where"),
        (
            "learning_rate: 1e-2",
            "learning_rate: -0.1",
            "grid.yaml:10: recipe.learning_rate: -0.1 where a number above 0 belongs",
        ),
        (
            "learning_rate: 1e-2",
            "learning_rate: fast",
            "grid.yaml:10: recipe.learning_rate: 'fast' where a number belongs",
        ),
        (
            "learning_rate: 1e-2",
            "learning_rate: .inf",
            "grid.yaml:10: recipe.learning_rate: inf where a finite number belongs",
        ),
        (
            "  epochs: 4",
            "  warmup_epochs: 99",
            "grid.yaml:9: recipe.warmup_epochs: 99 of 10 epochs leave none after warm-up",
        ),
        (
            "  epochs: 4",
            "  schedule: cosin",
            "grid.yaml:9: recipe.schedule: 'cosin' where 'cosine', 'tanh', 'step', 'multistep',"
            " 'poly', 'wsd', 'rsqrt' or 'constant' belongs; did you mean 'cosine'",
        ),
        (
            "  epochs: 4",
            "  image_size: big",
            "grid.yaml:9: recipe.image_size: 'big' where 'auto' or a whole number belongs",
        ),
        (
            "  epochs: 4",
            "  augmentation: [flop]",
            "grid.yaml:9: recipe.augmentation[0]: 'flop' where 'flip' or 'shift_crop' belongs",
        ),
        (
            "[timm, orthogonal]",
            "[timm, ortogonal]",
            "grid.yaml:5: grid.initializers[1]: unknown initializer 'ortogonal';"
            " did you mean 'orthogonal'",
        ),
        (
            "[none, pa]",
            "[none, paa]",
            "grid.yaml:6: grid.rewirings[1]: unknown rewiring 'paa'; did you mean 'pa'",
        ),
        (
            "[digits]",
            "[digit]",
            "grid.yaml:3: grid.datasets[0]: unknown data set 'digit'; did you mean 'digits'",
        ),
        ("[digits]", "[]", "grid.yaml:3: grid.datasets: an empty list where at least one entry"),
        (
            "[digits]",
            "digits",
            "grid.yaml:3: grid.datasets: 'digits' where a list, [a, b], belongs",
        ),
        (
            "[timm, orthogonal]",
            "[timm, kaiming_normal, kaiming_normal(mode=fan_in)]",
            "grid.yaml:5: grid.initializers[2]: 'kaiming_normal' is given twice, first as [1]",
        ),
        (
            "  seeds: 3",
            "  seeds: 3\n  treatments: [orthogonal+pa(offset=1)]",
            "grid.yaml:8: grid.treatments[0]: 'orthogonal+pa' is named twice",
        ),
        ("[digits]", "[digits, digits]", "grid.yaml:3: grid.datasets[1]: 'digits' is given twice"),
        (
            "[timm, orthogonal]",
            "[orthogonal]",
            "grid.yaml:1: baseline: 'timm' is not among the treatments (orthogonal, orthogonal+pa)",
        ),
        (
            "[timm, orthogonal]",
            "[]",
            "grid.yaml:2: grid: names no treatment",
        ),
        (
            "name: small",
            "name: ../small",
            "grid.yaml:1: name: '../small' where a name of letters",
        ),
        ("name: small", "name: 7", "grid.yaml:1: name: 7 where a word in quotes belongs"),
        (
            "  seeds: 3",
            "  seeds: 3\n  seeds: 4",
            "grid.yaml:8: grid.seeds: is given twice, first at grid.yaml:7",
        ),
        (
            "  seeds: 3",
            "  seeds: 3\n  exclude: [{}]",
            "grid.yaml:8: grid.exclude[0]: names no key",
        ),
        (
            "  seeds: 3",
            "  seeds: 3\n  exclude: [{rewiring: paa}]",
            "grid.yaml:8: grid.exclude[0].rewiring: unknown rewiring 'paa'",
        ),
        (
            "  seeds: 3",
            "  seeds: 3\n  include:\n    - {seeds: 9, recipe: long}",
            "grid.yaml:9: grid.include[0].recipe: 'long' is not among the recipes (default)",
        ),
        (
            "  seeds: 3",
            "  seeds: 3\n  include:\n    - {seeds: 9, treatmnt: timm}",
            "grid.yaml:9: grid.include[0].treatmnt: unknown key 'treatmnt'; did you mean",
        ),
        (
            "recipe:",
            "contrasts: [{name: c, a: timm, b: timm+shuffle}]\nrecipe:",
            "grid.yaml:8: contrasts[0].b: 'timm+shuffle' is not among the treatments",
        ),
        (
            "recipe:",
            "contrast_families: {rewiring against non: 20}\nrecipe:",
            "grid.yaml:8: contrast_families.rewiring against non: unknown contrast family"
            " 'rewiring against non'; did you mean 'rewiring against none'",
        ),
        (
            "recipe:",
            "contrast_families: {named: 0}\nrecipe:",
            "grid.yaml:8: contrast_families.named: ",
        ),
        (
            "recipe:",
            "contrasts: [{name: c, a: timm, b: timm}]\nrecipe:",
            "grid.yaml:8: contrasts[0]: compares 'timm' with itself",
        ),
        (
            "recipe:",
            "execution: {gpus_per_worker: 1.5}\nrecipe:",
            "grid.yaml:8: execution.gpus_per_worker: 1.5 is neither a share of one GPU nor",
        ),
        (
            "recipe:",
            "recipes: {long: {epochs: 8}, longer: {epochs: 8}}\nrecipe:",
            "grid.yaml:8: recipes.longer: is the same recipe as 'long'",
        ),
        (
            "recipe:",
            "recipes:\n  long: {epochs: 8, epoks: 9}\nrecipe:",
            "grid.yaml:9: recipes.long.epoks: unknown key 'epoks'; did you mean 'epochs'",
        ),
        (
            "recipe:",
            "recipes:\n  a.b: {epochs: 8}\nrecipe:",
            "grid.yaml:9: recipes.a.b: 'a.b' names a recipe; use letters, digits, - and _",
        ),
    ],
)
def test_one_wrong_thing_is_named_with_its_line_and_key(
    write: Write, old: str, new: str, expected: str
) -> None:
    assert old in GOOD
    [problem] = problems(write(GOOD.replace(old, new, 1)))
    assert problem.startswith(expected)


def test_a_misspelled_key_that_is_required_is_also_missing(write: Write) -> None:
    assert problems(write(GOOD.replace("  seeds: 3", "  seed: 3"))) == [
        "grid.yaml:2: grid.seeds: is missing",
        "grid.yaml:7: grid.seed: unknown key 'seed'; did you mean 'seeds'?",
    ]


def test_all_problems_are_listed_in_the_order_of_lines(write: Write) -> None:
    text = GOOD.replace("orthogonal]", "ortogonal]").replace("epochs: 4", "epochs: many")
    found = problems(write(text + "colour: red\n"), "execution.atempts=1", "recipe.batch_size=0")
    assert [line.rpartition(": ")[0].split(": ")[0] for line in found] == [
        "grid.yaml:5",
        "grid.yaml:9",
        "grid.yaml:11",
        "--set execution.atempts=1",
        "--set recipe.batch_size=0",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "grid.yaml: is empty"),
        (b"# only a comment\n", "grid.yaml: is empty"),
        (b"- a\n- b\n", "grid.yaml:1: a list where keys with values belong"),
        (b"just words\n", "grid.yaml:1: 'just words' where keys with values belong"),
        (b"name: [a\ngrid: b\n", "grid.yaml:2: is not YAML: while parsing a flow sequence"),
        (b"name: a\n\tgrid: b\n", "grid.yaml:2: is not YAML"),
        (b"name: a\n---\nname: b\n", "grid.yaml:2: is not YAML: expected a single document"),
        (b"\xff\xfe\x00PNG", "grid.yaml: is not a text file (UTF-8)"),
        (b"name: \x00\x01\n", "grid.yaml: is not YAML: unacceptable character"),
        (b"a: &x [*x]\n", "grid.yaml: is nested too deeply"),
        (b"a: " + b"[" * 2_000, "grid.yaml: is nested too deeply"),
        (b"a: 1\n" * 300_000, "grid.yaml: is larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_bytes(content)
    assert problems(path)[0].startswith(expected)


def test_aliases_cannot_blow_up(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert problems(write("\n".join(lines))) == ["grid.yaml: has more than 100,000 values"]


def test_a_missing_file_is_refused_with_the_nearest(write: Write, tmp_path: Path) -> None:
    write(GOOD)
    [problem] = problems(tmp_path / "gird.yaml")
    assert (
        problem == "gird.yaml: cannot be read: No such file or directory; did you mean grid.yaml?"
    )
    assert problems(tmp_path)[0].endswith("cannot be read: Is a directory")


def test_words_mean_what_yaml_1_2_says(write: Write) -> None:
    text = "a: [no, on, 1e-3, 010, 1:30, 2024-01-01, none, ~, 0x1F, 1_000, .5, True, '1']\nno: 1\n"
    assert read_document(write(text)).data == {
        "a": [
            *("no", "on", 1e-3, 10, "1:30", "2024-01-01", "none", None, "0x1F", "1_000", 0.5),
            *(True, "1"),
        ],
        "no": 1,
    }


@pytest.mark.parametrize("word", ["none", "null", "~", "None", "no", "NONE", "'none'"])
def test_every_way_to_write_no_rewiring_is_the_word_none(write: Write, word: str) -> None:
    config = load_config(write(GOOD.replace("[none, pa]", f"[{word}, pa]")))
    assert config.grid.rewirings == ("none", "pa")


@pytest.mark.parametrize("tag", ["!!python/name:os.system", "!!binary", "!own"])
def test_a_yaml_tag_runs_nothing(write: Write, tag: str) -> None:
    [problem, *_] = problems(write(GOOD + f"family: {tag} 'x'\n"))
    assert problem.startswith("grid.yaml:11: family: the YAML tag")


def test_overrides_are_read_as_yaml(write: Write) -> None:
    config = load_config(
        write(GOOD),
        [
            "recipe.epochs=7",
            "recipe.learning_rate=1e-3",
            "recipe.optimizer_args.momentum=0.5",
            "grid.seeds=[3, 5]",
            "grid.rewirings=[none]",
            "execution.executor=inline",
            "data_dir=",
        ],
    )
    assert config.recipe.epochs == 7
    assert config.recipe.learning_rate == 1e-3
    assert config.recipe.optimizer_args == {"momentum": 0.5}
    assert config.seeds == (3, 5)
    assert config.grid.rewirings == ("none",)
    assert config.execution.executor == "inline"
    assert config.data_dir is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("recipe.epochs", "--set recipe.epochs: is no assignment"),
        ("=3", "--set =3: is no assignment"),
        ("recipe..epochs=3", "--set recipe..epochs=3: is no assignment"),
        ("recipe.epochs=[1", "--set recipe.epochs=[1: is not YAML"),
        ("name.first=x", "--set name.first=x: name is 'small' without keys"),
        (
            "recipe.epoks=3",
            "--set recipe.epoks=3: recipe.epoks: unknown key 'epoks'; did you mean 'epochs'",
        ),
        (
            "recipe={epochs: 0}",
            "--set recipe={epochs: 0}: recipe.epochs: 0 where a number of at least 1 belongs",
        ),
        (
            "grid={datasets: [digits], architectures: [plain_cnn], initializers: [timm]}",
            "--set grid={datasets: [digits], architectures: [plain_cnn], initializers: [timm]}:"
            " grid.seeds: is missing",
        ),
        (
            "grid.architectures=[test_vit(a=1,b=2)]",
            "--set grid.architectures=[test_vit(a=1,b=2)]: grid.architectures[0]:"
            " 'test_vit(a=1' is not a name; write name or name(parameter=value); quote a name that",
        ),
    ],
)
def test_a_wrong_override_is_named(write: Write, override: str, expected: str) -> None:
    assert problems(write(GOOD), override)[0].startswith(expected)


NAMED = GOOD + "recipes:\n  short: {}\n  long: {epochs: 9, batch_size: 32}\n"


def test_named_recipes_say_only_what_differs(write: Write) -> None:
    config = load_config(write(NAMED))
    assert config.named_recipes == {
        "short": Recipe(epochs=4, learning_rate=0.01),
        "long": Recipe(epochs=9, batch_size=32, learning_rate=0.01),
    }


def test_an_override_of_the_recipe_reaches_the_named_ones(write: Write) -> None:
    config = load_config(write(NAMED), ["recipe.epochs=2", "recipes.long.batch_size=16"])
    assert config.named_recipes == {
        "short": Recipe(epochs=2, learning_rate=0.01),
        "long": Recipe(epochs=2, batch_size=16, learning_rate=0.01),
    }


def test_plugins_lie_beside_the_config_and_load_before_names_are_checked(
    write: Write, tmp_path: Path
) -> None:
    source = (
        "from benchmark import initializer\n"
        "@initializer('of_test_config', summary='zeros')\n"
        "def of_test_config(weight, layer, generator):\n    weight.zero_()\n"
    )
    (tmp_path / "config_plugin.py").write_text(source)
    text = GOOD.replace("orthogonal]", "of_test_config]") + "plugins: [config_plugin.py]\n"
    try:
        config = load_config(write(text))
        assert config.grid.initializers == ("timm", "of_test_config")
        assert config.plugin_files == [str(tmp_path / "config_plugin.py")]
        assert config.to_dict()["plugins"] == ["config_plugin.py"]
    finally:
        plugins.initializers._methods.pop("of_test_config", None)


def test_a_plugin_that_is_not_there_or_fails_is_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    found = problems(write(GOOD + "plugins: [nowhere.py, broken_plugin.py]\n"))
    assert found[0].startswith("grid.yaml:11: plugins[0]: cannot read the plugin")
    assert found[1].startswith("grid.yaml:11: plugins[1]: the plugin")
    assert "ZeroDivisionError" in found[-1]


def test_reading_a_config_imports_neither_torch_nor_timm_nor_ray() -> None:
    code = (
        "import sys\nfrom benchmark.config import load_config\n"
        f"load_config({str(CONFIGS / 'quickstart.yaml')!r})\n"
        "print({'torch', 'timm', 'ray', 'pandas'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_configs_made_in_python_are_checked_too() -> None:
    grid = {"datasets": ["digits"], "architectures": ["plain_cnn"], "initializers": ["orthogonal"]}
    with pytest.raises(ValidationError, match="'timm' is not among the treatments"):
        GridConfig.model_validate({"name": "x", "grid": {**grid, "seeds": 1}})


some = {"min_size": 1, "unique": True}
configs = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "1e3", "007", "null", "true", "no", "2024-01-01", "x_y-z"]),
        "grid": st.fixed_dictionaries(
            {
                "datasets": st.lists(st.sampled_from(["digits", "cifar10"]), **some),
                "architectures": st.lists(
                    st.sampled_from(["plain_cnn", "test_vit(patch_size=4)", "test_*"]), **some
                ),
                "initializers": st.lists(
                    st.sampled_from(["orthogonal", "kaiming_normal(mode=fan_out)"]), unique=True
                ).map(lambda names: ["timm", *names]),
                "seeds": st.integers(1, 9) | st.lists(st.integers(0, 2**63 - 1), **some),
            },
            optional={
                "treatments": st.just(["orthogonal+pa(offset=0.1)"]),
                "exclude": st.just([{"architecture": "test_*", "seed": 0}]),
                "include": st.just([{"treatment": "timm+shuffle", "seeds": [7]}]),
            },
        ),
    },
    optional={
        "recipe": st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.integers(1, 500),
                "learning_rate": st.floats(1e-9, 10),
                "optimizer_args": st.dictionaries(
                    st.sampled_from(["no", "1", "a"]), st.floats(0, 1) | st.text(max_size=4)
                ),
                "augmentation": st.lists(st.sampled_from(["flip", "shift_crop"]), unique=True),
                "clip_gradient": st.none() | st.floats(0.1, 9),
                "image_size": st.just("auto") | st.integers(1, 512),
            },
        ),
        "recipes": st.just({"1": {}, "no": {"batch_size": 7, "augmentation": ["flip"]}}),
        "margin": st.floats(0.001, 0.5),
        "data_dir": st.none() | st.sampled_from(["~/data", "null", "1.0", "a: b", "#x"]),
        "execution": st.just({"cohort_size": 3, "gpus_per_worker": 0.25}),
    },
)


@given(data=configs)
@settings(max_examples=60, deadline=None)
def test_a_config_survives_being_written_and_read(data: dict[str, Any]) -> None:
    config = GridConfig.model_validate(data)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(config.to_yaml())
        again = load_config(path)
    assert again == config
    assert again.to_dict() == json.loads(json.dumps(config.to_dict()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_configs_load_and_fit_the_schema(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    schema = config_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(read_document(path).data)
    validator.validate(json.loads(json.dumps(config.to_dict())))


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"recipe": {"epoks": 3}},
        {"recipe": {"learning_rate": 0}},
        {"recipe": {"augmentation": "flip"}},
        {"recipes": {"long": {"epoks": 3}}},
        {"family": "many"},
        {"execution": {"executor": "dask"}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(wrong: dict[str, Any]) -> None:
    data = read_document(CONFIGS / "quickstart.yaml").data | wrong
    assert list(jsonschema.Draft202012Validator(config_schema()).iter_errors(data))


def test_the_committed_schema_is_current() -> None:
    committed = json.loads((CONFIGS / "schema.json").read_text())
    assert committed == config_schema(), "run: initbench schema > configs/schema.json"


def test_the_size_limit_is_far_above_the_shipped_configs() -> None:
    assert max(path.stat().st_size for path in FILES) * 100 < document.MAX_BYTES
