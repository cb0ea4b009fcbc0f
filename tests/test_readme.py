"""The README from top to bottom, as a newcomer types it, and the demo that it begins with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from prunescope.choose import smallest_network
from prunescope.demo import sample_path
from prunescope.lens import analyze
from prunescope.table import Table, read_table

ROOT = Path(__file__).parent.parent
DEMO = "prunescope demo"


@dataclass(frozen=True)
class Walk:
    """A folder in which the README was followed, and what each of its commands and programs said."""

    folder: Path
    outputs: dict[str, subprocess.CompletedProcess[str]]


def programs(text: str) -> list[tuple[str, list[str]]]:
    """Return what a document tells to type: shell lines and whole Python blocks, each with how it is run."""
    commands = []
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            commands.append((block, [sys.executable, "-c", block]))
            continue
        for line in (command.split("  #")[0].strip() for command in block.splitlines()):
            assert line.startswith("prunescope ")
            commands.append(
                (line, ["sh", "-c", line.replace("prunescope", f"{shlex.quote(sys.executable)} -m prunescope", 1)])
            )
    return commands


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Follow the README; what is remembered for this machine stays out of it."""
    folder = tmp_path_factory.mktemp("newcomer")
    environment = os.environ | {"COLUMNS": "120", "XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache")}

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return Walk(folder, {typed: run(command) for typed, command in programs((ROOT / "README.md").read_text())})


def test_the_page_of_situations_runs_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-do-i.md").read_text()
    (tmp_path / "results.csv").write_bytes(sample_path().read_bytes())
    for study in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        (tmp_path / f"{tomllib.loads(study)['name']}.toml").write_text(study)
    typed = programs(page)
    (module,) = (block for block, _ in typed if "def make(" in block)
    (tmp_path / "mine.py").write_text(module)
    environment = os.environ | {"COLUMNS": "120"}
    for block, command in typed:
        if block != module:
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}\n{done.stderr}"
    assert {path.name for path in tmp_path.iterdir()} >= {"law.json", "results.html", "net.safetensors", "paper"}


def test_the_readme_runs_from_top_to_bottom(walk: Walk) -> None:
    for typed, done in walk.outputs.items():
        assert done.returncode == 0, f"{typed}\n{done.stderr}"
    assert next(iter(walk.outputs)) == DEMO
    assert len(walk.outputs) >= 12


def test_the_demo_says_what_matters(walk: Walk) -> None:
    output = walk.outputs[DEMO].stdout
    assert "2,088 networks trained" in output
    assert "Did you mean 'eror'?" in output
    sentences = output[output.index("What matters:") :].splitlines()[1:4]
    assert [sentence[:2] for sentence in sentences] == ["- "] * 3
    chosen = smallest_network(walk.folder / "demo" / "digits", 0.12).answers[0].robust
    assert chosen is not None
    assert f"{chosen.parameters:,.0f} parameters" in sentences[1]
    result = analyze(walk.folder / "demo" / "lens")
    assert [cell.label_noise for cell in result.cells] == [0.0, 0.3]
    assert all(cell.diagnosis.words in sentences[2] for cell in result.cells)
    page = (walk.folder / "demo" / "report.html").read_text(encoding="utf-8")
    assert "digits-lens in part" in page


def test_the_demos_networks_err_as_such_networks_do(walk: Walk) -> None:
    def error(rows: Table, where: str) -> float:
        return float(rows.where(where)["error"].mean())

    rows = read_table(walk.folder / "demo" / "digits").where("examples = 1297")
    plateau, slope, bottom = (error(rows, f"width = 0.1 and rung = {rung}") for rung in (2, 18, 28))
    assert plateau < 0.12 < slope < 0.4 < bottom  # guessing is 0.9
    assert error(rows, "rung = 20 and width = 0.4") < 0.7 * error(rows, "rung = 20 and width = 0.1")


def test_a_second_demo_trains_nothing_and_keeps_its_files(walk: Walk) -> None:
    again = subprocess.run(
        [sys.executable, "-m", "prunescope", "demo"], cwd=walk.folder, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "all were" in again.stdout
    assert len(read_table(walk.folder / "demo" / "family.parquet")) > 0
