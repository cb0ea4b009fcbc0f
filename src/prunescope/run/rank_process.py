"""A process that trains networks together with a run's own: it takes its share of every batch, and no decision."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.distributed as dist

from prunescope.data import Dataset
from prunescope.errors import PrunescopeError, said
from prunescope.run.child_process import die_with_parent
from prunescope.run.data_parallel import RungWork, join
from prunescope.run.ladder_runner import RunSettings, context_for, network_of
from prunescope.run.task_runner import dataset_of, hold_memory
from prunescope.train import TrainingContext, train_rung
from prunescope.train.ranks import RankLostError, Ranks


class RankTrainer:
    """Trains what rank 0 says, until it says nothing more.

    Parameters
    ----------
    datasets
        Those that are in memory already.
    """

    def __init__(
        self,
        ranks: Ranks,
        data_folder: Path | None,
        settings: RunSettings,
        datasets: Mapping[str, Dataset] | None = None,
    ) -> None:
        self._ranks = ranks
        self._data_folder = data_folder
        self._settings = settings
        self._datasets = dict(datasets or {})
        self._context: TrainingContext | None = None

    def run(self) -> None:
        """Train rung after rung."""
        while content := self._next():
            work: RungWork = pickle.loads(content)  # noqa: S301 - from the run's own process
            self._train(work)
        dist.destroy_process_group()

    def _next(self) -> bytes:
        """Return what rank 0 says next; nothing where it has ended."""
        try:
            return self._ranks.from_first(b"", patient=True)
        except RankLostError:
            return b""

    def _train(self, work: RungWork) -> None:
        context = self._context_of(work)
        start, masks = (
            {name: torch.from_numpy(values).to(context.device) for name, values in arrays.items()}
            for arrays in (work.start, work.masks)
        )
        torch.set_num_threads(work.threads)
        train_rung(context, work.members, start, masks, work.number, work.span, _silent, None, work.every_example)

    def _context_of(self, work: RungWork) -> TrainingContext:
        name = work.ladder.cell.dataset
        if name not in self._datasets:
            self._datasets[name] = dataset_of(work.ladder, self._data_folder, self._settings.home)
        context = context_for(work.ladder, self._datasets[name], work.layout, self._settings)
        context = replace(context, network=network_of(work.ladder, work.rung, context.dataset), ranks=self._ranks)
        if self._context is not None:
            context.share_pictures(self._context)
        self._context = context
        return context


def _silent(done: int, total: int) -> None:
    """Report nothing: rank 0 does."""


def serve(handle: int, parent: int) -> None:
    """Train with the process that started this one, until it ends."""
    del parent  # whose end shows in the next sum, where Linux does not tell of it
    die_with_parent()
    hold_memory()
    pipe = Connection(handle)
    with suppress(EOFError, OSError):  # it may end at any moment
        rank, size, meeting, timeout, data_folder, settings = pipe.recv()
        pipe.send("ready")
        try:
            RankTrainer(join(rank, size, meeting, settings.device, timeout), data_folder, settings).run()
        except RankLostError:
            pass  # rank 0 ended, or says itself what happened
        except Exception as trouble:
            pipe.send(str(trouble) if isinstance(trouble, PrunescopeError) else said(trouble))
