"""From tables to points: groups, cells, replicates; and what bad tables are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prunescope.errors import InputError, named
from prunescope.laws import JointLaw, SingleLaw, better_than_chance, not_overly_large
from prunescope.laws.data import pool_replicates
from prunescope.laws.grouping import sample
from prunescope.table import read_table
from tests.builders import filled
from tests.laws.families import curve, family_table

LADDER = {"density": [1.0, 0.5, 0.25, 0.12, 0.06], "error": [0.1, 0.11, 0.15, 0.3, 0.5]}


def two(**columns: Any) -> dict[str, Any]:
    """Return two ladders that differ in the columns given."""
    base = {name: values * 2 for name, values in LADDER.items()}
    return base | {name: [first] * 5 + [second] * 5 for name, (first, second) in columns.items()}


def test_replicates_are_averaged_or_kept() -> None:
    table = read_table(
        {"density": [1, 1, 0.5, 0.5, 0.5], "error": [0.1, 0.2, 0.2, 0.3, 0.4], "replicate": [0, 1, 0, 1, 2]}
    )
    mean = sample(table, joint=False).groups[0]
    assert mean.error == pytest.approx([0.15, 0.3])
    assert mean.unpruned == pytest.approx([0.15, 0.15])
    assert mean.repeats.tolist() == [2, 3]
    assert mean.dense_repeats.tolist() == [2, 2]
    single_rows = sample(table, joint=False, keep_replicates=True).groups[0]
    assert single_rows.error == pytest.approx([0.1, 0.2, 0.2, 0.3, 0.4])
    assert pool_replicates([mean, single_rows]) == ([mean.seed_noise, None], [3, 3])


def test_densities_rounded_apart_are_one_rung() -> None:
    table = read_table({"density": [0.5, 0.50002, 0.4], "error": [0.2, 0.4, 0.5], "unpruned_error": [0.1] * 3})
    assert sample(table, joint=False).groups[0].error == pytest.approx([0.3, 0.5])


def test_groups_are_what_tells_ladders_apart() -> None:
    table = read_table(two(depth=(8, 20), width=(1.0, 2.0), dataset=("mnist", "cifar10"), note=("a", "b")))
    assert sample(table, joint=False).by == ("dataset", "depth", "width", "note")
    assert sample(table, joint=True).by == ("dataset", "note")
    assert sample(table, joint=True, by=["width"]).by == ("width",)
    assert len(sample(table, joint=False).groups) == 2


def test_groups_are_named_by_what_tells_them_apart() -> None:
    dense: dict[str, Any] = {
        "density": [1.0, 1.0],
        "error": [0.1, 0.1],
        "method": ["none"] * 2,
        "label_noise": [0.0, 0.3],
    }
    pruned = two(method=("imp", "imp"), label_noise=(0.0, 0.3))
    columns = {name: pruned[name] + dense[name] for name in dense} | {"recipe": ["8e44"] * 12, "leave": [None] * 12}
    groups = sample(read_table(columns), joint=False, by=["recipe", "method", "label_noise", "leave"]).groups
    assert {named(group.key) for group in groups} == {
        "label_noise 0",
        "label_noise 0.3",
        "method none, label_noise 0",
        "method none, label_noise 0.3",
    }
    assert all(group.key["recipe"] == "8e44" for group in groups)
    (alone,) = sample(read_table(LADDER | {"recipe": ["8e44"] * 5}), joint=False, by=["recipe"]).groups
    assert named(alone.key) == "recipe 8e44"


def test_a_column_that_splits_ladders_into_rungs_makes_no_groups() -> None:
    columns = LADDER | {"epoch": [1, 2, 3, 4, 5], "loss": [0.1, 0.2, 0.3, 0.4, 0.5], "seed": [1, 1, 2, 2, 2]}
    assert sample(read_table(columns), joint=False).by == ()


def test_ladders_that_reached_densities_a_little_apart_are_told_apart() -> None:
    random = np.random.default_rng(0)
    methods, rungs = ["magnitude", "layerwise", "random"], 0.5 ** np.arange(7)
    columns: dict[str, Any] = {name: [] for name in ("density", "error", "method", "replicate", "asked")}
    for place, method in enumerate(methods):
        for replicate in range(3):
            reached = np.append(1, rungs[1:] * (1 + 0.004 * random.standard_normal(6)))
            for rung, density in enumerate(reached):
                values = (density, 0.1 * density ** -(0.1 + 0.2 * place), method, replicate, rung)
                for name, value in zip(columns, values, strict=True):
                    columns[name].append(value)
    grouped = sample(read_table(columns), joint=False)
    assert grouped.by == ("method",)
    assert {group.key["method"] for group in grouped.groups} == set(methods)


def test_cells_share_an_unpruned_error_and_keys_keep_their_values() -> None:
    table = read_table(two(depth=(8, 20), dataset=("cifar10", "cifar10")))
    group = sample(table, joint=True).groups[0]
    assert group.cell.tolist() == [0] * 5 + [1] * 5
    assert group.key == {"dataset": "cifar10"}
    assert group.chance == pytest.approx(0.9)
    assert group.pick(group.cell == 1).cell.tolist() == [0] * 5


def test_picking_points_takes_their_rows_along() -> None:
    table, _ = family_table(1, members=4)
    group = sample(table, joint=True).groups[0]
    picked = group.pick(group.cell == 2)
    assert len(picked.row_error) == 3 * len(picked)
    assert np.bincount(picked.row_point, picked.row_error) / 3 == pytest.approx(picked.error)


def test_rows_that_no_law_speaks_of_are_left_out(tmp_path: Any) -> None:
    store = filled(tmp_path / "store", ladders=2, rungs=5)
    from tests.builders import rung

    store.write(
        [rung(7, number, treatment="extended", density=1.0, kept=10_000, parameters=10_100) for number in range(3)]
    )
    groups_of_store = sample(store.table(), joint=False)
    assert any("2 rows of treatment extended left out" in words for words in groups_of_store.notes)
    assert sum(len(group.row_error) for group in groups_of_store.groups) == 11


def test_the_noise_of_seeds_is_pooled_over_points() -> None:
    table, _ = family_table(2, members=60, noise=0.05)
    group = sample(table, joint=True).groups[0]
    assert group.seed_noise == pytest.approx(0.05, rel=0.03)
    low, high = group.extremes
    assert (low <= group.error).all()
    assert (group.error <= high).all()
    assert sample(table, joint=True, keep_replicates=True).groups[0].seed_noise is None


def test_filters_are_those_of_table_1() -> None:
    assert better_than_chance(np.array([0.1, 0.9, 0.95]), 0.9).tolist() == [True, False, False]
    depth, width = np.array([8.0, 14, 20, 8, 14, 20]), np.array([1.0, 1, 1, 2, 2, 2])
    unpruned = np.array([0.10, 0.09, 0.095, 0.08, 0.085, 0.07])
    mask = not_overly_large(depth, width, np.ones(6), unpruned)
    assert mask.tolist() == [True, True, False, True, False, False]


def test_filters_are_applied_on_request_and_reported() -> None:
    columns = two(depth=(8, 14)) | {"error": [0.1, 0.11, 0.15, 0.3, 0.95, 0.12, 0.13, 0.2, 0.4, 0.5]}
    table = read_table(columns)
    filtered = sample(table, joint=True, classes=10, filters=("better-than-chance", "not-overly-large"))
    assert filtered.notes == (
        "filter better-than-chance: 1 row of 10 left out",
        "filter not-overly-large: 5 rows of 9 left out",
    )
    assert len(filtered.groups[0]) == 4
    untouched = sample(table, joint=True, classes=10, filters=("connected",))
    assert "no column `connected`" in untouched.notes[0]
    with pytest.raises(InputError, match="--classes"):
        sample(table, joint=True, filters=("better-than-chance",))
    with pytest.raises(InputError, match="Did you mean 'connected'"):
        sample(table, joint=True, filters=("conected",))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": (LADDER | {"error": [0.1, float("nan"), 0.2, 0.3, 0.4]}, "must have a value in every row"),
    "zero": (LADDER | {"error": [0.1, 0.0, 0.2, 0.3, 0.4]}, "above 0 .* leave these rows out"),
    "negative": (LADDER | {"error": [0.1, -0.2, 0.2, 0.3, 0.4]}, r"must be in \[0, 1\]"),
    "one density": ({"density": [1.0, 0.5], "error": [0.1, 0.2]}, "1 density below 1 .* measure at least 3 densities"),
    "no unpruned network": ({"density": [0.5, 0.4], "error": [0.1, 0.2]}, "Add the rows at density 1"),
    "unpruned only": ({"density": [1.0], "error": [0.1]}, "unpruned networks only"),
    "3 rows": ({"density": [1, 0.5, 0.2], "error": [0.1, 0.2, 0.3]}, "2 densities below 1 for 3 parameters"),
    "twice the same row": ({name: [*values, values[0]] for name, values in LADDER.items()}, "must not repeat a rung"),
    "percent": (LADDER | {"error": [10.0, 11, 15, 30, 50]}, "percent|fraction"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_what_to_do(name: str) -> None:
    columns, words = BAD[name]
    with pytest.raises(InputError, match=words):
        SingleLaw().fit(columns)


def test_a_column_of_one_value_cannot_be_explained() -> None:
    with pytest.raises(InputError, match=r"column 'width': must vary .* only 1. Add networks of another width"):
        JointLaw(vary=["width"]).fit(two(depth=(8, 14), width=(1.0, 1.0)))


def test_errors_above_chance_are_named() -> None:
    law = SingleLaw(classes=2).fit(curve(eps_up=0.8, noise=0.01))
    assert any(
        "above the error of guessing (0.5)" in words and "better-than-chance" in words for words in law.warnings_
    )


def test_a_column_that_depth_was_set_from_makes_no_groups() -> None:
    columns: dict[str, Any] = {
        "layers": np.repeat([6, 12], 8),
        "density": np.tile(0.5 ** np.arange(8), 2),
        "error": np.tile(np.linspace(0.1, 0.5, 8), 2),
    }
    assert len(sample(read_table(columns, set={"depth": "layers"}), joint=True).groups) == 1
    assert len(sample(read_table(columns), joint=True).groups) == 2
