"""How a run ends before its study does: after a time, on SIGTERM once in good order, twice at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.run.stopping import Stop

TERMINATED = 143
_WORDS = b"\nstopping after the rungs in training; another SIGTERM stops at once\n"


class Terminated(BaseException):
    """A second SIGTERM. Not an `Exception`, so that no task catches it."""


@contextmanager
def stopping(after: float | None) -> Iterator[Stop]:
    """Give what tells a run to end, after some seconds or on SIGTERM, for as long as the block runs."""
    from prunescope.run.stopping import Stop

    stop, asked = Stop(after), False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del number, frame
        if asked:
            raise Terminated
        asked = True
        stop.ask()
        os.write(2, _WORDS)  # nothing buffered may be touched here

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
