"""`initbench inspect`: a table a treatment, a line in words, a drawing, clear errors."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Command

MODEL = ("inspect", "plain_cnn", "--image-size", "8")


def test_every_treatment_gets_its_table_and_its_line(command: Command) -> None:
    code, out, _ = command(
        *MODEL, "--dataset", "digits", "--treatment", "kaiming_normal+pa", "--against", "timm"
    )
    assert code == 0
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "plain_cnn, seed 0; 64 images 1 x 8 x 8 of digits"
    assert sum(line.startswith("layer ") for line in lines) == 2
    assert any(line.startswith("kaiming_normal+pa: strength variance is x0.") for line in lines)
    assert any(line.startswith("timm: ") for line in lines)


def test_weights_that_no_treatment_reaches_are_named(command: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "experts.py"
    plugin.write_text(
        "from timm.layers import CondConv2d\n"
        "from torch import nn\n"
        "from benchmark import architecture\n"
        "class Experts(nn.Module):\n"
        "    def __init__(self, classes, channels):\n"
        "        super().__init__()\n"
        "        self.mixed = CondConv2d(channels, 4, 3, num_experts=2)\n"
        "        self.fc = nn.Linear(4, classes)\n"
        "    def forward(self, images):\n"
        "        routing = images.new_full((len(images), 2), 0.5)\n"
        "        return self.fc(self.mixed(images, routing).mean((2, 3)))\n"
        "@architecture('experts', summary='a mixture', image_size=8)\n"
        "def experts(num_classes, in_chans):\n"
        "    return Experts(num_classes, in_chans)\n",
        encoding="utf-8",
    )
    code, out, _ = command("inspect", "experts", "--plugin", plugin, "--treatment", "timm")
    assert code == 0
    assert "No treatment reaches mixed.weight." in out.splitlines()


def test_drawing_and_page_are_written_and_names_stay_text(command: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "odd.py"
    plugin.write_text(
        "from benchmark import initializer\n"
        "@initializer('odd', summary='constant rows', paper='a test')\n"
        "def odd(weight, layer, generator, tag: str = 'x'):\n"
        "    weight.normal_(0.0, 0.1, generator=generator)\n",
        encoding="utf-8",
    )
    code, _, _ = command(
        *MODEL, "--plugin", plugin, "--treatment", "odd(tag='<img src=x>')",
        "--svg", tmp_path / "a.svg", "--html", tmp_path / "a.html",
    )  # fmt: skip
    assert code == 0
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;<wbr>img" in page or "&lt;img" in page
    assert "<script" not in page


def test_what_cannot_be_inspected_is_said_before_anything_is_built(
    command: Command, tmp_path: Path
) -> None:
    assert command("inspect", "resnet1", "--treatment", "timm")[2].startswith(
        "error: unknown architecture"
    )
    assert "orthogonal" in command(*MODEL, "--treatment", "ortogonal")[2]
    assert "stands for" in command("inspect", "test_*")[2]
    missing = tmp_path / "no" / "a.svg"
    code, _, error = command(*MODEL, "--svg", missing)
    assert code == 2
    assert str(missing) in error
