"""Tells how far a rung under way is, now and then, and which share of the time it waited for streamed pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from prunescope.run.events import CohortProgress, EventHandler

REPORT_INTERVAL = 0.2  # seconds between two reports


class ProgressReporter:
    """Reports the progress within a rung, at most every `REPORT_INTERVAL` seconds.

    Parameters
    ----------
    progress
        What is reported, apart from epoch and steps.
    waited
        Tells the seconds that were spent waiting for streamed pictures.
    """

    def __init__(self, progress: CohortProgress, on_event: EventHandler, waited: Callable[[], float]) -> None:
        self._progress = progress
        self._on_event = on_event
        self._waited, self._before = waited, waited()
        self._begun = self._reported = time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        """Report the steps done, unless the last report is recent."""
        now = time.perf_counter()
        if now - self._reported < REPORT_INTERVAL:
            return
        self._reported = now
        first, last = self._progress.epoch, self._progress.epochs
        share = (self._waited() - self._before) / (now - self._begun)
        epoch = first + (done - 1) * (last - first) // total
        self._on_event(replace(self._progress, epoch=epoch, done=done, total=total, waited=share))
