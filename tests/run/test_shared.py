"""Ladders of one cell and replicate share their rung 0: trained once, with the numbers that each has alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.run import run_study
from prunescope.run.events import Event, RungFinished
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study, Treatment, effort
from prunescope.table import Store
from prunescope.train import rung as trainer
from tests.run.studies import lesson_study, rows
from tests.train.cohorts import climbed, ladder, pictures, same

TREATMENTS = (
    Treatment(kind="dense"),
    Treatment(kind="imp"),
    Treatment(kind="imp", name="rates", rewind="learning-rate"),
    Treatment(kind="imp", name="fine", rewind="fine-tuning"),
    Treatment(kind="imp", name="anew", rewind="reinitialise"),
    Treatment(kind="imp", name="any", score="random"),
    Treatment(kind="imp", name="slopes", score="gradient"),
    Treatment(kind="one-shot"),
    Treatment(kind="extended"),
    Treatment(kind="narrow"),
    Treatment(kind="leave-out", learns_from="imp", share=0.3),
)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ways be trained in parts that cut through cells and replicates."""
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(3, 1, 3, 1, 1e-4))


def study_of(*treatments: Treatment) -> Study:
    """Two levels of label noise and two replicates, rewound to epoch 1."""
    return replace(lesson_study(replicates=2, rewind_epoch=1, levels=2), treatments=treatments)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("whole") / "store", create=True)
    report = run_study(study_of(*TREATMENTS), store, workers=1, keep_weights=True, keep_examples=True)
    assert not report.failures
    assert report.rungs == 4 * (1 + 9 * 3 + 1)
    assert report.networks == report.rungs - 4 * 9 == effort(study_of(*TREATMENTS).ladders).networks
    return store


def arrays(store: Store, identities: Sequence[str]) -> dict[tuple[str, str, int, str], np.ndarray]:
    """Return everything that is kept of ladders."""
    return {
        (folder, identity, rung, name): values
        for folder in ("checkpoints", "examples")
        for identity in identities
        for rung in store.array_names(folder, identity)
        for name, values in store.read_arrays(folder, identity, rung).items()
    }


@pytest.mark.parametrize("treatment", TREATMENTS[:-1], ids=lambda item: item.label)
def test_a_treatment_has_the_numbers_that_it_has_alone(whole: Store, tmp_path: Path, treatment: Treatment) -> None:
    """Small fully connected networks give the same bits in any company."""
    study, alone = study_of(treatment), Store(tmp_path / "store", create=True)
    assert not run_study(study, alone, workers=1, keep_weights=True, keep_examples=True).failures
    identities = {ladder.identity for ladder in study.ladders}
    assert rows(alone) == {key: row for key, row in rows(whole).items() if key[0] in identities}
    ours, theirs = arrays(alone, sorted(identities)), arrays(whole, sorted(identities))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(values, theirs[name]) for name, values in ours.items())


def test_no_network_is_trained_twice(whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[tuple[object, ...]] = Counter()
    train = trainer.train_rung

    def counting(context: object, members: Sequence[trainer.CohortMember], *rest: object) -> trainer.TrainedMembers:
        if rest[2] == 0:
            seen.update((*member.seeding.words, member.subsample.labels.tobytes()) for member in members)
        return train(context, members, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("prunescope.run.data_parallel.train_rung", counting)
    study = study_of(*TREATMENTS[:-1])
    report = run_study(study, tmp_path / "store", workers=1)
    assert set(seen.values()) == {1}
    assert len(seen) == 4 * 3  # what the cells begin with, and two narrower widths
    assert report.networks == 4 * (9 * 2 + 1)


def test_rows_of_a_shared_rung_tell_the_seconds_of_its_one_training(whole: Store) -> None:
    table = whole.table("rung = 0 and treatment != 'leave-out'")
    for noise in (0.0, 0.3):
        chosen = (table["label_noise"] == noise) & (table["replicate"] == 0)
        assert chosen.sum() == 10
        assert len(set(table["seconds"][chosen])) == 1
        assert len(set(table["test_loss"][chosen])) == 1


@pytest.mark.parametrize("rungs", [1, 4])
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(whole: Store, tmp_path: Path, rungs: int) -> None:
    store, seen = Store(tmp_path / "store", create=True), 0

    def on_event(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, RungFinished)
        if seen == rungs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study_of(*TREATMENTS), store, workers=1, on_event=on_event)
    assert not run_study(study_of(*TREATMENTS), store, workers=1).failures
    assert rows(store) == rows(whole)


def test_workers_give_the_rows_of_one_process(whole: Store, tmp_path: Path) -> None:
    assert not run_study(study_of(*TREATMENTS), tmp_path / "store", workers=2).failures
    assert rows(Store(tmp_path / "store")) == rows(whole)


def test_treatments_that_are_added_later_have_the_same_numbers(whole: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    run_study(study_of(*TREATMENTS[:3]), store, workers=1, keep_examples=True)
    assert not run_study(study_of(*TREATMENTS), store, workers=1).failures
    assert rows(store) == rows(whole)


def test_a_network_that_diverges_fails_every_ladder_that_begins_with_it(tmp_path: Path) -> None:
    study = study_of(*TREATMENTS[:3])
    wild = replace(study, recipe=study.recipe.model_copy(update={"learning_rate": 1e30}))
    report = run_study(wild, tmp_path / "store", workers=1)
    assert {failure.ladder for failure in report.failures} == {ladder.identity for ladder in wild.ladders}
    assert all("diverged" in failure.reason for failure in report.failures)


def test_a_ladder_that_another_run_is_at_leaves_its_rung_to_those_that_share_it(whole: Store, tmp_path: Path) -> None:
    study, store = study_of(*TREATMENTS[:3]), Store(tmp_path / "store", create=True)
    program = (
        "import sys; from prunescope.table import Store\n"
        f"with Store({str(store.path)!r}).claim({study.ladders[0].identity!r}):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        report = run_study(study, store, workers=1)
        other.communicate()
    assert (report.failures, report.elsewhere) == ([], 1)
    known = rows(whole)
    assert all(known[key] == row for key, row in rows(store).items())
    assert run_study(study, store, workers=1).rungs == 1


def test_convolutional_ladders_have_their_own_numbers_to_rounding(tmp_path: Path) -> None:
    kinds = ({"kind": "imp"}, {"kind": "imp", "rewind": "fine-tuning"}, {"kind": "narrow"})
    ladders = [ladder("cifar-resnet", 8, 0.1, treatment=kind, validation=0.01, levels=1) for kind in kinds]
    together = climbed(ladders, pictures(), tmp_path / "one")
    alone = climbed(ladders, pictures(), tmp_path / "two", alone=True)
    for narrow_ladder in ladders:
        same(together[narrow_ladder.identity], alone[narrow_ladder.identity])
