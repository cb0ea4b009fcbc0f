"""The page `docs/reproduction.md`: the claims of both papers beside what was measured, computed from shipped tables.

python -m tools.reproduction docs/reproduction.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from prunescope.laws.comparison import TILT, FormComparison
from prunescope.laws.forms import JOINT
from prunescope.table import load_table, published_tables, published_text
from tools.claims import LIMITS, VERDICTS, Claim
from tools.families import families, forms_of, percent
from tools.first_paper import ADAPTED, extrapolation, first_paper, parameters
from tools.lens_cases import memorised, other_ways
from tools.pictures import shown
from tools.second_paper import second_paper
from tools.where_it_misses import LEAST_POINTS, parts_of_families, what_is_missed

# Error in percent by level of LeNet-300-100 after two epochs: OpenLTH, mean of six networks, each +- 0.2.
OPENLTH = {0: 3.20, 3: 3.03, 6: 3.08, 9: 3.28, 12: 3.50, 14: 3.83}


def forms_beside() -> Iterator[str]:
    """Yield rows on how far the forms are off for members that a fit did not see."""
    for family in families():
        yield from _form_rows(family.name, family.forms)
        if LEAST_POINTS <= len(family.counted) < len(family.group):
            yield from _form_rows(f"{family.name}, all networks", forms_of(family.group))


def _form_rows(words: str, forms: dict[str, FormComparison]) -> Iterator[str]:
    for name in ("Eq. 2", TILT[True], ADAPTED):
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

What the two papers claim, beside what prunescope measured on real data. The papers' figures are typed from their text;
everything measured here is computed from the tables that come with the package (`make docs`).

The families are small and briefly trained, as two processor cores allow: none has the size of the papers' networks.
Where the papers give no bar, ours stands in brackets: (here: ...).

A claim is judged case by case: for the first paper a case is a family, a number of examples or an error, as the row
says, for the second one network at one level of label noise. **Holds**: in every case; **holds with limits**: in some,
how many stands behind it; **not seen**: in none; **not measured** yet. Differences are means over replicates ± one
standard deviation. By the second paper's rule they count where the mean is at least as large as that, which of three
replicates is little: `prunescope lens TABLE --power` says how little.
"""
_FIRST = """\
Judged are the networks that the paper's Table 1 counts: connected, better than chance, and of configurations before
growing depth or width raises the unpruned error. `m*` is the invariant, `l^phi w^psi d`; mu and sigma are mean and
standard deviation of (predicted - error) / error."""
_PARAMETERS = """\
The laws' parameters, with 90 % intervals; `?`: the data do not tell it, `–`: nothing varies that it explains. In
`lenet-mnist` phi is below 0: at one density a deeper network errs more, so depth does not stand in for density."""
_EXTRAPOLATION = """\
Asked, and no claim of the paper, which names it as future work: a law fitted to the smaller members, judged on the
largest third by number of weights."""
_OTHER_WAYS = """\
Other ways of pruning, each at the rung with its lowest validation error, beside learning-rate rewinding by magnitude at
its own: points of test error. What the paper's Appendix J found is not in its text, so nothing is judged."""
_LEARNT = """\
Under label noise pruning can gain what a dense network has memorised. A network that guesses among ten classes has a
training loss of 2.30 nats; wrong labels with a loss above that are not memorised at all. Changes are of the optimally
sparse network beside the dense one: nats, and points of test error. [The lens](lens.md) says what a diagnosis is."""


def _in_short(parts: Sequence[tuple[str, list[Claim]]]) -> Iterator[str]:
    """Yield the claims in a few words, by verdict."""
    yield from ("## In short", "")
    for title, claims in parts:
        yield from (f"{title}:", "")
        for said in VERDICTS:
            short = [
                claim.short + (f" ({sum(claim.met)} of {len(claim.met)})" if said == LIMITS else "")
                for claim in claims
                if claim.verdict == said
            ]
            yield from (f"- **{said}**", *(f"  - {words}" for words in short)) if short else ()
        yield ""


def _claims(title: str, claims: list[Claim], words: str = "") -> Iterator[str]:
    yield from (f"## {title}", "")
    yield from (words.replace("\n", " "), "") if words else ()
    yield from ("| where | the paper | measured here | verdict |", "|---|---|---|---|")
    yield from (claim.row for claim in claims)
    yield ""


def _table(words: str, head: str, rows: Iterator[str], *, title: str = "") -> Iterator[str]:
    """Yield rows under a title, after some words; nothing where there are no rows."""
    there = list(rows)
    if there:
        yield from (f"## {title}", "") if title else ()
        yield from (words.replace("\n", " "), "")
        yield from (f"| {head} |", f"|{'---|' * (head.count('|') + 1)}")
        yield from (*there, "")


def _tables() -> Iterator[str]:
    for name, published in published_tables().items():
        yield f"| `{name}` | {len(load_table(name)):,} | {published.title} | {published.source} |"


def page() -> str:
    """Return the page."""
    first, second = first_paper(), second_paper()
    lines = [
        _HEAD,
        *_in_short((("The first paper", first), ("The second paper", second))),
        *_claims("The first paper", first, _FIRST),
        *_table(_PARAMETERS, "table | " + " | ".join(JOINT.parameters), parameters()),
        *_table(_EXTRAPOLATION, "table | mu | sigma | errors that 90 % intervals hold", extrapolation()),
        *shown(1),
        *_claims("The second paper", second),
        *shown(2),
        *_table(_OTHER_WAYS, "table | wrong labels | way | than the main one | which is", other_ways()),
        *_table(
            _LEARNT,
            "table | wrong labels | dense error | their loss, dense | its change | test error | diagnosis",
            memorised(),
            title="What the networks have learnt of wrong labels",
        ),
        *_table(
            "The joint law of parts of each family. Where a part alone meets the paper's threshold, what it leaves out "
            "is what the law misses. The last column is what seeds alone explain of sigma, in means over replicates.",
            "table | part | points | mu | sigma | seeds",
            parts_of_families(),
            title="Where the joint law misses",
        ),
        *what_is_missed(),
        *_table(
            "Root mean square of the relative deviation for configurations that a fit did not see (10 folds), how many "
            "parameters are free, and the difference to Eq. 2 with its standard error over configurations, in "
            "percentage points. [Tilted](laws.md#which-law): the low plateau may rise or fall with density.",
            "table | form | free | off by | against Eq. 2",
            forms_beside(),
            title="Forms beside each other",
        ),
        *_table(
            "LeNet-300-100 on MNIST, two epochs at rate 0.1, weight rewinding to the start: error in percent by level. "
            "OpenLTH: mean of six networks, each ± 0.2. Here: eight (`lenet-two-epochs`), ± one standard error.",
            "level | OpenLTH | here | networks",
            beside_openlth(),
            title="Beside an independent implementation",
        ),
        *_table(
            "`prunescope table` lists them, and every command takes them by name: `prunescope fit lenet-mnist`, "
            '`prunescope.load_table("lenet-mnist")`.',
            "table | rows | holds | measured by",
            _tables(),
            title="The tables",
        ),
        "## The studies",
        "",
        "The study files of the tables that were measured here.",
    ]
    for published in published_tables().values():
        for study in published.studies:
            lines += ["", f"`{study}`, of `{published.name}`:", "", "```toml", published_text(study).strip(), "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Write the page."""
    Path(arguments[-1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
