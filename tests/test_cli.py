"""The command line as its users meet it: output, errors, exit codes, kills and resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import __version__
from benchmark.results.store import open_store
from tests.conftest import Command

WriteConfig = Callable[..., Path]


def started(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """Start initbench as a process of its own, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background has made them ignore what Ctrl-C sends.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_records(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Return when a results folder has so many records, however the process fares."""
    path = folder / "records.jsonl"
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"ended before {count} records: {process.communicate()[0]}")


def test_version_and_help(command: Command) -> None:
    assert command("--version")[:2] == (0, f"initbench {__version__}\n")
    code, out, _ = command("--help")
    assert code == 0
    assert all(name in out for name in ("run", "plan", "status", "board", "list", "schema"))
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", ["run", "plan", "try", "reproduce"])
def test_help_says_what_an_option_of_training_is_by_default(command: Command, name: str) -> None:
    _, out, _ = command(name, "--help")
    for option in ("--executor", "--workers", "--device", "--retry"):
        _, found, text = out.partition(f"  {option} ")
        assert not found or "[default:" in text.partition("\n  -")[0], option


def test_light_commands_load_neither_torch_nor_ray() -> None:
    code = (
        "import sys\n"
        "from benchmark import cli\n"
        "import benchmark.commands.watching, benchmark.commands.listing\n"
        "import benchmark.results.store, benchmark.results.frame\n"
        "from benchmark.plugins import initializers, rewirings, datasets\n"
        "initializers.all(), rewirings.all(), datasets.all()\n"
        "print(sorted({'torch', 'timm', 'ray', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_run_board_status_and_plan_agree(command: Command, write_config: WriteConfig) -> None:
    config = write_config()
    code, out, err = command("plan", config, "--json", "--no-measure")
    assert code == 0
    assert json.loads(out)["missing"] == json.loads(out)["trials"] == 8
    code, out, err = command("run", config, "--executor", "inline")
    assert (code, err) == (0, "")
    assert "8/8 trials done" in out
    assert "results/small" in out
    names = {"README.md", "trials.csv", "records.jsonl", "config.yaml", "grid.json"}
    assert names <= set(os.listdir("results/small"))
    header, *rows = Path("results/small/trials.csv").read_text().splitlines()
    assert header == (
        "dataset,architecture,recipe,treatment,initializer,rewiring,seed,status,accuracy,n_test,"
        "epoch1_accuracy,seconds,trial"
    )
    assert len(rows) == 8
    code, out, _ = command("status", "results/small")
    assert code == 0
    assert "8 of 8 trials done (8 ok)" in out
    assert "no run at work" in out
    code, out, _ = command("plan", config)
    assert "8 done, 0 missing" in out
    code, out, _ = command("run", config, "--executor", "inline")
    assert code == 0
    assert "8 of them done" in out


def test_the_snapshot_of_the_config_makes_the_same_grid(
    command: Command, write_config: WriteConfig
) -> None:
    overrides = ["--set", "recipe.epochs=1", "--set", "grid.seeds=[3]"]
    command("run", write_config(), "--executor", "inline", "--out", "out", *overrides)
    _, out, _ = command("plan", "out/config.yaml", "--out", "out", "--json", "--no-measure")
    assert json.loads(out)["missing"] == 0
    assert json.loads(out)["trials"] == 4


def test_plan_measures_and_then_reads_its_records(
    command: Command, write_config: WriteConfig
) -> None:
    config = write_config()
    _, out, _ = command("plan", config, "--json", "--device", "cpu", "--executor", "inline")
    price = json.loads(out)["price"]
    assert price["workers"] == 1
    assert price["cells"][0]["source"] == "probe"
    low, expected, high = (price["device_seconds"][key] for key in ("low", "expected", "high"))
    assert 0 < low <= expected <= high
    command("run", config, "--executor", "inline", "--set", "grid.seeds=1")
    _, out, _ = command("plan", config, "--json", "--executor", "inline")
    assert json.loads(out)["price"]["cells"][0]["source"] == "records"
    code, out, _ = command("plan", config, "--executor", "inline", "--set", "recipe.epochs=3")
    assert code == 0
    assert "with 1 worker, start-up" in " ".join(out.split())
    assert "small: 1 cell x 4 treatments x 2 seeds, 8 trials" in out
    assert max(map(len, out.splitlines())) <= 80


def test_dry_run_trains_nothing(command: Command, write_config: WriteConfig) -> None:
    code, out, _ = command("run", write_config(), "--dry-run")
    assert code == 0
    assert "nothing was" in out
    assert not Path("results").exists()


def test_every_cell_of_the_grid_in_readme_takes_a_batch(command: Command) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition("\n## A grid\n\n")
    config = Path("mine.yaml").absolute()
    config.write_text(textwrap.dedent(rest.partition("\n\n`")[0]), encoding="utf-8")
    code, out, err = command("run", config, "--dry-run")
    assert (code, err) == (0, "")
    assert "Every cell took a batch. 330 trials would be trained" in out


@pytest.mark.parametrize("kind", ["initializers", "rewirings", "datasets", "optimizers"])
def test_list_names_what_there_is_with_a_source(command: Command, kind: str) -> None:
    # In a process of its own: other tests leave methods of theirs in this one.
    listed = [sys.executable, "-m", "benchmark", "list", kind, "--json"]
    done = subprocess.run(listed, capture_output=True, text=True, check=True)
    assert all(row["name"] and row["source"] for row in json.loads(done.stdout))
    code, _, _ = command("list", kind)
    assert code == 0


def test_list_filters_and_says_when_nothing_matches(command: Command) -> None:
    code, out, _ = command("list", "architectures", "plain*")
    assert (code, out.split()) == (0, ["plain_cnn"])
    assert command("list", "rewirings", "zzz")[0] == 2


def test_an_unknown_argument_is_refused_in_plain_words(command: Command) -> None:
    code, out, err = command("list", "foo")
    assert (code, out) == (2, "")
    assert "'KIND': 'foo' is not one of 'initializers'," in err


@pytest.mark.parametrize(
    "arguments", [["list", "optimizers"], ["schema"], ["--help"], ["list", "a"]]
)
def test_a_reader_that_leaves_ends_a_command_without_a_word(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    refused = arguments[-1] == "a"
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        stdout=writing,
        stderr=writing if refused else subprocess.PIPE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr or b"") == (141, b"")


def test_ctrl_c_ends_any_command_with_a_line(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.commands.listing.show", interrupted)
    assert command("list", "initializers") == (130, "", "Stopped.\n")


@pytest.mark.parametrize(
    ("replacement", "words"),
    [
        (("kaiming_normal", "kaimin_normal"), ["small.yaml:5", "'kaiming_normal'"]),
        (("[none, pa]", "[none, paa]"), ["small.yaml:6", "'pa'"]),
        (("[digits]", "[digit]"), ["small.yaml:3", "'digits'"]),
        (("plain_cnn", "plain_cn"), ["small.yaml:4", "'plain_cnn'"]),
        (("adamw", "adamv"), ["small.yaml:11", "adamw"]),
        (("seeds: 2", "seeds: 0"), ["small.yaml:7"]),
        (("epochs: 2", "epoch: 2"), ["small.yaml:9", "epochs"]),
        (("learning_rate: 0.01", "learning_rate: -1"), ["small.yaml:12"]),
        (("[timm,", "[timm, timm,"), ["small.yaml:5", "twice"]),
        (("name: small", "name: [small"), ["small.yaml"]),
    ],
)
def test_bad_input_is_refused_with_file_line_and_remedy(
    command: Command, write_config: WriteConfig, replacement: tuple[str, str], words: list[str]
) -> None:
    code, out, err = command("run", write_config(replacement), "--executor", "inline")
    assert code == 2
    assert out == ""
    assert all(word in err for word in words), err
    assert "Traceback" not in err
    assert not Path("results").exists()


def test_more_bad_use(command: Command, write_config: WriteConfig, tmp_path: Path) -> None:
    assert command("run", "absent.yaml")[0] == 2
    assert command("run", write_config(), "--retry", "fine")[0] == 2
    assert command("run", write_config(), "--set", "recipe.epoch=3")[0] == 2
    code, _, err = command("run", write_config(("image_size: 8", "image_size: 0")))
    assert code == 2
    assert "image_size" in err
    code, _, err = command("status", tmp_path)
    assert code == 2
    assert "no results folder" in err


def test_a_data_set_that_is_not_there_is_refused_before_training(
    command: Command, write_config: WriteConfig
) -> None:
    config = write_config(("[digits]", "[digits, cifar10]"))
    code, _, err = command("run", config, "--executor", "inline", "--out", "out")
    assert code == 2
    assert "cifar10" in err
    assert "download=True" in err
    assert not Path("out/records.jsonl").exists()


def test_a_second_driver_is_refused_in_words(command: Command, write_config: WriteConfig) -> None:
    with open_store("results/small"):
        code, _, err = command("run", write_config(), "--executor", "inline")
    assert code == 2
    assert f"process {os.getpid()}" in err


def test_a_failed_trial_gives_exit_code_1_and_is_run_again_on_demand(
    command: Command, write_config: WriteConfig, tmp_path: Path
) -> None:
    plugin = tmp_path / "moody.py"
    plugin.write_text(
        "import os\n"
        "from benchmark import initializer\n\n"
        "@initializer('moody', summary='raises while MOOD is bad', paper='a test')\n"
        "def moody(weight, layer, generator):\n"
        "    if os.environ.get('MOOD') == 'bad':\n"
        "        raise RuntimeError('bad mood')\n"
        "    weight.normal_(0, 0.1, generator=generator)\n"
    )
    config = write_config(("kaiming_normal", "moody"))
    arguments = ["run", config, "--executor", "inline", "--plugin", plugin]
    os.environ["MOOD"] = "bad"
    try:
        code, out, _ = command(*arguments)
    finally:
        del os.environ["MOOD"]
    assert code == 1
    assert "4 failed" in out
    code, out, _ = command("status", "results/small")
    assert code == 1
    assert "bad mood" in out
    assert command(*arguments)[0] == 1
    code, out, _ = command(*arguments, "--retry", "error")
    assert code == 0
    assert "0 failed" in out


@pytest.mark.slow
def test_killed_three_times_and_resumed_gives_the_same_trials(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    config = write_config(("[timm, kaiming_normal]", "[timm, kaiming_normal, orthogonal]"))
    arguments = ["run", config, "--executor", "inline", "--set", "execution.cohort_size=2", "--out"]
    for kill_after in (1, 5, 8):
        process = started(*arguments, "killed", folder=tmp_path)
        wait_for_records(process, tmp_path / "killed", kill_after)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with (tmp_path / "killed" / "records.jsonl").open("ab") as file:
        file.write(b'{"trial": "torn')
    for name in ("killed", "whole"):
        process = started(*arguments, name, folder=tmp_path)
        output, _ = process.communicate()
        assert process.returncode == 0, output
    tables = []
    for name in ("killed", "whole"):
        rows = (tmp_path / name / "trials.csv").read_text().splitlines()
        seconds = rows[0].split(",").index("seconds")
        columns = [row.rsplit(",", 2) for row in rows]
        assert seconds == len(rows[0].split(",")) - 2
        tables.append([(head, trial) for head, _, trial in columns])
    assert len(tables[0]) == 13
    assert tables[0] == tables[1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(
    write_config: WriteConfig, tmp_path: Path, number: int, code: int, executor: str
) -> None:
    config = write_config(("epochs: 2", "epochs: 20"), ("seeds: 2", "seeds: 8"))
    small = ("--set", "execution.cohort_size=2")
    options = ("--executor", executor, "--out", "out", *small)
    process = started("run", config, *options, folder=tmp_path)
    wait_for_records(process, tmp_path / "out", 1)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output
    assert "SIGTERM received" not in output
