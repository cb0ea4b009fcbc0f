"""The sentence that a page begins with: what to train, how far to prune, how sure, how much smaller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prunescope.choose import smallest_network
from prunescope.choose.answers import Bounded
from prunescope.choose.description import Pick
from prunescope.report.chapters import NO_BREAK, Slider, headline, slider
from prunescope.table.schema import Outcome
from tests.choose.test_choice import planted


@pytest.fixture(scope="module")
def pick() -> Pick:
    choice = smallest_network(planted(noise=0.02, replicates=2), 0.2, intervals="quick").answers[0].choice
    return replace(choice, density=0.1, parameters=381, counted="counted", probability=0.9, known="pruned", rung=10)


def said(bounded: Bounded, outcome: Outcome | None = None) -> str:
    words = headline(bounded, 0.9, outcome=outcome or Outcome())
    return words.replace(NO_BREAK, " ")


def test_the_confident_choice_is_said_with_its_gain(pick: Pick) -> None:
    words = said(Bounded(0.12, pick, pick, "", unpruned_parameters=381 * 6.2))
    assert words == (
        f"Error \N{LESS-THAN OR EQUAL TO} 12 %: train {pick.name}, prune to 10 % of its weights: 381 parameters, "
        "90 % sure, 6.2 times fewer than the smallest unpruned network that meets it."
    )


def test_where_none_is_confident_the_odds_of_the_expected_one_are_said(pick: Pick) -> None:
    words = said(Bounded(0.12, replace(pick, probability=0.49), None, ""))
    assert "met in 49 % of training runs (no network is 90 % sure), no unpruned network meets it" in words


def test_what_pruning_does_not_gain_is_said(pick: Pick) -> None:
    words = said(Bounded(0.12, pick, replace(pick, density=1.0), "", unpruned_parameters=381))
    assert "do not prune it" in words
    assert "no smaller than the smallest unpruned network" in words


def test_other_outcomes_and_members_never_trained_go_by_their_names(pick: Pick) -> None:
    words = said(Bounded(2.5, replace(pick, known="predicted"), None, ""), Outcome("test_loss"))
    assert words.startswith("Test loss \N{LESS-THAN OR EQUAL TO} 2.5: train ")
    assert "(never trained)" in words


def test_no_network_is_said_as_that(pick: Pick) -> None:
    assert said(Bounded(0.01, None, None, "too low")) == (
        "Error \N{LESS-THAN OR EQUAL TO} 1 %: no network is known to meet it."
    )


def density(made: Slider) -> str:
    return next(fact.expected for fact in made.stops[0].facts if fact.name == "density")


def test_a_rung_beyond_the_measured_ones_is_told(pick: Pick) -> None:
    choices = (Bounded(0.12, pick, pick, ""),)
    assert density(slider(choices, 0.12, 0.9, rungs=9)).endswith("rung 10: beyond the 9 measured")
    assert density(slider(choices, 0.12, 0.9, rungs=10)).endswith("rung 10")
