"""The page `docs/reproduction.md`: the claims of both papers beside what was measured, computed from shipped tables.

python -m tools.reproduction docs/reproduction.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from prunescope.laws.comparison import TILT, FormComparison
from prunescope.table import load_table, published_tables, published_text
from tools.claims import VERDICTS, Claim
from tools.families import families, forms_of, percent
from tools.first_paper import first_paper
from tools.pictures import shown
from tools.second_paper import memorised, second_paper
from tools.where_it_misses import LEAST_POINTS, parts_of_families, what_is_missed

# Error in percent by level of LeNet-300-100 after two epochs: OpenLTH, mean of six networks, each +- 0.2.
OPENLTH = {0: 3.20, 3: 3.03, 6: 3.08, 9: 3.28, 12: 3.50, 14: 3.83}


def forms_beside() -> Iterator[str]:
    """Yield rows on how far the forms are off for members that a fit did not see."""
    for family in families():
        yield from _form_rows(family.name, family.forms)
        if LEAST_POINTS <= len(family.as_the_paper_filters) < len(family.group):
            forms = forms_of(family.as_the_paper_filters)
            yield from _form_rows(f"{family.name}, as the paper filters", forms)


def _form_rows(words: str, forms: dict[str, FormComparison]) -> Iterator[str]:
    for name in ("Eq. 2", TILT[True], "adapted from Rosenfeld et al. 2020, over the invariant"):
        form = forms[name]
        if form.cross_validated is not None:
            off = float(np.sqrt(np.mean(np.square(form.unseen))))
            yield f"| {words} | {name} | {form.free} | {percent(off)} | {form.gain or ''} |"


def beside_openlth() -> Iterator[str]:
    """Yield rows on LeNet-300-100 beside an independent implementation; nothing where it was not measured."""
    if "lenet-two-epochs" not in published_tables():
        return
    rows = load_table("lenet-two-epochs")
    for level, theirs in OPENLTH.items():
        errors = 100 * rows["test_error"][rows["rung"] == level]
        spread = errors.std(ddof=1) / np.sqrt(len(errors))
        yield f"| {level} | {theirs:.2f} | {errors.mean():.2f} ± {spread:.2f} | {len(errors)} |"


_HEAD = """\
# Both papers, measured again

What the two papers claim, beside what prunescope measured on real data. Everything below is computed from the tables
that come with the package (`make docs`); nothing is typed. Verdicts: **holds** for every family measured, **holds with
limits** for some, **not seen** for none, **not measured** yet.

The families are small and briefly trained, as two processor cores allow: none has the size of the papers' networks.
"""


def _counted(claims: list[Claim]) -> str:
    numbers = ((sum(claim.verdict == said for claim in claims), said) for said in VERDICTS)
    said = [
        f"{number} {words if number == 1 else words.replace('holds', 'hold')}" for number, words in numbers if number
    ]
    return f"Of {len(claims)} claims {', '.join(said[:-1])} and {said[-1]}."


def page() -> str:
    """Return the page."""
    lines = [_HEAD, "| table | rows | holds | measured by |", "|---|---|---|---|"]
    for name, published in published_tables().items():
        lines.append(f"| `{name}` | {len(load_table(name)):,} | {published.title} | {published.source} |")
    lines += [
        "",
        "`prunescope table` lists them, and every command takes them by name: `prunescope fit lenet-mnist --law "
        'joint`, `prunescope.load_table("lenet-mnist")`.',
        "",
    ]
    parts = ((1, "The first paper", first_paper()), (2, "The second paper", second_paper()))
    lines += [_counted([claim for _, _, claims in parts for claim in claims]), ""]
    for paper, title, claims in parts:
        lines += [f"## {title}", "", "| where | the paper | measured here | verdict |", "|---|---|---|---|"]
        lines += [f"| {claim.where} | {claim.paper} | {claim.ours or '–'} | **{claim.verdict}** |" for claim in claims]
        lines += ["", *shown(paper)]
    if learnt := list(memorised()):
        lines += [
            "## What the networks have learnt of wrong labels",
            "",
            "Under label noise pruning can gain what a dense network has memorised. A network that guesses among ten "
            "classes has a training loss of 2.30 nats; wrong labels with a loss above that are not memorised at all. "
            "Changes are of the optimally sparse network beside the dense one: nats, and points of test error.",
            "",
            "| table | wrong labels | dense error | their loss, dense | its change | test error | diagnosis |",
            "|---|---|---|---|---|---|---|",
            *learnt,
            "",
        ]
    lines += [
        "## Where the joint law misses",
        "",
        "The joint law of parts of each family. Where a part alone meets the paper's threshold, what it leaves out is "
        "what the law misses. The last column is what seeds alone explain of sigma.",
        "",
        "| table | part | points | mu | sigma | seeds |",
        "|---|---|---|---|---|---|",
        *parts_of_families(),
        "",
        *what_is_missed(),
        "## Forms beside each other",
        "",
        "Root mean square of the relative deviation for configurations that a fit did not see (10 folds), and the "
        "difference to Eq. 2 with its standard error over configurations, in percentage points.",
        "",
        "| table | form | free | off by | than Eq. 2 |",
        "|---|---|---|---|---|",
        *forms_beside(),
        "",
    ]
    if rows := list(beside_openlth()):
        lines += [
            "## Beside an independent implementation",
            "",
            "LeNet-300-100 on MNIST, two epochs at rate 0.1, weight rewinding to the start: error in percent by level. "
            "OpenLTH: mean of six networks, each ± 0.2. Here: eight (`lenet-two-epochs`), ± one standard error.",
            "",
            "| level | OpenLTH | here | networks |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    lines += ["## The studies", "", "The study files of the tables that were measured here."]
    for published in published_tables().values():
        for study in published.studies:
            lines += ["", f"`{published.name}`:", "", "```toml", published_text(study).strip(), "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Write the page."""
    Path(arguments[-1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
