"""Faults of several files, told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prunescope.errors import Fault, InputError


class FaultCollector:
    """Collects the faults of the files of one dataset while they are read one after the other."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []

    @contextmanager
    def file(self) -> Iterator[None]:
        """Keep what is wrong with one file for later, and go on with the next."""
        try:
            yield
        except InputError as trouble:
            self.faults.extend(trouble.faults)

    def tell(self) -> None:
        """Raise what was gathered, if anything was."""
        if self.faults:
            raise InputError(self.source, self.faults)


def refusal(file: str, must: str, got: str = "", hint: str = "") -> InputError:
    """Return the error for a file that is not what it has to be."""
    return InputError(file, [Fault(file, must, got, hint)])
