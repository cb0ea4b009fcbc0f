"""What is said of a table that is valid, and may not be what its owner thinks: those of trackers and spreadsheets."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from prunescope import next_ladders
from prunescope.cli.main import cli
from prunescope.demo import sample_path
from prunescope.errors import InputError
from prunescope.laws import JointLaw, SingleLaw
from prunescope.table import read_table
from tests.commands import fails, run

DENSITIES = 0.8 ** np.arange(0, 22, 2)
ERRORS = 0.08 * ((DENSITIES**2 + 0.004**2 * (0.9 / 0.08) ** (2 / 0.9)) / (DENSITIES**2 + 0.004**2)) ** 0.45


def written(path: Path, head: str, *lines: object) -> Path:
    path.write_text("\n".join([head, *map(str, lines)]) + "\n")
    return path


def followed(path: Path, *command: str, option: str) -> Result:
    """Run a command with the options that a note names."""
    return CliRunner().invoke(cli, [*command, str(path), *shlex.split(option)])


def options_in(notes: tuple[str, ...], word: str) -> str:
    (note,) = [note for note in notes if word in note]
    return note[note.index("--set") :]


def test_what_a_tracker_writes_before_names_changes_nothing(tmp_path: Path) -> None:
    lines = [
        f"{depth},{seed},{density},{error * (1 + 0.01 * seed)}"
        for depth in (20, 56)
        for seed in range(2)
        for density, error in zip(DENSITIES, ERRORS, strict=True)
    ]
    bare = written(tmp_path / "bare.csv", "n_layers,seed,density,test_error", *lines)
    head = "params.n_layers,params.seed,params.density,metrics.test_error"
    tracked = written(tmp_path / "tracked.csv", head, *lines)
    fits = [SingleLaw(intervals="none").fit(str(path)).fits_ for path in (bare, tracked)]
    assert [len(each) for each in fits] == [2, 2]
    assert [fit.parameters for fit in fits[0]] == [fit.parameters for fit in fits[1]]
    notes = read_table(tracked).notes
    assert any("""add --set 'depth = "params.n_layers"'""" in note for note in notes)
    assert any("""add --set 'replicate = "params.seed"'""" in note for note in notes)
    named = read_table(tracked, set={"replicate": '"params.seed"', "depth": '"params.n_layers"'})
    (group,) = JointLaw().sample(named).groups
    assert group.repeats.tolist() == [2] * 22


def test_a_log_of_training_is_cut_to_its_last_epochs(tmp_path: Path) -> None:
    lines = [
        f"{seed},{density},{epoch},{min(1.0, error + 0.5 / epoch**2)}"
        for seed in range(2)
        for density, error in zip(DENSITIES, ERRORS, strict=True)
        for epoch in range(1, 6 + seed)
    ]
    path = written(tmp_path / "log.csv", "params.seed,params.density,step,metrics.error", *lines)
    option = options_in(read_table(path).notes, "a log of their training")
    done = followed(path, "fit", "--intervals", "none", option=option)
    assert "single law: 11 points" in done.stdout
    assert "'step' differs" not in done.output
    once = written(tmp_path / "once.csv", "seed,density,step,error", *lines[4::5])
    assert not any("a log of their training" in note for note in read_table(once).notes)


def test_merged_cells_are_filled(tmp_path: Path) -> None:
    lines = [f"{'AB'[half] if place == 0 else ''},{density},{0.1 + 0.1 * half + 0.01 * place}"
             for half in range(2) for place, density in enumerate((1, 0.5, 0.25, 0.1))]  # fmt: skip
    path = written(tmp_path / "merged.csv", "Network,density,error", *lines)
    option = options_in(read_table(path).notes, "merged")
    done = followed(path, "table", "--columns", "Network,density", option=option)
    assert done.stdout.count("A ") + done.stdout.count("A\n") == 4
    twice = written(tmp_path / "twice.csv", "Network,density,error", *lines[:4], "B,1,0.1", *lines[1:4])
    refused = fails(2, "table", twice)
    assert "must not repeat a rung" in refused
    assert "if its cells are merged, fill them with --set 'Network = last_value(" in refused


def test_runs_that_crashed_beside_others_are_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path / "runs.csv",
        "replicate,density,error",
        *("0,1,0.1", "1,1,0.1", "0,0.5,0.1", "1,0.5,", "0,0.2,0.2", "1,0.2,", "0,0.1,", "1,0.1,"),
    )
    (note,) = [note for note in read_table(path, "error is not null").notes if "no error" in note]
    assert note.startswith("2 of 4 runs at the same densities have no error and are left out")


@pytest.mark.parametrize(
    ("head", "row", "hint"),
    [
        (
            "density,baseline_acc,acc_drop",
            "{density},94.5,{fallen}",
            "--set 'error = 1 - (baseline_acc - acc_drop) / 100' --set 'unpruned_error = 1 - baseline_acc / 100'",
        ),
        (
            "density,acc_drop",
            "{density},{fallen}",
            "--set 'error = 0.08 + acc_drop / 100' --set 'unpruned_error = 0.08'",
        ),
        ("density,Accuracy Max,Accuracy Last", "{density},0.9,0.8", """--set 'error = 1 - "Accuracy Last"'"""),
    ],
)
def test_how_far_accuracy_falls_is_no_accuracy(tmp_path: Path, head: str, row: str, hint: str) -> None:
    rows = [row.format(density=density, fallen=2 + 50 * (1 - density)) for density in (0.5, 0.25, 0.1)]
    path = written(tmp_path / "drop.csv", head, *rows)
    assert hint in fails(2, "table", path)
    assert followed(path, "table", option=hint).exit_code == 0


def test_two_replicates_far_apart_are_named(tmp_path: Path) -> None:
    lines = [f"{seed},{density},{0.9 if seed and density < 0.3 else error}"
             for seed in range(2) for density, error in zip(DENSITIES, ERRORS, strict=True)]  # fmt: skip
    path = written(tmp_path / "two.csv", "replicate,density,error", *lines)
    (note,) = [note for note in SingleLaw().sample(str(path)).notes if "twofold" in note]
    assert note.startswith("at density 0.262 and ")
    alike = written(
        tmp_path / "alike.csv", "replicate,density,error", *lines[:11], *("1" + line[1:] for line in lines[:11])
    )
    assert not [note for note in SingleLaw().sample(str(alike)).notes if "twofold" in note]


def test_families_of_unknown_sizes_are_not_ranked(tmp_path: Path) -> None:
    lines = [f"{arch},{density},{min(0.9, error * times)},{weights}"
             for arch, times, weights in (("small", 1.2, 1000), ("large", 0.8, 100_000))
             for density, error in zip(DENSITIES, ERRORS, strict=True)]  # fmt: skip
    path = written(tmp_path / "two.csv", "arch,density,error,n_params", *lines)
    asked = ("choose", path, "--max-error", "0.15")
    shares = run(*asked)
    assert "smallest first" not in shares.stdout
    assert "share left" in shares.stdout
    assert shares.stdout.index("small") < shares.stdout.index("large")  # as in the file
    assert "how large these networks are is not known" in shares.stderr
    assert "if it is `prunable`, add --set 'prunable = n_params'" in shares.stderr
    misfits = [line for line in shares.stderr.splitlines() if "the law is off by" in line]
    assert all(line.startswith(("note: arch small: ", "note: arch large: ")) for line in misfits)
    counted = run(*asked, "--set", "prunable = n_params")
    assert counted.stdout.index("small") < counted.stdout.index("large")
    assert "2 families, smallest first" in counted.stdout


def test_a_plateau_is_given_in_the_unit_of_an_outcome(tmp_path: Path) -> None:
    path = written(
        tmp_path / "loss.csv", "density,rmse", *(f"{d},{40 * e}" for d, e in zip(DENSITIES, ERRORS, strict=True))
    )
    law = SingleLaw(fix={"eps_up": 36.0}, intervals="none").fit(read_table(path, outcome="rmse"))
    assert law.parameters_["gamma"] == pytest.approx(0.9, rel=0.05)
    with pytest.raises(InputError, match=r"must be at most 1; found 36\.0\. Write 0\.9 for 90 %"):
        SingleLaw(fix={"eps_up": 36.0}).fit({"density": DENSITIES, "error": ERRORS})


def test_next_takes_what_a_table_is_read_from() -> None:
    by_path, by_table = (next_ladders(source, 0.2, most=1) for source in (sample_path(), read_table(sample_path())))
    assert by_path.off == by_table.off


def test_the_lens_and_predict_take_conditions(tmp_path: Path) -> None:
    lines = [f"{seed},{density},{error if density > 0.1 or seed else ''}"
             for seed in range(2) for density, error in zip(DENSITIES, ERRORS, strict=True)]  # fmt: skip
    path = written(tmp_path / "rows.csv", "replicate,density,error", *lines)
    assert "--where 'error is not null'" in fails(2, "lens", path)
    assert run("lens", path, "--where", "error is not null").returncode == 0
    law = tmp_path / "law.json"
    run("fit", path, "--where", "error is not null", "--save", law)
    shown = run("predict", law, path, "--where", "density = 1")
    assert shown.returncode == 0
    assert len([line for line in shown.stdout.splitlines() if line.strip()]) == 3
    assert "--where is for the rows of a TABLE" in fails(
        2, "predict", law, "--at", "density=1", "--where", "density = 1"
    )
