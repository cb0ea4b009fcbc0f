"""When a run is to end in good order: the rungs in training are finished and written, and no other is begun.

Rungs that would take more than some minutes yet are kept as they are (`kept_progress`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

HALTED = 75  # the exit code of a run that stopped in good order with work left; sysexits.h: try again later


class Stop:
    """Whether a run is to end: since it was asked to, or since its time is over.

    Parameters
    ----------
    after
        Seconds from now; None: only when asked.
    """

    def __init__(self, after: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = None if after is None else clock() + after
        self._asked = False

    def ask(self) -> None:
        """End the run after the rungs in training; safe in a signal handler."""
        self._asked = True

    def __call__(self) -> bool:
        """Whether to begin nothing more."""
        return self._asked or (self._at is not None and self._clock() >= self._at)
