"""``prunescope sparsity``: the best sparsity for a budget of nonzero weights and training."""

from __future__ import annotations

from typing import Any

import click

from prunescope.cli.options import JSON
from prunescope.cli.printing import print_json, wrapped


def _shares(context: click.Context, parameter: click.Parameter, words: str) -> tuple[float, ...]:
    del context
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError:
        raise click.BadParameter(
            f"must be three shares, such as 0.25,0.5,0.25; found {words!r}", param=parameter
        ) from None


@click.command()
@click.argument("law", metavar="LAW")
@click.option("--nonzero", type=float, required=True, metavar="N", help="Weights that remain after pruning.")
@click.option("--data", type=float, required=True, metavar="D", help="Examples or tokens on which a dense network of N "
              "weights would be trained.")  # fmt: skip
@click.option("--most", type=float, metavar="S", help="The highest sparsity to consider [the highest measured].")
@click.option("--schedule", default="0.25,0.5,0.25", show_default=True, callback=_shares, metavar="A,B,C",
              help="Shares of training in which a network is dense, is pruned, and is sparse.")  # fmt: skip
@JSON
def sparsity(law: str, nonzero: float, data: float, as_json: bool, **settings: Any) -> None:
    """Find the sparsity of least loss for a budget.

    LAW is a file that fit --law sparse --save wrote. All networks compared have N nonzero weights and take as much
    training: a sparser one is larger before it is pruned, and sees fewer examples.
    """
    from prunescope.laws import load_law
    from prunescope.laws.results import number
    from prunescope.laws.sparse import best_sparsities

    answers = best_sparsities(load_law(law), nonzero, data, **settings)
    if as_json:
        print_json({"best": [{"group": group, **best.to_dict()} for group, best in answers]})
        return
    for group, best in answers:
        if len(answers) > 1:
            click.echo(f"{', '.join(f'{name} {value}' for name, value in group.items())}:")
        around = ""
        if best.sparsity_interval is not None:
            around = f" [{number(best.sparsity_interval[0])}, {number(best.sparsity_interval[1])}]"
        click.echo(f"sparsity    {number(best.sparsity)}{around}")
        click.echo(f"dense size  {best.dense_size:,.4g} weights, {best.nonzero:,.4g} of which remain")
        click.echo(
            f"data        {best.data:,.4g} ({best.budget:,.4g} for a dense network of {best.nonzero:,.4g} weights)"
        )
        click.echo(f"loss        {number(best.loss)} (dense: {number(best.loss_dense)})")
        for words in best.warnings:
            click.echo(wrapped(f"! {words}"))
