"""The learning rates of a rung: those of its optimizers, and the scheduler that is taken to the rewind epoch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from prunescope.errors import listed
from prunescope.record.refusals import refusal


class Rates:
    """The optimizers of a rung, and a scheduler where one is handed over."""

    def __init__(self, optimizers: Sequence[Any], scheduler: Any) -> None:
        while hasattr(scheduler, "scheduler"):  # accelerate's
            scheduler = scheduler.scheduler
        self._optimizers = optimizers
        self._scheduler = scheduler

    @property
    def now(self) -> list[float]:
        """The rates of all groups of parameters."""
        groups = (group for optimizer in self._optimizers for group in optimizer.param_groups)
        return [float(group["lr"]) for group in groups if "lr" in group]

    @property
    def steps(self) -> Any:
        """How many steps the scheduler has taken; None where it does not say, or is none."""
        scheduler = self._scheduler
        if isinstance(scheduler, torch.optim.lr_scheduler.ChainedScheduler):  # they step together
            scheduler = scheduler._schedulers[0]
        return getattr(scheduler, "last_epoch", None)

    def check(self, *, goes_back: bool, fine_tunes: bool) -> None:
        """Refuse a scheduler that cannot train this ladder's rungs.

        Parameters
        ----------
        goes_back
            Whether later rungs begin at the rewind epoch.
        fine_tunes
            Whether they keep the last epoch's rate.
        """
        scheduler = self._scheduler
        if scheduler is None:
            return
        kind = type(scheduler).__name__
        if goes_back and isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise refusal("the scheduler", "must follow from the epoch alone, to be replayed", kind)
        if goes_back and not isinstance(self.steps, int):
            must = "must count its steps as `last_epoch`, as torch's do, to be replayed; or set the rate by the epoch"
            raise refusal("the scheduler", must, kind)
        if fine_tunes:
            must = "must be left out for fine-tuning: set the rate that epoch rung.rate_epoch(epoch) has"
            raise refusal("the scheduler", must, kind)
        if (getattr(scheduler, "last_epoch", None) or 0) > 0:
            raise refusal("the scheduler", "must be made anew for each rung", "one that has taken steps")

    def take_forward(self, steps: object) -> None:
        """Take the scheduler to where it stood at the rewind epoch, after so many steps."""
        if self._scheduler is None:
            return
        if not isinstance(steps, int):
            raise refusal(
                "the scheduler", "must be given at rung 0 too, so that its place there is known", "none there"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no step of the optimizer comes between
            for _ in range(steps):
                self._scheduler.step()

    def refuse_lost_scheduler(self, epoch: int, before: Sequence[float]) -> None:
        """Refuse a scheduler that was not handed over and does not stand where it stood at the rewind epoch.

        Parameters
        ----------
        before
            The rates of rung 0 at that epoch.
        """
        if not before or self._scheduler is not None:
            return
        if not any(hasattr(optimizer.step, "_wrapped_by_lr_sched") for optimizer in self._optimizers):
            return  # the loop sets its rates itself
        now = self.now
        if len(now) != len(before) or not all(map(math.isclose, now, before)):
            must = f"must stand at epoch {epoch}: hand it over, rung.on(model, optimizer, scheduler=scheduler)"
            got = f"learning rates {listed(f'{rate:.4g}' for rate in now)}, where rung 0 had"
            raise refusal("the scheduler", must, f"{got} {listed(f'{rate:.4g}' for rate in before)}")
