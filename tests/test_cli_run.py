"""`prunescope run` as its users see it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.cli.printing import spelled, spelled_bytes
from prunescope.cli.progress import ProgressDisplay
from prunescope.cli.run import need_torch, next_commands
from prunescope.errors import MissingPackageError
from prunescope.run import RunReport
from prunescope.run.events import (
    ArtifactsMissing,
    CohortFinished,
    CohortProgress,
    LadderFailed,
    LaddersElsewhere,
    LaddersFreed,
    Lost,
    NotExclusive,
    ResultsSetAside,
    RungFinished,
    RunStarted,
    TuningFailed,
    TuningStarted,
    Unsound,
)
from prunescope.study.sections import El2n, Treatment
from prunescope.table import Store, read_table
from tests.commands import fails, run
from tests.run.studies import dense_study, mixed_study

STUDY = dense_study(replicates=2, levels=1).to_toml()


def written(path: Path, text: str = STUDY) -> Path:
    path.write_text(text)
    return path


def test_a_study_is_trained_and_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    path = written(tmp_path / "study.toml")
    done = run("run", path, "--workers", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trained 8 networks in ")
    assert "dense: 4 ladders, 0 % done before" in done.stderr
    assert done.stderr.endswith("next: prunescope table runs/dense; prunescope fit runs/dense --law joint\n")
    assert len(read_table(tmp_path / "runs" / "dense")) == 8
    again = run("run", path, cwd=tmp_path)
    assert again.stdout == "everything is done already: runs/dense\n"
    assert "4 of 4" in run("status", "runs/dense", cwd=tmp_path).stdout or again.returncode == 0
    output = run("plan", path, "--store", "runs/dense", cwd=tmp_path).stdout
    assert "8 of 8 rungs are done: the study is finished" in output
    assert "nothing more; all of it about" in output
    assert "as measured here" in output
    more = written(tmp_path / "more.toml", STUDY.replace("levels = 1", "levels = 3"))
    output = run("plan", more, "--store", "runs/dense", cwd=tmp_path).stdout
    assert "8 of 16 rungs are done" in output
    assert "finished" not in output
    assert "for what is missing, of about" in output


def test_after_a_run_the_commands_are_named_that_have_something_to_say() -> None:
    several, one = dense_study(), dense_study(widths=(0.04,))
    scored = replace(one, el2n=El2n())
    treated = replace(several, treatments=(*several.treatments, Treatment(kind="extended")))
    dense = replace(one, treatments=(Treatment(kind="dense"),))
    where = Path("mine")
    table, joint = "prunescope table mine", "prunescope fit mine --law joint"
    assert [*next_commands(several, where)] == [table, joint]
    assert [*next_commands(one, where)] == [table, "prunescope fit mine --law single"]
    assert [*next_commands(scored, where)] == [table, "prunescope lens mine"]
    assert [*next_commands(treated, where)] == [table, joint, "prunescope lens mine"]
    assert [*next_commands(mixed_study(), where)] == [table, "prunescope lens mine"]
    assert [*next_commands(dense, where)] == [table]
    assert [*next_commands(dense, Path("-my runs"))] == ["prunescope table './-my runs'"]


def test_what_failed_is_told_at_the_end_with_its_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "study.toml", STUDY.replace("learning_rate = 0.1", "learning_rate = 1e30"))
    message = fails(1, "run", path, "--workers", 1, "--store", tmp_path / "store")
    assert "4 of 4 ladders failed:" in message
    assert "rung 0 and 3 more: diverged:" in message
    stopped = run("run", path, "--workers", 1, "--store", tmp_path / "store", "--fail-fast", "--json")
    assert stopped.returncode == 1
    content = json.loads(stopped.stdout)
    assert content["rungs"] == 0
    assert {failure["rung"] for failure in content["failures"]} == {0}


def test_ladders_that_another_run_is_at_are_told_and_the_exit_code_is_1(tmp_path: Path) -> None:
    path, store = written(tmp_path / "study.toml"), Store(tmp_path / "store", create=True)
    with store.claim(dense_study(replicates=2, levels=1).ladders[0].identity):
        done = run("run", path, "--workers", 1, "--store", store.path)
        again = run("run", path, "--workers", 1, "--store", store.path, "--json")
        copy = run("run", path, "--workers", 1, "--store", store.path, "--copies", 2)
    assert (copy.returncode, "by another run" in copy.stderr) == (0, False)
    assert copy.stdout == f"nothing was left for this run: {store.path}\n"
    for process in (done, again):
        assert process.returncode == 1
        assert "1 ladder is being trained by another run" in process.stderr
    assert done.stdout.startswith("trained 6 networks in ")
    assert json.loads(again.stdout)["elsewhere"] == 1
    assert run("run", path, "--workers", 1, "--store", store.path).returncode == 0


def test_weights_of_networks_that_were_trained_before_are_told_to_be_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "study.toml", STUDY.replace("levels = 1", "levels = 0"))
    run("run", path, "--workers", 1, "--store", tmp_path / "store")
    more = written(tmp_path / "more.toml")
    output = run("run", more, "--workers", 1, "--store", tmp_path / "store", "--keep-weights", "--keep-examples").stderr
    assert "4 networks were trained before without keeping their weights; " in output
    assert "4 networks were trained before without keeping their outcomes on examples; " in output
    again = run("run", more, "--store", tmp_path / "store", "--keep-weights").stderr
    assert "4 networks were trained before without keeping their weights; " in again
    fresh = run("run", more, "--workers", 1, "--store", tmp_path / "fresh", "--keep-weights").stderr
    assert "trained before" not in fresh + run("run", more, "--store", tmp_path / "fresh", "--keep-weights").stderr


def test_networks_of_ones_own_are_found_beside_the_study(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "ours.py").write_text(
        "from torch import nn\n\n\n"
        "def make(depth, width, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))\n"
    )
    text = STUDY.replace('"lenet"', '"ours:make"').replace("0.04,", "").replace("0.08", "1.0")
    path = written(folder / "study.toml", text)
    done = run("run", path, "--workers", 2, "--store", tmp_path / "store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(Store(tmp_path / "store").table()["prunable"]) == {64 * 8 + 80}
    wrong = written(folder / "wrong.toml", text.replace("ours:make", "ours:mak"))
    assert "Did you mean 'make'?" in fails(2, "run", wrong, "--store", tmp_path / "other", cwd=tmp_path)
    (folder / "broken.py").write_text("1 / 0")
    broken = written(folder / "broken.toml", text.replace("ours:make", "broken:make"))
    message = fails(2, "run", broken, "--store", tmp_path / "other", cwd=tmp_path)
    assert "broken must be importable; found ZeroDivisionError: division by zero (broken.py, line 1)" in message
    gone = written(folder / "gone.toml", text.replace("ours:make", "theirs:make"))
    assert "must name a module" in fails(2, "run", gone, "--store", tmp_path / "other", cwd=tmp_path)


def test_nothing_that_lies_in_the_current_folder_is_taken_for_a_library(tmp_path: Path) -> None:
    """Not by the run's own process, not by its workers, not by the other commands."""
    study = dense_study(replicates=1, levels=1, widths=(0.04,))
    path = written(tmp_path / "study.toml", study.to_toml())
    for name in ("numpy", "safetensors", "torch", "json", "signal", "click"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'a').write('{name} ')\n")
    command = str(
        Path(sys.executable).with_name("prunescope")
    )  # python -m imports some of these before prunescope begins
    for arguments in (
        ("plan", path),
        ("run", path, "--workers", 2, "--store", "many"),
        ("run", path, "--workers", 1, "--store", "one"),
        ("table", "one"),
        ("export", "one", "--rung", 1, "-o", "net.safetensors"),
    ):
        words = [command, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()


def test_a_module_that_another_of_its_name_hides_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "click.py"
    mine.write_text("def make(depth, width, classes):\n    pass\n")
    path = written(tmp_path / "study.toml", STUDY.replace('"lenet"', '"click:make"'))
    words = fails(2, "run", path, "--store", tmp_path / "store", cwd=tmp_path)
    assert f"click:make: must mean {mine}; found {Path(click.__file__)}" in words
    assert "Give your module a name that no installed package has" in words
    assert not (tmp_path / "store").exists()


def test_a_study_that_runs_code_of_its_own_says_so_and_finds_it_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "here.py").write_text(
        "from torch import nn\n\n\n"
        "def make(depth, width, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    text = STUDY.replace('"lenet"', '"here:make"').replace("0.04,", "").replace("0.08", "1.0")
    path = written(tmp_path / "studies" / "study.toml", text)
    warning = "running this study runs code that it names: here:make"
    assert warning in run("plan", path, cwd=tmp_path).stdout
    assert json.loads(run("plan", path, "--json", cwd=tmp_path).stdout)["code"] == ["here:make"]
    (tmp_path / "here.py").write_text("open('ran', 'w')\n" + (tmp_path / "here.py").read_text())
    assert "with --run-code" in run("plan", path, cwd=tmp_path).stdout
    assert not (tmp_path / "ran").exists()  # a plan shows what a stranger's study would run, and runs nothing
    counted = " ".join(run("plan", path, "--run-code", cwd=tmp_path).stdout.split())
    assert "here:make l=3 w=1: prunes 1 of 1 matrix, 640 weights" in counted
    assert "of memory" in counted
    done = run("run", path, "--workers", 1, "--store", tmp_path / "store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert warning in done.stderr
    assert "here:make l=3 w=1: prunes 1 of 1 matrix, 640 weights" in done.stderr
    assert "code" not in run("plan", "digits", cwd=tmp_path).stdout


def test_wrong_options_are_told_before_a_store_is_made(tmp_path: Path) -> None:
    path = written(tmp_path / "study.toml")
    assert "device 'cuda:9' cannot be used" in fails(1, "run", path, "--device", "cuda:9", "--store", tmp_path / "s")
    mnist = written(tmp_path / "mnist.toml", STUDY.replace('"digits"', '"mnist"'))
    assert "nowhere" in fails(2, "run", mnist, "--data", tmp_path / "nowhere", "--store", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.cli.run.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'prunescope\[train\]'"):
        need_torch()


def test_progress_adds_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 ladders with rungs of 2 and 1 epochs of 400 examples: 4,800 examples in all."""
    clock = 0.0
    monkeypatch.setattr("prunescope.cli.progress.time.monotonic", lambda: clock)
    with ProgressDisplay("dense") as progress:
        progress.tell(RunStarted(4, 4800, 4800))
        progress.tell(TuningStarted("lenet"))
        progress.tell(ArtifactsMissing("weights", 1))
        progress.tell(TuningFailed("lenet", "no room", "this process trains without workers"))
        clock = 12.0
        progress.tell(CohortProgress(1, "wide", 2, 800, 0, 2, 0, 2, 25, 50))
        clock = 24.0
        progress.tell(RungFinished(1, "wide", 2, 2, 0, 1600, 1.0, 0.25, 24.0))
        progress.tell(LadderFailed(1, "f" * 32, "narrow", 0, "made to fail", 1200))
        progress.tell(LaddersElsewhere(1, 1200, ("0",)))
        clock = 36.0
        progress.tell(RungFinished(1, "wide", 2, 2, 1, 800, 0.8, 0.5, 12.0))
        progress.tell(CohortFinished(1))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "dense: 4 ladders, 0 % done before",
        "0.0 s: 0 %, 0 networks; 1 network was trained before without keeping its weights; those of networks trained "
        "from now on are kept. For all, run into a new --store",
        "0.0 s: 0 %, 0 networks; how lenet trains fastest could not be measured: no room; "
        "this process trains without workers",
        "12 s: 17 %, 0 networks, about 60 s left; wide, 2 together, rung 0 of 1, epoch 0 of 2",
        "24 s: 33 %, 2 networks, about 48 s left; wide, 2 together, rung 0: density 1, error 0.25",
        "24 s: 58 %, 2 networks, 1 failed, about 30 s left; failed: narrow, rung 0: made to fail",
        "36 s: 100 %, 4 networks, 1 failed, about 0.0 s left; wide, 2 together, rung 1: density 0.8, error 0.5",
    ]


def test_no_time_left_is_told_before_an_epoch_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("prunescope.cli.progress.time.monotonic", lambda: clock)
    with ProgressDisplay("long") as progress:
        progress.tell(RunStarted(2, 80_000, 80_000))
        for done in (1, 24, 25):
            clock += 30.0
            progress.tell(CohortProgress(1, "wide", 2, 40_000, 0, 2, 0, 4, done, 100))
    lines = capsys.readouterr().err.splitlines()[1:]
    assert ["left" in line for line in lines] == [False, False, True]


def test_progress_takes_back_what_did_not_get_to_the_disk(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("prunescope.cli.progress.time.monotonic", lambda: clock)
    with ProgressDisplay("dense") as progress:
        progress.tell(RunStarted(2, 1600, 1600))
        progress.tell(RungFinished(1, "wide", 2, 2, 0, 1600, 1.0, 0.25, 24.0))
        progress.tell(Lost(1, 2, 1600))
        progress.tell(Unsound("a note is damaged", "cohorts are formed anew"))
        progress.tell(LadderFailed(1, "f" * 32, "wide", 0, "made to fail", 1600))
        progress.tell(NotExclusive("runs/mine"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines[1:]] == [
        "0.0 s: 0 %, 0 networks",
        "0.0 s: 100 %, 0 networks, 1 failed",
        "0.0 s: 100 %, 0 networks, 1 failed",
    ]
    assert "a note is damaged" in lines[1]
    assert "runs/mine" in lines[3]


def test_progress_tells_what_comes_back_and_what_is_set_aside(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.cli.progress.time.monotonic", lambda: 0.0)
    with ProgressDisplay("dense") as progress:
        progress.tell(RunStarted(2, 1600, 1600))
        progress.tell(LaddersElsewhere(1, 800, ("0",)))
        progress.tell(LaddersFreed(1, 800))
        progress.tell(ResultsSetAside("runs/mine", 2))
    lines = capsys.readouterr().err.splitlines()[1:]
    assert [line.split(";")[0] for line in lines] == ["0.0 s: 0 %, 0 networks"] * 2
    assert "1 ladder" in lines[0]
    assert "2 rungs" in lines[1]
    assert "prunescope status runs/mine" in lines[1]


def test_a_store_that_cannot_be_written_to_is_told_with_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "study.toml")
    monkeypatch.setattr("prunescope.run.run_study", lambda *_, **__: RunReport(8, 6, unwritable="mine: no space"))
    result = CliRunner().invoke(cli, ["run", str(path), "--store", str(tmp_path / "store")])
    assert result.exit_code == 1
    assert "trained 6 networks for 8 rungs" in result.output
    assert "mine: no space" in str(result.exception)
    monkeypatch.setattr("prunescope.run.run_study", lambda *_, **__: RunReport(unwritable="mine: no space"))
    result = CliRunner().invoke(cli, ["run", str(path), "--store", str(tmp_path / "store"), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["unwritable"] == "mine: no space"
    result = CliRunner().invoke(cli, ["run", str(path), "--store", str(tmp_path / "store")])
    assert result.stdout == ""


def test_a_run_until_the_error_has_turned_says_where_ladders_end(tmp_path: Path) -> None:
    study = dense_study(replicates=1, levels=1, widths=(0.04,), validation=0.1)
    path = written(tmp_path / "study.toml", study.to_toml())
    done = run("run", path, "--until-turned", 1, "--workers", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["turned"]
    assert cell["levels"] == cell["optimal"]["imp"] + 1 > 1
    assert len(read_table(tmp_path / "runs" / "dense")) == cell["levels"] + 1
    again = run("run", path, "--until-turned", 1, cwd=tmp_path)
    assert again.stdout.startswith("everything is done already: runs/dense\n")
    assert f"{cell['levels']} levels; optimal rung: imp {cell['optimal']['imp']}" in again.stdout


def test_a_run_until_the_error_has_turned_needs_validation_and_no_other_end(tmp_path: Path) -> None:
    path = written(tmp_path / "study.toml")
    assert "recipe.validation" in fails(2, "run", path, "--until-turned", 1, "--store", "refused", cwd=tmp_path)
    assert not (tmp_path / "refused").exists()
    assert fails(2, "run", path, "--until-turned", 1, "--until-decided", 0.1, cwd=tmp_path)


def test_outcomes_are_made_for_a_store_that_has_none(tmp_path: Path) -> None:
    study = dense_study(replicates=1, levels=2, widths=(0.04,), validation=0.1)
    path = written(tmp_path / "study.toml", study.to_toml())
    assert run("run", path, "--workers", 1, cwd=tmp_path).returncode == 0
    store = Store(tmp_path / "runs" / "dense")
    (ladder,) = study.ladders
    made = run("outcomes", "runs/dense", "--workers", 1, "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    networks = json.loads(made.stdout)["networks"]
    assert {network["ladder"] for network in networks} == {ladder.identity}
    assert all(network["kept"] for network in networks)
    assert {network["rung"] for network in networks} == set(store.array_names("examples", ladder.identity))
    assert run("outcomes", "runs/dense", cwd=tmp_path).stdout == "no outcomes are lacking: runs/dense\n"
    rest = run("outcomes", "runs/dense", "--rung", 1, "--rung", 2, "--workers", 1, cwd=tmp_path)
    assert rest.returncode == 0
    assert set(store.array_names("examples", ladder.identity)) == {0, 1, 2}
    assert rest.stdout.startswith("kept the outcomes of 1 network, equal to ")


def test_outcomes_of_networks_that_differ_are_refused_with_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "study.toml", dense_study(replicates=1, levels=1, widths=(0.04,)).to_toml())
    assert run("run", path, "--workers", 1, cwd=tmp_path).returncode == 0
    monkeypatch.setattr("prunescope.run.outcomes.LOSS_ROUNDING", -1.0)
    monkeypatch.setattr("prunescope.run.outcomes.LOSSES", ("seconds",))  # two trainings never take the same time
    command = ["outcomes", str(tmp_path / "runs" / "dense"), "--workers", "1", "--rung", "1"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 1
    assert "2 networks without outcomes" in str(result.exception)
    assert "seconds" in str(result.exception)
    assert "kept" not in result.stdout


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (99, "99 s"), (100, "2 min"), (7200, "2 h"), (1e6, "12 days"), (1e9, "32 years")],
)
def test_times_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert spelled(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(999, "999 B"), (1500, "1.5 kB"), (74e6, "74 MB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")]
)
def test_sizes_are_told_as_people_say_them(count: float, words: str) -> None:
    assert spelled_bytes(count) == words
