"""Documents name what is there: commands, options, anchors, files, and outputs as commands print them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.demo import sample_path
from prunescope.run.slurm import ArrayJob

ROOT = Path(__file__).parent.parent
GENERATED = ("table.md", "reproduction.md")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FOREIGN = {"--requeue", "--nthreads", "--host", "--interface", "--quick"}
"""Options of sbatch, of Dask and of the benchmarks."""
FENCE = re.compile(r"```.*?```", re.DOTALL)


@cache
def options() -> dict[str, set[str]]:
    """Return what each command takes; a group takes what its commands take."""
    context = click.Context(cli)

    def taken(command: click.Command) -> set[str]:
        if isinstance(command, click.Group):
            commands = [command.get_command(context, name) for name in command.list_commands(context)]
            return set().union(*(taken(command) for command in commands if command is not None))
        return {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help", "-h"}

    return {name: taken(command) for name in cli.list_commands(context) if (command := cli.get_command(context, name))}


def typed(text: str) -> list[tuple[str, str]]:
    """Return each command that a document shows, and the words after it."""
    shown = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    shown += [line.strip() for line in text.splitlines() if line.startswith("    ")]
    shown += [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines = (line.split("  #")[0].split(" -- ")[0] for line in shown)
    return [found for line in lines for found in re.findall(r"(?:^|\$ |-m |; do )prunescope ([a-z][a-z-]*)(.*)", line)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_take_the_options_that_documents_give_them(path: Path) -> None:
    for command, words in typed(path.read_text()):
        assert command in options(), command
        given = set(re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", re.sub(r"'[^']*'|\"[^\"]*\"", "", words)))
        assert given <= options()[command], (command, words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_an_option_that_the_text_names_belongs_to_a_command(path: Path) -> None:
    known = set().union(*options().values()) | FOREIGN
    assert set(re.findall(r"`(--[a-z][a-z-]*)", FENCE.sub("", path.read_text()))) <= known


def anchors(path: Path) -> set[str]:
    """Return the places in a document that links may name."""
    text = FENCE.sub("", path.read_text())
    heads = (re.sub(r"[^\w -]", "", head.lower()).strip() for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return {head.replace(" ", "-") for head in heads} | set(re.findall(r'id="([^"]+)"', text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_into_documents_meet_a_heading(path: Path) -> None:
    for page, anchor in re.findall(r"\]\(([^)#:\s]*\.md)?#([^)\s]+)\)", path.read_text()):
        assert anchor in anchors(path.parent / page if page else path), f"{page}#{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_of_the_project_that_documents_name_are_there(path: Path) -> None:
    rooms = "|".join(folder.name for folder in (ROOT / "src" / "prunescope").iterdir() if folder.is_dir())
    for named in re.findall(rf"`((?:src|tests|tools|benchmarks|{rooms})/[\w/]+\.\w+)`", path.read_text()):
        assert (ROOT / named).exists() or (ROOT / "src" / "prunescope" / named).exists(), named


WRITTEN = [path for path in DOCUMENTS if path.name not in GENERATED]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_lines_of_text_end_at_120_letters(path: Path) -> None:
    lines = FENCE.sub("", path.read_text()).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith(("|", "#", "!", "    "))] == []


def test_the_job_of_the_page_on_machines_is_the_job_that_is_written() -> None:
    (shown,) = re.findall(r"```bash\n(#!/bin/bash.*?)```", (ROOT / "docs" / "machines.md").read_text(), re.DOTALL)
    folder, store = Path("/home/me/study"), Path("/scratch/me/mine")
    command = f"python -m prunescope run {folder}/mine.toml --store {store} --copies 16 --device cuda".split()
    job = ArrayJob("prunescope-mine", command, folder, Path(f"{store}.slurm"), 16, gpus=1, cores=2, seconds=4 * 3600)
    assert shown == job.script()


def shape(output: str) -> list[str]:
    """Return the lines of an output without their numbers and their spaces: what is the same on every machine."""
    return [" ".join(re.sub(r"[-+]?[\d.]+(e[-+]\d+)?", "#", line).split()) for line in output.strip().splitlines()]


def test_the_page_of_laws_shows_fits_as_they_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "laws.md").read_text()
    (program,) = re.findall(r"\n\n(    import numpy as np\n.*?)\n\n    \$", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.removeprefix("    ") for line in program.splitlines()), {})
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "family.csv").write_bytes(sample_path().read_bytes())
    shown = dict(re.findall(r"^    \$ prunescope (.*)\n((?:    [^$].*\n)+)", page, re.MULTILINE))
    runs = [
        "fit demo/family.csv --law joint",
        *(words for words in shown if words.startswith(("fit rows", "sparsity"))),
    ]
    assert len(runs) == 3
    for words in runs:
        split = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", words)]
        done = CliRunner().invoke(cli, split, env={"COLUMNS": "130"}, catch_exceptions=False)
        assert shape(done.stdout) == shape(shown[words])
