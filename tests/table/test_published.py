"""The tables that come with the package, and the page that is made of them."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tools import reproduction
from tools.where_it_misses import slope_between

import prunescope
from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.laws import JointLaw
from prunescope.lens import analyze
from prunescope.study import read_study
from prunescope.table import load_table, published_tables, published_text, read_table

MOST_BYTES = 1_000_000
# How far a figure of the page may lie from the one made here: fits differ a little from processor to processor.
CLOSE = 0.05


@pytest.mark.parametrize("name", list(published_tables()))
def test_every_table_that_ships_is_read_by_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = load_table(name)
    assert rows.source == name
    assert len(rows) == len(read_table(name)) > 100
    assert not any("not in the schema" in note for note in rows.notes)
    published = published_tables()[name]
    assert published.title
    assert published.source


def test_shipped_tables_are_small_and_all_listed() -> None:
    folder = resources.files("prunescope.table") / "measurements"
    files = [file for file in folder.iterdir() if file.name.endswith(".parquet")]
    assert sum(len(file.read_bytes()) for file in files) < MOST_BYTES
    of_lens = {name for published in published_tables().values() for name in published.lens_tables}
    assert {file.name for file in files} == {f"{name}.parquet" for name in published_tables()} | of_lens


def test_the_studies_of_shipped_tables_are_studies_that_plan_accepts(tmp_path: Path) -> None:
    for published in published_tables().values():
        for name in published.studies:
            (tmp_path / name).write_text(published_text(name), encoding="utf-8")
            study = read_study(tmp_path / name)
            ladders = set(load_table(published.name)["ladder"].tolist())
            assert {ladder.identity for ladder in study.ladders} & ladders


def test_a_file_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").write_text("density,error\n1,0.1\n0.5,0.2\n", encoding="utf-8")
    assert len(read_table("digits")) == 2
    assert len(load_table("digits")) > 100


def test_a_name_that_no_table_has_is_refused_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (load_table, read_table):
        with pytest.raises(InputError) as trouble:
            read("lenet-mnst")
        assert "lenet-mnist" in trouble.value.faults[0].hint
    for wrong in ("", "../digits", "/etc/passwd", "a" * 10_000):
        with pytest.raises(InputError):
            load_table(wrong)


def test_commands_take_shipped_tables_and_list_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(cli, ["table"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in published_tables())
    shown = CliRunner().invoke(cli, ["table", "renda2020", "--where", "depth = 50", "--limit", "1"])
    assert shown.exit_code == 0
    assert "imagenet" in shown.output
    assert prunescope.load_table("renda2020").source == "renda2020"


def test_the_page_says_what_the_tables_say() -> None:
    written = (Path(__file__).parents[2] / "docs" / "reproduction.md").read_text(encoding="utf-8")
    made = reproduction.page()
    # Whether data tell a parameter at all may hang on rounding.
    told = re.compile(r"(?<=\| eps_up \|).*?\n\n|(?<=ph|ps)i (\?|-?[\d.]+)", re.DOTALL)
    written, made = (told.sub("", text) for text in (written, made))
    number = re.compile(r"-?\+?\d[\d,]*\.?\d*")
    assert number.sub("#", written) == number.sub("#", made)
    theirs, ours = (
        [float(value.replace(",", "").replace("+", "")) for value in number.findall(text)] for text in (written, made)
    )
    apart = [(old, new) for old, new in zip(theirs, ours, strict=True) if abs(old - new) > max(0.3, CLOSE * abs(new))]
    assert not apart


@pytest.mark.parametrize("slope", [0.15, 0.6, 1.0])
def test_a_slope_is_that_of_a_power_law(slope: float) -> None:
    density = np.asarray(0.8 ** np.random.default_rng(0).permutation(30), np.float64)
    risen = np.maximum(1.0, (density / 0.2) ** -slope)
    assert slope_between(density, risen, 1.25, 1.5) == pytest.approx(slope)
    assert slope_between(density, risen, 1.25, 1.01 * risen.max()) is None


def test_the_lens_page_says_what_the_lens_says_of_a_shipped_table() -> None:
    words = " ".join((Path(__file__).parents[2] / "docs" / "lens.md").read_text(encoding="utf-8").split())
    (quoted,) = re.findall(r"in `([\w-]+)` at (\d+) % noise, narrow networks are ([-+.\d]+) ± ([.\d]+) points", words)
    name, noise, *by_test = quoted
    (by_validation,) = re.findall(r"and ([-+.\d]+) ± ([.\d]+) by ours", words)
    (cell,) = analyze(name, noise=[float(noise) / 100]).cells
    narrow = cell.narrow
    assert narrow is not None
    for verdict, typed in ((narrow.best_by_test, by_test), (narrow.best, by_validation)):
        assert verdict is not None
        assert verdict.deviation is not None
        assert [round(100 * verdict.mean, 1), round(100 * verdict.deviation, 1)] == [float(text) for text in typed]


def test_the_readme_says_how_many_networks_a_table_has() -> None:
    words = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (number,) = re.findall(r"choose lenet-mnist .*# ([\d,]+) LeNets", words)
    assert number == f"{len(load_table('lenet-mnist')):,}"


def test_the_readme_says_how_far_the_law_is_off() -> None:
    words = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    (percent,) = re.findall(r"one law fitted to all of them\. It is off by (\d+) %", words)
    (law,) = JointLaw(intervals="none").fit(load_table("digits")).fits_
    assert f"{100 * law.std_deviation:.0f}" == percent
