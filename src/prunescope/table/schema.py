"""The table's contract as code: every column that prunescope knows, with type, unit, range and meaning.

One row is one rung: one trained network. `docs/table.md` is generated from here (``python -m
prunescope.table.reference``).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a column's values are, and the numpy type that holds them."""

    TEXT = "text"  # object array of str, None where missing
    INTEGER = "integer"  # int64, never missing
    NUMBER = "number"  # float64, NaN where missing
    FLAG = "flag"  # bool, never missing


class ColumnGroup(StrEnum):
    """What a column is for."""

    IDENTITY = "identity"
    CONFIGURATION = "configuration"
    TREATMENT = "treatment"
    SIZE = "size"
    OUTCOME = "outcome"
    DERIVED = "derived"
    COST = "cost and provenance"


@dataclass(frozen=True)
class ValueRange:
    """Bounds of a number; None is no bound, ``open`` excludes the bound itself."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"
        if self.low is not None:
            return f"above {self.low:g}" if self.low_open else f"{self.low:g} or more"
        return "any"


SHARE = ValueRange(0, 1)
NOT_NEGATIVE = ValueRange(0)
POSITIVE = ValueRange(0, low_open=True)
ONE_OR_MORE = ValueRange(1)


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes
    ----------
    optional
        Whether single values may be missing in a column that is there.
    """

    name: str
    kind: Kind
    group: ColumnGroup
    meaning: str
    unit: str = ""
    range: ValueRange = ValueRange()
    optional: bool = False


_I, _C, _T, _S, _O = (
    ColumnGroup.IDENTITY,
    ColumnGroup.CONFIGURATION,
    ColumnGroup.TREATMENT,
    ColumnGroup.SIZE,
    ColumnGroup.OUTCOME,
)
_TEXT, _INTEGER, _NUMBER, _FLAG = Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.FLAG

COLUMNS = (
    Column("study", _TEXT, _I, "name of the study that trained the network", optional=True),
    Column("ladder", _TEXT, _I, "identity of the ladder: a hash of everything that decides its numbers"),
    Column("replicate", _INTEGER, _I, "which repetition with a seed of its own", range=NOT_NEGATIVE),
    Column(
        "rung",
        _INTEGER,
        _I,
        "place on the ladder: 0 is dense, each further rung is sparser",
        range=NOT_NEGATIVE,
    ),
    Column("family", _TEXT, _C, "networks of one design that vary by depth and width", optional=True),
    Column("dataset", _TEXT, _C, "what the network was trained on", optional=True),
    Column("depth", _INTEGER, _C, "layers with weights, shortcuts aside", "layers", ONE_OR_MORE),
    Column("width", _NUMBER, _C, "width factor of this very network; 1 is the family's own width", range=POSITIVE),
    Column(
        "examples",
        _INTEGER,
        _C,
        "training examples of the cell; leave-out ladders did without some",
        "examples",
        ONE_OR_MORE,
    ),
    Column(
        "label_noise",
        _NUMBER,
        _C,
        "share of training labels changed to another class",
        range=ValueRange(0, 1, high_open=True),
    ),
    Column("recipe", _TEXT, _C, "identity of the recipe: rows that share it were trained alike", optional=True),
    Column("treatment", _TEXT, _T, "imp, one-shot, extended, narrow, dense or leave-out", optional=True),
    Column("rewind", _TEXT, _T, "how training went on after pruning", optional=True),
    Column("score", _TEXT, _T, "what ranked the weights", optional=True),
    Column("scope", _TEXT, _T, "ranks over the whole network (global) or layer by layer (layer)", optional=True),
    Column("leave", _TEXT, _T, "which examples a leave-out ladder did without", optional=True),
    Column("density", _NUMBER, _S, "kept / prunable", range=ValueRange(0, 1, low_open=True)),
    Column("kept", _INTEGER, _S, "prunable weights that survive, counted", "weights", NOT_NEGATIVE),
    Column("prunable", _INTEGER, _S, "weights that pruning may remove", "weights", ONE_OR_MORE),
    Column(
        "parameters",
        _INTEGER,
        _S,
        "all parameters that survive: kept weights and what is never pruned",
        "parameters",
        NOT_NEGATIVE,
    ),
    Column("connected", _FLAG, _S, "whether a path of surviving weights leads from input to output"),
    Column(
        "test_error",
        _NUMBER,
        _O,
        "share of test examples misclassified, last epoch; `error` is the same column",
        range=SHARE,
    ),
    Column(
        "test_examples",
        _NUMBER,
        _O,
        "test examples that `test_error` is a share of, the same ones for all networks; known datasets need none",
        "examples",
        ONE_OR_MORE,
        True,
    ),
    Column("test_loss", _NUMBER, _O, "mean cross-entropy on the test set, last epoch", "nats", NOT_NEGATIVE, True),
    Column(
        "validation_error",
        _NUMBER,
        _O,
        "share of held-out examples misclassified, last epoch",
        "",
        SHARE,
        True,
    ),
    Column(
        "validation_loss",
        _NUMBER,
        _O,
        "mean cross-entropy on held-out examples, last epoch",
        "nats",
        NOT_NEGATIVE,
        True,
    ),
    Column(
        "train_error",
        _NUMBER,
        _O,
        "share of training examples misclassified, by the labels trained on; of those that the recipe measures",
        "",
        SHARE,
        True,
    ),
    Column(
        "train_loss",
        _NUMBER,
        _O,
        "mean cross-entropy on the training examples, by the labels trained on; of those that the recipe measures",
        "nats",
        NOT_NEGATIVE,
        True,
    ),
    Column(
        "train_loss_original",
        _NUMBER,
        _O,
        "`train_loss` over the examples whose label was left as it was",
        "nats",
        NOT_NEGATIVE,
        True,
    ),
    Column(
        "train_loss_noisy",
        _NUMBER,
        _O,
        "`train_loss` over the examples whose label was changed",
        "nats",
        NOT_NEGATIVE,
        True,
    ),
    Column(
        "unpruned_error",
        _NUMBER,
        ColumnGroup.DERIVED,
        "error of the unpruned network; where missing, the mean test error at density 1 over the rows that "
        "share the configuration",
        range=SHARE,
        optional=True,
    ),
    Column("epochs", _INTEGER, ColumnGroup.COST, "epochs that this rung trained", "epochs", NOT_NEGATIVE),
    Column(
        "seconds",
        _NUMBER,
        ColumnGroup.COST,
        "this network's share of the time that its cohort took; of a rung 0 that ladders share, told by each of them",
        "s",
        NOT_NEGATIVE,
        True,
    ),
    Column("device", _TEXT, ColumnGroup.COST, "what it was trained on", optional=True),
    Column("version", _TEXT, ColumnGroup.COST, "version of the code that trained it", optional=True),
    Column("started", _TEXT, ColumnGroup.COST, "when training of the rung began, UTC, ISO 8601", optional=True),
    Column(
        "source",
        _TEXT,
        ColumnGroup.COST,
        "of rungs recorded from a training loop of one's own: the script or module whose loop it is",
        optional=True,
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What laws and choices are about: the test error, or any other figure of which less is better.

    Attributes
    ----------
    name
        Its column.
    guess
        What guessing gives, the most that a plateau may have; None: not given.
    bounded
        Whether a test error is a share of examples. Where it is not, the column ``error`` or else ``loss`` or
        ``test_loss`` holds any figures above 0, and unpruned networks play no part.
    """

    name: str = "test_error"
    guess: float | None = None
    bounded: bool = True

    @property
    def is_error(self) -> bool:
        """Whether it is a share of examples, from 0 to 1."""
        return self.name == "test_error" and self.bounded

    @property
    def validation(self) -> str:
        """The column of the same figure on held-out examples; empty where there is none."""
        name = self.name.replace("test_", "validation_", 1)
        return name if name in BY_NAME and name != self.name else ""

    def guessing(self, classes: int | None) -> float | None:
        """Return what guessing among classes gives; of a loss, the cross-entropy of one probability for all."""
        if self.guess is not None or classes is None:
            return self.guess
        if self.is_error:
            return 1 - 1 / classes
        return math.log(classes) if self.name.endswith("loss") else None


ERROR = Outcome()
ANY_FIGURE = Outcome(bounded=False)
# What is taken for a figure that is not named.
FIGURES = ("test_error", "loss", "test_loss", "validation_loss")
BY_NAME = {column.name: column for column in COLUMNS}
ALIASES = {"error": "test_error"}

# What an outcome takes the place of.
MEASURED = ("test_error", "unpruned_error")

# What the laws need of anybody's file. A store's rows have every stored column.
NEEDED = ("density", "test_error")
STORED = tuple(column for column in COLUMNS if column.group is not ColumnGroup.DERIVED)
STORED_NAMES = tuple(column.name for column in STORED)
CONFIGURATION = tuple(column.name for column in COLUMNS if column.group is ColumnGroup.CONFIGURATION)

# When, where and for whom a rung was trained. Two rows for one rung may differ here; elsewhere they contradict.
CIRCUMSTANCES = ("started", "seconds", "device", "version", "study", "source", "test_examples")
RESULTS = tuple(column.name for column in STORED if column.name not in (*CIRCUMSTANCES, "ladder", "rung"))


_BY_LETTERS = {name.replace("_", ""): ALIASES.get(name, name) for name in (*BY_NAME, *ALIASES)}


# What trackers of experiments write before the names of columns: `params.depth`, `metrics/error`.
_TRACKED = re.compile(r"(?:params|parameters|metrics|config|hparams|hyperparameters|summary)[./]", re.IGNORECASE)


def bare(name: str) -> str:
    """Return a column's name without what a tracker of experiments writes before it."""
    return _TRACKED.sub("", name.strip(), count=1) if _TRACKED.match(name.strip()) else name.strip()


def canonical(name: str) -> str:
    """Return the schema's name for a column as somebody spelled it, or the spelling without outer white space."""
    letters = bare(name).lower().replace(" ", "").replace("-", "").replace("_", "")
    return _BY_LETTERS.get(letters, name.strip())


def is_number(name: str) -> bool:
    """Whether a column, as somebody spelled it, is one of the schema's that hold numbers."""
    column = BY_NAME.get(canonical(name))
    return column is not None and column.kind in (Kind.INTEGER, Kind.NUMBER)
