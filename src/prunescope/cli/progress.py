"""How far a run is: bars on a terminal, a line now and then elsewhere. Everything goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import click

from prunescope.cli.printing import spelled
from prunescope.errors import command, counted, printable, whole_percent
from prunescope.run.events import (
    OUTCOMES,
    ArtifactsMissing,
    ClusterChanged,
    CohortFinished,
    CohortProgress,
    DatasetChanged,
    Event,
    EventHandler,
    ExamplesScored,
    LadderFailed,
    LaddersElsewhere,
    LaddersFreed,
    Lost,
    NetworkMade,
    NotExclusive,
    ResultsSetAside,
    RungFinished,
    RunStarted,
    TuningFailed,
    TuningStarted,
    Unsound,
)

# Where there is no terminal: seconds between two lines, and at least this share of the time so far.
LINE_EVERY, LINE_SHARE = 10.0, 0.01
WAITED = 0.01  # share of the time from which on waiting for pictures is told


@contextmanager
def showing(name: str) -> Iterator[EventHandler]:
    """Show how far a run is, for as long as it lasts."""
    with ProgressDisplay(name) as progress:
        yield progress.tell


class ProgressDisplay:
    """Listens to a run and shows it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._total = self._left = 0
        self._trained = 0.0  # examples seen in this run, rungs under way included
        self._under_way: dict[int, tuple[CohortProgress, float]] = {}
        self._networks = self._failures = 0
        self._clock = self._last_line = time.monotonic()
        self._phase = "starting"
        self._bars: Any = None
        self._tasks: dict[int, Any] = {}
        self._whole: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _begin(self, event: RunStarted) -> None:
        self._total, self._left = event.total, event.left
        if not event.left:
            return
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[words]}"))
            self._bars = Bars(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5)
            self._bars.start()
            self._whole = self._bars.add_task(_plain(self._name), total=self._total, words="starting")
        else:
            ladders = counted(event.ladders, "ladder")
            click.echo(f"{printable(self._name)}: {ladders}, {whole_percent(self._share())} done before", err=True)

    def tell(self, event: Event) -> None:
        """Update the display with an event."""
        now = time.monotonic()
        match event:
            case RunStarted():
                self._begin(event)
            case NetworkMade():
                self._say(printable(f"{event.words}: {event.facts}"), now, always=True, style="")
            case TuningStarted():
                self._phase = f"measuring how {event.words} trains fastest"
                self._say(self._phase, now)
            case TuningFailed():
                words = f"how {event.words} trains fastest could not be measured: {event.reason}; {event.instead}"
                self._say(words, now, always=True)
            case DatasetChanged():
                self._say(event.words, now, always=True)
            case ArtifactsMissing():
                verb, whose = ("was", "its") if event.rungs == 1 else ("were", "their")
                note = f"{counted(event.rungs, 'network')} {verb} trained before without keeping {whose} {event.what}"
                others = "For all, run into a new --store"
                if event.what == OUTCOMES:
                    others = "prunescope outcomes makes the others"
                words = f"{note}; those of networks trained from now on are kept. {others}"
                self._say(words, now, always=True)
            case CohortProgress():
                self._under_way[event.cohort] = (event, event.members * event.work * event.done / event.total)
                self._phase = ""
                self._bar(event)
                self._say(f"{event.words}, {event.members} together, {self._place(event)}", now)
            case RungFinished():
                self._under_way.pop(event.cohort, None)
                self._left -= event.work
                self._trained += event.work
                self._networks += event.networks
                line = f"{event.words}, {event.members} together, rung {event.rung}: density {event.density:.3g}, "
                self._say(f"{line}error {event.error:.3g}", now)
            case Lost():
                self._under_way.pop(event.cohort, None)
                self._left += event.work
                self._trained -= event.work
                self._networks -= event.networks
            case ResultsSetAside():
                words = f"{counted(event.rungs, 'rung')} had another result already, which stays; ours is set aside: "
                self._say(f"{words}{command('status', event.store)} shows both", now, always=True)
            case NotExclusive():
                words = f"the file system of {printable(event.store)} lets two processes create one file, so two runs"
                words += (
                    " there would not know of each other: start one at a time, or put the store elsewhere (--store)"
                )
                self._say(words, now, always=True)
            case Unsound():
                self._say(f"{printable(event.reason)}; {event.instead}", now, always=True)
            case ExamplesScored():
                self._under_way.pop(event.cohort, None)
                self._left -= event.work
                self._trained += event.work
                self._say(f"{event.words}: scored by {counted(event.networks, 'network')}", now)
            case LadderFailed():
                self._left -= event.work
                self._failures += 1
                self._under_way.pop(event.cohort, None)
                self._say(f"failed: {event.words}, rung {event.rung}: {event.reason}", now, always=True)
            case LaddersElsewhere():
                self._left -= event.work
            case LaddersFreed():
                self._left += event.work
                self._say(f"{counted(event.ladders, 'ladder')} left by another run: trained here", now, always=True)
            case ClusterChanged():
                self._say(printable(event.words), now, always=True, style="")
            case CohortFinished():
                self._under_way.pop(event.cohort, None)
                task = self._tasks.pop(event.cohort, None)
                if task is not None:
                    self._bars.remove_task(task)
        self._show_whole(now)

    def _share(self) -> float:
        under_way = sum(work for _, work in self._under_way.values())
        return 1 - (self._left - under_way) / self._total if self._total else 1.0

    def _time_left(self, now: float) -> str:
        """Return the time left at the pace so far, in words; nothing before an epoch is done."""
        under_way = sum(work for _, work in self._under_way.values())
        presented = self._trained + under_way
        epochs = (event.done * event.epochs / event.total for event, _ in self._under_way.values())
        if now - self._clock < 2 or not presented or not (self._trained or any(done >= 1 for done in epochs)):
            return ""
        return f", about {spelled((now - self._clock) * max(0.0, self._left - under_way) / presented)} left"

    def _summary(self, now: float) -> str:
        failed = f", {self._failures} failed" if self._failures else ""
        return f"{whole_percent(self._share())}, {counted(self._networks, 'network')}{failed}{self._time_left(now)}"

    def _say(self, words: str, now: float, always: bool = False, style: str = "red") -> None:
        """Print a line: what fails always, the rest now and then, and only where no bars are shown."""
        if self._bars is not None:
            if always:
                self._bars.console.print(words, style=style, markup=False, highlight=False)
        elif always or now - self._last_line >= max(LINE_EVERY, LINE_SHARE * (now - self._clock)):
            self._last_line = now
            click.echo(f"{spelled(now - self._clock)}: {self._summary(now)}; {words}", err=True)

    def _bar(self, event: CohortProgress) -> None:
        if self._bars is None:
            return
        if event.cohort not in self._tasks:
            self._tasks[event.cohort] = self._bars.add_task(_plain(f"  {event.words}"), total=1.0, words="")
        done = (event.rung + event.done / event.total) / event.rungs
        words = f"{event.members} together, {self._place(event)}"
        self._bars.update(self._tasks[event.cohort], completed=done, words=words)

    @staticmethod
    def _place(event: CohortProgress) -> str:
        waited = f", {whole_percent(event.waited)} waiting for pictures" if event.waited >= WAITED else ""
        return f"rung {event.rung} of {event.rungs - 1}, epoch {event.epoch} of {event.epochs}{waited}"

    def _show_whole(self, now: float) -> None:
        if self._bars is not None:
            self._bars.update(
                self._whole, completed=self._share() * self._total, words=self._phase or self._summary(now)
            )


def _plain(words: str) -> str:
    """Return words that rich shows as they are: a study's name may hold its marks."""
    return printable(words).replace("[", "\\[")
