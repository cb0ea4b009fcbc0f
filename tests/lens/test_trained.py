"""A small study, trained for real and looked at: every number is recomputed from the store's own rows and arrays."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.lens import Effect, analyze, pictures
from prunescope.lens.analysis import CellResult, LensResult
from prunescope.run import run_study
from prunescope.run.artifacts import read_left_out
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n, Study, Treatment, ensembles, parse_study
from prunescope.table import Store
from prunescope.table.coded import optimal_rung
from tests.commands import fails, run
from tests.run.studies import lesson_study

TREATMENTS = (
    Treatment(kind="leave-out", name="improved", learns_from="imp"),
    Treatment(kind="leave-out", name="any", learns_from="imp", leave="random"),
    Treatment(kind="extended"),
    Treatment(kind="narrow"),
)


def trained_study() -> Study:
    """Pruned, extended, narrow and leave-out networks with and without noise, their examples scored."""
    lesson = lesson_study(*TREATMENTS)
    pruned = [replace_rewind(treatment) for treatment in lesson.treatments]
    return replace(lesson, name="lens", treatments=tuple(pruned), el2n=El2n(networks=2, epoch=1))


def replace_rewind(treatment: Treatment) -> Treatment:
    return treatment.model_copy(update={"rewind": "learning-rate"}) if treatment.kind == "imp" else treatment


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("trained") / "store", create=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))
        assert not run_study(trained_study(), store, workers=1).failures
    return store


@pytest.fixture(scope="module")
def result(store: Store) -> LensResult:
    return analyze(store, groups=5)


def test_every_cell_is_told_in_full(result: LensResult) -> None:
    assert [cell.label_noise for cell in result.cells] == [0.0, 0.3]
    for cell in result.cells:
        assert cell.missing == ()
        assert cell.diagnosis.effect is not Effect.UNTOLD
        assert cell.optimal is not None
        assert len(cell.optimal.extremes) == 2
        assert cell.extended is not None
        assert len(cell.extended.matches) == 3
        assert cell.narrow is not None
        assert {leave_out.leave for leave_out in cell.leave_outs} == {"improved", "random"}
    assert (result.cells[0].optimal and result.cells[0].optimal.gap) is None
    assert result.cells[1].optimal is not None
    assert result.cells[1].optimal.gap is not None


def test_groups_are_the_means_of_the_stored_losses_by_the_stored_scores(store: Store, result: LensResult) -> None:
    study = trained_study()
    scorers = {(ensemble.ladder.cell, ensemble.ladder.replicate): ensemble.identity for ensemble in ensembles(study)}
    for cell in result.cells:
        assert cell.optimal is not None
        assert cell.optimal.groups is not None
        for place, name in enumerate(cell.optimal.groups.replicates):
            (ladder,) = [
                ladder
                for ladder in study.ladders
                if ladder.treatment.kind == "imp"
                and ladder.cell.label_noise == cell.label_noise
                and str(ladder.replicate) == name
            ]
            dense, sparse = (store.read_arrays("examples", ladder.identity, rung) for rung in (0, cell.optimal.rung))
            el2n = store.read_arrays("examples", scorers[ladder.cell, ladder.replicate], 0)["el2n"]
            order = np.lexsort((dense["index"], el2n))
            change = sparse["loss"].astype(float) - dense["loss"].astype(float)
            for group, members in zip(cell.optimal.groups.groups, np.array_split(order, 5), strict=True):
                assert group.difference.differences[place] == pytest.approx(change[members].mean(), abs=1e-12)
            best = cell.optimal.extremes[place].improved[0]
            assert best.difference == change.min()
            assert bool(dense["noisy"][dense["index"].tolist().index(best.index)]) == best.noisy
            worst = [example.difference for example in cell.optimal.extremes[place].worsened]
            assert worst == sorted(change[change > 0].tolist(), reverse=True)[:10]


def test_rows_and_examples_agree_on_the_loss_of_the_noisy_part(store: Store, result: LensResult) -> None:
    cell: CellResult = result.cells[1]
    for point in cell.pruning.points:
        assert point.train_loss_noisy is not None
        ladders = [
            ladder
            for ladder in trained_study().ladders
            if ladder.treatment.kind == "imp" and ladder.cell.label_noise == cell.label_noise
        ]
        for ladder, stored in zip(ladders, point.train_loss_noisy.values, strict=True):
            arrays = store.read_arrays("examples", ladder.identity, point.rung)
            assert arrays["loss"][arrays["noisy"]].mean() == pytest.approx(stored, rel=1e-5)


def test_the_optimum_of_each_replicate_is_the_one_that_its_pupils_learned_from(
    store: Store, result: LensResult
) -> None:
    for cell in result.cells:
        table = store.table(f"treatment = 'imp' and label_noise = {cell.label_noise}")
        for place, replicate in enumerate(cell.replicates):
            rows = table.where(f"replicate = {replicate}")
            errors = dict(zip(rows["rung"].tolist(), rows["validation_error"].tolist(), strict=True))
            assert cell.pruning.own_optimal[place] == optimal_rung(errors)
    for cell in result.cells:
        (improved,) = [leave_out for leave_out in cell.leave_outs if leave_out.leave == "improved"]
        assert improved.count is not None
        left = [
            len(read_left_out(store, ladder))
            for ladder in trained_study().ladders
            if ladder.treatment.leave == "improved" and ladder.cell.label_noise == cell.label_noise
        ]
        assert improved.count.values == tuple(left)
        assert improved.against_random is not None


def test_pictures_of_extremes_can_be_had(result: LensResult) -> None:
    cell = result.cells[1]
    assert cell.optimal is not None
    index = [example.index for example in cell.optimal.extremes[0].improved]
    images = pictures(cell.dataset or "", index).images
    assert images is not None
    assert images.shape == (len(index), 1, 8, 8)


def test_the_page_of_the_lens_runs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "lens.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(program.replace("runs/mine", str(store.path)).replace("groups=20", "groups=5"))
    assert "1, 8, 8)" in capsys.readouterr().out
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    study = parse_study(example)
    assert {treatment.kind for treatment in study.treatments} == {"imp", "extended", "narrow", "leave-out"}
    assert (study.recipe.validation, study.el2n) == (0.1, El2n())


def test_the_command_tells_the_diagnoses_first_and_of_one_cell_everything(store: Store, result: LensResult) -> None:
    output = run("lens", store.path)
    assert output.returncode == 0, output.stderr
    lines = output.stdout.splitlines()
    assert lines[0] == result.cells[0].name
    for cell in result.cells:
        assert f"label noise {cell.label_noise:g}: {cell.diagnosis.words}" in " ".join(output.stdout.split())
    one = run("lens", store.path, "--noise", "0.3", "--groups", "4", "--density", "0.5", "--examples", "2")
    assert "by EL2N percentile (replicates 0, 1; 2 networks at epoch 1)" in one.stdout
    assert "75 to 100" in one.stdout
    assert "asked, density 0.512" in one.stdout
    assert "examples that change most, replicate 0" in one.stdout
    assert len(re.findall(r"^  (?:worse|better) +\d", one.stdout, re.MULTILINE)) == 4


def test_the_command_gives_the_same_as_json(store: Store, result: LensResult) -> None:
    output = run("lens", store.path, "--json", "--groups", "5", "--examples", "10")
    assert json.loads(output.stdout) == json.loads(json.dumps(result.to_dict()))


def test_the_command_names_what_there_is(store: Store, tmp_path: Path) -> None:
    assert "must be a level that has pruned networks: 0, 0.3; found 0.5" in fails(2, "lens", store.path, "--noise", 0.5)
    assert "must be NAME=VALUE, such as width=0.5; found 'width'" in fails(2, "lens", store.path, "--cell", "width")
    assert "Did you mean 'depth'?" in fails(2, "lens", store.path, "--cell", "dept=3")
    assert "must be a file or a store" in fails(2, "lens", tmp_path / "nothing")


def test_a_look_and_its_help_load_no_torch(store: Store) -> None:
    program = "import sys\nfrom click.testing import CliRunner\nfrom prunescope.cli.main import cli\n"
    for arguments, heavy in (
        (["lens", "--help"], {"numpy", "duckdb", "torch"}),
        (["lens", str(store.path)], {"torch"}),
    ):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                f"{program}assert CliRunner().invoke(cli, {arguments!r}).exit_code == 0; print(*sys.modules)",
            ],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        assert not {name.split(".")[0] for name in done.stdout.split()} & heavy
