"""What networks share of the chance of test examples, told by the scatter of replicates alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prunescope.laws import JointLaw
from prunescope.laws.data import GroupData
from prunescope.laws.grouping import sample
from prunescope.laws.shared_examples import SharedExamples
from prunescope.table import read_table
from tests.laws.families import disturbed, truth
from tests.laws.planted_outcomes import common_share, planted_outcomes

MEMBERS = [(depth, width, 50_000) for depth in (14, 26) for width in (0.25, 0.5, 1.0, 2.0)]


def on_500(seed: int, likeness: float | None = None, **condition: Any) -> dict[str, Any]:
    """Return the columns of a family tested on 500 examples, on which networks err alike: None is nested sets."""
    if likeness is None:
        return disturbed(seed, MEMBERS, truth(seed), levels=25, test_examples=500, **condition)[0]
    columns, _ = disturbed(seed, MEMBERS, truth(seed), levels=25, **condition)
    wrong = (~planted_outcomes(columns["error"], 500, likeness, seed)).mean(axis=1)
    return columns | {"error": np.maximum(wrong, 1 / 500), "test_examples": np.full(len(wrong), 500)}


def group_of(columns: Any) -> GroupData:
    return sample(read_table(columns), joint=True).groups[0]


@pytest.mark.parametrize("likeness", [0.1, 0.4, 0.8])
def test_replicates_tell_what_networks_share(likeness: float) -> None:
    shared = [group_of(on_500(seed, likeness)).example_share ** 2 for seed in range(6)]
    assert -0.05 < np.mean(shared) - common_share(0.15, likeness) < 0.2


def test_networks_that_err_on_nested_sets_share_nearly_all() -> None:
    plain = [group_of(on_500(seed)).example_share ** 2 for seed in range(6)]
    persistent = [group_of(on_500(seed, persistence=0.7)).example_share ** 2 for seed in range(6)]
    assert min(np.mean(plain), np.mean(persistent)) > 0.9


def test_without_replicates_or_a_number_of_examples_all_is_shared() -> None:
    columns = on_500(0, 0.1)
    one = read_table(columns).take(columns["replicate"] == 0)
    unknown = {name: values for name, values in columns.items() if name != "test_examples"}
    assert group_of(one).example_share == group_of(unknown).example_share == 1.0
    assert group_of(one).shared_examples.by == "binomial, of 500"


def test_a_training_that_went_wrong_is_no_chance_of_examples() -> None:
    columns = on_500(1)
    columns["error"] = columns["error"].copy()
    columns["error"][(columns["replicate"] == 0) & (columns["density"] > 0.9)] *= 5
    assert group_of(columns).example_share ** 2 > 0.9


def test_each_test_set_has_its_own() -> None:
    parts = [on_500(0), on_500(0, 0.1)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["dataset"] = np.repeat(["alike", "by chance"], [len(part["error"]) for part in parts])
    shares = [group.example_share for group in sample(read_table(columns), joint=True).groups]
    assert shares == [group_of(part).example_share for part in parts]


def test_what_networks_do_not_share_narrows_intervals_and_is_kept_with_a_law() -> None:
    law = JointLaw(draws=20, starts=4)
    by_replicates = law.sample(on_500(0, 0.1))
    group = by_replicates.groups[0]
    network = {"density": [0.3], "unpruned_error": [0.1], "depth": [14], "width": [1.0]}
    errors, exponents, shared = [], [], []
    for share in (group.example_share, 1.0):
        fit = law.fit(replace(by_replicates, groups=(replace(group, example_share=share),))).fit_
        assert type(fit).restored(fit.saved()).shared_examples == fit.shared_examples
        shared.append(fit.shared_examples)
        predicted = law.predictions(network)
        errors.append(float(np.log(predicted.law_high / predicted.law_low)[0]))
        low, high = fit.intervals["gamma"] or (np.nan, np.nan)
        exponents.append(high - low)
    assert errors[0] < 0.75 * errors[1]
    assert exponents[0] < exponents[1]
    assert shared[1] == SharedExamples(500)
    assert (
        shared[0].by
        == f"binomial, of 500, of which networks share {100 * group.example_share:.0f} % by their replicates"
    )
    assert np.hypot(shared[0].noise(0.1), shared[0].own_noise(0.1)) == pytest.approx(shared[1].noise(0.1))
