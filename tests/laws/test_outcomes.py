"""Laws and choices by another outcome than the error: all of them are the same in any unit, and losses have a guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope import DenseLaw, InputError, JointLaw, Table, load_law, next_ladders, read_table, smallest_network
from prunescope.cli.main import cli
from prunescope.laws import joint_error

SCALE = 8.0


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Return cross-entropies of a family of twelve members, two replicates each."""
    chance = np.random.default_rng(0)
    depth, width, replicate, level = (
        axis.ravel()
        for axis in np.meshgrid([8, 14, 20], [0.25, 0.5, 1.0, 2.0], [0, 1], np.arange(0, 25, 2), indexing="ij")
    )
    unpruned = 2.1 + 1.5 * (depth * width**2) ** -0.35
    exact = joint_error(unpruned, 0.8**level, depth, width, 7.5, 1.1, 0.02, 0.8, 1.6)
    loss = exact * np.exp(chance.normal(0, 0.01, len(exact)))
    return {"depth": depth, "width": width, "replicate": replicate, "density": 0.8**level, "test_loss": loss}


def in_units(measured: dict[str, Any]) -> tuple[Table, Table]:
    """Return the losses as such, and as errors: shares of what guessing gives."""
    return (
        read_table(measured, outcome="test_loss", guess=SCALE),
        read_table(measured, set={"error": f"test_loss / {SCALE}"}),
    )


@pytest.mark.parametrize("kind", [JointLaw, DenseLaw])
def test_a_law_of_losses_is_that_of_scaled_errors(measured: dict[str, Any], kind: Any) -> None:
    losses, errors = in_units(measured)
    one, other = (kind(seed=1, draws=20).fit(table).fit_ for table in (losses, errors))
    for name in set(one.parameters) - set(one.fixed) - {"b"}:  # the factor of a power law goes with its exponent
        scale = SCALE if name in ("eps_up", "eps_0", "c") else 1
        assert one.parameters[name] == pytest.approx(scale * other.parameters[name], rel=1e-3), name
    assert one.std_deviation == pytest.approx(other.std_deviation, rel=1e-4)
    assert one.mean_deviation == pytest.approx(other.mean_deviation, abs=1e-5)


def test_a_choice_by_losses_is_that_by_scaled_errors(measured: dict[str, Any]) -> None:
    losses, errors = in_units(measured)
    one = smallest_network(losses, 3.2, draws=40).answers[0]
    other = smallest_network(errors, 3.2 / SCALE, draws=40).answers[0]
    for ours, theirs in ((one.choice, other.choice), (one.robust, other.robust)):
        assert ours is not None
        assert theirs is not None
        assert (ours.depth, ours.width) == (theirs.depth, theirs.width)
        assert ours.density == pytest.approx(theirs.density, rel=1e-3)
        assert (ours.low, ours.high) == pytest.approx((SCALE * theirs.low, SCALE * theirs.high), rel=1e-3)


def test_what_to_train_next_by_losses_is_that_by_scaled_errors(measured: dict[str, Any]) -> None:
    losses, errors = in_units(measured)
    few = losses.where("width <= 1"), errors.where("width <= 1")
    one, other = (next_ladders(table, bound) for table, bound in zip(few, (3.2, 3.2 / SCALE), strict=True))
    for ours, theirs in ((one.pick, other.pick), (one.sure, other.sure)):
        assert ours is not None
        assert theirs is not None
        assert ours.member == theirs.member
        assert ours.density == pytest.approx(theirs.density, rel=0.02)


def test_guessing_bounds_the_plateau_of_a_loss(measured: dict[str, Any]) -> None:
    for guess in (7.0, 9.0):
        fit = JointLaw(intervals="none", starts=4).fit(read_table(measured, outcome="test_loss", guess=guess)).fit_
        assert fit.parameters["eps_up"] <= guess * (1 + 1e-9)
    table = read_table(measured, outcome="test_loss")
    at_most = JointLaw(intervals="none", starts=4, classes=1000).fit(table).fit_.parameters["eps_up"]
    assert at_most == pytest.approx(np.log(1000), rel=1e-6)  # the truth lies above: 7.5
    assert JointLaw(intervals="none", starts=4).fit(table).fit_.parameters["eps_up"] == pytest.approx(7.5, rel=0.1)


def test_unpruned_losses_are_means_at_density_1_and_errors_beside_them_are_left_out(measured: dict[str, Any]) -> None:
    both = measured | {"error": np.full(len(measured["density"]), 0.5), "unpruned_error": np.full(312, 0.4)}
    table = read_table(both, outcome="test_loss")
    mean = measured["test_loss"][
        (measured["depth"] == 8) & (measured["width"] == 1) & (measured["density"] == 1)
    ].mean()
    chosen = table.where("depth = 8 and width = 1")
    assert chosen["unpruned_error"][0] == pytest.approx(mean)
    assert np.array_equal(table["test_error"], table["test_loss"])
    given = read_table(both | {"unpruned_test_loss": np.full(312, 2.5)}, outcome="test_loss")
    assert set(given["unpruned_error"].tolist()) == {2.5}
    assert read_table(both)["test_error"][0] == 0.5


def test_a_saved_law_knows_its_outcome(measured: dict[str, Any], tmp_path: Path) -> None:
    losses, _ = in_units(measured)
    path = tmp_path / "law.json"
    JointLaw(intervals="none", starts=4).fit(losses).save(path)
    law = load_law(path)
    assert law.outcome_ == losses.outcome
    member = {"depth": [26], "width": [1.0], "density": [0.001], "unpruned_error": [2.5]}
    assert 2.5 < law.predict(member)[0] < SCALE


def test_every_command_takes_an_outcome(measured: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    read_table(measured, needed=("density",)).write(path)
    run = CliRunner().invoke
    for words in (
        ["fit", "--law", "joint", "--intervals", "none", "--json"],
        ["compare"],
        ["choose", "--max-error", "3.2"],
        ["table", "--columns", "density,error"],
    ):
        result = run(cli, [words[0], str(path), "--outcome", "test_loss", *words[1:]])
        assert result.exit_code == 0, result.output
        assert "the outcome is test_loss" in result.output + result.stderr
    fit = run(cli, ["fit", str(path), "--law", "joint", "--intervals", "none", "--json", "--outcome", "test_loss"])
    assert json.loads(fit.stdout)["fits"][0]["parameters"]["eps_up"] > 2
    refused = run(cli, ["fit", str(path), "--law", "joint"])
    assert refused.exit_code != 0
    assert "--outcome test_loss" in str(refused.exception)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"outcome": "tset_loss"}, "the outcome 'tset_loss'"),
        ({"outcome": "test_loss", "guess": -1.0}, "guess"),
        ({"guess": 2.0}, "guess"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(measured: dict[str, Any], settings: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as refused:
        read_table(measured, **settings)
    assert refused.value.faults[0].place == place


def test_a_bound_must_fit_the_outcome(measured: dict[str, Any]) -> None:
    losses, errors = in_units(measured)
    for table, bound in ((losses, -1.0), (errors, 3.2)):
        with pytest.raises(InputError) as refused:
            smallest_network(table, bound)
        assert refused.value.faults[0].place.startswith("the bound on")
