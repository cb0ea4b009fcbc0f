"""Presets: sound, headed by what a user must know, and true about their cost."""

from __future__ import annotations

import re

import pytest

from prunescope.spec import effort, preset_text, presets, read_study

WORDS = {"": 1, "million": 10**6, "billion": 10**9}


def test_the_papers_studies_ship() -> None:
    wanted = {"digits", "lenet-mnist", "resnet-cifar10", "vgg16-cifar10", "resnet32-cifar100", "resnet50-imagenet"}
    assert wanted <= set(presets())


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
    told = re.fullmatch(r"([\d,]+) networks, ([\d.]+) (\w*) ?examples seen\.", study.cost)
    assert told is not None
    total = effort(study.ladders)
    assert int(told[1].replace(",", "")) == total.networks
    assert float(told[2]) == pytest.approx(total.examples / WORDS[told[3]], rel=0.005)


def test_the_first_papers_table_1_stands_in_its_preset() -> None:
    cells = read_study("resnet-cifar10").cells
    assert {cell.depth for cell in cells} == {8, 14, 20, 26, 50, 98}
    assert {cell.width for cell in cells} == {2.0**power for power in range(-4, 3)}
    assert {cell.examples for cell in cells} == {50_000 // share for share in (1, 2, 4, 8, 16, 32, 64)}
    assert len(cells) == 6 * 7 * 7


def test_effort_counts_a_rung_that_ladders_share_once() -> None:
    study = read_study("lenet-mnist-noise")
    total, rungs = effort(study.ladders), 12 * 3 * 31
    assert (total.rungs, total.networks) == (rungs, rungs - 12 * 2)
    assert total.epochs == 40 * total.networks
    one = [ladder for ladder in study.ladders if ladder.treatment.kind == "imp"]
    assert effort(one).networks == effort(one).rungs == 12 * 31


def test_effort_counts_a_ladder_by_hand() -> None:
    ladder = read_study("resnet20-cifar10-noise").ladders[0]
    total = effort([ladder])
    # 160 epochs dense, then 30 rungs of 150 from epoch 10 on; 45,000 examples after 10 % held out, 352 steps of 128.
    assert (total.networks, total.epochs) == (31, 160 + 30 * 150)
    assert total.steps == total.epochs * 352
    assert total.examples == total.epochs * 45_000
