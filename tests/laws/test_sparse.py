"""The law of sparse networks against planted truths, SciPy, its own limits and a search by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError
from prunescope.laws import SparseLaw, load_law
from prunescope.laws.comparison import compare
from prunescope.laws.data import Numbers, Points, pad
from prunescope.laws.forms import SPARSE, to_coordinates
from prunescope.laws.refusals import candidate_sparse_forms
from prunescope.laws.robust import solve_threshold
from prunescope.laws.search import draw_starts, make_box
from prunescope.laws.solver import solve
from prunescope.laws.sparse import best_sparsity, training_cost

# Of the size that vision and language transformers have.
PLANTED = {"a_s": 16.8, "b_s": 0.722, "c_s": 45.0, "b_n": 0.245, "a_d": 6.9e8, "b_d": 0.4, "c": 0.651}
SIZES = 1.3e6 * 2.0 ** np.arange(7)
SPARSITIES = np.array([0.0, 0.5, 0.75, 0.875])
TOKENS = 6.5e8 * 4.0 ** np.arange(5)


def planted_loss(nonzero: Any, density: Any, tokens: Any, planted: dict[str, float] = PLANTED) -> Any:
    factor = planted["a_s"] * density ** planted["b_s"] + planted["c_s"]
    return factor * nonzero ** -planted["b_n"] + (planted["a_d"] / tokens) ** planted["b_d"] + planted["c"]


def networks(noise: float = 0.0, seed: int = 0, planted: dict[str, float] = PLANTED) -> dict[str, Numbers]:
    grid = np.array([(n, s, d) for n in SIZES for s in SPARSITIES for d in TOKENS])
    nonzero, sparsity, tokens = grid.T
    loss = planted_loss(nonzero, 1 - sparsity, tokens, planted)
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(loss)))
    return {"nonzero": nonzero, "density": 1 - sparsity, "tokens": tokens, "loss": loss}


def as_points(columns: dict[str, Numbers]) -> Points:
    loss, density, nonzero, tokens = (np.log(columns[name]) for name in ("loss", "density", "nonzero", "tokens"))
    return Points(loss, loss, density, nonzero, tokens)


def write_rows(path: Path, columns: dict[str, Numbers]) -> Path:
    """Write networks as people publish them."""
    rows = zip(columns["nonzero"], 1 - columns["density"], columns["tokens"], columns["loss"], strict=True)
    lines = [f"{n:.0f},{s:g},{d:.0f},{loss:.10g}" for n, s, d, loss in rows]
    path.write_text("\n".join(["params,sparsity,tokens,loss", *lines]) + "\n")
    return path


def test_a_planted_truth_is_found_without_noise() -> None:
    for loss, delta in (("relative", None), ("huber", 0.001)):
        law = SparseLaw(intervals="none", loss=loss, delta=delta).fit(networks())
        assert law.parameters_ == pytest.approx(PLANTED, rel=1e-4)
        assert law.fit_.convergence.agreed > 4


def test_intervals_hold_what_was_planted_and_predictions_what_is_measured_next() -> None:
    columns = networks(noise=0.01, seed=3)
    law = SparseLaw(draws=100).fit(columns)
    held = [
        interval is None or interval[0] <= PLANTED[name] <= interval[1] for name, interval in law.intervals_.items()
    ]
    assert sum(held) >= 6
    # Ten dense sizes on five amounts of data: each is drawn by itself.
    assert law.fit_.intervals_by == "100 resamples of 50 configurations"
    assert law.fit_.seed_noise is None
    members = {"nonzero": [5e6, 5e7], "density": [0.25, 0.4], "tokens": [2e9, 9e9]}
    prediction = law.predictions(members, level=0.99)
    truth = planted_loss(np.array(members["nonzero"]), np.array(members["density"]), np.array(members["tokens"]))
    assert prediction.error == pytest.approx(truth, rel=0.02)
    assert ((prediction.law_low < truth) & (truth < prediction.law_high)).all()
    assert (prediction.low < prediction.law_low).all()


def test_the_jacobian_is_exact() -> None:
    points = as_points(networks())
    theta = to_coordinates(SPARSE.parameters, np.array([PLANTED[name] for name in SPARSE.parameters]))[None]
    _, jacobian = SPARSE.evaluate(theta, points)
    for column in range(7):
        step = np.zeros(7)
        step[column] = 1e-6
        differences = (SPARSE.log_error(theta + step, points) - SPARSE.log_error(theta - step, points)) / 2e-6
        assert jacobian[column] == pytest.approx(differences, abs=2e-9)


def test_scipy_ends_where_we_do() -> None:
    from scipy.optimize import least_squares

    columns = networks(noise=0.01, seed=1)
    points = as_points(columns)
    group = SparseLaw().sample(columns).groups[0]
    padded = pad([group])
    box = make_box(SPARSE, padded, {}, np.array([group.ceiling]))
    start = draw_starts(SPARSE, padded, box, 1, 0)[0]
    bounds = (box.low[0], box.high[0])

    def relative(theta: Numbers) -> Numbers:
        return np.asarray(np.expm1(SPARSE.log_error(theta[None], points)[0] - points.error))

    def logarithmic(theta: Numbers) -> Numbers:
        return np.asarray(SPARSE.log_error(theta[None], points)[0] - points.error)

    theirs = least_squares(relative, start[0], bounds=bounds, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=3000)
    ours = solve(SPARSE, points, start, box.low, box.high)
    assert ours.converged.all()
    assert ours.cost[0] == pytest.approx(theirs.cost, rel=1e-8)
    assert ours.theta[0] == pytest.approx(theirs.x, abs=1e-4)
    settings: dict[str, Any] = {
        "loss": "huber",
        "f_scale": 0.001,
        "xtol": 1e-15,
        "ftol": 1e-15,
        "gtol": 1e-15,
        "max_nfev": 3000,
    }
    robust = least_squares(logarithmic, ours.theta[0], bounds=bounds, **settings)
    by_threshold = solve_threshold(SPARSE, points, ours.theta, box.low, box.high, 0.001)
    assert by_threshold.cost[0] <= robust.cost * (1 + 1e-6)


def test_dense_networks_alone_give_the_law_of_dense_ones() -> None:
    columns = networks()
    dense = {name: values[columns["density"] == 1] for name, values in columns.items()}
    law = SparseLaw(vary=["size", "data"], intervals="none").fit(dense)
    assert law.parameters_["c_s"] == pytest.approx(PLANTED["a_s"] + PLANTED["c_s"], rel=1e-4)
    for name in ("b_n", "a_d", "b_d", "c"):
        assert law.parameters_[name] == pytest.approx(PLANTED[name], rel=1e-3)
    assert {"a_s", "b_s"} <= set(law.fit_.fixed)
    assert law.predict({"nonzero": [1e7], "tokens": [1e9]}) == pytest.approx(planted_loss(1e7, 1.0, 1e9), rel=1e-6)


def test_groups_side_by_side_are_fitted_as_alone() -> None:
    vision, language = networks(0.005, 1), networks(0.005, 2, {**PLANTED, "c": 1.9, "b_n": 0.3})
    both = {name: np.concatenate([vision[name], language[name]]) for name in vision}
    both["dataset"] = np.repeat(np.array(["jft", "c4"], object), len(vision["loss"]))
    law = SparseLaw(intervals="none").fit(both)
    fits = {fit.group["dataset"]: fit for fit in law.fits_}
    for fit, columns in ((fits["jft"], vision), (fits["c4"], language)):
        assert fit.parameters == pytest.approx(SparseLaw(intervals="none").fit(columns).parameters_, rel=1e-3)


def rows_where(columns: dict[str, Numbers], kept: Any) -> dict[str, Numbers]:
    return {name: values[kept] for name, values in columns.items()}


@pytest.mark.parametrize(
    ("kept", "lacking", "smaller"),
    [
        (lambda rows: rows["density"] >= 0.5, "2 sparsities for a_s, b_s, c_s", "--vary size,data"),
        (lambda rows: rows["nonzero"] < 2e6, "N is 1.3e+06 throughout", "--vary sparsity,data"),
        (lambda rows: rows["tokens"] < 7e8, "D is 6.5e+08 throughout", "--vary sparsity,size"),
        (
            lambda rows: np.abs(np.log(rows["nonzero"] / rows["density"] / SIZES[4])) < 0.1,
            "N varies with the sparsity alone",
            "--vary size,data",
        ),
    ],
)
def test_what_does_not_vary_is_refused_with_what_to_add_and_the_law_that_will_do(
    kept: Any, lacking: str, smaller: str
) -> None:
    columns = networks(0.002)
    few = rows_where(columns, kept(columns))
    with pytest.raises(InputError) as raised:
        SparseLaw(intervals="none").fit(few)
    (fault,) = raised.value.faults
    assert lacking in fault.must
    assert smaller in fault.must
    reduced = SparseLaw(intervals="none", vary=smaller.split()[1].split(",")).fit(few)
    assert reduced.fit_.std_deviation < 0.06


def test_columns_that_are_not_known_or_no_sizes_are_refused_with_those_that_are_there() -> None:
    columns = networks()
    without = {name: values for name, values in columns.items() if name != "nonzero"}
    with pytest.raises(InputError) as raised:
        SparseLaw().fit(without)
    assert raised.value.faults[0].place == "the nonzero weights N"
    assert "tokens" in raised.value.faults[0].hint
    assert "--vary sparsity,data leaves the term out" in raised.value.faults[0].hint
    with pytest.raises(InputError) as raised:
        SparseLaw().fit({**columns, "tokens": np.where(columns["tokens"] > 1e9, 0.0, 1.0)})
    assert raised.value.faults[0].place.startswith("column 'tokens', rows")
    settings: list[tuple[dict[str, Any], str]] = [
        ({"delta": 0.001}, "delta"),
        ({"delta": -1.0, "loss": "huber"}, "delta"),
        ({"vary": ["depth"]}, "vary 'depth'"),
        ({"fix": {"gamma": 1.0}}, "fix 'gamma'"),
    ]
    for setting, place in settings:
        with pytest.raises(InputError) as raised:
            SparseLaw(**setting).fit(columns)
        assert raised.value.faults[0].place == place


def test_sizes_may_be_written_as_counts() -> None:
    columns = networks()
    counts = [f"{size / 1e6}M" for size in columns["nonzero"]]
    plain, counted = (
        SparseLaw(intervals="none").fit({**columns, "nonzero": sizes}) for sizes in (columns["nonzero"], counts)
    )
    assert counted.parameters_ == pytest.approx(plain.parameters_, rel=1e-6)


def test_what_the_law_misses_most_is_named_by_n_and_d() -> None:
    law = SparseLaw(intervals="none").fit(networks(noise=0.2))
    (misfit,) = [words for words in law.warnings_ if "does not describe" in words]
    assert "most of all N " in misfit


def test_the_best_sparsity_is_the_one_that_trying_all_finds() -> None:
    law = SparseLaw(draws=40).fit(networks(noise=0.003))
    best = law.best_sparsity(2e7, 4e9)
    fitted = dict(law.parameters_)
    density = np.exp(np.linspace(np.log(0.125), 0, 200_001))
    # A quarter dense, half along s(t) = S (1 - (1 - t)^3), a quarter sparse: the mean over the curve by the midpoints.
    middle = (np.arange(2000) + 0.5) / 2000
    kept = 1 - (1 - 0.3) * np.mean(1 - (1 - middle) ** 3)
    assert training_cost(0.3) * 0.3 == pytest.approx(0.25 + 0.5 * kept + 0.25 * 0.3, rel=1e-5)
    loss = planted_loss(2e7, density, 4e9 / training_cost(density), fitted)
    assert best.sparsity == pytest.approx(1 - density[loss.argmin()], abs=2e-5)
    assert best.loss == pytest.approx(loss.min(), rel=1e-9)
    assert best.loss < best.loss_dense
    assert best.dense_size == pytest.approx(2e7 / (1 - best.sparsity))
    assert best.sparsity_interval is not None
    assert best.sparsity_interval[0] <= best.sparsity <= best.sparsity_interval[1]
    ample = law.best_sparsity(1.3e6, 1e13)
    assert ample.sparsity == pytest.approx(0.875)
    assert len(ample.warnings) == 1
    assert len(law.best_sparsity(1.3e6, 1e13, most=0.95).warnings) == 2
    assert training_cost(1.0) == 1.0


def test_a_budget_that_says_nothing_is_refused_with_every_fault() -> None:
    law = SparseLaw(intervals="none", vary=["sparsity", "size"]).fit(networks())
    with pytest.raises(InputError) as raised:
        best_sparsity(law.fit_, 0.0, -1.0, schedule=(0.5, 0.1, 0.1), most=1.0)
    assert [fault.place for fault in raised.value.faults] == ["nonzero", "data", "schedule", "most", "the law"]


def test_a_law_saved_and_loaded_answers_alike(tmp_path: Path) -> None:
    law = SparseLaw(draws=30, loss="huber", delta=0.001).fit(networks(0.004))
    law.save(tmp_path / "law.json")
    again = load_law(tmp_path / "law.json")
    assert isinstance(again, SparseLaw)
    assert again.fits_ == law.fits_
    members = {"nonzero": [1e7], "density": [0.3], "tokens": [1e9]}
    assert again.predictions(members).low == law.predictions(members).low
    assert again.best_sparsity(1e7, 1e9) == law.best_sparsity(1e7, 1e9)


def test_huber_holds_where_one_network_in_ten_diverged() -> None:
    columns = networks(0.003, 5)
    columns["loss"] = np.where(np.arange(len(columns["loss"])) % 10 == 3, 3 * columns["loss"], columns["loss"])
    robust = SparseLaw(intervals="none", loss="huber", delta=0.001).fit(columns)
    truth = networks()["loss"]
    off = np.abs(robust.predict(columns) / truth - 1)
    assert off.max() < 0.01
    assert np.abs(SparseLaw(intervals="none").fit(columns).predict(columns) / truth - 1).max() > 0.05


def test_resamples_by_huber_are_fitted_by_huber() -> None:
    law = SparseLaw(draws=60, loss="huber", delta=0.001).fit(networks(0.01, 2))
    plain = SparseLaw(draws=60).fit(networks(0.01, 2))
    spread, usual = (np.std(np.log(fitted.draws_["b_n"])) for fitted in (law, plain))
    # Of normal noise, absolute deviations tell less than squares: by the root of pi / 2.
    assert 0.9 * usual < spread < 2.5 * usual
    assert set(law.draws_) == set(SPARSE.parameters)


def test_terms_that_explain_nothing_are_told_by_compare() -> None:
    group = SparseLaw().sample(networks(0.01, 1)).groups[0]
    trials = list(candidate_sparse_forms(group))
    full, *others = compare(group, True, trials=trials, count=6)
    assert [other.form for other in others] == [
        "without sparsity (Hoffmann et al. 2022)",
        "without data",
        "without size",
    ]
    assert full.cross_validated is not None
    assert full.cross_validated.sigma < 0.012
    for other in others:
        assert other.gain is not None
        assert other.gain.difference < -3 * (other.gain.error or 0)


def test_published_rows_are_fitted_predicted_and_asked_for_the_best_sparsity(tmp_path: Path) -> None:
    rows, law = str(write_rows(tmp_path / "rows.csv", networks(0.005))), str(tmp_path / "law.json")
    route = [rows, "--law", "sparse", "--size", "params", "--set", "density = 1 - sparsity"]

    def ask(*words: str) -> str:
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
        return done.stdout

    fitted = json.loads(ask("fit", *route, "--intervals", "quick", "--save", law, "--json"))
    assert fitted["fits"][0]["parameters"] == pytest.approx(PLANTED, rel=0.5)
    assert "left out" in ask("fit", *route, "--vary", "size,data", "--intervals", "none")
    predicted = ask("predict", law, "--at", "density=0.5,params=1e7,tokens=1e9", "--json")
    assert json.loads(predicted)[0]["predicted"] == pytest.approx(planted_loss(1e7, 0.5, 1e9), rel=0.01)
    best = json.loads(ask("sparsity", law, "--nonzero", "2e7", "--data", "1e9", "--json"))
    assert 0 < best["best"][0]["sparsity"] < 0.88
    assert "dense size" in ask("sparsity", law, "--nonzero", "2e7", "--data", "1e9")
    assert "without data" in ask("compare", *route, "--folds", "2")


def test_losses_above_1_are_losses_under_any_name(tmp_path: Path) -> None:
    columns = networks()
    assert columns["loss"].max() > 2
    named = {name: columns[name] for name in ("nonzero", "density", "tokens")}
    law = SparseLaw(intervals="none").fit({**named, "error": columns["loss"]})
    assert law.parameters_ == pytest.approx(PLANTED, rel=1e-4)
    other = SparseLaw(intervals="none", outcome="perplexity").fit({**named, "perplexity": columns["loss"]})
    assert other.parameters_ == pytest.approx(PLANTED, rel=1e-4)
    with pytest.raises(InputError) as raised:
        SparseLaw().fit(named)
    assert raised.value.faults[0].place == "the outcome"
