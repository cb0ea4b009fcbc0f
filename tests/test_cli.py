"""The command line as a user meets it: output, exit codes, words for mistakes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.study import parse_study, preset_text, presets
from prunescope.table import Store
from tests.builders import files, rung
from tests.commands import fails, run


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("depth,density,error\n20,1,0.1\n20,0.5,0.2\n26,1,0.08\n26,0.5,0.15\n")
    return path


def store(path: Path, **changes: object) -> Path:
    Store(path, create=True).write([rung(0, number, **changes) for number in range(3)])
    return path


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    for command in (
        "plan",
        "run",
        "table",
        "status",
        "merge",
        "compact",
        "fit",
        "predict",
        "compare",
        "sensitivity",
        "export",
        "demo",
    ):
        assert f"\n  {command} " in shown
        assert run(command, "--help").returncode == 0


def test_a_mistyped_command_option_or_value_is_wrong_usage(csv: Path) -> None:
    assert "Did you mean 'table'?" in fails(2, "tabel", csv)
    assert "--were" in fails(2, "table", csv, "--were", "x")
    assert "Missing argument" in fails(2, "fit")
    assert "0 is not in the range" in fails(2, "table", csv, "--limit", "0")


def test_plan_lists_the_presets() -> None:
    shown = run("plan").stdout
    assert all(f"  {name}\n" in shown for name in presets())
    assert [entry["name"] for entry in json.loads(run("plan", "--json").stdout)] == list(presets())


@pytest.mark.parametrize("name", presets())
def test_plan_shows_a_preset(name: str) -> None:
    shown = run("plan", name).stdout
    for word in ("purpose", "expected", "cost", "axes", "recipe", "pruning", "treatments", "ladders", "rungs"):
        assert word in shown


def test_plan_as_json_holds_the_ladders() -> None:
    content = json.loads(run("plan", "digits", "--ladders", "--json").stdout)
    # 64 inputs, 30 and 10 hidden units, 10 classes at width 0.1; all weights but those of the output are prunable.
    first = content["members"][0]
    assert {name: first[name] for name in ("family", "depth", "width", "classes")} == {
        "family": "lenet", "depth": 3, "width": 0.1, "classes": 10,
    }  # fmt: skip
    weights = 64 * 30 + 30 * 10
    assert (first["parameters"], first["prunable"]) == (weights + 10 * 10 + 30 + 10 + 10, weights)
    assert first["multiplications"] == weights + 10 * 10
    assert len(content["members"]) == 3
    study = parse_study(preset_text("digits"))
    assert [entry["ladder"] for entry in content["ladder_list"]] == [ladder.identity for ladder in study.ladders]
    assert (content["cells"], content["ladders"], content["rungs"]) == (9, 72, 2088)


@pytest.mark.parametrize(
    ("name", "family", "depth", "parameters", "multiplications"),
    [
        ("resnet50-imagenet", "imagenet-resnet", 50, 25_557_032, 4_089_184_256),
        ("densenet121-cifar10", "densenet", 121, 6_956_298, 888_350_720),
        ("resnet18-tinyimagenet", "imagenet-resnet", 18, 11_271_432, 2_221_772_800),
    ],
)
def test_plan_counts_the_larger_networks_and_estimates_what_they_take(
    name: str, family: str, depth: int, parameters: int, multiplications: int
) -> None:
    content = json.loads(run("plan", name, "--json").stdout)
    by_width = {member["width"]: member for member in content["members"]}
    assert len(by_width) == len(content["members"]) == 5
    full = by_width[1.0]
    assert (full["family"], full["depth"], full["parameters"]) == (family, depth, parameters)
    assert full["multiplications"] == multiplications
    sizes = [by_width[width]["parameters"] for width in sorted(by_width)]
    assert all(2.5 < larger / smaller < 4 for smaller, larger in pairwise(sizes))
    assert content["estimate"]["seconds"] > 1e6
    assert content["estimate"]["memory"] > 1e9


def test_plan_saves_a_preset_to_edit_and_never_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert run("plan", "digits", "--save", path).returncode == 0
    saved = parse_study(path.read_text())
    assert saved.name == "mine"
    assert saved.ladders == parse_study(preset_text("digits")).ladders
    assert saved.cost == ""
    assert run("plan", path).returncode == 0
    assert "exists already" in fails(1, "plan", "digits", "--save", path)


@pytest.mark.parametrize(
    "change",
    [
        ('name = "digits"', 'name="x"'),
        ('kind = "imp"', 'kind = "imp"\nname = "a"'),
        ("cost = ", 'cost = """\na\n"""\n#'),
    ],
)
def test_a_copy_of_a_study_is_that_study_under_another_name(tmp_path: Path, change: tuple[str, str]) -> None:
    (tmp_path / "one.toml").write_text(preset_text("digits").replace(*change))
    assert run("plan", tmp_path / "one.toml", "--save", tmp_path / "two.toml").returncode == 0
    one, two = (parse_study((tmp_path / name).read_text()) for name in ("one.toml", "two.toml"))
    assert (two.name, two.cost, two.ladders) == ("two", "", one.ladders)


def test_plan_says_what_differs_from_a_store_begun_with_another_version(tmp_path: Path) -> None:
    before = parse_study(preset_text("digits"))
    opened = Store(tmp_path / "runs" / "digits", create=True)
    opened.begin(before)
    first = before.ladders[0]
    opened.write([rung(0, number, ladder=first.identity) for number in range(5)])
    assert "5 of 2,088 rungs are done" in run("plan", "digits", cwd=tmp_path).stdout
    changed = tmp_path / "digits.toml"
    changed.write_text(
        preset_text("digits").replace("levels = 28", "levels = 33").replace("[0.1, 0.2, 0.4]", "[0.1, 0.3]")
    )
    shown = run("plan", changed, cwd=tmp_path).stdout
    assert "recipe.levels: 28 -> 33" in shown
    assert "axes 1.width: [0.1, 0.2, 0.4] -> [0.1, 0.3]" in shown
    assert "24 ladders are the same and keep their rungs, 24 are new, 48 of the store are not asked for" in shown
    content = json.loads(run("plan", changed, "--json", cwd=tmp_path).stdout)
    assert content["store"]["rungs_done"] == 5
    assert len(content["store"]["differences"][0]) == 2


def test_plan_says_whose_weights_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for keep, words in (("[0, 5]", "rungs 0, 5"), ('"all"', "every rung")):
        path.write_text(f"keep = {keep}\n{preset_text('digits')}")
        assert f"keeps       the weights of {words}\n" in run("plan", path).stdout
    path.write_text(f"keep = [5]\nkeep_examples = [0, 5]\n{preset_text('digits')}")
    both = "keeps       the weights of rungs 5 and the outcomes on training examples of rungs 0, 5\n"
    assert both in run("plan", path).stdout
    path.write_text(f'keep_test_examples = "all"\n{preset_text("digits")}')
    assert "keeps       the outcomes on test examples of every rung\n" in run("plan", path).stdout
    assert "keeps" not in run("plan", "digits").stdout


def test_plan_tells_the_faults_of_a_study(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(preset_text("digits").replace("epochs = 30", "epoch = 30"))
    message = fails(2, "plan", path)
    assert "recipe.epochs: must be given" in message
    assert "recipe.epoch (line 16): is no key of [recipe]. Did you mean 'epochs'?" in message


def test_table_shows_what_varies_and_says_what_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("family,density,error\nvgg,1,0.1\nvgg,0.5,0.2\n")
    shown = run("table", path).stdout
    assert "in every row: replicate 0, family vgg, unpruned_error 0.1\n" in shown
    assert "      1         0.1\n" in shown
    assert "    0.5         0.2\n" in shown


def test_table_says_how_often_each_network_was_trained(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = ["replicate,density,error", *(f"{replicate},1,0.1" for replicate in range(1, 6)), "1,0.5,0.2", "2,0.5,0.2"]
    path.write_text("\n".join(rows))
    output = CliRunner().invoke(cli, ["table", str(path)]).output
    assert "7 rows" in output
    assert ": 1 configuration, 2 to 5 replicates, densities 1 to 0.5 " in " ".join(output.split())
    output = CliRunner().invoke(cli, ["table", str(path), "--where", "density < 1"]).output
    assert ": 1 configuration, 2 replicates, densities 0.5 to 0.5 " in " ".join(output.split())


def test_table_filters_selects_and_writes(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = run(
        "table", csv, "--where", "depth = 20", "--where", "density < 1", "--columns", "depth,error", "--out", out
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert out.read_text() == "depth,test_error\n20,0.2\n"
    rows = json.loads(run("table", csv, "--json").stdout)
    assert [row["unpruned_error"] for row in rows] == [0.1, 0.1, 0.08, 0.08]


def test_table_tells_all_faults_and_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("density,error\n1.5,x\n")
    message = fails(2, "table", path)
    assert "2 faults" in message
    assert "nothing there" in fails(2, "table", tmp_path / "none.csv")
    assert "must end in" in fails(2, "table", store(tmp_path / "s"), "--out", tmp_path / "x.xlsx")
    assert "Did you mean 'density'" in fails(2, "table", tmp_path / "s", "--where", "desnity > 1")


def test_text_from_a_file_does_not_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("method,density,error\n\x1b[31mred,1,0.1\nb\tc,0.5,0.2\n")
    assert "\x1b" not in run("table", path).stdout
    assert "\t" not in run("table", path).stdout


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("density,replicate,error\n" + "".join(f"1,{row},0.1\n" for row in range(20_000)))
    command = f"{shlex.quote(sys.executable)} -m prunescope table {path} --json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "[\n"
    assert done.stderr == ""


def test_ctrl_c_stops_a_command_in_one_word(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    # What runs the tests may have told its children to ignore Ctrl-C.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from prunescope.cli import start; start()"
    command = [sys.executable, "-c", program, "table", str(pipe)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        pipe.open("w"),  # opens when the command does, which then waits for rows
    ):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "stopped")


def test_a_table_comes_through_a_pipe_and_goes_out_by_one(csv: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m prunescope table - --columns depth,error --out - < {csv}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "depth,test_error\n20,0.1\n20,0.2\n26,0.08\n26,0.15\n"


def test_a_query_groups_and_columns_asked_for_are_shown(csv: Path) -> None:
    shown = run("table", csv, "--query", "select depth, avg(error) as mean from rungs group by depth order by 1").stdout
    assert shown.splitlines()[-3:] == ["depth   mean", "   20   0.15", "   26  0.115"]
    assert "unpruned_error\n" in run("table", csv, "--where", "depth = 20", "--columns", "error,unpruned_error").stdout
    assert "2 configurations, 1 replicate, densities 1 to 0.5" in " ".join(run("table", csv).stdout.split())
    assert "must be one SELECT" in fails(2, "table", csv, "--query", "drop table rungs")
    assert "must name one column" in fails(2, "table", csv, "--columns", ",")


def test_a_table_is_not_written_over_itself(csv: Path) -> None:
    before = csv.read_text()
    assert "name another file" in fails(2, "table", csv, "--where", "depth = 20", "--out", csv)
    assert csv.read_text() == before


def test_a_refused_merge_makes_no_store(tmp_path: Path) -> None:
    damaged = store(tmp_path / "b")
    next((damaged / "rungs").iterdir()).write_bytes(b"junk")
    assert "is damaged" in fails(1, "merge", store(tmp_path / "a"), damaged, "--into", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["family.csv", "family.parquet", "faulty.csv", "digits", "lens", "report.html"])
def test_the_demo_leaves_other_peoples_files_alone(csv: Path, name: str) -> None:
    mine = csv.rename(csv.with_name(name))
    before = mine.read_bytes()
    assert f"{name} is there already and is not the demo's" in fails(1, "demo", "--out", mine.parent)
    assert mine.read_bytes() == before


def test_status_merge_and_compact(tmp_path: Path) -> None:
    one, other = store(tmp_path / "one"), store(tmp_path / "other", ladder="f" * 32)
    assert "3 rungs in 1 shard\n" in run("status", one).stdout
    assert "gained 3 rungs from 1 store" in run("merge", one, other).stdout
    assert "gained 6 rungs from 2 stores" in run("merge", one, other, "--into", tmp_path / "both").stdout
    assert "packed 2 shards" in run("compact", one).stdout
    assert "nothing to pack" in run("compact", one).stdout
    content = json.loads(run("status", tmp_path / "both", "--json").stdout)
    assert (content["rungs"], content["strays"], content["studies"]) == (6, 6, [])
    assert "needs two stores" in fails(2, "merge", one)
    assert "nothing" in fails(2, "status", tmp_path / "none")


def test_two_results_for_one_rung_are_shown_and_one_is_picked(tmp_path: Path) -> None:
    one, other = store(tmp_path / "one"), store(tmp_path / "other", test_error=0.5)
    merged = run("merge", one, other)
    assert (merged.returncode, "3 second results do not count" in merged.stderr) == (0, True)
    shown = run("status", one).stdout
    assert "3 second results that do not count" in shown
    assert f"merged from {other}" in shown
    assert len(json.loads(run("status", one, "--json").stdout)["conflicts"]) == 3
    assert "second result that does not count" in run("table", one).stderr
    before = files(one)
    dry = run("resolve", one, "--keep", "second", "--rung", "1")
    assert "would keep the second result of 1 rung; --go does it" in dry.stderr
    assert files(one) == before
    assert "kept the second result of 1 rung" in run("resolve", one, "--keep", "second", "--rung", "1", "--go").stdout
    rows = json.loads(run("table", one, "--json").stdout)
    assert [row["test_error"] == 0.5 for row in rows] == [False, True, False]
    assert len(json.loads(run("resolve", one, "--json").stdout)) == 2
    assert "kept the first result of 2 rungs" in run("resolve", one, "--keep", "first", "--go").stdout
    assert "no rung has a second result" in run("resolve", one).stdout
    assert "second result" not in run("table", one).stderr
    assert "--keep" in fails(2, "resolve", one, "--go")


def test_a_full_disk_or_a_forbidden_folder_is_told_in_words(csv: Path, tmp_path: Path) -> None:
    assert "cannot be written" in fails(1, "table", csv, "--out", "/proc/nowhere.csv")
    assert "cannot be made a store" in fails(1, "merge", store(tmp_path / "one"), "--into", "/proc/nowhere")


@pytest.mark.parametrize(
    ("typed", "words_expected"),
    [
        (("report", "none.csv", "--max-error", "9%"), "must be a fraction; found 9%. 9 % is 0.09."),
        (("report", "none.csv", "--confidence", "90"), "must be a fraction; found 90. 90 % is 0.9."),
        (("lens", "none.csv", "--noise", "30"), "must be a fraction; found 30. 30 % is 0.3."),
        (("fit", "none.csv", "--level", "high"), "'high' is not a number, such as 0.09."),
    ],
)
def test_who_writes_percent_is_told_the_fraction(typed: tuple[str, ...], words_expected: str) -> None:
    shown = CliRunner().invoke(cli, typed)
    assert shown.exit_code == 2
    assert words_expected in " ".join(shown.output.split())


IMPERATIVES = (
    "Check", "Compare", "Copy", "Explain", "Export", "Fetch", "Find", "Fit", "Merge", "Pack", "Pick", "Predict",
    "Prepare", "Recommend", "Show", "Train", "Walk", "Write",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_the_help_of_every_command_begins_with_a_line_that_a_terminal_shows_whole(name: str) -> None:
    first = (cli.commands[name].help or "").split("\n")[0]
    assert 0 < len(first) <= 60
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert re.search(rf"^  {name} +{re.escape(first)}$", shown, re.MULTILINE)
    assert first.split(" ")[0] in IMPERATIVES
