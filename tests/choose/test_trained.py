"""The trained network that a choice comes down to."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from prunescope.choose import Answer, Pick
from prunescope.choose.trained import trained_network
from prunescope.errors import InputError
from prunescope.table import Table, read_table

PICK = Pick(
    depth=3, width=0.5, examples=100, known="pruned", counted="counted", density=0.6, density_low=0.5, density_high=0.7,
    rung=2, rung_density=0.64, error=0.1, low=0.08, high=0.12, probability=0.9, parameters=64, parameters_low=50,
    parameters_high=70, unpruned_parameters=100, unpruned_error=0.08, multiplications=None,
)  # fmt: skip


def answer(bound: float, **changes: Any) -> Answer:
    """Return an answer whose sure choice is the pick, with some of its facts changed."""
    pick = dataclasses.replace(PICK, **changes)
    return Answer(
        group={"treatment": "imp"}, max_error=bound, confidence=0.9, choice=pick, robust=None, seen=None, unpruned=None,
        unpruned_parameters=None, times_smaller=None, rivals=(), ideal=None, frontier=(), insight=None,
        unit="parameters", notes=(),
    )  # fmt: skip


def rows(**changes: Any) -> Table:
    """Return two ladders of the member, and one of another."""
    columns: dict[str, Any] = {
        "ladder": ["a" * 32] * 4 + ["b" * 32] * 4 + ["c" * 32] * 4,
        "rung": [0, 1, 2, 3] * 3,
        "depth": [3] * 12,
        "width": [0.5] * 8 + [1.0] * 4,
        "examples": [100] * 12,
        "treatment": ["imp"] * 12,
        "replicate": [0] * 4 + [1] * 4 + [0] * 4,
        "density": [1.0, 0.8, 0.64, 0.512] * 3,
        "parameters": [100, 80, 64, 51] * 3,
        "error": [0.08, 0.09, 0.095, 0.12, 0.07, 0.085, 0.092, 0.1, 0.05, 0.05, 0.05, 0.05],
        "validation_error": [0.08, 0.09, 0.088, 0.12, 0.07, 0.085, 0.099, 0.1, 0.05, 0.05, 0.05, 0.05],
    }
    return read_table(columns | changes)


def test_the_replicate_with_the_lowest_validation_error_is_taken() -> None:
    network = trained_network(rows(), answer(0.1))
    assert network is not None
    assert network.mean == pytest.approx(0.0935)
    assert network.of == 2
    assert network.words == "test error 0.095, the best of 2 by validation error; their mean 0.0935"
    assert network is not None
    assert (network.ladder, network.rung, network.error, network.by) == ("a" * 32, 2, 0.095, "validation error")


def test_without_validation_the_test_error_decides_and_is_named() -> None:
    table = rows()
    without = Table({name: values for name, values in table.columns.items() if name != "validation_error"})
    network = trained_network(without, answer(0.1))
    assert network is not None
    assert (network.ladder, network.by) == ("b" * 32, "test error")


def test_where_that_rung_misses_the_bound_a_denser_one_is_taken() -> None:
    network = trained_network(rows(), answer(0.09), "test")
    assert network is not None
    assert (network.rung, network.ladder) == (1, "b" * 32)
    picked = trained_network(rows(), answer(0.086))
    assert picked is not None
    assert (picked.rung, picked.ladder, picked.by) == (1, "b" * 32, "validation error")
    assert trained_network(rows(), answer(0.01)) is None


def test_validation_errors_pick_the_rung_and_test_errors_report_it() -> None:
    network = trained_network(rows(), answer(0.09))
    assert network is not None
    assert (network.rung, network.ladder, network.error) == (2, "a" * 32, 0.095)
    assert network.words == (
        "test error 0.095 (above 0.09, which its validation error meets), the best of 2 by validation error; "
        "their mean 0.0935"
    )


def test_an_error_that_was_picked_by_itself_says_so() -> None:
    picked = trained_network(rows(), answer(0.1), "test")
    assert picked is not None
    assert (picked.ladder, picked.by) == ("b" * 32, "test error")
    assert picked.words.endswith("picked by that same error, so expect more on new examples")


def test_where_no_validation_error_meets_the_bound_a_test_error_that_does_is_taken() -> None:
    high = rows(validation_error=[0.2] * 12)
    network = trained_network(high, answer(0.1))
    assert network is not None
    assert (network.rung, network.by) == (2, "test error")
    assert trained_network(high, answer(0.1), "validation") is None


def test_validation_errors_that_some_networks_lack_pick_nothing() -> None:
    some = np.array([0.08, np.nan, 0.088, 0.12] * 3)
    network = trained_network(rows(validation_error=some), answer(0.1))
    assert network is not None
    assert network.by == "test error"
    with pytest.raises(InputError) as error:
        trained_network(rows(validation_error=some), answer(0.1), "validation")
    assert error.value.faults[0].place == "column 'validation_error'"


def test_a_sparser_rung_is_never_taken_nor_another_member_nor_what_was_not_pruned() -> None:
    network = trained_network(rows(), answer(0.2, rung=1))
    assert network is not None
    assert network.rung == 1
    assert trained_network(rows(treatment=["extended"] * 12), answer(0.2)) is None
    assert trained_network(rows(treatment=["one-shot"] * 12), answer(0.2)) is None
    assert trained_network(rows(), answer(0.2, width=0.25)) is None


def test_anybodys_table_names_no_trained_network() -> None:
    table = read_table({"density": np.array([1.0, 0.5]), "error": np.array([0.1, 0.2])})
    assert trained_network(table, answer(0.3)) is None
