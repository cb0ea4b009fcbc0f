"""Before a decision: the loss under both forms of the law, and what another test set does to the sure network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prunescope import next_ladders, read_table
from prunescope.choose.smallest import MemberSizes
from prunescope.design.value_of_information import WORST, Decision, FormCheck, Question
from tests.laws.families import disturbed, truth

SIZES = MemberSizes(np.ones(2), np.array([0.5, 1.0]), np.array([1_000.0, 4_000.0]), np.zeros(2))
QUESTION = Question(0.1, SIZES, np.arange(2), np.full(2, -20.0))
MEMBERS = [(depth, width, 50_000) for depth in (14, 26) for width in (0.5, 1.0)]


def test_the_loss_of_a_decision_is_stated_under_each_form() -> None:
    needed = {"paper": np.log([0.4, 0.2]), "tilted": np.log([0.8, 0.1])}
    losses = FormCheck(QUESTION, needed).losses(Decision(0, float(np.log(0.4))))
    assert losses["paper"] == pytest.approx(0)
    assert losses["tilted"] == pytest.approx(np.log(800 / 400) + np.log(2))


def test_a_choice_that_a_form_says_cannot_do_is_as_wrong_as_any() -> None:
    losses = FormCheck(QUESTION, {"paper": np.array([np.inf, -1.0])}).losses(Decision(0, -1.0))
    assert losses == {"paper": WORST}


def test_a_plan_is_not_decided_while_the_form_is_in_doubt() -> None:
    columns, _ = disturbed(2, MEMBERS, truth(2), levels=26, replicates=3)
    plan = next_ladders(read_table(columns), 0.12, classes=10, enough=0.3)
    assert plan.decided
    assert set(plan.off_by_form) == {"paper", "tilted"}
    assert plan.to_dict()["off_by_form"] == plan.off_by_form
    assert not replace(plan, off_by_form={"paper": 0.0, "tilted": 0.4}).decided


def test_the_sure_network_is_denser_for_fewer_test_examples() -> None:
    columns, _ = disturbed(2, MEMBERS, truth(2), levels=26, replicates=3)
    few = columns | {"test_examples": [500] * len(columns["error"])}
    sure = [next_ladders(read_table(rows), 0.12, classes=10, enough=0.3).sure for rows in (columns, few)]
    assert sure[0] is not None
    assert sure[1] is not None
    assert (sure[1].member, sure[1].density) != (sure[0].member, sure[0].density)
    assert sure[1].member != sure[0].member or sure[1].density > 1.05 * sure[0].density
