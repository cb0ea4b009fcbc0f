"""Train, refit, decide, stop: on the bundled digits, for real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prunescope.design.adaptive import ROUND, train_until_decided
from prunescope.design.recommendation import DesignPlan
from prunescope.run import run_study
from prunescope.study import Ladder, Study
from prunescope.study.sections import Axes, Recipe
from prunescope.table import Store
from tests.commands import run


def study() -> Study:
    axes = Axes.model_validate(
        {"dataset": "digits", "family": "lenet", "depth": 3, "width": [0.1, 0.2], "examples": [300, 600]}
    )
    recipe = Recipe(epochs=4, batch=32, learning_rate=0.1, levels=8, prunable="all-but-output")
    return Study("small", (axes,), recipe, replicates=2)


def test_it_trains_ladders_of_the_study_until_it_says_why_it_stops(tmp_path: Path) -> None:
    store, plans = Store(tmp_path / "store", create=True), list[DesignPlan]()

    def train(ladders: Sequence[Ladder]) -> bool:
        return not run_study(study(), store, ladders=ladders, workers=1).failures

    last = train_until_decided(study(), store, 0.3, train, enough=0.3, on_plan=plans.append)
    assert last.decided or not last.proposals
    assert all(len(plan.proposals) <= ROUND for plan in plans)
    done = store.done()
    assert set(done) <= {ladder.identity for ladder in study().ladders}
    # Every rung that was planned is there, and nothing else.
    planned = {(ladder.identity, rung) for plan in plans for ladder in plan.ladders for rung in range(ladder.rungs)}
    assert {(ladder, rung) for ladder, rungs in done.items() for rung in rungs} == planned
    # Asked again, it has nothing to do.
    again = train_until_decided(study(), store, 0.3, lambda ladders: False, enough=0.3)
    assert again.off == last.off


def test_a_loop_that_may_not_go_on_stops(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    plan = train_until_decided(study(), store, 0.3, lambda ladders: False)
    assert not plan.decided
    assert plan.ladders


def test_of_several_levels_of_label_noise_one_is_decided_about(tmp_path: Path) -> None:
    path, request = tmp_path / "study.toml", ("--until-decided", "0.02", "--enough", "0.9", "--workers", "1")
    axes = [axes.model_copy(update={"label_noise": (0.0, 0.25)}) for axes in study().axes]
    path.write_text(replace(study(), axes=tuple(axes)).to_toml())
    options = ["--store", tmp_path / "store", *request]
    result = run("run", path, *options)
    assert result.returncode == 2
    assert "label noise: must be one level to choose within; found 0, 0.25. Name it: --noise 0." in result.stderr
    done = run("run", path, *options, "--noise", "0.25")
    assert done.returncode == 0, done.stderr
    assert "no member is expected to meet that error" in " ".join(done.stdout.split())
    assert set(Store(tmp_path / "store").table()["label_noise"].tolist()) == {0.25}


def test_the_command_trains_chooses_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(study().to_toml())
    options = ["--store", tmp_path / "store", "--until-decided", "0.3", "--enough", "0.5", "--workers", "1"]
    result = run("run", path, *options)
    assert result.returncode == 0, result.stderr
    assert "of the study's training is done" in result.stdout
    assert "smallest network with an error of at most 0.3" in result.stdout or "note:" in result.stderr
    assert "; training " in result.stderr
    again = run("run", path, *options)
    assert again.returncode == 0
    assert "trained 0 networks" in again.stdout
