"""A planted store gives the groups, gaps, verdicts and diagnoses that a pencil gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.lens import Effect, TreatmentOutcome, analyze
from prunescope.lens.analysis import CellResult
from prunescope.study import Ladder
from prunescope.table import Store
from tests.lens.planted import PLAIN, Figures, Plant, el2n, index, noisy, plain_figures, study


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return PLAIN.into(tmp_path_factory.mktemp("plain") / "store", study())


@pytest.fixture(scope="module")
def cell(store: Store) -> CellResult:
    (cells,) = analyze(store).cells
    return cells


def test_a_cell_says_what_it_is_and_which_replicates_it_rests_on(cell: CellResult) -> None:
    assert cell.name == "lenet, depth 3, width 0.1, 40 examples of digits"
    assert (cell.label_noise, cell.replicates, cell.pruning.treatment) == (0.0, ("0", "1", "2"), "imp learning-rate")


def test_generalisation_is_told_by_density_with_its_spread(cell: CellResult) -> None:
    assert [point.density for point in cell.pruning.points] == [1.0, 0.8, 0.64, 0.512]
    assert [point.epochs for point in cell.pruning.points] == [4, 8, 12, 16]
    first = cell.pruning.at(1).test_error
    assert first.values == (0.15, 0.17, 0.13)
    assert first.mean == pytest.approx(0.15)
    assert first.deviation == pytest.approx(0.02)
    verdicts = [point.against_dense.outcome for point in cell.pruning.points if point.against_dense]
    assert verdicts == [TreatmentOutcome.BETTER, TreatmentOutcome.BETTER, TreatmentOutcome.WORSE]


def test_the_optimal_sparsity_is_by_validation_and_the_sparsest_still_beats_the_dense_network(cell: CellResult) -> None:
    assert cell.optimal is not None
    assert cell.sparsest is not None
    assert (cell.optimal.rung, cell.optimal.density) == (1, 0.8)
    assert (cell.sparsest.rung, cell.sparsest.density) == (2, 0.64)
    assert cell.optimal.test_error.differences == pytest.approx((-0.05, -0.04, -0.06))
    assert cell.optimal.train_loss is not None
    assert cell.optimal.train_loss.mean == pytest.approx(-0.1)
    assert cell.optimal.gap is None
    assert cell.pruning.own_optimal == (1, 1, 1)


def test_groups_hold_the_mean_loss_differences_of_each_replicate(cell: CellResult) -> None:
    assert cell.sparsest is not None
    groups = cell.sparsest.groups
    assert groups is not None
    assert (groups.networks, groups.epoch, groups.replicates) == (2, 1, ("0", "1", "2"))
    assert [group.size for group in groups.groups] == [2] * 20
    for group in groups.groups:
        step = 0.4 if group.number >= 16 else 0.1
        assert group.difference.differences == pytest.approx(
            tuple(-2 * step * (1 + 0.1 * r) for r in range(3)), abs=1e-6
        )
        assert group.dense_loss.values == pytest.approx((2, 2, 2))
        assert group.el2n.values == pytest.approx(
            tuple(el2n(replicate)[2 * group.number :][:2].mean() for replicate in range(3)), rel=1e-6
        )
        assert group.difference.outcome is TreatmentOutcome.BETTER
        assert (group.low, group.high) == (5 * group.number, 5 * group.number + 5)
    assert groups.words == "of 20 groups by EL2N, training loss is better in 20"


def test_all_examples_as_one_group_are_told_as_one(store: Store) -> None:
    (cell,) = analyze(store, groups=1).cells
    assert cell.sparsest is not None
    assert cell.sparsest.groups is not None
    assert cell.sparsest.groups.words == "over all examples, as one group by EL2N, training loss is better"


def test_the_top_fifth_is_weighed_against_the_rest(cell: CellResult) -> None:
    assert cell.optimal is not None
    assert cell.optimal.groups is not None
    top = cell.optimal.groups.top
    assert top.times is not None
    assert top.share is not None
    assert top.times.values == pytest.approx((4, 4, 4), rel=1e-5)
    assert top.share.mean == pytest.approx(8 * 0.4 / (8 * 0.4 + 32 * 0.1), rel=1e-5)
    assert top.top.mean == pytest.approx(-0.44, rel=1e-5)
    assert top.rest.mean == pytest.approx(-0.11, rel=1e-5)


def test_as_many_groups_as_asked_and_at_the_rung_asked(store: Store) -> None:
    (cell,) = analyze(store, groups=3, rung=3).cells
    assert cell.asked is not None
    assert cell.asked.groups is not None
    assert [group.size for group in cell.asked.groups.groups] == [14, 13, 13]
    assert cell.asked.rung == 3
    (nearest,) = analyze(store, density=0.6).cells
    assert nearest.asked is not None
    assert nearest.asked.rung == 2


def test_single_examples_are_named_by_their_place_with_ties_in_order(store: Store) -> None:
    (cell,) = analyze(store, examples=3).cells
    assert cell.optimal is not None
    for number, extremes in enumerate(cell.optimal.extremes):
        assert extremes.replicate == str(number)
        assert extremes.worsened == ()
        tops = np.sort(index(number)[-8:])[:3]
        assert [example.index for example in extremes.improved] == tops.tolist()
        first = extremes.improved[0]
        assert (first.dense_loss, first.noisy) == (2.0, False)
        assert first.difference == pytest.approx(-0.4 * (1 + 0.1 * number), rel=1e-5)
        place = index(number).tolist().index(first.index)
        assert first.label == place % 10
        assert first.el2n == pytest.approx(el2n(number)[place], rel=1e-6)


def test_lower_training_loss_that_comes_with_lower_error_is_better_training(cell: CellResult) -> None:
    assert cell.diagnosis.effect is Effect.TRAINING
    assert cell.diagnosis.words == ("better training: at density 0.8 pruning lowers test error (-5 ± 1 points)")
    assert "training loss there: better, -0.1 ± 0 nats (n = 3)" in cell.diagnosis.rests_on


def with_noise(original: float, noise: float, error: float = -0.05, top: float = 0.0) -> Plant:
    """Plant losses at rung 1 that differ from dense ones by so much on original and noisy examples."""

    def figures(ladder: Ladder, number: int) -> Figures:
        wrong, changed = noisy(ladder), bool(number)
        base = 0.3 + 0.01 * ladder.replicate
        split = {
            "train_loss_original": 0.4 + changed * original,
            "train_loss_noisy": 1.0 + changed * noise if wrong.any() else None,
        }
        share = wrong.mean()
        whole = (1 - share) * (0.4 + changed * original) + share * (1.0 + changed * noise)
        test = base + changed * error * (1 + 0.1 * ladder.replicate)
        return {"test_error": test, "validation_error": test, "train_loss": whole, **split}

    def losses(ladder: Ladder, number: int) -> np.ndarray:
        losses: np.ndarray = np.where(noisy(ladder), 1.0 + number * noise, 0.4 + number * original)
        losses[32:] += number * top
        return losses

    return Plant(figures, losses)


@pytest.mark.parametrize(
    ("original", "noise", "error", "effect"),
    [
        (-0.2, -0.1, -0.05, Effect.TRAINING),
        (0.0, 0.3, -0.05, Effect.REGULARISATION),
        (0.1, 0.3, -0.05, Effect.REGULARISATION),
        (-0.1, 0.3, -0.05, Effect.BOTH),
        (0.0, 0.0, -0.05, Effect.NEITHER),
        (-0.2, -0.1, 0.05, Effect.NEITHER),
        (-0.2, 0.3, 0.0, Effect.NEITHER),
    ],
)
def test_noisy_labels_tell_training_from_regularisation(
    tmp_path: Path, original: float, noise: float, error: float, effect: Effect
) -> None:
    plant = with_noise(original, noise, error)
    (cell,) = analyze(plant.into(tmp_path / "store", study(noise=(0.25,), levels=1))).cells
    assert cell.diagnosis.effect is effect
    words = "better training and additional" if effect is Effect.BOTH else str(effect)
    assert cell.diagnosis.words.startswith(words)
    assert cell.optimal is not None
    assert cell.optimal.train_loss_noisy is not None
    assert cell.optimal.train_loss_noisy.mean == pytest.approx(noise)
    gap = cell.optimal.gap
    assert gap is not None
    assert gap.dense.mean == pytest.approx(0.6)
    assert gap.sparse.mean == pytest.approx(0.6 + noise - original)
    wanted = "widens" if noise > original else "stays" if noise == original else "narrows"
    assert f"training loss {wanted} from 0.6 to" in gap.words
    advice = any("labels are noisy: prune" in words for words in cell.diagnosis.practice)
    assert advice == (effect in (Effect.REGULARISATION, Effect.BOTH))


def test_without_noise_influential_examples_that_are_fitted_less_are_regularisation(tmp_path: Path) -> None:
    plant = with_noise(-0.1, 0.0, top=0.5)
    (cell,) = analyze(plant.into(tmp_path / "store", study(levels=1))).cells
    assert cell.diagnosis.effect is Effect.BOTH
    assert any("look at those that pruning worsens most" in words for words in cell.diagnosis.practice)
    assert cell.optimal is not None
    assert cell.optimal.extremes[0].worsened[0].index == index(0)[-8:].min()


def test_further_pruning_may_regularise_where_the_optimum_trains_better(tmp_path: Path) -> None:
    def figures(ladder: Ladder, number: int) -> Figures:
        loss = (0.5, 0.4, 0.6, 0.9)[number]
        return {**plain_figures(ladder, number), "train_loss": loss, "train_loss_original": loss}

    (cell,) = analyze(Plant(figures).into(tmp_path / "store", study(el2n=False))).cells
    assert (cell.diagnosis.effect, cell.diagnosis.at_sparsest) == (Effect.TRAINING, Effect.REGULARISATION)
    words = "at density 0.64, the lowest that beats the dense network: additional regularisation"
    assert cell.diagnosis.rests_on[-1] == words


def test_examples_that_do_not_change_are_at_neither_extreme(tmp_path: Path) -> None:
    plant = with_noise(0.0, 0.0, top=0.5)
    (cell,) = analyze(plant.into(tmp_path / "store", study(levels=1))).cells
    assert cell.optimal is not None
    first = cell.optimal.extremes[0]
    assert (len(first.worsened), first.improved) == (8, ())


def test_cells_come_by_network_and_noise_and_can_be_chosen(tmp_path: Path) -> None:
    plant = with_noise(-0.1, 0.1)
    store = plant.into(tmp_path / "store", study(noise=(0.25, 0.0), widths=(0.2, 0.1), levels=1))
    assert [(cell.width, cell.label_noise) for cell in analyze(store).cells] == [
        (0.1, 0.0),
        (0.1, 0.25),
        (0.2, 0.0),
        (0.2, 0.25),
    ]
    (only,) = analyze(store, noise=[0.25], cell={"width": "0.20"}).cells
    assert (only.width, only.label_noise) == (0.2, 0.25)


def test_json_is_plain_whole_and_the_same_each_time(store: Store) -> None:
    one, other = (json.dumps(analyze(store).to_dict(), allow_nan=False) for _ in range(2))
    assert one == other
    content = json.loads(one)
    (cell,) = content["cells"]
    assert cell["diagnosis"]["effect"] == "better training"
    assert cell["optimal"]["test_error"]["outcome"] == "better"
    assert len(cell["optimal"]["groups"]["groups"]) == 20
    assert set(cell) == set(vars(analyze(store).cells[0]))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Store:
    asked = study(noise=(0.0, 0.25))
    deep = tuple(axes.model_copy(update={"depth": (3, 5, 7)}) for axes in asked.axes)
    return PLAIN.into(tmp_path_factory.mktemp("several") / "store", replace(asked, axes=deep))


@pytest.mark.parametrize(
    "question", [{"cell": {"depth": "7"}}, {"cell": {"depth": 5, "width": 0.1}, "noise": (0.25,)}, {"noise": (0.25,)}]
)
def test_of_many_rows_the_cells_asked_for_are_looked_at_as_among_all(several: Store, question: dict[str, Any]) -> None:
    whole, some = analyze(several, **question), analyze(several, most=36, **question)
    assert some.cells == whole.cells
    assert some.notes == whole.notes


def test_of_many_rows_some_networks_are_looked_at_and_that_is_said(several: Store) -> None:
    whole, some = analyze(several), analyze(several, most=24)
    assert some.cells == whole.cells[:2]
    assert "48 rows of networks with as many treatments or fewer not looked at" in some.notes


def test_what_many_rows_do_not_hold_is_refused_with_all_that_they_hold(several: Store) -> None:
    with pytest.raises(InputError, match="cell depth: must be one that has pruned networks: 3, 5"):
        analyze(several, most=24, cell={"depth": "4"})


def test_the_command_says_what_it_leaves_out_and_looks_at_all_when_asked(
    several: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.cli.lens.MOST_ROWS", 24)
    some = CliRunner().invoke(cli, ["lens", str(several.path)])
    assert "48 rows" in some.stderr
    assert "--all at every network" in some.stderr
    plain = json.loads(CliRunner().invoke(cli, ["lens", str(several.path), "--json"]).stdout)
    assert len(plain["cells"]) == 2
    assert "48 rows" in " ".join(plain["notes"])
    whole = CliRunner().invoke(cli, ["lens", str(several.path), "--all"])
    assert "not looked at" not in whole.stderr
