"""``prunescope choose``: the smallest pruned network under an error bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import (
    BOUND,
    CHOICE,
    COUNT,
    FORM,
    JSON,
    PICK_BY,
    SEED,
    SHARE,
    fixed_in,
    names_in,
    options,
    reading,
    rows_of,
)
from prunescope.cli.printing import note, print_json, print_table, wrapped
from prunescope.errors import PrunescopeError, apart, command, counted, printable, whole_percent

if TYPE_CHECKING:
    from prunescope.choose import Answer, Answers
    from prunescope.table import Table

Value = Callable[[str], Any]


def numbers(kind: Value) -> Callable[[click.Context, click.Parameter, str | None], tuple[Any, ...] | None]:
    """Return a reader of numbers with commas between them."""

    def read(context: click.Context, parameter: click.Parameter, words: str | None) -> tuple[Any, ...] | None:
        del context
        if words is None:
            return None
        try:
            values = tuple(kind(word) for word in words.split(",") if word.strip())
        except ValueError:
            values = ()
        if not values or min(values) <= 0:
            raise click.BadParameter(
                f"must be positive numbers with commas between them; found {words!r}", param=parameter
            )
        return values

    return read


ERROR = click.option(
    "--max-error", type=BOUND, required=True, metavar="K", help="The highest error allowed, such as 0.08."
)
GRID = options(
    click.option("--depths", callback=numbers(int), metavar="8,14,...", help="Depths to choose from, measured or not."),
    click.option("--widths", callback=numbers(float), metavar="0.5,1,...", help="Widths to choose from."),
    click.option("--examples", type=click.IntRange(1), help="Training examples of the members [the most measured]."),
    click.option("--members", metavar="FILE", help="A table of members to choose from: depth, width, unpruned_error."),
)  # fmt: skip


def _refuse_law(context: click.Context, parameter: click.Parameter, words: str | None) -> None:
    del context
    if words is not None:
        raise click.BadParameter(
            "the law of a choice is Eq. 2 (--form tilted: with a tilted plateau). The best sparsity by the law of "
            "sparse networks: prunescope fit TABLE --law sparse --save law.json, then prunescope sparsity law.json",
            param=parameter,
        )


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--law", hidden=True, expose_value=False, callback=_refuse_law)
@ERROR
@click.option("--confidence", type=SHARE, default=0.9, show_default=True, help="Probability of meeting the bound.")
@GRID
@click.option("--min-density", type=SHARE, default=0.0, help="The lowest density allowed.")
@click.option("--max-parameters", type=float, metavar="N", help="The most remaining parameters allowed.")
@click.option(
    "--max-flops", type=float, metavar="N", help="The most multiplications allowed in the unpruned forward pass."
)
@click.option("--extrapolate", is_flag=True, help="Also choose networks far beyond what was measured.")
@click.option("--law-alone", is_flag=True, help="Use the law alone, without the deviations of single members.")
@COUNT
@PICK_BY
@click.option("--frontier", is_flag=True, help="Also print the smallest network for each error.")
@FORM
@CHOICE
@SEED
@JSON
@reading
def choose(
    source: str,
    max_error: float,
    confidence: float,
    max_flops: float | None,
    frontier: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find the smallest network with an error of at most K.

    Gives two answers: the smallest network whose expected error meets the bound, which a single training run may miss,
    and the smallest that meets it with --confidence.
    """
    from prunescope.choose import smallest_network
    from prunescope.choose.answers import answer_lines, frontier_lines, group_words

    rows = rows_of(source, settings.pop("where"), settings.pop("reading"))
    answers = smallest_network(
        rows, max_error, confidence=confidence, max_multiplications=max_flops, **_law_settings(settings)
    )
    for words in answers.notes:
        note(words)
    if as_json:
        print_json(answers.to_dict())
    elif len(answers.answers) == 1:
        lines = [*answer_lines(answers.answers[0])]
        lines += ["", *frontier_lines(answers.answers[0])] if frontier else []
        click.echo("\n".join(wrapped(line) for line in lines))
        _tell_trained(source, rows, answers.answers[0], max_error, settings["pick_by"])
    elif answers.answers:
        _show_many(answers)
        for answer in answers.answers if frontier else ():
            click.echo(f"\n{printable(group_words(answer.group))}")
            click.echo("\n".join(frontier_lines(answer)))
        _tell_notes(answers)
    _tell_declined(answers)


def _tell_trained(source: str, rows: Table, answer: Answer, max_error: float, pick_by: str | None) -> None:
    """Say how to take away a network of a store that will do."""
    from prunescope.choose.trained import trained_network
    from prunescope.study.catalogue import is_import_path
    from prunescope.table import Store, is_store

    if source == "-" or not is_store(Path(source)):
        return
    trained = trained_network(rows, answer, pick_by)
    if trained is None:
        typed = command("next", Path(source), "--max-error", max_error)
        click.echo(f"\nno trained network meets the bound yet; to see what to train next:\n  {typed}")
        return
    size = f"{trained.parameters:,} parameters, {trained.words}"
    # Identities are hashes: those of the chosen members' ladders come first.
    members = {(pick.depth, pick.width) for pick in (answer.choice, answer.robust) if pick is not None}
    ladders = sorted(
        (ladder for study in Store(source).studies() for ladder in study.ladders),
        key=lambda ladder: (ladder.cell.depth, ladder.cell.width) not in members,
    )
    ladder = next((ladder for ladder in ladders if ladder.identity == trained.ladder), None)
    which = ("--ladder", trained.ladder[:8], "--rung", trained.rung)
    if ladder is None and trained.ladder in (recorded := Store(source).recorded()):
        kept = Store(source).rung_with("checkpoints", trained.ladder, trained.rung, f"kept/{trained.rung}/") is not None
        words = f"trained already ({size}), by {recorded[trained.ladder].ladder.source}"
        click.echo()
        if kept:
            typed = command("export", Path(source), *which, "--factory", "MODULE:FUNCTION", "-o", "NAME.safetensors")
            click.echo(f"{printable(words)}:\n  {typed}")
        else:
            hint = "Its weights were not kept: Recorder(..., keep='all') keeps them."
            click.echo(wrapped(printable(f"{words}: rung {trained.rung} of ladder {trained.ladder[:8]}. {hint}")))
        return
    if ladder is None:
        missing = "It cannot be exported: the store does not hold the study that says how it was trained (Store.begin)."
        click.echo()
        click.echo(wrapped(f"trained already ({size}): rung {trained.rung} of ladder {trained.ladder[:8]}. {missing}"))
        return
    named = (("--factory", ladder.cell.family), ("--score", ladder.treatment.score or ""))
    code = [word for option, path in named if is_import_path(path) for word in (option, path)]
    typed = command("export", Path(source), *which, *code, "-o", "NAME.safetensors")
    click.echo(f"\ntrained already ({size}):\n  {typed}")


def _law_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return options as settings of the law and the question."""
    given_options = dict(settings)
    given_options["by"], given_options["vary"] = names_in(given_options["by"]), names_in(given_options["vary"])
    given_options["fix"] = fixed_in(given_options["fix"]) or None
    return given_options


def _tell_notes(answers: Answers) -> None:
    """Print what is noted of the families, and of which it is where it is not of all."""
    from prunescope.choose.answers import group_words

    noted: dict[str, list[str]] = {}
    for answer in answers.answers:
        for words in answer.notes:
            noted.setdefault(words, []).append(group_words(answer.group))
    for words, families in noted.items():
        more = f" and {len(families) - MOST_NAMED} more" if families[MOST_NAMED:] else ""
        of_all = len(families) == len(answers.answers)
        note(words if of_all else printable(f"{'; '.join(families[:MOST_NAMED])}{more}: {words}"))


# Families that a note names.
MOST_NAMED = 3


def _tell_declined(answers: Answers) -> None:
    from prunescope.choose.answers import group_words

    kinds: dict[str, list[str]] = {}
    for refusal in answers.declined:
        alike = "".join(letter for letter in refusal.why.split(":")[0] if not letter.isdigit())
        whose = group_words(refusal.group)
        kinds.setdefault(alike, []).append(printable(f"{whose}: {refusal.why}" if whose else refusal.why))
    words = [f"{counted(len(same), 'family', 'families')}, such as {same[0]}" if same[1:] else same[0]
             for same in kinds.values()]  # fmt: skip
    if not answers.answers:
        raise PrunescopeError("\n".join(words))
    for line in words:
        note(f"no answer for {line}")


def _show_many(result: Answers) -> None:
    from prunescope.choose.counts import amount

    # Shares of networks whose sizes are not known say nothing of which is smaller.
    known = all(answer.choice.counted != "relative" for answer in result.answers)
    answers = sorted(result.answers, key=lambda answer: answer.choice.parameters if known else 0.0)
    refused = [(refusal.group, refusal.seen) for refusal in result.declined if refusal.seen is not None]
    refused.sort(key=lambda item: item[1].parameters)
    rows = [
        (
            answer.group,
            answer.choice.name,
            f"{answer.choice.density:.4g}",
            amount(answer.choice.parameters),
            whole_percent(answer.choice.probability),
            "none" if answer.robust is None else f"{answer.robust.density:.4g}",
            "none" if answer.seen is None else f"{answer.seen.density:.4g}",
        )
        for answer in answers
    ]
    rows += [(group, network.name, "no answer", "", "", "", f"{network.density:.4g}") for group, network in refused]
    columns = {name: [group.get(name) for group, *_ in rows] for name in apart(rows[0][0])}
    keys = max(1, len(columns))
    size = answers[0].noun if known else "depth x width^2" if " x " in answers[0].unit else "share left"
    names = ("member", "density", size, "odds", "surely", "measured")
    columns |= {name: [row[place] for row in rows] for place, name in enumerate(names, 1)}
    print_table(columns, keys=keys)
    bound, confidence = answers[0].max_error, answers[0].confidence
    how_many = f"{counted(len(answers), 'family', 'families')}{', smallest first' if known else ''}"
    click.echo()
    click.echo(
        wrapped(
            f"{how_many}; an error of at most {bound:g} by the law; surely is the density at which "
            f"{whole_percent(confidence)} of networks meet it; measured is the lowest density at which the mean over "
            "replicates met it"
        )
    )
    if not known:
        note(
            "how large these networks are is not known, so none is called the smallest: add a column `prunable`, "
            "weights before pruning, or `parameters`"
        )
