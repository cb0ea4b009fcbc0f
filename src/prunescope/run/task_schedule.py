"""The tasks of a run that are left, and which comes next."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from prunescope.run.cohorts import Cohort, Key, by_key, by_start, split
from prunescope.run.ladder_runner import work_left
from prunescope.run.task_runner import ScoreTask, Task, TrainTask, TuneTask
from prunescope.run.tuning_cache import CohortSettings
from prunescope.study import Ensemble, Ladder


class TaskSchedule:
    """Tasks of a run: shapes to tune, cohorts to train. The largest come first, so that all workers finish together.

    Parameters
    ----------
    ladders
        All of the study: cohorts are formed from all of them, finished or not, so that a continued run has the
        cohorts that it had before.
    done
        What is finished, from `Store.done`.
    workers
        How many tasks are done at a time.
    unscored
        Ensembles whose scores are wanted and missing.
    copies
        How many runs divide the study among them.
    """

    def __init__(
        self,
        ladders: Sequence[Ladder],
        done: dict[str, frozenset[int]],
        workers: int,
        unscored: Sequence[Ensemble] = (),
        copies: int = 1,
    ) -> None:
        self._workers = workers
        self._copies = copies
        self._work_left = {ladder.identity: work_left(ladder, done) for ladder in ladders}
        self._groups = by_key(ladders)
        self._untuned = sorted(filter(self._group_work, self._groups), key=self._group_work)
        self._cohorts: list[tuple[int, TrainTask | ScoreTask]] = []
        self._waiting: list[tuple[int, TrainTask]] = []
        self._formed: list[TrainTask] = []
        self._unfinished = {identity for identity, work in self._work_left.items() if work}
        self._unfinished |= {ensemble.identity for ensemble in unscored}
        self._numbered = 0
        self._unscored = tuple(unscored)
        for ensemble in unscored:
            self._numbered += 1
            self._cohorts.append((ensemble.work, ScoreTask(ensemble, self._numbered)))

    @property
    def work(self) -> int:
        """Examples that all missing rungs will see."""
        return sum(self._work_left.values())

    def _group_work(self, key: Key) -> int:
        return sum(self._work_left[ladder.identity] for ladder in self._groups[key])

    def heaviest(self) -> TuneTask:
        """Return the shape with the most work left, to be tuned."""
        return self._tune_task(self._untuned[-1])

    def _tune_task(self, key: Key) -> TuneTask:
        ladder, ladders = self._groups[key][0], len(self._groups[key])
        epochs = self._group_work(key) / ladder.cell.examples
        return TuneTask(key, ladder, ladders, epochs * -(-ladder.cell.examples // ladder.recipe.batch))

    def starts(self, key: Key, tuning: CohortSettings) -> int:
        """Return the networks a cohort begins with: as many as train fastest, fewer where workers would be idle."""
        at_least = -(-self._workers * self._copies // len(self._groups))
        networks = len(by_start(self._groups[key]))
        cohorts = at_least * -(-networks // (tuning.members * at_least))
        return max(1, -(-networks // cohorts))

    def add_cohorts(self, key: Key, tuning: CohortSettings) -> None:
        """Divide the ladders of a shape into cohorts, now that it is known how they are trained."""
        for cohort in split(key, self._groups[key], tuning.starts or tuning.members, tuning.members):
            self._add(cohort, tuning)
        self._cohorts.sort(key=lambda entry: entry[0])

    def _add(self, cohort: Cohort, tuning: CohortSettings) -> None:
        task = TrainTask(replace(cohort, number=self._numbered + 1), tuning)
        if work := self._work_of(task):
            self._numbered += 1
            self._formed.append(task)
            (self._waiting if self._waits(task) else self._cohorts).append((work, task))

    def _work_of(self, task: TrainTask) -> int:
        return sum(self._work_left[ladder.identity] for ladder in task.cohort.ladders)

    def _waits(self, task: TrainTask) -> bool:
        """Whether a cohort learns from ladders or scores that this run has still to train."""
        return any(ladder.waits_for in self._unfinished for ladder in task.cohort.ladders)

    def mark_finished(self, task: TrainTask | ScoreTask) -> None:
        """Note that a cohort is trained, or scored, as far as possible: cohorts that learn from it may begin."""
        if isinstance(task, ScoreTask):
            self._unfinished -= {task.ensemble.identity}
        else:
            self._unfinished -= {ladder.identity for ladder in task.cohort.ladders}
        self._cohorts += [entry for entry in self._waiting if not self._waits(entry[1])]
        self._waiting = [entry for entry in self._waiting if self._waits(entry[1])]
        self._cohorts.sort(key=lambda entry: entry[0])

    def put_back(self, task: Task, halve: bool = True) -> None:
        """Put a task back whose worker died; a cohort in halves, where memory may have run out."""
        if isinstance(task, TuneTask):
            self._untuned.append(task.key)
            return
        if isinstance(task, ScoreTask) or not halve:
            work = task.ensemble.work if isinstance(task, ScoreTask) else self._work_of(task)
            self._cohorts.append((work, task))
            self._cohorts.sort(key=lambda entry: entry[0])
            return
        self._formed = [formed for formed in self._formed if formed.cohort != task.cohort]
        for half in task.cohort.halves():
            self._add(half, task.tuning)
        self._cohorts.sort(key=lambda entry: entry[0])

    def take_up(self, freed: Set[str]) -> None:
        """Put cohorts and ensembles back of which some were left to another process that let them go."""
        self._unfinished |= freed
        for task in self._formed:
            if not freed.isdisjoint(ladder.identity for ladder in task.cohort.ladders):
                (self._waiting if self._waits(task) else self._cohorts).append((self._work_of(task), task))
        for ensemble in self._unscored:
            if ensemble.identity in freed:
                self._numbered += 1
                self._cohorts.append((ensemble.work, ScoreTask(ensemble, self._numbered)))
        self._cohorts.sort(key=lambda entry: entry[0])

    def next(self) -> Task | None:
        """Return what to do next; None while there is nothing."""
        if self._untuned and len(self._cohorts) < self._workers:
            key = self._untuned.pop()
            return self._tune_task(key)
        return self._cohorts.pop()[1] if self._cohorts else None
