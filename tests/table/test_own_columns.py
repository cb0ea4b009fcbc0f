"""Unpruned errors of networks that differ in a column of the table's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prunescope.table import read_table


def two(name: str, factor: float, replicates: int = 1, noise: float = 0.0) -> dict[str, Any]:
    """Return two ladders of one configuration, the second of which errs by a factor more, and their own column."""
    density = np.tile([1.0, 0.5, 0.25], 2 * replicates)
    second = np.repeat([False, True], 3 * replicates)
    chance = np.exp(noise * np.random.default_rng(0).standard_normal(len(density)))
    return {
        "depth": np.full(len(density), 8),
        "replicate": np.tile(np.repeat(np.arange(replicates), 3), 2),
        "density": density,
        "error": np.where(second, factor, 1.0) * np.where(density == 1, 0.1, 0.15) * chance,
        name: np.where(second, "b", "a").tolist(),
    }


@pytest.mark.parametrize("columns", [two("test_set", 1.8), two("test_set", 1.3, 3, 0.02)])
def test_each_test_set_has_its_own_unpruned_error(columns: dict[str, Any]) -> None:
    table = read_table(columns)
    text = np.array(columns["test_set"])
    for value in "ab":
        dense = (text == value) & (columns["density"] == 1)
        assert table["unpruned_error"][text == value] == pytest.approx(columns["error"][dense].mean())
    assert any("differ by 'test_set' ('a', 'b'), so each has its own" in note for note in table.notes)


@pytest.mark.parametrize("columns", [two("method", 1.0), two("method", 1.03), two("method", 1.02, 3, 0.03)])
def test_ways_of_pruning_share_the_mean_of_their_unpruned_networks(columns: dict[str, Any]) -> None:
    table = read_table(columns)
    assert table["unpruned_error"] == pytest.approx(columns["error"][columns["density"] == 1].mean())
    assert any("means over networks with different 'method'" in note for note in table.notes)


def test_values_without_unpruned_networks_take_the_mean_of_all() -> None:
    columns = two("method", 1.8)
    without = {name: np.delete(np.asarray(values), 3) for name, values in columns.items()}
    assert read_table(without)["unpruned_error"] == pytest.approx(0.1)


def test_two_columns_may_divide_together() -> None:
    columns = two("test_set", 1.8)
    both = {name: np.tile(np.asarray(values), 2) for name, values in columns.items()}
    both["tokens"] = np.repeat([1e9, 2e9], 6)
    both["error"] = both["error"] * np.repeat([1.0, 3.0], 6)
    table = read_table(both)
    dense = both["density"] == 1
    assert table["unpruned_error"][dense] == pytest.approx(both["error"][dense])
    assert any("differ by 'tokens' (1e+09, 2e+09)" in note for note in table.notes)
    assert any("differ by 'test_set' ('a', 'b')" in note for note in table.notes)


@pytest.mark.parametrize("name", ["Model", "network", "arch"])
def test_networks_by_name_have_their_own_unpruned_error_however_near(name: str) -> None:
    columns = two(name, 1.05)
    table = read_table(columns)
    assert table["unpruned_error"] == pytest.approx(np.repeat([0.1, 0.105], 3))
    assert table.notes == (f"unpruned errors differ by {name!r} ('a', 'b'), so each has its own",)


def test_a_network_that_was_not_measured_unpruned_has_none_of_anothers() -> None:
    without = {name: np.delete(np.asarray(values), 3) for name, values in two("model", 1.05).items()}
    unpruned = read_table(without)["unpruned_error"]
    assert unpruned == pytest.approx([0.1, 0.1, 0.1, np.nan, np.nan], nan_ok=True)


def test_a_column_that_names_the_unpruned_network_alone_shares_its_error() -> None:
    columns = {"density": [1, 0.5, 0.5], "error": [0.1, 0.2, 0.3], "model": ["dense", "magnitude", "random"]}
    assert read_table(columns)["unpruned_error"] == pytest.approx(np.full(3, 0.1))


def test_names_that_say_the_network_over_again_are_not_noted() -> None:
    columns = two("model", 1.05)
    columns["size"] = np.where(np.array(columns["model"]) == "a", "7B", "13B").tolist()
    assert read_table(columns).notes == ("unpruned errors differ by 'model' ('a', 'b'), so each has its own",)
