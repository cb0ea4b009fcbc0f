"""Choices that stay true on another test set, and along ladders whose deviations persist."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.choose import smallest_network
from prunescope.choose.cell_noise import between_trainings
from prunescope.choose.choice import ON_THIS_TEST_SET
from prunescope.choose.member_curves import Departure
from prunescope.laws.grouping import sample
from prunescope.table import read_table
from tests.laws.families import disturbed, truth
from tests.laws.planted_outcomes import outcome_store, planted_outcomes

MEMBERS = [(depth, width, 50_000) for depth in (14, 26) for width in (0.25, 0.5, 1.0)]


def test_fewer_test_examples_widen_the_interval_and_raise_the_density_of_a_sure_choice() -> None:
    columns, _ = disturbed(2, MEMBERS, truth(2), levels=25)
    rows = len(columns["error"])
    unknown, many, few = (
        smallest_network(columns | extra, 0.12, draws=60, starts=8).answers[0]
        for extra in ({}, {"test_examples": [10**9] * rows}, {"test_examples": [500] * rows})
    )
    assert few.choice.density == many.choice.density == unknown.choice.density
    widths = [np.log(answer.choice.density_high / answer.choice.density_low) for answer in (unknown, many, few)]
    assert widths[0] == pytest.approx(widths[1], rel=0.05)
    assert widths[2] > 1.5 * widths[1]
    assert few.robust is not None
    assert many.robust is not None
    assert few.robust.parameters > many.robust.parameters
    assert few.choice.high > many.choice.high
    assert ON_THIS_TEST_SET in unknown.notes
    assert ON_THIS_TEST_SET not in few.notes


def test_a_choice_goes_by_what_networks_share_of_their_errors_where_outcomes_were_kept(tmp_path: Path) -> None:
    columns, true = disturbed(2, MEMBERS, truth(2), levels=20)
    right = planted_outcomes(true, 500, 0.3, 2)
    by_bits, by_count = (
        smallest_network(outcome_store(tmp_path / name, columns, right, keep), 0.14, draws=60, starts=8).answers[0]
        for name, keep in (("bits", True), ("count", False))
    )
    assert by_bits.choice.density == by_count.choice.density
    widths = [np.log(answer.choice.density_high / answer.choice.density_low) for answer in (by_bits, by_count)]
    assert widths[0] < 0.95 * widths[1]
    assert by_bits.robust is not None
    assert by_count.robust is not None
    assert by_bits.robust.parameters < by_count.robust.parameters
    assert by_bits.test_examples_by == "200 resamples of 500"
    assert re.fullmatch(
        "binomial, of 500, of which networks share [0-9]+ % by their replicates", by_count.test_examples_by or ""
    )
    assert "200 resamples of 500" in str(by_bits)


def test_what_chance_adds_to_single_networks_is_no_noise_between_trainings(tmp_path: Path) -> None:
    columns, true = disturbed(2, MEMBERS, truth(2), levels=20, replicates=4)
    right = planted_outcomes(true * np.exp(0.034 * np.random.default_rng(0).standard_normal(len(true))), 500, 0.3, 2)
    by_bits, by_count = (
        sample(read_table(outcome_store(tmp_path / name, columns, right, keep)), joint=True).groups[0]
        for name, keep in (("bits", True), ("count", False))
    )
    rows = by_bits.row_error / by_bits.error[by_bits.row_point] - 1
    measured = np.array([np.sqrt(np.sum(rows**2) / (len(rows) - len(by_bits)))])
    parts = np.zeros(len(by_bits), np.int64)
    all_shared = replace(by_count, example_share=1.0)
    assert between_trainings(measured, all_shared, parts) == pytest.approx(measured)
    assert measured[0] > 0.06
    assert between_trainings(measured, by_bits, parts)[0] == pytest.approx(0.034, abs=0.012)
    assert between_trainings(measured, by_count, parts)[0] == pytest.approx(0.034, abs=0.02)
    shared, bound = by_bits.shared_examples, 0.12
    assert np.hypot(shared.noise(bound), shared.own_noise(bound)) == pytest.approx(
        all_shared.shared_examples.noise(bound)
    )


def test_a_curve_whose_noise_persists_is_less_sure() -> None:
    at = np.log(0.8) * np.arange(20)
    alone = Departure(at, np.zeros(20), np.full(20, 0.03), 0.05, 0.04)
    persistent = replace(alone, persistence=0.7)
    assert (persistent.spread(at) > 1.2 * alone.spread(at)).all()
