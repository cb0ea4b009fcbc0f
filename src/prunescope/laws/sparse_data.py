"""What the law of sparse networks needs of its data, and what to add where they lack it. Arrays, no tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from prunescope.errors import counted, listed
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.forms import SPARSE, SPARSE_TERMS, Form

# Densities that agree to this (in logarithms) are one sparsity.
SAME_DENSITY = 2e-3
# Sizes that differ by less than this (in logarithms, beyond what density explains) are one size.
SAME_SIZE = 0.02
# What each term needs of the data.
DENSITY_TERM = ("a_s", "b_s", "c_s")


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
        sparsities = count_levels(np.log(group.density), SAME_DENSITY)
        if sparsities < max(2, needed):
            names = listed(name for name in DENSITY_TERM if name in free)
            have = "sparsity" if sparsities == 1 else "sparsities"
            reasons.append(f"{sparsities} {have} for {names}: train networks of {max(2, needed)} sparsities or more")
            lacking.append("sparsity")
    if "size" in explained and count_levels(np.log(group.depth), SAME_SIZE) < 2:
        reasons.append(f"N is {group.depth[0]:,.6g} throughout: train networks of other sizes")
        lacking.append("size")
    elif {"size", "sparsity"} <= set(explained) and not lacking and _one_dense_size(group):
        reasons.append("N varies with the sparsity alone: train networks of another dense size")
        lacking.append("sparsity")
    if "data" in explained and count_levels(np.log(group.width), SAME_SIZE) < 2:
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


def count_levels(logs: Numbers, apart: float) -> int:
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
