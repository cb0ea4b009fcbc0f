"""EL2N scores of a study: the mean over networks trained alone, computed once, wherever a run is stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.data import load
from prunescope.nets.cohort import Layout
from prunescope.run import run_study
from prunescope.run.artifacts import read_weights
from prunescope.run.estimate import START, estimate
from prunescope.run.events import Event, ExamplesScored, LaddersElsewhere
from prunescope.run.ladder_runner import RunSettings, context_for
from prunescope.run.ladder_state import subsample_of
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n, Ensemble, Study, Treatment, ensembles
from prunescope.study.effort import effort
from prunescope.table import Store, merge
from prunescope.train import CohortMember, Span, label_distances, seeding_of, seeding_of_scorer, train_rung
from tests.run.studies import mixed_study, narrow_study, rows


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(2, 1, 2, 1, 1e-4))


def scored_study(networks: int = 3, epoch: int | None = 1) -> Study:
    """Dense networks of two cells and two replicates, and scores of their examples."""
    return replace(narrow_study(kind="dense"), el2n=El2n(networks=networks, epoch=epoch))


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("scored") / "store", create=True)
    report = run_study(scored_study(), store, workers=1)
    assert (report.scored, report.rungs, report.failures) == (4, 4, [])
    return store


def scores(store: Store, ensemble: Ensemble) -> dict[str, np.ndarray]:
    return store.read_arrays("examples", ensemble.identity, 0)


def test_scores_are_the_mean_over_networks_trained_alone(scored: Store) -> None:
    data = load("digits")
    for ensemble in ensembles(scored_study()):
        context = context_for(ensemble.ladder, data, Layout(), RunSettings("tests", dtype=torch.float32))
        subsample, distances = subsample_of(ensemble.ladder, data), []
        for number in range(3):
            member = CohortMember(subsample, seeding_of_scorer(ensemble, number))
            start = context.stacked([context.network.start(member.seeding.start())])
            state = train_rung(context, [member], start, {}, 0, Span(0, 1), lambda done, total: None).state
            distances.append(label_distances(context, subsample, state)[0])
        arrays = scores(scored, ensemble)
        assert np.array_equal(arrays["index"], subsample.train)
        np.testing.assert_allclose(arrays["el2n"], np.mean(distances, 0), rtol=1e-5)
        assert not np.allclose(distances[0], distances[1], rtol=1e-2)
        assert not np.allclose(distances[0], distances[2], rtol=1e-2)


def test_networks_and_scorers_start_their_normalisations_as_the_recipe_says(tmp_path: Path) -> None:
    """With a rate that moves nothing: the weights kept are those of the start, and so are the scorers'."""
    data = load("digits")
    for norms in ("uniform", "ones", "zero-last"):
        plain = mixed_study(
            norm_start=norms,
            learning_rate=1e-12,
            momentum=0.0,
            weight_decay=0.0,
            augment="none",
            rewind_epoch=0,
            levels=0,
        )
        dense = replace(
            plain, treatments=(Treatment(kind="dense"),), replicates=1, el2n=El2n(networks=1, epoch=1), keep="all"
        )
        store = Store(tmp_path / norms, create=True)
        assert run_study(dense, store, workers=1).failures == []
        ladder, ensemble = dense.ladders[0], ensembles(dense)[0]
        context = context_for(ladder, data, Layout(), RunSettings("tests", dtype=torch.float32))
        start = context.network.start(seeding_of(ladder).start(), ladder.recipe.norm_start)
        kept = read_weights(store, ladder, 0, context.network)
        scales = [name for name in kept if "norm" in name and name.endswith(".weight")]
        largest = {round(float(kept[name].max()), 6) for name in scales}
        assert largest == {"ones": {1.0}, "zero-last": {0.0, 1.0}}.get(norms, largest)
        for name in (parameter.name for parameter in context.network.outline.parameters):
            np.testing.assert_allclose(kept[name], start[name], rtol=1e-6, atol=1e-9)
        subsample = subsample_of(ensemble.ladder, data)
        member = CohortMember(subsample, seeding_of_scorer(ensemble, 0))
        drawn = context.stacked([context.network.start(member.seeding.start(), ladder.recipe.norm_start)])
        state = train_rung(context, [member], drawn, {}, 0, Span(0, 1), lambda done, total: None).state
        distances = label_distances(context, subsample, state)[0]
        np.testing.assert_allclose(scores(store, ensemble)["el2n"], distances, rtol=1e-5)


def test_examples_with_wrong_labels_score_higher(tmp_path: Path) -> None:
    study, store = scored_study(networks=5, epoch=2), Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1)
    noisy = [ensemble for ensemble in ensembles(study) if ensemble.ladder.cell.label_noise]
    for ensemble in noisy:
        wrong, el2n = subsample_of(ensemble.ladder, load("digits")).noisy, scores(store, ensemble)["el2n"]
        assert el2n[wrong].mean() > el2n[~wrong].mean() + 0.05
        assert 0 <= el2n.min() <= el2n.max() <= np.sqrt(2)


def test_scores_are_computed_once_and_used_by_every_study_that_asks_for_them(scored: Store) -> None:
    events: list[Event] = []
    assert run_study(scored_study(), scored, workers=1, on_event=events.append).scored == 0
    pruned = replace(scored_study(), name="other", treatments=(Treatment(kind="imp"),))
    assert {ensemble.identity for ensemble in ensembles(pruned)} == {
        ensemble.identity for ensemble in ensembles(scored_study())
    }
    assert run_study(pruned, scored, workers=1, on_event=events.append).scored == 0
    assert not any(isinstance(event, ExamplesScored) for event in events)


def test_scores_do_not_touch_the_rows(scored: Store, tmp_path: Path) -> None:
    plain = Store(tmp_path / "store", create=True)
    run_study(narrow_study(kind="dense"), plain, workers=1)
    wanted = rows(plain)
    assert {key: rows(scored)[key] for key in wanted} == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_stopped_gives_the_same_scores(scored: Store, tmp_path: Path, workers: int) -> None:
    store = Store(tmp_path / "store", create=True)

    def on_event(event: Event) -> None:
        if isinstance(event, ExamplesScored):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(scored_study(), store, workers=1, on_event=on_event)
    assert run_study(scored_study(), store, workers=workers).scored == 3
    for ensemble in ensembles(scored_study()):
        ours, theirs = scores(store, ensemble), scores(scored, ensemble)
        assert all(np.array_equal(values, theirs[name]) for name, values in ours.items())
    assert merge(store, [scored]) >= 0


def test_scores_that_another_run_is_at_are_left_to_it(tmp_path: Path) -> None:
    study, store, events = scored_study(), Store(tmp_path / "store", create=True), list[Event]()
    first = ensembles(study)[0]
    with store.claim(first.identity):
        report = run_study(study, store, workers=1, on_event=events.append)
    assert (report.scored, report.elsewhere) == (3, 1)
    assert sum(event.ladders for event in events if isinstance(event, LaddersElsewhere)) == 1
    assert run_study(study, store, workers=1).scored == 1


def test_networks_that_diverge_are_told_and_score_nothing(tmp_path: Path) -> None:
    study = scored_study()
    wild = replace(study, recipe=study.recipe.model_copy(update={"learning_rate": 1e30}))
    store = Store(tmp_path / "store", create=True)
    report = run_study(wild, store, workers=1)
    assert report.scored == 0
    reasons = {failure.ladder: failure.reason for failure in report.failures if failure.words.startswith("EL2N")}
    assert len(reasons) == 4
    assert all("diverged" in reason for reason in reasons.values())
    assert not any(store.has_arrays("examples", ensemble.identity, 0) for ensemble in ensembles(wild))


def test_networks_train_ten_epochs_with_noise_and_twenty_without_where_a_study_does_not_say() -> None:
    study = replace(scored_study(epoch=None), recipe=narrow_study(epochs=40).recipe)
    assert {(ensemble.ladder.cell.label_noise, ensemble.epoch, ensemble.networks) for ensemble in ensembles(study)} == {
        (0.0, 20, 3),
        (0.2, 10, 3),
    }
    assert {ensemble.epoch for ensemble in ensembles(scored_study(epoch=None))} == {2}


def test_an_identity_stands_for_what_decides_the_scores() -> None:
    study = scored_study()
    (first, *others) = ensembles(study)
    assert len({first.identity, *(item.identity for item in others)}) == 4

    def changed(**recipe: object) -> str:
        return ensembles(replace(study, recipe=study.recipe.model_copy(update=recipe)))[0].identity

    assert changed(levels=9, rewind_epoch=0, pruning_fraction=0.5, epochs=9) == first.identity
    assert len({first.identity, changed(learning_rate=0.2), changed(validation=0.1), changed(batch=8)}) == 4
    assert ensembles(replace(study, el2n=El2n(networks=3, epoch=2)))[0].identity != first.identity
    assert ensembles(replace(study, el2n=El2n(networks=4, epoch=1)))[0].identity != first.identity
    assert not ensembles(narrow_study())


def test_a_plan_counts_what_workers_take_to_start_and_what_they_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.run.estimate.cores", lambda: 4)
    study = narrow_study(kind="dense")

    def seconds_with(threads: int, step: float) -> float:
        monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(2, threads, 2, 1, step))
        seconds = estimate(study.ladders, None).seconds
        assert seconds is not None
        return seconds

    short, long = 1e-6, 1.0
    steps = effort(study.ladders).steps
    assert seconds_with(1, short) == pytest.approx(START + steps * short)
    assert seconds_with(1, long) == pytest.approx(2 * START + steps * long / 4, rel=1e-3)
    assert seconds_with(4, long) == pytest.approx(START + steps * long, rel=1e-3)


def test_a_plan_and_a_run_tell_of_the_scores(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(scored_study().to_toml())
    shown = CliRunner().invoke(cli, ["plan", str(path)])
    assert "4 replicates of cells scored by 12 networks, 2,400 examples seen" in shown.output
    plan = json.loads(CliRunner().invoke(cli, ["plan", str(path), "--json"]).output)
    assert plan["el2n"] == {"scored": 4, "networks": 12, "examples": 12 * 200}
    plain, scored = (estimate(scored_study().ladders, None, scorers) for scorers in ((), ensembles(scored_study())))
    assert plain.disk is not None
    assert scored.disk is not None
    assert plain.seconds is not None
    assert scored.seconds is not None
    steps = sum(ensemble.steps for ensemble in ensembles(scored_study()))
    assert scored.seconds - plain.seconds == pytest.approx(1e-4 * steps)  # of one process, as all is so short
    assert plain.seconds > START
    assert plain.disk + 4 * 200 * 12 < scored.disk < plain.disk + 4 * 200 * 12 + 8_000
    done = CliRunner().invoke(cli, ["run", str(path), "--workers", "1", "--store", str(tmp_path / "store")])
    assert done.exit_code == 0, done.output
    assert "scored the training examples of 4 replicates of cells" in done.output
    assert "trained 4 networks" in done.output
    again = CliRunner().invoke(cli, ["run", str(path), "--workers", "1", "--store", str(tmp_path / "store")])
    assert "everything is done already" in again.output
