"""From a table to an answer: planted families, exact counts, limits, refusals that say what to do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from prunescope.choose import smallest_network
from prunescope.choose.answers import Answer
from prunescope.choose.choice import answer, choose_at_bounds
from prunescope.choose.family import Grid, fit_families
from prunescope.choose.limits import DeclinedError, Limits
from prunescope.errors import InputError
from prunescope.laws import JointLaw, joint_error
from prunescope.nets import network
from prunescope.table import read_table
from tests.laws.families import family, low_plateau

LAW = {"eps_up": 0.85, "gamma": 1.3, "p_prime": 0.03, "phi": 0.8, "psi": 1.1}
MEMBERS = [(depth, width) for depth in (8, 20, 50) for width in (0.25, 0.5, 1.0, 2.0)]


def planted(noise: float = 0.0, replicates: int = 1, seed: int = 0, levels: int = 26, **more: Any) -> dict[str, Any]:
    """Return a table of a family with a known law, all its members measured."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("depth", "width", "replicate", "density", "error")}
    density = 0.8 ** np.arange(levels)
    for depth, width in MEMBERS:
        error = joint_error(low_plateau(depth, width, 50_000), density, depth, width, **LAW)
        for replicate in range(replicates):
            noisy = error * (1 + noise * random.standard_normal(levels))
            for name, values in zip(columns, (depth, width, replicate, density, noisy), strict=True):
                columns[name].append(np.full(levels, values))
    return {name: np.concatenate(values) for name, values in columns.items()} | more


def only(table: Any, bound: float, **settings: Any) -> Answer:
    answers = smallest_network(table, bound, **{"intervals": "quick", **settings})
    assert not answers.declined
    return answers.answers[0]


def truly(bound: float) -> tuple[tuple[int, float], float, float]:
    """Return the truly smallest member, its density and size, by trying densities."""
    density = np.geomspace(1e-4, 1, 200_001)
    sizes = {}
    for depth, width in MEMBERS:
        keeps = joint_error(low_plateau(depth, width, 50_000), density, depth, width, **LAW) <= bound
        if keeps.any():
            lowest = density[np.argmax(keeps)]
            sizes[depth, width] = (depth * width**2 * lowest, lowest)
    best = min(sizes, key=lambda member: sizes[member][0])
    return best, sizes[best][1], sizes[best][0]


@pytest.mark.parametrize("bound", [0.12, 0.13, 0.17, 0.25, 0.4])
def test_without_noise_the_choice_is_the_truly_smallest_network(bound: float) -> None:
    answer = only(planted(), bound)
    member, density, size = truly(bound)
    assert (answer.choice.depth, answer.choice.width) == member
    assert answer.choice.density == pytest.approx(density, rel=1e-2)
    assert answer.choice.parameters == pytest.approx(size, rel=1e-2)
    assert answer.choice.error == pytest.approx(bound, rel=1e-6)
    assert answer.rivals[0].times == pytest.approx(1.0)
    whole = min(d * w**2 for d, w in MEMBERS if low_plateau(d, w, 50_000) <= bound)
    assert answer.times_smaller == pytest.approx(whole / size, rel=5e-3)


def test_members_never_trained_are_chosen_by_what_is_expected_of_them_and_say_so() -> None:
    answer = only(planted(), 0.13, depths=(8, 20, 32, 50), widths=(0.25, 0.35, 0.5, 0.7, 1.0))
    unmeasured = [rival for rival in answer.rivals if rival.known == "predicted"]
    assert {(rival.depth, rival.width) for rival in unmeasured} >= {(32, 0.7), (20, 0.35)}
    for rival in unmeasured:
        assert rival.depth is not None
        assert rival.width is not None
        assert rival.unpruned_error == pytest.approx(low_plateau(rival.depth, rival.width, 50_000), rel=0.03)
    assert any("never measured" in note for note in answer.notes)


def test_a_table_of_members_may_bring_its_own_unpruned_errors() -> None:
    members = {"depth": [32, 20], "width": [0.5, 0.5], "unpruned_error": [0.08, np.nan]}
    answer = only(planted(), 0.13, members=members)
    rivals = {rival.depth: rival for rival in answer.rivals}
    assert rivals[32].unpruned_error == pytest.approx(0.08)
    assert rivals[32].known == "dense"
    assert rivals[20].known == "pruned"


def test_parameters_are_counted_exactly_for_families_that_prunescope_trains() -> None:
    table = planted(family=np.array(["cifar-resnet"] * 312, object), dataset=np.array(["cifar10"] * 312, object))
    choice = only(table, 0.13).choice
    assert choice.depth is not None
    assert choice.width is not None
    outline = network("cifar-resnet", choice.depth, choice.width, 10, (3, 32, 32)).outline
    prunable = sum(tensor.size for tensor in outline.prunable("all"))
    assert choice.unpruned_parameters == outline.total
    assert choice.counted == "counted"
    assert choice.multiplications == outline.multiplications
    assert choice.parameters == np.ceil(outline.total - prunable + prunable * choice.density)


def test_counts_in_the_table_are_believed_and_carried_on_to_other_members() -> None:
    columns = planted()
    weights = np.round(1000 * columns["depth"] * columns["width"] ** 2).astype(int)
    columns |= {"prunable": weights, "parameters": np.round(weights * columns["density"]).astype(int) + 77}
    answer = only(columns, 0.13, depths=(8, 20, 32, 50), widths=(0.25, 0.5, 1.0))
    whole = {(r.depth, r.width): r for r in answer.rivals}
    assert answer.choice.unpruned_parameters == pytest.approx(
        1000 * (answer.choice.depth or 0) * (answer.choice.width or 0) ** 2 + 77, rel=1e-3
    )
    other = whole[32, 0.5]
    assert other.parameters is not None
    assert other.density is not None
    assert other.parameters == pytest.approx(1000 * 32 * 0.25 * other.density + 77, rel=0.01)


def test_sizes_come_from_surviving_parameters_where_the_table_has_no_other_count() -> None:
    columns = planted()
    weights = 1000 * columns["depth"] * columns["width"] ** 2
    left = np.round(weights * columns["density"] + 77).astype(int)
    answer = only(columns | {"parameters": left}, 0.13)
    choice = answer.choice
    assert (answer.unit, choice.counted) == ("parameters", "counted")
    whole = 1000 * (choice.depth or 0) * (choice.width or 0) ** 2
    assert choice.unpruned_parameters == pytest.approx(whole + 77, abs=2)
    assert choice.parameters == pytest.approx(whole * choice.density + 77, abs=2)
    alone = only(columns | {"kept": np.round(weights * columns["density"]).astype(int)}, 0.13).choice
    assert alone.unpruned_parameters == pytest.approx(whole, abs=2)


def test_a_size_before_pruning_in_every_row_is_no_count_of_what_survives() -> None:
    columns = planted()
    whole = np.round(1000 * columns["depth"] * columns["width"] ** 2).astype(int)
    assert only(columns | {"parameters": whole}, 0.13).choice.counted == "relative"


def test_the_robust_choice_is_denser_and_keeps_the_bound_as_surely_as_asked() -> None:
    columns = planted(noise=0.03, replicates=3)
    answer = only(columns, 0.17, confidence=0.95)
    assert answer.robust is not None
    assert answer.robust.probability == pytest.approx(0.95, abs=1e-6)
    assert 0.3 < answer.choice.probability < 0.7
    assert answer.robust.parameters > answer.choice.parameters
    assert answer.choice.density_low < answer.choice.density < answer.choice.density_high


def test_rungs_are_those_of_the_ladder_and_keep_the_bound() -> None:
    choice = only(planted(), 0.17).choice
    assert choice.rung is not None
    assert choice.rung_density is not None
    assert choice.rung_density == pytest.approx(0.8**choice.rung)
    assert choice.rung_density >= choice.density > 0.8 ** (choice.rung + 1) * (1 - 1e-9)


def test_limits_hold() -> None:
    free = only(planted(), 0.17)
    bounded = only(planted(), 0.17, min_density=0.3)
    assert bounded.choice.density >= 0.3
    assert bounded.choice.parameters > free.choice.parameters
    table = planted(family=np.array(["cifar-resnet"] * 312, object), dataset=np.array(["cifar10"] * 312, object))
    most = network("cifar-resnet", 8, 0.5, 10, (3, 32, 32)).outline.multiplications
    capped = only(table, 0.17, max_multiplications=most)
    assert (capped.choice.multiplications or 0) <= most
    declined = smallest_network(planted(), 0.17, max_parameters=free.choice.parameters / 2).declined[0]
    assert "the lowest error to expect is" in declined.why


@pytest.mark.parametrize(
    ("bound", "words"),
    [(0.05, "no member reaches an error of 0.05"), (0.9, "every network meets an error of 0.9")],
)
def test_bounds_out_of_reach_are_refused_with_what_would_help(bound: float, words: str) -> None:
    answers = smallest_network(planted(), bound)
    assert not answers.answers
    assert words in answers.declined[0].why
    assert "Choose a" in answers.declined[0].why


def test_a_bound_beyond_what_was_measured_is_refused_unless_extrapolation_is_asked_for() -> None:
    short = planted(levels=9)
    answers = smallest_network(short, 0.6)
    assert "beyond what was measured" in answers.declined[0].why
    assert "--extrapolate" in answers.declined[0].why
    answer = only(short, 0.6, extrapolate=True)
    assert any("further than any measured network" in note for note in answer.notes)


def test_a_law_that_the_data_do_not_tell_is_not_chosen_by() -> None:
    random = np.random.default_rng(1)
    density = 0.8 ** np.arange(6)
    error = 0.1 * (1 + 0.02 * random.standard_normal(6)) * np.array([1, 1, 1, 1.01, 1.02, 1.05])
    answers = smallest_network({"density": density, "error": error}, 0.109)
    assert not answers.answers
    assert "not known well enough" in answers.declined[0].why or "beyond what was measured" in answers.declined[0].why


def test_the_smallest_network_measured_to_keep_the_bound_is_named() -> None:
    table = planted(noise=0.03, replicates=3)
    mean = {
        (depth, width, density): table["error"][
            (table["depth"] == depth) & (table["width"] == width) & (table["density"] == density)
        ].mean()
        for depth, width in MEMBERS
        for density in 0.8 ** np.arange(1, 26)
    }
    sizes = {key: key[0] * key[1] ** 2 * key[2] for key, error in mean.items() if error <= 0.17}
    smallest = min(sizes, key=lambda key: sizes[key])
    seen = only(table, 0.17).seen
    assert seen is not None
    assert [seen.depth, seen.width, seen.density] == pytest.approx(list(smallest))
    assert seen.error == pytest.approx(mean[smallest])
    assert seen.repeats == 3
    assert seen.parameters == pytest.approx(sizes[smallest])
    above = only(table, 0.17, min_density=smallest[2] + 0.01).seen
    assert above is not None
    assert above.parameters > seen.parameters
    # A refusal names it, too: here where the law would have to be carried on.
    short = planted(levels=9)
    declined = smallest_network(short, 0.6).declined[0]
    assert declined.seen is not None
    assert declined.seen.density == pytest.approx(short["density"].min())
    assert f"Smallest measured network that meets 0.6: {declined.seen}" in declined.why
    assert smallest_network(planted(), 0.05).declined[0].seen is None


def test_a_plateau_that_the_data_leave_open_does_not_say_that_every_network_will_do() -> None:
    """The likeliest plateau may lie just above a curve that ends where it begins to rise."""
    random = np.random.default_rng(0)
    means = [0.083, 0.0825, 0.082, 0.083, 0.085, 0.0875, 0.0905, 0.093, 0.096, 0.0995, 0.1035]
    density, replicate = np.repeat(0.8 ** np.arange(11), 3), np.tile(np.arange(3), 11)
    table = {"density": density, "error": np.repeat(means, 3) * (1 + 0.03 * random.standard_normal(33))}
    table["replicate"] = replicate
    law = JointLaw(classes=10).fit(table)
    interval = law.intervals_["eps_up"]
    assert interval is not None
    assert law.parameters_["eps_up"] < 0.13 < interval[1]
    why = smallest_network(table, 0.13, classes=10).declined[0].why
    assert "every network meets" not in why
    assert "beyond what was measured" in why
    assert "Smallest measured network that meets 0.13" in why


def test_a_plateau_that_is_given_is_taken_at_its_word() -> None:
    why = smallest_network(planted(levels=9), 0.6, fix={"eps_up": 0.5}).declined[0].why
    assert "every network meets an error of 0.6" in why
    assert "level off at 0.5 or below" in why


def test_nothing_is_guessed_of_other_depths_from_one() -> None:
    one = {name: values[planted()["depth"] == 20] for name, values in planted().items()}
    with pytest.raises(InputError, match="depth: must be 20, the only one measured under pruning"):
        smallest_network(one, 0.17, depths=(50,))
    both = only(one, 0.17, depths=(20, 26))
    assert {rival.depth for rival in both.rivals} == {20}
    assert any("another depth" in note for note in both.notes)
    guessed = only(one, 0.17, depths=(20, 26), extrapolate=True)
    assert {rival.depth for rival in guessed.rivals} == {20, 26}
    assert any("depth does not matter" in note for note in guessed.notes)


def test_a_law_that_nothing_is_left_to_judge_by_is_chosen_by_with_a_warning() -> None:
    few = {"depth": [20] * 4, "width": [1] * 4, "density": [1, 0.5, 0.25, 0.125], "error": [0.08, 0.09, 0.12, 0.2]}
    assert any("3 pruned points for 3 parameters" in note for note in only(few, 0.12).notes)
    assert not any("pruned point" in note for note in only(planted(), 0.17).notes)


def test_units_are_what_they_are_called() -> None:
    one = {name: values[:26] for name, values in planted().items()}  # depth 8, width 0.25
    answer = only(one, 0.3)
    assert answer.unit == "depth x width^2 x density"
    assert answer.choice.parameters == pytest.approx(8 * 0.25**2 * answer.choice.density)


def test_members_far_outside_are_left_out_and_counted() -> None:
    answer = only(planted(), 0.13, depths=(8, 20, 50, 400))
    assert 400 not in {rival.depth for rival in answer.rivals}
    assert any("left out" in note for note in answer.notes)
    assert 400 in {r.depth for r in only(planted(), 0.13, depths=(8, 20, 50, 400), extrapolate=True).rivals}


def test_a_single_network_is_answered_by_density_alone() -> None:
    columns = {name: values[:26] for name, values in planted().items() if name in ("density", "error")}
    answer = only(columns, 0.3)
    assert answer.choice.depth is None
    assert answer.choice.parameters == pytest.approx(answer.choice.density)
    assert answer.unit == "share of the prunable weights"
    assert answer.ideal is None


def test_the_frontier_never_rises_and_starting_too_large_misses_it() -> None:
    answer = only(planted(), 0.17)
    parameters = [step.parameters for step in answer.frontier]
    assert parameters == sorted(parameters, reverse=True)
    assert {(step.depth, step.width) for step in answer.frontier} != {(50, 2.0)}
    last = answer.frontier[-1]
    assert last.largest_times is not None
    assert last.largest_times > 1.5
    assert answer.insight is not None
    # Matching an unpruned error by pruning that very member is beaten by a better member pruned past its own.
    assert answer.insight.times > 1
    assert answer.insight.smallest.over_unpruned > 1.01


def test_the_ideal_between_members_is_no_larger_than_the_best_member() -> None:
    answer = only(planted(), 0.17)
    assert answer.ideal is not None
    assert answer.ideal.parameters <= answer.choice.parameters * 1.03


def test_the_most_examples_are_taken_unless_others_are_named() -> None:
    columns, _ = family(4, noise=0.0, replicates=1)
    assert only(columns, 0.2).choice.examples == 50_000
    assert only(columns, 0.25, examples=12_500).choice.examples == 12_500
    with pytest.raises(InputError, match="must be one that was measured"):
        smallest_network(columns, 0.25, examples=777)


def test_questions_that_mean_nothing_are_told_all_at_once() -> None:
    with pytest.raises(InputError, match=r"12 % is 0\.12") as caught:
        smallest_network(planted(), 12, confidence=0.2, min_density=3)
    assert len(caught.value.faults) == 3


def test_answers_are_plain_json_and_read_as_words() -> None:
    answer = only(planted(noise=0.02, replicates=2), 0.17)
    again = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert again["choice"]["parameters"] == answer.choice.parameters
    words = str(answer)
    assert "smallest network with an error of at most 0.17" in words
    assert "times smaller than the smallest unpruned network" in words


def test_stated_odds_of_keeping_the_bound_are_kept_over_many_families() -> None:
    """Of robust choices at 80 %, about four in five truly keep the bound when one more network is trained."""
    outcomes, odds = [], []
    for seed in range(40):
        columns, truth = family(seed, members=16, replicates=2)
        most = int(columns["examples"].max())
        here = columns["examples"] == most
        lowest = columns["error"][here & (columns["density"] == 1)].min()
        answers = smallest_network(columns, float(lowest * 1.4), confidence=0.8, intervals="quick")
        if not answers.answers or answers.answers[0].robust is None:
            continue
        pick = answers.answers[0].robust
        assert pick.depth is not None
        assert pick.width is not None
        law = joint_error(low_plateau(pick.depth, pick.width, most), pick.density, pick.depth, pick.width, **truth)
        random = np.random.default_rng([seed, 5])
        outcomes.append(np.mean(law * (1 + 0.034 * random.standard_normal(200)) <= lowest * 1.4))
        odds.append(pick.probability)
    assert len(outcomes) >= 25
    assert np.mean(outcomes) == pytest.approx(np.mean(odds), abs=0.12)


def test_choices_at_many_bounds_are_the_answers_own() -> None:
    fitted, _, _ = fit_families(read_table(planted(noise=0.02, replicates=2)), Grid(), {"intervals": "quick"})
    bounds = (0.02, 0.12, 0.2, 0.5)
    for bound, bounded in zip(bounds, choose_at_bounds(fitted[0], bounds, 0.9, Limits()), strict=True):
        if bounded.choice is None:
            with pytest.raises(DeclinedError) as refused:
                answer(fitted[0], bound, 0.9, Limits())
            assert bounded.why == str(refused.value)
            continue
        whole = answer(fitted[0], bound, 0.9, Limits())
        assert (bounded.max_error, bounded.choice, bounded.robust) == (bound, whole.choice, whole.robust)
        assert (bounded.unpruned_parameters, bounded.notes, bounded.why) == (
            whole.unpruned_parameters,
            whole.notes,
            "",
        )


def test_of_many_members_one_is_described_as_it_is_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    table = planted(noise=0.03, replicates=2)
    few = only(table, 0.17)
    monkeypatch.setattr("prunescope.choose.description.MANY", 0)
    many = only(table, 0.17)
    for name in ("choice", "robust"):
        for field, value in vars(getattr(few, name)).items():
            assert getattr(getattr(many, name), field) == (pytest.approx(value) if isinstance(value, float) else value)
