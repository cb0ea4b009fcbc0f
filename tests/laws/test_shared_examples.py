"""What all networks of a group share of their errors on the test examples: by outcomes kept, or by the number alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.distributions import normal_quantile
from prunescope.laws import JointLaw, SingleLaw, load_law
from prunescope.laws.data import GroupData
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import ADAPTED, DENSE, JOINT, SINGLE, Form
from prunescope.laws.free_plateaus import free_plateaus, solve_free_plateaus
from prunescope.laws.grouping import Sample, dense_sample, sample
from prunescope.laws.results import Fit, Interval
from prunescope.laws.search import search_batch
from prunescope.laws.shared_examples import RESAMPLES, Resampled, SharedExamples
from prunescope.table import Store, Table, read_table
from tests.laws.families import disturbed, truth
from tests.laws.planted_outcomes import common_share, outcome_store, planted_outcomes

MEMBERS = [(depth, width, 50_000) for depth in (14, 20, 26, 50) for width in (0.5, 1.0)]
BY_BITS, BY_COUNT = f"{RESAMPLES} resamples of 500", "binomial, of 500"


def family_store(folder: Path, likeness: float, levels: int = 30, **columns: Any) -> Store:
    """Return a store of a family tested on 500 examples."""
    made, true = disturbed(3, MEMBERS, truth(3), levels=levels)
    return outcome_store(folder, made | columns, planted_outcomes(true, 500, likeness, 3))


def group_of(table: Store | Table) -> GroupData:
    """Return the one group of a table."""
    (group,) = JointLaw().sample(table).groups
    return group


def without_outcomes(store: Store) -> Table:
    """Return the same rows without outcomes of single examples."""
    return replace(store.table(), stored_outcomes=None)


def width(interval: Interval | None) -> float:
    """Return the width of an interval."""
    assert interval is not None
    return interval[1] - interval[0]


def test_errors_share_the_binomial_part_of_the_number_of_examples() -> None:
    assert float(SharedExamples(900).noise(0.1)) == pytest.approx(0.1)
    assert float(SharedExamples().noise(0.1)) == 0
    assert (SharedExamples(900).by, SharedExamples().by) == ("binomial, of 900", None)
    half = SharedExamples(900, (0.1, 0.4), (0.5, 1.0))
    assert float(half.noise(0.1)) == pytest.approx(0.05)
    assert float(half.noise(0.2)) == pytest.approx(0.75 * float(SharedExamples(900).noise(0.2)))
    assert float(half.noise(0.6)) == pytest.approx(float(SharedExamples(900).noise(0.6)))


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.7, 1.0])
def test_replicates_tell_what_networks_share(tmp_path: Path, likeness: float) -> None:
    shared = group_of(family_store(tmp_path / "store", likeness)).shared_examples
    assert shared.by == BY_BITS
    planted = [common_share(error, likeness) for error in shared.errors]
    assert np.square(shared.shares).tolist() == pytest.approx(planted, abs=0.06)


def spreads(form: Form, group: GroupData, fixed: Mapping[str, float]) -> dict[str, float]:
    """Return what test examples add to the quick intervals, in standard deviations of coordinates."""
    wide, narrow = (
        fit_groups(form, [replace(group, test_examples=count)], Options(fixed, intervals="quick"))[0]
        for count in (500, None)
    )
    assert isinstance(wide, Fit)
    assert isinstance(narrow, Fit)
    added = {}
    for name, before in narrow.quick_intervals.items():
        after = wide.quick_intervals[name]
        if before is not None and after is not None:
            halves = [np.ptp(end if name in ("phi", "psi") else np.log(end)) / 2 for end in (before, after)]
            added[name] = np.sqrt(halves[1] ** 2 - halves[0] ** 2) / normal_quantile(0.9)
    return added


def test_a_resample_moves_a_family_by_what_refits_to_it_do(tmp_path: Path) -> None:
    group = group_of(family_store(tmp_path / "store", 0.7))
    assert group.resampled is not None
    start = search_batch(JOINT, [group], {}, 4, 0)
    box, ends = start.box, []
    for draw in range(60):
        error = group.error * np.exp(group.resampled.points[:, draw])
        unpruned = group.unpruned * np.exp(group.resampled.unpruned[:, draw])
        problem = free_plateaus(JOINT, [replace(group, error=error, unpruned=unpruned)], [0.04], True)
        ends.append(solve_free_plateaus(problem, start.result.best.theta, box.low, box.high).theta[0])
    refits = dict(zip(JOINT.parameters, np.std(ends, axis=0).tolist(), strict=True))
    assert spreads(JOINT, group, {}) == pytest.approx(refits, rel=0.3)


@pytest.mark.parametrize(("form", "fixed"), [(DENSE, {"eps_0": 0.9, "c": 0.03}), (ADAPTED, {"eps_up": 0.8})])
def test_a_change_of_all_errors_moves_laws_of_plain_points_by_what_refits_do(
    form: Form, fixed: Mapping[str, float]
) -> None:
    sizes = [(depth, wide, n) for depth in (8, 14, 20, 26) for wide in (0.25, 0.5, 1.0) for n in (50_000, 12_500)]
    columns, _ = disturbed(5, sizes if form is DENSE else sizes[:1], truth(5), noise=0.01)
    (group,) = (dense_sample(read_table(columns)) if form is DENSE else SingleLaw().sample(columns)).groups
    change = 0.005 * np.random.default_rng(0).standard_normal((len(group), 1)) * [1.0, -1.0]
    moved = replace(group, resampled=Resampled(change, change, np.full(len(group), np.nan)))
    ends = [
        fit_groups(form, [replace(group, error=group.error * np.exp(way))], Options(fixed, intervals="none"))[0]
        for way in change.T
    ]
    for name, spread in spreads(form, moved, fixed).items():
        values = [fit.parameters[name] for fit in ends if isinstance(fit, Fit)]
        assert spread == pytest.approx(abs(np.diff(np.log(values))[0]) / 2, rel=0.1)


def all_shared(table: Any) -> Sample:
    """Return the groups of a table as if networks shared all of the chance of test examples."""
    groups = JointLaw().sample(table)
    return replace(groups, groups=tuple(replace(group, example_share=1.0) for group in groups.groups))


def test_outcomes_narrow_intervals_where_networks_err_on_different_examples(tmp_path: Path) -> None:
    store = family_store(tmp_path / "store", 0.2)
    by_bits, by_count = (JointLaw(draws=60).fit(rows).fit_ for rows in (store, all_shared(without_outcomes(store))))
    assert (by_bits.shared_examples.by, by_count.shared_examples.by) == (BY_BITS, BY_COUNT)
    assert by_bits.to_dict()["test_examples_by"] == BY_BITS
    for name in ("eps_up", "gamma", "p_prime"):
        assert width(by_bits.intervals[name]) < 0.85 * width(by_count.intervals[name])


def test_outcomes_on_nested_sets_come_to_the_binomial_part(tmp_path: Path) -> None:
    store = family_store(tmp_path / "store", 1.0)
    by_bits, by_count = (JointLaw(draws=60).fit(table).fit_ for table in (store, without_outcomes(store)))
    for name in ("eps_up", "gamma", "p_prime"):
        assert width(by_bits.intervals[name]) == pytest.approx(width(by_count.intervals[name]), rel=0.15)


def test_predictions_go_by_what_networks_share_and_a_saved_law_still_does(tmp_path: Path) -> None:
    store = family_store(tmp_path / "store", 0.2)
    law, plain = (JointLaw(draws=60).fit(rows) for rows in (store, all_shared(without_outcomes(store))))
    network: Mapping[str, Any] = {"depth": [20], "width": [1.0], "density": [0.02], "unpruned_error": [0.09]}
    spreads = [
        np.log(prediction.high / prediction.low)[0]
        for prediction in (law.predictions(network), plain.predictions(network))
    ]
    assert spreads[0] < 0.9 * spreads[1]
    law.save(tmp_path / "law.json")
    again = load_law(tmp_path / "law.json")
    assert again.fit_ == law.fit_
    assert again.predictions(network).high.tolist() == law.predictions(network).high.tolist()


def test_outcomes_count_only_where_every_row_has_its_own(tmp_path: Path) -> None:
    store = family_store(tmp_path / "store", 0.3, levels=12)
    whole = store.table()
    assert group_of(whole).resampled is not None
    assert group_of(whole.take(whole["rung"] < 9)).resampled is not None
    assert group_of(whole.take(whole["rung"] > 0)).resampled is None  # unpruned networks left out
    other = store.table()
    columns = dict(other.columns) | {"test_error": other["test_error"] * 0.9}
    assert group_of(replace(other, columns=columns)).resampled is None  # errors of other networks
    ladder = str(whole["ladder"][0])
    next((store.path / "test_examples" / ladder).glob("0003.*")).unlink()
    assert group_of(store).resampled is None
    assert (group_of(store).shared_examples.by or "").startswith(BY_COUNT)
    (single, *others) = sample(store.table(), joint=False).groups
    assert {group.resampled is None for group in (single, *others)} == {True, False}


def test_unpruned_errors_of_several_treatments_are_resampled_together(tmp_path: Path) -> None:
    made, true = disturbed(3, MEMBERS[:4], truth(3), levels=10)
    rows = len(true)
    both = {name: np.tile(values, 2) for name, values in made.items()}
    both["treatment"] = np.repeat(np.array(["imp", "one-shot"], object), rows)
    right = planted_outcomes(np.tile(true, 2), 500, 0.3, 3)
    store = outcome_store(tmp_path / "store", both, right)
    groups = JointLaw().sample(store).groups
    assert len(groups) == 2
    for group in groups:
        assert group.resampled is not None
        assert set(group.dense_repeats.tolist()) == {6}
        pooled = np.exp(group.resampled.unpruned) * group.unpruned[:, None]
        halves = [
            np.exp(one.resampled.points[one.density == 1]) * one.error[one.density == 1][:, None]
            for one in groups
            if one.resampled is not None
        ]
        assert pooled[group.density == 1] == pytest.approx(np.mean(halves, axis=0), abs=2e-3)


@pytest.mark.parametrize("form", [DENSE, ADAPTED, SINGLE])
def test_every_law_is_less_sure_on_fewer_test_examples(form: Form) -> None:
    sizes = [(depth, wide, n) for depth in (8, 14, 20, 26) for wide in (0.25, 0.5, 1.0) for n in (50_000, 12_500)]
    columns, _ = disturbed(5, sizes if form is DENSE else sizes[:1], truth(5))
    (group,) = (dense_sample(read_table(columns)) if form is DENSE else SingleLaw().sample(columns)).groups
    fits = [
        fit_groups(form, [replace(group, test_examples=count)], Options(intervals="quick"))[0]
        for count in (10**9, 2_000, 200)
    ]
    widths = [
        [width(interval) for fit in fits if isinstance(fit, Fit) and (interval := fit.quick_intervals[name])]
        for name in form.parameters
    ]
    assert all(ends == sorted(ends) for ends in widths)
    assert any(len(ends) == 3 and ends[2] > 1.2 * ends[0] for ends in widths)
