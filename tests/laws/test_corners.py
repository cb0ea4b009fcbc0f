"""Corners in which a law could look right and be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.laws import DenseLaw, JointLaw, SingleLaw, dense_error, joint_error, load_law, single_error
from prunescope.laws.comparison import compare
from prunescope.laws.forms import JOINT
from prunescope.laws.grouping import dense_sample, sample
from prunescope.laws.sensitivity import sensitivity
from prunescope.table import read_table
from tests.laws.families import curve, family, family_group, family_table

PLANTED = {"eps_up": 0.8, "gamma": 1.4, "p_prime": 0.05, "phi": 0.9, "psi": 1.2}


def rows_of(depth: Any, width: Any, unpruned: Any = 0.08, noise: float = 0.02, levels: int = 25) -> dict[str, Any]:
    """Return the columns of members, one ladder each, density 1 included."""
    random = np.random.default_rng(3)
    density = 0.8 ** np.arange(levels)
    depth, width = (np.repeat(np.asarray(values, float), levels) for values in (depth, width))
    repeated = np.tile(density, len(depth) // levels)
    error = joint_error(unpruned, repeated, depth, width, **PLANTED)
    error = error * (1 + noise * random.standard_normal(len(error)))
    return {"depth": depth, "width": width, "density": repeated, "error": error}


def test_an_unpruned_error_stays_a_measurement_when_its_rows_are_filtered_away() -> None:
    table, _ = family_table(1, members=10)
    whole, filtered = (sample(rows, joint=True).groups[0] for rows in (table, table.where("density < 1")))
    assert set(whole.dense_repeats.tolist()) == set(filtered.dense_repeats.tolist()) == {3}
    columns, _ = family(1, members=10, known=True)
    assert set(sample(read_table(columns), joint=True).groups[0].dense_repeats.tolist()) == {0}


def test_depth_and_width_that_grow_together_are_not_told_apart() -> None:
    law = JointLaw().fit(rows_of(8 * 2 ** np.arange(10), 0.25 * 2.0 ** np.arange(10)))
    assert law.intervals_["phi"] is None
    assert law.intervals_["psi"] is None


def test_kept_replicates_are_not_counted_as_densities() -> None:
    columns = {
        "density": [1] * 3 + [0.3] * 3 + [0.1] * 3,
        "error": [0.1, 0.11, 0.105, 0.2, 0.21, 0.22, 0.4, 0.39, 0.41],
    }
    with pytest.raises(InputError, match="2 densities below 1 for 3 parameters"):
        SingleLaw(replicates="keep").fit({**columns, "replicate": [0, 1, 2] * 3})


def test_ladders_of_unpruned_networks_are_no_configurations_of_their_own() -> None:
    columns = rows_of([8, 14, 20, 26], [1, 2, 0.5, 1])
    dense = {name: values[columns["density"] == 1] for name, values in columns.items()}
    together = {
        name: np.concatenate([columns[name], dense[name] * (1.01 if name == "error" else 1)]) for name in columns
    }
    together["treatment"] = np.array(["imp"] * 100 + ["dense"] * 4, object)
    group = sample(read_table(together), joint=True, by=[]).groups[0]
    assert group.cells == 4
    assert set(group.dense_repeats.tolist()) == {2}


def test_rounded_densities_meet_wherever_they_fall_and_none_meets_density_1() -> None:
    random = np.random.default_rng(0)
    exact = 0.8 ** np.arange(30)
    density = np.concatenate([exact * (1 + 1e-4 * random.uniform(0, 1, 30) * (exact < 1)) for _ in range(3)])
    error, replicate = np.tile(0.1 / exact**0.3, 3).clip(0, 0.9), np.repeat(np.arange(3), 30)
    table = read_table({"density": np.minimum(density, 1), "error": error, "replicate": replicate})
    assert len(sample(table, joint=False).groups[0]) == 30
    close = read_table({"density": [1.0, 0.9997, 0.5], "error": [0.1, 0.1, 0.2]})
    assert len(sample(close, joint=False).groups[0]) == 3


def sizes(**columns: Any) -> dict[str, Any]:
    """Return unpruned networks of 16 sizes and examples, by the dense law."""
    depth, examples = (values.ravel().astype(float) for values in np.meshgrid([8, 14, 20, 32], [1e3, 4e3, 16e3, 64e3]))
    error = dense_error(examples, 1000 * depth, eps_0=0.9, a=8, alpha=0.5, b=20, beta=0.6, c=0.02, eta=0.9)
    return {"density": np.ones(16), "depth": depth, "examples": examples, "error": error} | columns


def test_a_dense_law_asks_for_the_size_that_it_was_fitted_to() -> None:
    columns = sizes()
    columns["prunable"] = columns["depth"] * 1000
    law = DenseLaw(classes=10).fit(columns)
    assert law.predict(columns) == pytest.approx(columns["error"], rel=1e-3)
    del columns["prunable"]
    with pytest.raises(InputError, match="column 'prunable': must be there"):
        law.predict(columns)


def test_a_dense_law_without_examples_asks_for_none() -> None:
    columns = sizes()
    same_examples = columns["examples"] == 1e3
    law = DenseLaw(classes=10).fit(
        {name: values[same_examples] for name, values in columns.items() if name != "examples"} | {"width": [1.0] * 4}
    )
    assert law.predict({"depth": [14], "width": [1.0], "density": [1.0]}).shape == (1,)


def test_dense_networks_keep_their_scatter() -> None:
    random = np.random.default_rng(1)
    columns = {name: np.tile(values, 3) for name, values in sizes().items()}
    columns["error"] = columns["error"] * (1 + 0.05 * random.standard_normal(48))
    table = read_table({**columns, "replicate": np.repeat(np.arange(3), 16)})
    assert dense_sample(table).groups[0].seed_noise == pytest.approx(0.05, rel=0.35)
    prediction = DenseLaw(classes=10).fit(table).predictions(table)
    held = np.mean((prediction.low <= columns["error"]) & (columns["error"] <= prediction.high))
    assert held > 0.8


def test_one_measured_unpruned_network_does_not_hide_those_that_were_given() -> None:
    columns = rows_of([8, 14, 20, 26, 50], [1, 2, 0.5, 1, 1])
    pruned = (columns["density"] < 1) | (columns["depth"] == 8)
    with_errors = {name: values[pruned] for name, values in columns.items()} | {
        "unpruned_error": np.full(pruned.sum(), 0.08)
    }
    assert len(dense_sample(read_table(with_errors)).groups[0]) == 5


def test_a_law_without_intervals_is_saved_and_predicts(tmp_path: Path) -> None:
    law = SingleLaw(intervals="none").fit(curve(noise=0.01))
    law.save(tmp_path / "law.json")
    again = load_law(tmp_path / "law.json")
    prediction = again.predictions({"density": [0.1], "unpruned_error": [0.08]})
    assert prediction.error == law.predict({"density": [0.1], "unpruned_error": [0.08]})
    assert np.isnan(prediction.law_low).all()


def test_settings_of_numpys_are_saved(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "fix": {"eps_up": np.float32(0.5)},
        "seed": np.int64(2),
        "filters": np.array([], object),
    }
    law = SingleLaw(**settings).fit(curve(noise=0.01))
    law.save(tmp_path / "law.json")
    assert load_law(tmp_path / "law.json").get_params()["seed"] == 2


def test_groups_named_by_nothing_are_groups(tmp_path: Path) -> None:
    columns = curve(noise=0.01, levels=20)
    many = {name: np.concatenate([values, values]) for name, values in columns.items()}
    many["lr"] = np.repeat([0.1, np.nan], 20)
    law = SingleLaw(by=["lr"]).fit(many)
    assert [fit.group["lr"] for fit in law.fits_] == [0.1, None]
    law.save(tmp_path / "law.json")
    assert load_law(tmp_path / "law.json").predict(many) == pytest.approx(law.predict(many))
    assert sample(read_table(many), joint=False).by == ("lr",)


def test_a_failed_fit_leaves_the_last_one_whole() -> None:
    law = SingleLaw().fit(curve(noise=0.01))
    before = law.fits_
    with pytest.raises(InputError):
        law.fit({"density": [1.0, 0.5], "error": [0.1, 0.2]})
    assert law.fits_ is before


def test_only_a_dense_law_gives_unpruned_errors_and_levels_are_checked() -> None:
    law = SingleLaw().fit(curve(noise=0.01))
    row = {"density": [0.1], "unpruned_error": [0.08]}
    with pytest.raises(InputError, match="must be a DenseLaw"):
        law.predict(row, dense=law)
    for level in (0, 1, 90):
        with pytest.raises(InputError, match="must be between 0 and 1"):
            law.predictions(row, level=level)


def test_trials_that_two_configurations_cannot_bear_are_not_told() -> None:
    group, _ = family_group(1, members=60)
    two = group.pick(np.isin(group.cell, [0, 59]))
    assert compare(two, joint=True)[0].cross_validated is None
    alone = group.pick(group.cell == 30)
    assert 2 not in sensitivity(JOINT, alone, {"phi": 0.0, "psi": 0.0}, repeats=3).experiments


def test_a_law_that_does_not_describe_its_data_says_so() -> None:
    table, _ = family_table(2, members=30)
    assert any("does not describe these data" in words for words in JointLaw(vary=[]).fit(table).warnings_)
    assert not any("does not describe" in words for words in JointLaw().fit(table).warnings_)


def test_configurations_that_the_papers_filter_leaves_out_are_counted_where_a_law_misses() -> None:
    densities = 0.8 ** np.arange(12)
    rows: dict[str, list[float]] = {name: [] for name in ("depth", "width", "density", "error")}
    for depth, width, unpruned, turns in ((2, 1, 0.1, 0.05), (4, 1, 0.2, 0.9), (2, 2, 0.08, 0.9), (4, 2, 0.07, 0.05)):
        errors = unpruned * (1 + (turns / densities) ** 2)
        errors[0] = unpruned
        for density, error in zip(densities, np.minimum(errors, 0.9), strict=True):
            for name, value in zip(rows, (depth, width, density, error), strict=True):
                rows[name].append(float(value))
    misses = [words for words in JointLaw(intervals="none").fit(rows).warnings_ if "not-overly-large" in words]
    assert len(misses) == 1
    assert misses[0].startswith("1 of 4 configurations lie where growing depth or width has begun to raise")
    (alone,) = SingleLaw(intervals="none").fit({name: rows[name][:12] for name in ("density", "error")}).fits_
    assert not any("not-overly-large" in words for words in alone.warnings)


def test_a_dip_of_a_single_run_is_named() -> None:
    columns = {"density": 0.8 ** np.arange(10), "error": [0.2] + [0.15] * 5 + [0.17, 0.3, 0.5, 0.55]}
    assert any("before it rises" in words for words in SingleLaw().fit(columns).warnings_)


def test_a_family_of_one_depth_says_that_nothing_is_known_of_others() -> None:
    law = JointLaw().fit(rows_of([8] * 3, [0.5, 1, 2]))
    assert any("all networks are of one depth" in words for words in law.warnings_)


def test_names_given_as_one_text_are_refused() -> None:
    for wrong in (SingleLaw(by="depth"), SingleLaw(filters="connected"), SingleLaw(fix="eps_up=1")):  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"must be a list of names|must map names"):
            wrong.fit(curve())


def test_predictions_for_one_network_hold_the_law_within_and_beyond_what_was_measured() -> None:
    density, held = np.array([0.5, 0.2, 0.1, 0.05, 0.005]), []
    for seed in range(40):
        columns = curve(noise=0.034, levels=12, replicates=3, seed=seed, known=False, p=0.03)
        unpruned = columns["error"][columns["density"] == 1].mean()
        prediction = SingleLaw().fit(columns).predictions({"density": density, "unpruned_error": np.full(5, unpruned)})
        wanted = single_error(0.08, density, 0.8, 1.5, 0.03)
        held.append((prediction.law_low <= wanted) & (wanted <= prediction.law_high))
    assert 0.75 <= np.mean(held) <= 0.98, np.mean(held, axis=0)


def test_a_text_that_names_each_network_makes_no_groups_of_a_family() -> None:
    columns = rows_of([8, 14, 20, 26], [1, 2, 0.5, 1])
    columns["model"] = np.repeat(np.array(["a", "b", "c", "d"], object), 25)
    groups = sample(read_table(columns), joint=True)
    assert groups.by == ()
    assert any("names single networks" in words for words in groups.notes)
