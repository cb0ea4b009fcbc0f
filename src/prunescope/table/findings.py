"""Raw columns and their faults as they are found, with rows named as the source counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, clipped, listed

# What a file may hold: ten times the rungs that this program aims at, and more columns than anybody reads.
MOST_ROWS = 10_000_000
MOST_COLUMNS = 10_000
MOST_VALUES = 200_000_000  # rows times columns
MOST_LETTERS = 131_072  # of one text, as Python's reader of CSV has it
MOST_TEXT = 1_000_000_000  # letters of all texts

# A column, of whatever type its values have.
Array = NDArray[Any]


@dataclass
class Findings:
    """Faults of one source as they are found, rows and columns named as the source names them."""

    source: str
    unit: str = "row"
    numbers: Callable[[Array], Iterable[int]] = field(default=lambda rows: (rows + 1).tolist())
    faults: list[Fault] = field(default_factory=list)
    spelled: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, must: str, found: str = "", hint: str = "") -> None:
        """Add one fault."""
        self.faults.append(Fault(place, must, found, hint))

    def at_rows(self, name: str, rows: Array, must: str, values: Sequence[object], hint: str = "") -> None:
        """Add one fault for all the rows that share it."""
        if len(rows):
            place = f"column {clipped(self.spelled.get(name, name))}, {self.lines(rows)}"
            shown = listed(dict.fromkeys(clipped(value) for value in values[:6]), 3)
            self.add(place, must, shown, hint)

    def lines(self, rows: Array) -> str:
        """Write ``line 7`` or ``lines 7, 9 and 30 more``."""
        shown = listed(self.numbers(rows), 4)
        return f"{self.unit}{'' if len(rows) == 1 else 's'} {shown}"

    def refuse_size(self, rows: int, columns: int) -> None:
        """Refuse a file that is too large, before its rows are read."""
        limits = (
            ("the columns", f"must be at most {MOST_COLUMNS:,}", columns > MOST_COLUMNS, f"{columns:,}"),
            ("the rows", f"must be at most {MOST_ROWS:,}", rows > MOST_ROWS, f"{rows:,}"),
            (
                "rows times columns",
                f"must be at most {MOST_VALUES:,}",
                rows * columns > MOST_VALUES,
                f"{rows * columns:,}",
            ),
        )
        for place, must, beyond, shown in limits:
            if beyond:
                self.add(place, must, shown, "Write what you need of it to a file of its own.")
                self.raise_if_any()

    def raise_if_any(self) -> None:
        """Raise all faults together."""
        if self.faults:
            raise InputError(self.source, self.faults)
