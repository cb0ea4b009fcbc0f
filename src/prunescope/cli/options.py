"""What the commands on laws share: their options, and how these become rows, settings and words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.printing import note
from prunescope.durations import seconds_of

if TYPE_CHECKING:
    from prunescope.laws import Estimator
    from prunescope.table import Table

Command = Callable[..., Any]


class Fraction(click.types.FloatParamType):
    """A fraction, such as 0.09; for a percentage the message names the fraction.

    Parameters
    ----------
    above
        Whether numbers above 1 are for others to judge.
    """

    def __init__(self, above: bool = False) -> None:
        self._above = above

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number; whether 0, 1 or more than 100 will do is for others to say."""
        number, percent = str(value).strip(), ""
        if number.endswith("%"):
            number, percent = number[:-1].rstrip(), "%"
        try:
            parsed = float(number)
        except ValueError:
            self.fail(f"{value!r} is not a number, such as 0.09.", param, ctx)
        if percent or (1 < parsed <= 100 and not self._above):
            hint = f" {parsed:g} % is {parsed / 100:.6g}." if 0 <= parsed <= 100 else ""
            self.fail(f"must be a fraction; found {value}.{hint}", param, ctx)
        return parsed


class Duration(click.types.FloatParamType):
    """A time, such as 3h30m, 90m, 2d or 45 (seconds)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a time in seconds."""
        seconds = value if isinstance(value, float) else seconds_of(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a time, such as 3h30m.", param, ctx)
        return seconds


SHARE = Fraction()
DURATION = Duration()
BOUND = Fraction(above=True)
"""A bound on the error, or on an outcome that is no share."""


PICK_BY = click.option(
    "--pick-by",
    type=click.Choice(["validation", "test"]),
    help="Errors that pick among trained networks [validation, where all have one].",
)
COUNT = click.option(
    "--count",
    type=click.Choice(["parameters", "weights"]),
    default="parameters",
    show_default=True,
    help="What sizes count: all that survive, or prunable weights alone.",
)


def options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return one decorator for several options."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _named(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> tuple[str, ...]:
    """Read names, with commas between them or in an option each."""
    del context, parameter
    return tuple(dict.fromkeys(name for text in words for name in names_in(text) or ()))


JSON = click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON, numbers unrounded.")
SPARSE = options(
    click.option("--size", metavar="NAME", help="Column of the nonzero weights N, for --law sparse [nonzero, "
                 "parameters or kept]."),
    click.option("--data", metavar="NAME", help="Column of the examples or tokens D, for --law sparse [tokens, samples "
                 "or examples]."),
)  # fmt: skip
LAW_BY_TABLE = "Default: joint where depth or width vary, else single"
SEED = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of starts and draws.")
FORM = options(
    click.option("--form", type=click.Choice(["paper", "tilted"]), default="paper", show_default=True,
                 help="paper: Eq. 1 or 2; tilted: with a low plateau that may rise or fall with density."),
    click.option("--loss", type=click.Choice(["relative", "huber"]), default="relative", show_default=True,
                 help="What is minimised: squared relative deviations, or Huber's of log errors, which withstands "
                 "diverged networks."),
)  # fmt: skip
WHERE = click.option("--where", multiple=True, help="Keep rows that meet this SQL condition. Repeatable.")
CHOICE = options(
    WHERE,
    click.option("--by", help="Columns whose values make groups, such as retraining,epochs. Default: all that tell "
                 "ladders apart."),
    click.option("--vary", help="Of depth and width (joint law), or of sparsity, size and data (sparse law), those "
                 "that the law explains. Default: all that vary; of the sparse law all."),
    click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Fix a parameter: eps_up=0.9. Repeatable."),
    click.option("--classes", type=click.IntRange(2), help="Number of classes: bounds eps_up by guessing."),
    click.option("--filter", "filters", multiple=True, metavar="NAMES", callback=_named,
                 help="Filters of Table 1: connected, better-than-chance, not-overly-large."),
    click.option("--replicates", type=click.Choice(["mean", "keep"]), default="mean", show_default=True,
                 help="Fit to the mean over replicates, or to every replicate."),
)  # fmt: skip


_ASSIGNED = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^"=<>!]*[^"=<>!\s]))\s*=(?!=)\s*(\S.*)', re.DOTALL)


def _assigned(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> dict[str, str]:
    """Read ``NAME = ...`` options, a name perhaps in double quotes."""
    del context
    assigned: dict[str, str] = {}
    for word in words:
        parts = _ASSIGNED.fullmatch(word)
        if parts is None:
            raise click.BadParameter(f"must be NAME = ...; found {word!r}", param=parameter)
        name = parts[1].replace('""', '"') if parts[1] is not None else parts[2].strip()
        if name in assigned:
            raise click.BadParameter(f"must give {name!r} once", param=parameter)
        assigned[name] = parts[3].strip()
    return assigned


def reading(command: Command) -> Command:
    """Add the options on how a file is read; the command gets them as ``reading``, for `read_table`."""

    @wraps(command)
    def wrapped(
        *arguments: Any,
        columns_set: Any,
        wide: Any,
        decimal_comma: bool,
        outcome: str | None,
        guess: float | None,
        **settings: Any,
    ) -> Any:
        asked = {"set": columns_set, "wide": wide, "decimal": "," if decimal_comma else "."}
        if outcome is not None or guess is not None:
            asked |= {"outcome": outcome or "test_error", "guess": guess}
        return command(*arguments, reading=asked, **settings)

    return options(
        click.option("--set", "columns_set", multiple=True, callback=_assigned, metavar="'NAME = EXPRESSION'",
                     help="Make a column: 'error = 1 - accuracy / 100'. Repeatable."),
        click.option("--wide", multiple=True, callback=_assigned, metavar="'NAME = PATTERN'",
                     help="Gather columns acc_0.5, acc_0.1, ...: 'acc = acc_{density}'. Repeatable."),
        click.option("--decimal-comma", is_flag=True, help="Read numbers like 12,5, columns apart by semicolons."),
        click.option("--outcome", metavar="NAME", help="Take another column for the error, such as test_loss."),
        click.option("--guess", type=float, help="What guessing gives of the outcome [of a loss, log(classes)]."),
    )(wrapped)  # fmt: skip


def shaped(source: str, reading: Mapping[str, Any], where: Sequence[str] = ()) -> Any:
    """Return a source as it is, or the table that it is read as where options say how; of a store then rows alone.

    Conditions are yet to be applied: they say which rows may lack an error.
    """
    if not reading["set"] and not reading["wide"] and reading["decimal"] == "." and "outcome" not in reading:
        return source
    from prunescope.table.reading import rows_before

    return rows_before(source, where, **reading)


def without_share(kind: str | None, reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return how to read for a law: that of sparse networks takes an `error` for any figure, such as a loss."""
    if kind != "sparse":
        return dict(reading)
    from prunescope.table.schema import ANY_FIGURE, Outcome, canonical

    name = reading.get("outcome")
    rest = {key: value for key, value in reading.items() if key not in ("outcome", "guess")}
    return {**rest, "outcome": ANY_FIGURE if name is None else Outcome(canonical(name), reading["guess"], False)}


def rows_of(source: str, where: Sequence[str], reading: Mapping[str, Any] | None = None) -> Table:
    """Read a table, print its notes, apply conditions."""
    from prunescope.table import read_table

    rows = read_table(source, where, **(reading or {}))
    for words in rows.notes:
        note(words)
    if not len(rows):
        raise click.UsageError(f"no row fulfils {' and '.join(f'--where {condition!r}' for condition in where)}")
    return rows


def estimator(kind: str, settings: dict[str, Any]) -> Estimator:
    """Return the estimator that options ask for; options that it does not have are refused if they were given."""
    from prunescope.laws import DenseLaw, JointLaw, SingleLaw, SparseLaw

    chosen = {"single": SingleLaw, "joint": JointLaw, "dense": DenseLaw, "sparse": SparseLaw}[kind]
    settings = dict(settings)
    for name in ("by", "vary"):
        if isinstance(settings.get(name), str):
            settings[name] = names_in(settings[name])
    if not isinstance(settings.get("fix"), dict):
        settings["fix"] = fixed_in(settings.get("fix") or ()) or None
    parameters = chosen().get_params()
    for name, value in list(settings.items()):
        if name not in parameters:
            if value not in (None, (), "mean", "paper"):
                raise click.UsageError(f"--{'filter' if name == 'filters' else name} is not for --law {kind}")
            del settings[name]
    law_estimator: Estimator = chosen(**settings)
    return law_estimator


def names_in(words: str | None) -> tuple[str, ...] | None:
    """Read names with commas between them."""
    if words is None:
        return None
    return tuple(name.strip() for name in words.split(",") if name.strip())


def fixed_in(words: Sequence[str]) -> dict[str, float]:
    """Read ``name=value`` options."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise click.UsageError(f"--fix must be NAME=VALUE, such as eps_up=0.9; found {word!r}")
    return values
