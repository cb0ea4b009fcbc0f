"""Leave-out ladders: they do without exactly the examples that their teacher's outcomes name, and wait for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.data import Subsample, draw_subsample, load
from prunescope.errors import PrunescopeError
from prunescope.lens import analyze
from prunescope.nets.cohort import Layout
from prunescope.run import run_study
from prunescope.run.artifacts import read_left_out
from prunescope.run.cohorts import by_key
from prunescope.run.events import Event, LaddersElsewhere, RungFinished
from prunescope.run.ladder_runner import RunSettings, context_for
from prunescope.run.ladder_state import left_out, resume
from prunescope.run.outcomes import make_outcomes
from prunescope.run.sharing import Elsewhere
from prunescope.run.task_runner import TaskRunner, TrainTask, TuneTask
from prunescope.run.task_schedule import TaskSchedule
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n, Ladder, Study, Treatment, ensembles
from prunescope.study.checks import held_out
from prunescope.table import Store
from prunescope.table.coded import optimal_rung
from prunescope.train.ladder import LadderRungs
from tests.run.studies import PUPILS, lesson_study, rows


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("unbroken") / "store", create=True)
    assert not run_study(lesson_study(), store, workers=1).failures
    return store


def pupils(study: Study, leave: str | None = None) -> list[Ladder]:
    return [ladder for ladder in study.ladders if ladder.teacher and leave in (None, ladder.treatment.leave)]


def subsample_of(ladder: Ladder) -> Subsample:
    data = load("digits")
    return draw_subsample(
        data.train_labels,
        10,
        examples=200,
        label_noise=ladder.cell.label_noise,
        held_out=held_out(ladder.facts, ladder.recipe.validation),
        seed=ladder.seed,
        replicate=ladder.replicate,
        dataset="digits",
    )


def best_of(store: Store, ladder: Ladder) -> int:
    """Return the teacher's sparse rung with the lowest validation error, the first of equals, from the table."""
    table = store.table(f"ladder = '{ladder.teacher}' and rung > 0")
    order = np.lexsort((table["rung"], table["validation_error"]))
    return int(table["rung"][order[0]])


def test_the_optimal_rung_has_the_lowest_validation_error_and_the_most_weights() -> None:
    assert optimal_rung({0: 0.1, 1: 0.3, 2: 0.2, 3: 0.2, 4: 0.9}) == 2
    assert optimal_rung({3: 0.5, 2: 0.6, 0: 0.0, 1: 0.6}) == 3


def test_what_pruning_improves_most_is_left_out(unbroken: Store) -> None:
    for ladder in pupils(lesson_study(), "improved"):
        dense, sparse = (
            unbroken.read_arrays("examples", ladder.teacher, rung) for rung in (0, best_of(unbroken, ladder))
        )
        gain = dense["loss"].astype(float) - sparse["loss"].astype(float)
        left = read_left_out(unbroken, ladder)
        assert len(left) == 60
        out = np.isin(dense["index"], left)
        assert out.sum() == 60
        assert gain[out].min() >= gain[~out].max()
        assert gain[out].min() > 0


def test_what_pruning_worsens_most_is_left_out(unbroken: Store) -> None:
    for ladder in pupils(lesson_study(Treatment(kind="leave-out", learns_from="imp", leave="worsened", share=0.3))):
        dense, sparse = (
            unbroken.read_arrays("examples", ladder.teacher, rung) for rung in (0, best_of(unbroken, ladder))
        )
        change = sparse["loss"].astype(float) - dense["loss"]
        subsample = subsample_of(ladder)
        left = subsample.train[left_out(unbroken, ladder, subsample)]
        out = np.isin(dense["index"], left)
        assert out.sum() == len(left) == 60
        assert change[out].min() >= change[~out].max()


def test_what_the_best_sparse_network_gets_wrong_by_its_label_is_left_out(unbroken: Store) -> None:
    for ladder in pupils(lesson_study(), "misclassified"):
        sparse = unbroken.read_arrays("examples", ladder.teacher, best_of(unbroken, ladder))
        left = read_left_out(unbroken, ladder)
        assert set(left.tolist()) == set(sparse["index"][~sparse["right"]].tolist())
        assert len(left) > (40 if ladder.cell.label_noise else 0)
        assert np.array_equal(sparse["label"], subsample_of(ladder).labels)


def test_random_examples_are_drawn_for_each_replicate_and_need_no_teacher(unbroken: Store, tmp_path: Path) -> None:
    ladders = pupils(lesson_study(), "random")
    left = {(ladder.cell.label_noise, ladder.replicate): read_left_out(unbroken, ladder) for ladder in ladders}
    assert {len(item) for item in left.values()} == {60}
    assert set(left[0.0, 0].tolist()) != set(left[0.0, 1].tolist())
    assert np.array_equal(left[0.0, 0], left[0.3, 0])
    alone = Store(tmp_path / "store", create=True)
    assert not run_study(lesson_study(), alone, workers=1, ladders=ladders).failures
    assert rows(alone) == {key: row for key, row in rows(unbroken).items() if key[0] in {x.identity for x in ladders}}


def test_a_pupil_trains_on_the_others_from_the_start_of_its_teacher(unbroken: Store) -> None:
    study, data = lesson_study(), load("digits")
    for ladder in pupils(study):
        context = context_for(ladder, data, Layout(), RunSettings("tests"))
        state = resume(ladder, context, unbroken, 0)
        subsample, left = subsample_of(ladder), read_left_out(unbroken, ladder)
        remaining = ~np.isin(subsample.train, left)
        trained_on = state.member.subsample
        for name in ("train", "labels", "noisy"):
            assert np.array_equal(getattr(trained_on, name), getattr(subsample, name)[remaining]), name
        assert np.array_equal(trained_on.validation, subsample.validation)
        assert len(trained_on.train) == 200 - len(left)
        teacher = next(taught for taught in study.ladders if taught.identity == ladder.teacher)
        begun, taught = (item.rungs.begin(0, None).tensors for item in (state, resume(teacher, context, unbroken, 0)))
        assert all(np.array_equal(values, taught[name]) for name, values in begun.items())


def test_rows_of_pupils_tell_the_cell_and_how_they_do_on_what_they_kept(unbroken: Store) -> None:
    table = unbroken.table("treatment = 'leave-out'")
    assert len(table) == 2 * 2 * 3
    assert set(table["examples"]) == {200}
    assert set(table["density"]) == {1.0}
    assert set(table["rung"]) == {0}
    assert set(table["leave"]) == {"improved", "misclassified", "random"}
    noisy = table.where("label_noise > 0 and leave = 'misclassified'")
    dense = unbroken.table("label_noise > 0 and treatment = 'imp' and rung = 0")
    assert noisy["train_loss"].mean() < 0.7 * dense["train_loss"].mean()


def test_teachers_keep_outcomes_and_others_do_not(unbroken: Store, tmp_path: Path) -> None:
    for ladder in lesson_study().ladders:
        remaining = set(unbroken.array_names("examples", ladder.identity))
        assert remaining == (set(range(4)) if ladder.treatment.kind == "imp" else set())
    study = lesson_study(PUPILS[2], replicates=1)
    run_study(study, tmp_path / "store", workers=1)
    assert not any(Store(tmp_path / "store").array_names("examples", ladder.identity) for ladder in study.ladders)


def stopping_after(rungs: int) -> object:
    seen = 0

    def on_event(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, RungFinished)
        if seen == rungs:
            raise KeyboardInterrupt

    return on_event


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(unbroken: Store, tmp_path: Path, workers: int) -> None:
    store = Store(tmp_path / "store", create=True)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run_study(lesson_study(), store, workers=1, on_event=stopping_after(1))  # type: ignore[arg-type]
    assert not run_study(lesson_study(), store, workers=workers).failures
    assert rows(store) == rows(unbroken)
    for ladder in pupils(lesson_study()):
        assert np.array_equal(read_left_out(store, ladder), read_left_out(unbroken, ladder))


def test_workers_give_the_rows_of_one_process(unbroken: Store, tmp_path: Path) -> None:
    assert not run_study(lesson_study(), tmp_path / "store", workers=2).failures
    assert rows(Store(tmp_path / "store")) == rows(unbroken)


def given(schedule: TaskSchedule) -> Sequence[TrainTask]:
    """Settle all shapes of a schedule, and return the cohorts that it gives before any is finished."""
    tasks: list[TrainTask] = []
    while (task := schedule.next()) is not None:
        if isinstance(task, TuneTask):
            schedule.add_cohorts(task.key, CohortSettings(2, 1, 2, 1, 1.0))
        elif isinstance(task, TrainTask):
            tasks.append(task)
    return tasks


def test_cohorts_wait_for_their_teachers() -> None:
    study = lesson_study()
    schedule = TaskSchedule(study.ladders, {}, 2)
    first = given(schedule)
    assert {ladder.treatment.label for task in first for ladder in task.cohort.ladders} == {"imp"}
    for task in first[:-1]:
        schedule.mark_finished(task)
    taught = {ladder.identity for task in first[:-1] for ladder in task.cohort.ladders}
    then = given(schedule)
    assert all(ladder.teacher in taught for task in then for ladder in task.cohort.ladders if ladder.learns)
    schedule.mark_finished(first[-1])
    last = given(schedule)
    assert last
    every = {ladder.identity for task in (*first, *then, *last) for ladder in task.cohort.ladders}
    assert every == {ladder.identity for ladder in study.ladders}


def test_a_teacher_that_is_done_keeps_nobody_waiting() -> None:
    study = lesson_study()
    done = {ladder.identity: frozenset(range(4)) for ladder in study.ladders if ladder.treatment.kind == "imp"}
    assert {
        ladder.treatment.kind for task in given(TaskSchedule(study.ladders, done, 1)) for ladder in task.cohort.ladders
    } == {"leave-out"}


def test_a_pupil_of_a_failed_teacher_fails_in_words_and_the_others_go_on(
    unbroken: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, store = lesson_study(PUPILS[0]), Store(tmp_path / "store", create=True)
    victim = next(ladder for ladder in study.ladders if ladder.teaches)
    leave = LadderRungs.leave

    def failing(self: LadderRungs, rung: int, *rest: object) -> object:
        if self.ladder.identity == victim.identity and rung == 2:
            raise PrunescopeError("made to fail")
        return leave(self, rung, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LadderRungs, "leave", failing)
        report = run_study(study, store, workers=1)
    reasons = {failure.reason for failure in report.failures}
    assert reasons == {"made to fail", f"its teacher {victim.identity} has no rung 2 to learn from"}
    assert not run_study(study, store, workers=1).failures
    known = rows(unbroken)
    assert all(known[key] == row for key, row in rows(store).items())
    assert len(rows(store)) == 4 * (4 + 1)


def test_pupils_of_a_teacher_that_another_run_is_at_are_left_to_it(tmp_path: Path) -> None:
    study, store = lesson_study(PUPILS[0]), Store(tmp_path / "store", create=True)
    teacher = next(ladder for ladder in study.ladders if ladder.teaches)
    events: list[Event] = []
    program = (
        "import sys; from prunescope.table import Store\n"
        f"with Store({str(store.path)!r}).claim({teacher.identity!r}):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        report = run_study(study, store, workers=1, on_event=events.append)
        other.communicate()
    assert not report.failures
    assert report.elsewhere == 2
    assert sum(event.ladders for event in events if isinstance(event, LaddersElsewhere)) == 2
    left = {ladder.identity for ladder in study.ladders} - set(store.done())
    assert left == {teacher.identity} | {
        ladder.identity for ladder in study.ladders if ladder.teacher == teacher.identity
    }
    assert run_study(study, store, workers=1).rungs == 5


def test_a_teacher_trained_before_anything_learned_from_it_is_told(tmp_path: Path) -> None:
    study, store = lesson_study(PUPILS[0], replicates=1), Store(tmp_path / "store", create=True)
    run_study(replace(study, treatments=study.treatments[1:]), store, workers=1)
    report = run_study(study, store, workers=1)
    assert len(report.failures) == 2
    assert all("was trained before anything learned from it" in failure.reason for failure in report.failures)


def test_a_network_that_gets_everything_wrong_leaves_nothing(unbroken: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = pupils(lesson_study(), "misclassified")[0]
    wrong = {"index": subsample_of(ladder).train, "right": np.zeros(200, bool), "loss": np.zeros(200, np.float32)}
    monkeypatch.setattr(Store, "read_arrays", lambda self, keep, identity, rung: wrong)
    with pytest.raises(PrunescopeError, match="none is left to train on"):
        left_out(unbroken, ladder, subsample_of(ladder))
    moved = wrong | {"index": subsample_of(ladder).train[::-1]}
    monkeypatch.setattr(Store, "read_arrays", lambda self, keep, identity, rung: moved)
    with pytest.raises(PrunescopeError, match="trained on other examples"):
        left_out(unbroken, ladder, subsample_of(ladder))


def test_pupils_are_cohorts_of_their_own() -> None:
    study = lesson_study(*PUPILS, Treatment(kind="dense"))
    assert sorted(map(len, by_key(study.ladders).values())) == [8, 12]


def grouped_study(networks: int = 2, epoch: int = 1, **changes: Any) -> Study:
    study = lesson_study(Treatment(kind="dense"), **changes)
    treatments = (Treatment(kind="imp"), Treatment(kind="leave-out", leave="group", groups=6))
    return replace(study, treatments=treatments, el2n=El2n(networks=networks, epoch=epoch))


@pytest.mark.parametrize("workers", [1, 2])
def test_each_group_by_el2n_is_left_out_once_and_after_its_scores(tmp_path: Path, workers: int) -> None:
    study, store = grouped_study(), Store(tmp_path / "store", create=True)
    report = run_study(study, store, workers=workers)
    assert not report.failures
    by_replicate: dict[tuple[float, int], list[Ladder]] = {}
    for ladder in study.ladders:
        if ladder.group is not None:
            by_replicate.setdefault((ladder.cell.label_noise, ladder.replicate), []).append(ladder)
    assert len(by_replicate) == 4
    for ladders in by_replicate.values():
        assert [ladder.group for ladder in ladders] == list(range(6))
        left = [read_left_out(store, ladder) for ladder in ladders]
        assert [len(group) for group in left] == [34, 34, 33, 33, 33, 33]
        scored = store.read_arrays("examples", ladders[0].scorer, 0)
        assert np.array_equal(np.sort(np.concatenate(left)), np.sort(scored["index"]))
        ranges = [
            (el2n.min(), el2n.max()) for group in left for el2n in [scored["el2n"][np.isin(scored["index"], group)]]
        ]
        assert all(below[1] <= above[0] for below, above in pairwise(ranges))
    errors = [row["test_error"] for row in store.table("leave = 'group'").rows()]
    assert len(errors) == 24
    assert len(set(errors)) > 6, "other examples, other networks"
    cell = analyze(store, noise=[0.3]).cells[0]
    assert cell.influence is not None
    assert len(cell.influence.groups) == 12
    assert cell.influence.correlation is not None


def test_a_group_is_trained_on_the_rest_and_its_own_dense_network_is_another(tmp_path: Path) -> None:
    study, store = grouped_study(replicates=1), Store(tmp_path / "store", create=True)
    assert not run_study(study, store, workers=1).failures
    data = load("digits")
    ladder = next(ladder for ladder in study.ladders if ladder.group == 5)
    state = resume(ladder, context_for(ladder, data, Layout(), RunSettings("tests")), store, 0)
    subsample, left = subsample_of(ladder), read_left_out(store, ladder)
    remaining = ~np.isin(subsample.train, left)
    assert np.array_equal(state.member.subsample.train, subsample.train[remaining])
    assert np.array_equal(state.member.subsample.labels, subsample.labels[remaining])
    before = rows(store)
    (made,) = make_outcomes(store, [(ladder.identity, 0)], workers=1)
    assert made.kept
    outcome = store.read_arrays("examples", ladder.identity, 0)
    assert np.array_equal(outcome["index"], subsample.train[remaining])
    assert rows(store) == before


def test_groups_wait_for_scores_that_another_run_makes_and_fail_without_any(tmp_path: Path) -> None:
    study, store = grouped_study(replicates=1), Store(tmp_path / "store", create=True)
    groups = [ladder for ladder in study.ladders if ladder.group is not None]
    with store.claim_all({ladder.scorer for ladder in groups}) as free:
        assert len(free) == 2
        report = run_study(study, store, workers=1, ladders=groups)
    assert (report.rungs, report.elsewhere, report.failures) == (0, 12, [])
    alone = run_study(study, store, workers=1, ladders=groups)
    assert {failure.ladder for failure in alone.failures} == {ladder.identity for ladder in groups}
    assert all(groups[0].scorer in f.reason or groups[-1].scorer in f.reason for f in alone.failures)
    whole = run_study(study, store, workers=1)
    assert not whole.failures
    assert whole.scored == 2


def test_groups_are_not_taken_back_while_another_run_scores_their_examples(tmp_path: Path) -> None:
    study, store = grouped_study(), Store(tmp_path / "store", create=True)
    store.begin(study)
    ladder = next(ladder for ladder in study.ladders if ladder.group is not None)
    elsewhere = Elsewhere(study.ladders, ensembles(study), store)
    elsewhere.add({ladder.identity})
    with Store(store.path).claim_all([ladder.scorer]):
        assert elsewhere.take_back(frozenset(), lambda: False) == {}
    assert elsewhere.take_back(frozenset(), lambda: False).keys() == {ladder.identity}


def test_groups_have_nothing_to_wait_for_when_scoring_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = grouped_study(replicates=1), Store(tmp_path / "store", create=True)

    def broken(*_: object) -> None:
        raise PrunescopeError("made to fail")

    monkeypatch.setattr(TaskRunner, "score", broken)
    report = run_study(study, store, workers=1)
    failed = {failure.ladder for failure in report.failures}
    assert {ladder.identity for ladder in study.ladders if ladder.group is not None} <= failed
    assert {ladder.scorer for ladder in study.ladders if ladder.scorer} <= failed
