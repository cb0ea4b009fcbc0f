"""What cannot be fitted, and why: settings that no table could follow, groups that are too little, and what to add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from prunescope.errors import Fault, clipped, counted, listed, nearest
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.forms import DENSE, SIGNED, SPARSE, Form
from prunescope.laws.results import RefusedFit
from prunescope.laws.search import SPARSE_TERMS

_INTERVALS = ("auto", "resampled", "quick", "none")
_LOSSES = ("relative", "huber")
# Densities that agree to this (in logarithms) are one sparsity.
SAME_DENSITY = 2e-3
# Sizes that differ by less than this (in logarithms, beyond what density explains) are one size.
SAME_SIZE = 0.02
# What each term needs of the data.
DENSITY_TERM = ("a_s", "b_s", "c_s")


def share_faults(fix: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield what is wrong with given parameters of a law whose errors are shares."""
    for name, value in dict(fix or {}).items():
        if name in ("eps_up", "eps_0") and value > 1:
            yield Fault(f"fix {name!r}", "must be at most 1", clipped(value), "Write 0.9 for 90 %.")


def setting_faults(settings: Mapping[str, Any], names: Sequence[str], explained: Sequence[str]) -> Iterator[Fault]:
    """Yield what is wrong with an estimator's settings, whose form has these parameters."""
    if isinstance(settings["fix"], str) or (settings["fix"] and not hasattr(settings["fix"], "items")):
        yield Fault("fix", "must map names to numbers", clipped(settings["fix"]), "Write fix={'eps_up': 0.9}.")
        return
    for name in ("by", "vary", "filters"):
        if isinstance(settings.get(name), str):
            hint = f"Write {name}=[{settings[name]!r}]."
            yield Fault(name, "must be a list of names", clipped(settings[name]), hint)
            return
    for name, value in dict(settings["fix"] or {}).items():
        if name not in names:
            hint = nearest(name, names) or f"There are {listed(names)}."
            yield Fault(f"fix {name!r}", "must be a parameter of the law", hint=hint)
        elif not _is_number(value) or (name not in SIGNED and not value > 0):
            must = "must be a number" if name in SIGNED else "must be a positive number"
            yield Fault(f"fix {name!r}", must, clipped(value))
    if set(names) <= set(settings["fix"] or {}):
        yield Fault("fix", "must leave a parameter to be fitted")
    for column in settings.get("vary") or ():
        if column not in explained:
            hint = nearest(column, explained)
            if column in ("density", "examples") and "depth" in explained:
                hint = "The law always explains density, and examples by way of the unpruned error."
            yield Fault(f"vary {column!r}", f"must be {', '.join(explained[:-1])} or {explained[-1]}", hint=hint)
    for name, low in (("draws", 20), ("starts", 1), ("seed", 0), ("classes", 2)):
        value = settings.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low):
            yield Fault(name, f"must be a whole number of {low} or more", clipped(value))
    if not (_is_number(settings["level"]) and 0 < settings["level"] < 1):
        yield Fault("level", "must be between 0 and 1", clipped(settings["level"]))
    for name, allowed in (("intervals", _INTERVALS), ("replicates", ("mean", "keep")), ("loss", _LOSSES)):
        if name in settings and settings[name] not in allowed:
            yield Fault(
                name,
                f"must be one of {listed(allowed)}",
                clipped(settings[name]),
                nearest(str(settings[name]), allowed),
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def refuse_group(form: Form, group: GroupData, free: Sequence[str]) -> RefusedFit | None:
    """Return why a group is too little for the free parameters of a form, with what to add; None where it will do."""
    if form is DENSE:
        if len(group) < len(free):
            why = f"{counted(len(group), 'unpruned network')} for {len(free)} parameters: train more sizes or examples"
            return RefusedFit(group.key, why)
        return None
    if form is SPARSE:
        why = explain_sparse_refusal(group, free)
        return RefusedFit(group.key, why) if why else None
    pruned = group.density < 1
    if not pruned.any():
        return RefusedFit(group.key, "holds unpruned networks only: add pruned ones", trivial=True)
    # The points of a curve are as many densities; over several cells, or with replicates kept, they repeat.
    falling = bool((group.density[1:] < group.density[:-1]).all())
    densities = int(pruned.sum()) if falling else len(np.unique(np.round(np.log(group.density[pruned]), 3)))
    about_density = [name for name in free if name not in ("phi", "psi")]
    if densities < len(about_density) or int(pruned.sum()) < len(free):
        points = int(pruned.sum())
        few = densities < len(about_density)
        here = (
            f"{densities} {'density' if densities == 1 else 'densities'} below 1" if few else f"{points} pruned points"
        )
        need = f"measure at least {len(about_density)} densities" if few else f"measure at least {len(free)} points"
        spare = f", or fix parameters with --fix {about_density[0]}=..." if about_density else ""
        return RefusedFit(group.key, f"{here} for {counted(len(free), 'parameter')}: {need}{spare}")
    return None


def explain_sparse_refusal(group: GroupData, free: Sequence[str]) -> str:
    """Return why the law cannot be fitted to a group, with what to add and which smaller law will do; empty if it can.

    Parameters
    ----------
    free
        The parameters that are fitted.
    """
    explained = [term for term in SPARSE_TERMS if any(name in free for name in SPARSE_TERMS[term])]
    reasons, lacking = [], []
    if "sparsity" in explained:
        needed = sum(name in free for name in DENSITY_TERM)
        sparsities = _count_levels(np.log(group.density), SAME_DENSITY)
        if sparsities < max(2, needed):
            names = listed(name for name in DENSITY_TERM if name in free)
            have = "sparsity" if sparsities == 1 else "sparsities"
            reasons.append(f"{sparsities} {have} for {names}: train networks of {max(2, needed)} sparsities or more")
            lacking.append("sparsity")
    if "size" in explained and _count_levels(np.log(group.depth), SAME_SIZE) < 2:
        reasons.append(f"N is {group.depth[0]:,.6g} throughout: train networks of other sizes")
        lacking.append("size")
    elif {"size", "sparsity"} <= set(explained) and not lacking and _one_dense_size(group):
        reasons.append("N varies with the sparsity alone: train networks of another dense size")
        lacking.append("sparsity")
    if "data" in explained and _count_levels(np.log(group.width), SAME_SIZE) < 2:
        reasons.append(f"D is {group.width[0]:,.6g} throughout: train networks on other numbers of examples")
        lacking.append("data")
    if reasons:
        rest = [term for term in explained if term not in lacking]
        smaller = f"; or fit the law without {' and '.join(lacking)}: --vary {','.join(rest)}" if rest else ""
        return "; ".join(reasons) + smaller
    if len(group) < len(free):
        return f"{counted(len(group), 'point')} for {len(free)} parameters: train more networks, or fix some with --fix"
    return ""


def _one_dense_size(group: GroupData) -> bool:
    """Whether density explains all that the nonzero weights differ in."""
    density, size = np.log(group.density), np.log(group.depth)
    centred = density - density.mean()
    left = size - size.mean() - centred * (centred @ size) / (centred @ centred)
    return bool(np.abs(left).max() < SAME_SIZE)


def _count_levels(logs: Numbers, apart: float) -> int:
    """Return how many values there are that differ by more than `apart`."""
    return 1 + int(np.count_nonzero(np.diff(np.sort(logs)) > apart))


def candidate_sparse_forms(group: GroupData) -> Iterator[tuple[Form, str, dict[str, float]]]:
    """Yield the law and what is left of it without one of its terms, as far as the group allows a fit."""
    words = {"sparsity": "(Hoffmann et al. 2022)", "data": "", "size": ""}
    names = SPARSE.parameters
    able = [term for term in SPARSE_TERMS if not _lacks(group, term)]
    fixed = {name: value for term in SPARSE_TERMS if term not in able for name, value in SPARSE_TERMS[term].items()}
    yield SPARSE, "sparse" if len(able) == len(SPARSE_TERMS) else f"sparse, {' and '.join(able)}", fixed
    for term, remark in words.items():
        without = {**fixed, **SPARSE_TERMS[term]}
        if term in able and not explain_sparse_refusal(group, [name for name in names if name not in without]):
            yield SPARSE, f"without {term} {remark}".strip(), without


def _lacks(group: GroupData, term: str) -> bool:
    free = [*SPARSE_TERMS[term], *(["c_s"] if term == "sparsity" else [])]
    return bool(explain_sparse_refusal(group, free))
