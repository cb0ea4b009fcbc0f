"""The complete scripts of docs/own-loop.md, run with fewer epochs, and the commands that the page names after them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from prunescope import read_table

PAGE = (Path(__file__).parents[2] / "docs" / "own-loop.md").read_text()
SCRIPTS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.S))


def ran(command: list[str], folder: Path) -> str:
    """Run a command in a folder and return what it printed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_transformer_trains_and_every_command_works_on_it(tmp_path: Path) -> None:
    script = SCRIPTS["vit_digits.py"]
    assert "EPOCHS = 12" in script
    script = script.replace("EPOCHS = 12", "EPOCHS = 3")
    (tmp_path / "vit_digits.py").write_text(script)
    printed = ran([sys.executable, "vit_digits.py"], tmp_path)
    assert len(printed.splitlines()) == len(read_table(tmp_path / "runs" / "vit")) == 44
    commands = re.findall(r"^    (prunescope .*runs/vit.*)$", PAGE, re.M)
    assert [command.split()[1] for command in commands] == ["fit", "choose", "lens", "report"]
    table = read_table(tmp_path / "runs" / "vit")
    unpruned, highest = table.where("density = 1 and width = 1")["test_error"].mean(), table["test_error"].max()
    for command in commands:
        # The page's bound is not for so short a training.
        words = [f"{(unpruned + highest) / 2:.3f}" if word == "0.3" else word for word in command.split()]
        assert ran([str(Path(sys.executable).with_name("prunescope")), *words[1:]], tmp_path) or "report" in command
    assert (tmp_path / "vit.html").stat().st_size > 100_000
    assert ran([sys.executable, "vit_digits.py"], tmp_path) == ""  # there is nothing left to train


@pytest.mark.parametrize(("name", "package"), [("lightning", "pytorch_lightning"), ("transformers", "accelerate")])
def test_the_scripts_with_trainers_run(tmp_path: Path, name: str, package: str) -> None:
    pytest.importorskip(package)
    script = SCRIPTS[f"{name}_digits.py"]
    for full, short in (("EPOCHS = 5", "EPOCHS = 2"), ("levels=8", "levels=2")):
        assert full in script
        script = script.replace(full, short)
    (tmp_path / "script.py").write_text(script)
    ran([sys.executable, "-W", "ignore", "script.py"], tmp_path)
    table = read_table(tmp_path / "runs" / name)
    assert sorted(table["rung"].tolist()) == [0, 1, 2]
    assert set(table["source"].tolist()) == {"script.py"}
