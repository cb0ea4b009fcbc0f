"""Presets: sound, headed by what a user must know, and true about their cost."""

from __future__ import annotations

import re

import pytest

from prunescope.nets import network
from prunescope.prune import kept_count
from prunescope.study import effort, ensembles, preset_text, presets, read_study
from prunescope.study.catalogue import DATASETS, FAMILIES, SCORES
from prunescope.study.effort import epochs_of

WORDS = {"": 1, "million": 10**6, "billion": 10**9}


def test_the_papers_studies_ship() -> None:
    wanted = {"digits", "lenet-mnist", "resnet-cifar10", "vgg16-cifar10", "resnet32-cifar100", "resnet50-imagenet"}
    wanted |= {"vgg16-svhn", "densenet121-cifar10", "densenet121-svhn", "resnet18-tinyimagenet"}
    assert wanted <= set(presets())
    named = {(cell.family, cell.dataset) for name in presets() for cell in read_study(name).cells}
    assert {family for family, _ in named} == set(FAMILIES)
    assert {dataset for _, dataset in named} == set(DATASETS) - {"fashion-mnist"}


@pytest.mark.parametrize("name", [name for name in presets() if name.endswith("-small")])
def test_every_ladder_of_a_small_preset_keeps_a_weight_to_its_end(name: str) -> None:
    for ladder in read_study(name).ladders:
        if ladder.treatment.kind == "imp":
            cell, recipe = ladder.cell, ladder.recipe
            outline = network(cell.family, cell.depth, cell.width, ladder.facts.classes, ladder.facts.shape).outline
            weights = sum(parameter.size for parameter in outline.prunable(recipe.prunable))
            assert kept_count(weights, recipe.pruning_fraction, recipe.levels) >= 1


def test_the_small_family_of_resnets_varies_in_everything_and_gets_thin() -> None:
    study = read_study("resnet-cifar10-small")
    cells = study.cells
    assert len({cell.depth for cell in cells}) >= 3
    assert len({cell.width for cell in cells}) >= 4
    assert len({cell.examples for cell in cells}) >= 3
    assert len(cells) == 3 * 4 * 3
    assert all(0.8**ladder.recipe.levels < 0.004 for ladder in study.ladders)


def test_resnet_32_has_twice_the_usual_filters() -> None:
    (cell, *_) = read_study("resnet32-cifar100").cells
    outline = network(cell.family, cell.depth, cell.width, 100, (3, 32, 32)).outline
    shapes = {parameter.name: parameter.shape for parameter in outline.parameters}
    assert [shapes[f"segment{segment}.block4.conv2.weight"][0] for segment in range(3)] == [32, 64, 128]


@pytest.mark.parametrize("name", presets())
def test_a_preset_opens_with_purpose_expected_result_and_cost(name: str) -> None:
    study = read_study(name)
    assert study.name == name
    assert study.purpose
    assert study.expected
    assert preset_text(name).startswith("# ")


@pytest.mark.parametrize("name", presets())
def test_the_cost_that_a_preset_states_is_what_its_ladders_add_up_to(name: str) -> None:
    study = read_study(name)
    amount = r"([\d,]+) networks, ([\d.]+) (\w*) ?examples"
    scorers = ensembles(study)
    stated = re.fullmatch(f"{amount} seen{f'; EL2N: {amount}' if scorers else ''}\\.", study.cost)
    assert stated is not None
    total = effort(study.ladders)
    wanted = [(total.networks, total.examples)]
    if scorers:
        wanted.append((sum(scorer.networks for scorer in scorers), sum(scorer.work for scorer in scorers)))
    for place, (networks, examples) in enumerate(wanted):
        counted, seen, unit = stated.groups()[3 * place : 3 * place + 3]
        assert int(counted.replace(",", "")) == networks
        assert float(seen) == pytest.approx(examples / WORDS[unit], rel=0.005)


def test_the_first_papers_table_1_stands_in_its_preset() -> None:
    cells = read_study("resnet-cifar10").cells
    assert {cell.depth for cell in cells} == {8, 14, 20, 26, 50, 98}
    assert {cell.width for cell in cells} == {2.0**power for power in range(-4, 3)}
    assert {cell.examples for cell in cells} == {50_000 // share for share in (1, 2, 4, 8, 16, 32, 64)}
    assert len(cells) == 6 * 7 * 7


def test_effort_counts_a_rung_that_ladders_share_once() -> None:
    study = read_study("lenet-mnist-noise")
    three = [ladder for ladder in study.ladders if ladder.treatment.label in ("imp", "extended", "narrow")]
    total, rungs = effort(three), 12 * 3 * 31
    assert (total.rungs, total.networks) == (rungs, rungs - 12 * 2)
    assert total.epochs == 40 * total.networks
    one = [ladder for ladder in three if ladder.treatment.kind == "imp"]
    assert effort(one).networks == effort(one).rungs == 12 * 31


def test_the_lens_preset_of_digits_has_every_kind_of_treatment() -> None:
    study = read_study("digits-lens")
    kinds = {treatment.kind for treatment in study.treatments}
    assert kinds >= {"imp", "one-shot", "extended", "narrow", "leave-out"}
    assert {treatment.score for treatment in study.treatments if treatment.kind == "imp"} == set(SCORES)
    assert {treatment.leave for treatment in study.treatments} >= {"improved", "misclassified", "random"}
    assert (study.keep_examples, study.el2n is not None) == ("all", True)


@pytest.mark.parametrize("name", ["lenet-mnist-noise", "resnet20-cifar10-noise", "resnet32-cifar100", "vgg16-cifar10"])
def test_the_second_papers_presets_make_what_its_figures_and_appendices_need(name: str) -> None:
    study = read_study(name)
    pruning = {
        (treatment.kind, treatment.rewind, treatment.score)
        for treatment in study.treatments
        if treatment.kind in ("imp", "one-shot")
    }
    rewinding = {("imp", rewind, "magnitude") for rewind in ("learning-rate", "weights", "fine-tuning")}
    scores = {("imp", "learning-rate", score) for score in ("random", "gradient", "gradient-flow")}
    assert pruning == rewinding | scores | {("one-shot", "learning-rate", "magnitude")}
    assert {treatment.kind for treatment in study.treatments} >= {"extended", "narrow"}
    left = {treatment.leave for treatment in study.treatments if treatment.kind == "leave-out"}
    assert left == {"improved", "worsened", "misclassified", "random"}
    assert study.keep_examples == "all"
    assert study.el2n is not None
    assert study.recipe.validation > 0


@pytest.mark.parametrize("name", ["resnet20-cifar10-lens-small", "lenet-mnist-lens"])
def test_the_second_papers_small_presets_ask_its_main_questions(name: str) -> None:
    study = read_study(name)
    assert {treatment.kind for treatment in study.treatments} == {"imp", "extended", "narrow", "leave-out"}
    left = {treatment.leave for treatment in study.treatments if treatment.kind == "leave-out"}
    assert left == {"improved", "misclassified", "random"}
    assert {cell.label_noise for cell in study.cells} == {0.0, 0.15, 0.3, 0.6}
    assert (study.keep_examples, study.el2n is not None, study.recipe.validation > 0) == ("all", True, True)


def test_what_is_left_of_a_study_leaves_out_finished_rungs() -> None:
    """A rung 0 that two treatments share is trained once more for a ladder that comes later."""
    study = read_study("digits-lens")
    ladders = [ladder for ladder in study.ladders if ladder.treatment.kind in ("imp", "extended")][:2]
    first, second = ladders
    assert first.unpruned == second.unpruned
    whole = effort(ladders)
    assert effort(ladders, {}) == whole
    everything = {ladder.identity: frozenset(range(ladder.rungs)) for ladder in ladders}
    assert vars(effort(ladders, everything)) == dict.fromkeys(vars(whole), 0)
    assert effort(ladders, {first.identity: everything[first.identity]}) == effort([second])
    begun = effort([first], {first.identity: frozenset({0, 1})})
    assert (begun.rungs, begun.networks) == (first.rungs - 2, first.rungs - 2)
    assert begun.epochs == (first.rungs - 2) * epochs_of(first, 1)


def test_effort_counts_a_ladder_by_hand() -> None:
    ladder = read_study("resnet20-cifar10-noise").ladders[0]
    total = effort([ladder])
    # 160 epochs dense, then 30 rungs of 150 from epoch 10 on; 45,000 examples after 10 % held out, 352 steps of 128.
    assert (total.networks, total.epochs) == (31, 160 + 30 * 150)
    assert total.steps == total.epochs * 352
    assert total.examples == total.epochs * 45_000
