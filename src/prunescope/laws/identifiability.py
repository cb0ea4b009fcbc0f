"""What the data cannot tell, in sentences that say what to measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prunescope.errors import counted, listed
from prunescope.laws.models import EXPONENTS
from prunescope.laws.results import number, percent

# Where the law, on the average of a ladder's densest points, misses the error by more than this, it is worth saying.
DIP, GAP = 0.02, 0.02
# A rise of the error below this ratio tells nothing of the power law and what lies beyond it.
RISES = 1.1


@dataclass(frozen=True)
class Evidence:
    """What the sentences are made from, of one fit.

    Attributes
    ----------
    parameters
        Fitted and given values.
    free
        Names of the free parameters.
    bound
        Free parameters at a bound: -1 at the lower, 1 at the upper.
    untold
        Free parameters whose interval is None.
    flat
        Parameters that can make up for each other almost exactly.
    sparsest, rise
        Lowest density, and the largest ratio of error to unpruned error.
    saturated
        Points on the high plateau.
    turning_density
        Density at which the high plateau begins, in the geometric mean over points.
    sigma, misfit
        Standard deviation of the deviation, and what seeds would explain of it, where that is far less.
    dip
        How far the error falls below the unpruned error, in the mean over some neighbouring densities.
    """

    parameters: Mapping[str, float]
    free: Sequence[str]
    bound: Mapping[str, int]
    untold: Sequence[str]
    flat: Sequence[str]
    chance: float | None
    points: int
    sparsest: float
    rise: float
    saturated: int
    turning_density: float
    dip: float
    sigma: float
    misfit: float | None
    above_chance: int
    levels: Mapping[str, int]
    starts: int
    agreed: int
    converged: bool


def warnings(law: str, found: Evidence) -> Iterator[str]:
    """Yield a sentence for each thing worth knowing, the gravest first."""
    if not found.converged:
        yield "the search did not end in a minimum: fix a parameter, or add measurements"
    if found.points <= len(found.free):
        yield (
            f"{counted(found.points, 'point')} for {counted(len(found.free), 'parameter')}: nothing is left to judge "
            "the fit by; measure more densities"
        )
    if found.misfit is not None:
        yield (
            f"sigma {percent(found.sigma)} is far beyond what seeds explain ({percent(found.misfit)}): the law "
            "does not describe these data; look at single groups (--by), at what varies (--vary), at the regions below"
        )
    if law in ("single", "joint"):
        yield from _pruned(found)
    else:
        yield from _plain(found)
    if found.agreed < max(2, found.starts // 4) and found.starts > 2:
        yield (
            f"only {found.agreed} of {found.starts} starts reached the best minimum: there are others nearly as good, "
            "so try more starts (--starts) or fix a parameter"
        )
    for name, column in EXPONENTS.items():
        if name not in found.free and found.parameters.get(name) == 0 and found.levels.get(column) == 1:
            yield f"all networks are of one {column}: nothing is known of others"
    for name in found.free:
        if name in EXPONENTS and found.levels.get(EXPONENTS[name], 0) == 2:
            column = EXPONENTS[name]
            yield f"{name} rests on two {column}s alone: measure a third {column} to see whether a power law holds"
    if found.above_chance and found.chance is not None:
        yield (
            f"{counted(found.above_chance, 'point')} above the error of guessing ({number(found.chance)}): nothing was "
            "learned there; leave them out with --filter better-than-chance"
        )


def _plain(found: Evidence) -> Iterator[str]:
    """Say of other laws which parameters are not told."""
    for name, side in found.bound.items():
        value = number(found.parameters[name])
        where = "upper" if side > 0 else "lower"
        yield f"{name} is at its {where} bound {value}: measure more sizes and examples, or fix it"
    told = [name for name in found.untold if name not in found.bound]
    if told:
        yield f"the data do not tell {listed(told)}: measure more sizes and examples, or fix one with --fix"


def _pruned(found: Evidence) -> Iterator[str]:
    if found.rise < RISES:
        yield (
            f"the error hardly rises (at most {percent(found.rise - 1)} above the unpruned error): gamma and "
            f"the high plateau cannot be told from this; prune to densities below {number(found.sparsest)}"
        )
    elif not found.saturated and ("eps_up" in found.free):
        ceiling = "" if found.chance is not None else ", or --classes N to bound it by the error of guessing"
        yield (
            f"the high plateau is never reached (sparsest density {number(found.sparsest)}, it begins near "
            f"{number(found.turning_density)}): eps_up is extrapolated; prune further until the error levels off, or "
            f"give it with --fix eps_up=...{ceiling}"
        )
    for name, side in found.bound.items():
        if name == "eps_up" and side > 0:
            what = "the error of guessing" if found.chance is not None else "1"
            yield f"eps_up is at its upper bound, {what}: the data ask for no lower plateau"
        elif name == "eps_up":
            yield "eps_up is at its lower bound, the lowest unpruned error: the data show no rise to follow"
        else:
            value = number(found.parameters[name])
            yield f"{name} is at its {'upper' if side > 0 else 'lower'} bound {value}: {_remedy(name)}"
    told = [name for name in found.untold if name not in found.bound]
    if told:
        yield f"the data do not tell {listed(told)}: {_remedy(told[0])}"
    if len(found.flat) > 1:
        yield f"{listed(found.flat)} are not identifiable separately, only together; fix one with --fix"
    if found.dip > DIP:
        yield (
            f"the error falls {percent(found.dip)} below the unpruned error before it rises: pruning helps at first, "
            "which the form leaves out, so it lies too high there (Section 6 of the paper, Appendix H)"
        )


def _remedy(name: str) -> str:
    if name in EXPONENTS:
        return f"measure networks of more {EXPONENTS[name]}s at densities where the error rises"
    return "measure densities from where the error begins to rise to where it levels off, or fix one with --fix"


def gap_words(gap: float) -> str:
    """Say that the law does not start at the unpruned errors."""
    return (
        f"at density 1 the law lies {percent(gap)} above the unpruned errors in the mean: some networks are so "
        "small that they have no low plateau; the intervals allow for it, the estimates do not"
    )


def bias_words(pulled: Mapping[str, float]) -> str:
    """Say which estimates noise has probably pulled."""
    told = listed(f"{name} by about {number(value)}" for name, value in pulled.items())
    return (
        f"noise in the measurements, the unpruned errors above all, has probably moved {told}: the interval reaches to "
        "where the truth is likelier; more replicates help"
    )
