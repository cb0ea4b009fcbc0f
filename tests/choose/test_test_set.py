"""Choices that stay true on another test set, and along ladders whose deviations persist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prunescope.choose import smallest_network
from prunescope.choose.choice import ON_THIS_TEST_SET
from prunescope.choose.member_curves import Departure
from prunescope.laws.uncertainty import shared_noise
from tests.laws.families import disturbed, truth

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


def test_what_all_networks_share_falls_with_the_error_and_the_examples() -> None:
    assert float(shared_noise(0.1, 900)) == pytest.approx(0.1)
    assert float(shared_noise(0.1, None)) == 0


def test_a_curve_whose_noise_persists_is_less_sure() -> None:
    at = np.log(0.8) * np.arange(20)
    alone = Departure(at, np.zeros(20), np.full(20, 0.03), 0.05, 0.04)
    persistent = replace(alone, persistence=0.7)
    assert (persistent.spread(at) > 1.2 * alone.spread(at)).all()
