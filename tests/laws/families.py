"""Made-up families with known parameters, measured with noise: what fits are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prunescope.laws import joint_error
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.grouping import sample
from prunescope.table import Table, read_table

DEPTHS, WIDTHS, EXAMPLES = (8, 14, 20, 26, 50, 98), 2.0 ** np.arange(-4, 3), 50_000 // 2 ** np.arange(7)
MEMBERS = 152  # as many as the first paper's Table 1
NOISE = 0.034  # between seeds, as there


def truth(seed: int) -> dict[str, float]:
    """Return parameters drawn from a seed."""
    random = np.random.default_rng(seed)
    return {
        "eps_up": random.uniform(0.6, 0.9),
        "gamma": random.uniform(0.8, 2.0),
        "p_prime": 10 ** random.uniform(-2.2, -1.0),
        "phi": random.uniform(0.4, 1.3),
        "psi": random.uniform(0.6, 1.5),
    }


def low_plateau(depth: Any, width: Any, examples: Any) -> Any:
    """Return the error of unpruned members: falling with size and examples."""
    return np.minimum(0.5, 0.045 + 4.5 * examples**-0.5 + 0.045 * (depth * width**2 / 8) ** -0.35)


def family(
    seed: int,
    *,
    members: int = MEMBERS,
    noise: float = NOISE,
    replicates: int = 3,
    levels: int = 41,
    known: bool = False,
    parameters: Mapping[str, float] | None = None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the columns of a family's table, and its parameters.

    Parameters
    ----------
    levels
        Densities, the first of which is 1; a ladder ends earlier where it nears the high plateau.
    known
        Whether the unpruned errors are given, or must be taken from the measurements.
    """
    planted = dict(parameters or truth(seed))
    random = np.random.default_rng([seed, 1])
    grid = [(depth, width, examples) for depth in DEPTHS for width in WIDTHS for examples in EXAMPLES]
    fit_for_size = sorted(grid, key=lambda member: member[0] * member[1] ** 2 / member[2])[:MEMBERS]
    chosen = [fit_for_size[place] for place in sorted(random.permutation(MEMBERS)[:members])]
    columns: dict[str, list[Any]] = {
        name: [] for name in ("depth", "width", "examples", "replicate", "density", "error", "unpruned_error")
    }
    for depth, width, examples in chosen:
        plateau = float(low_plateau(depth, width, examples))
        density = 0.8 ** np.arange(levels)
        error = joint_error(plateau, density, depth, width, **planted)
        below_plateau = error < 0.985 * planted["eps_up"]
        below_plateau[0] = True
        density, error = density[below_plateau][:40], error[below_plateau][:40]
        for replicate in range(replicates):
            measured = error * (1 + noise * random.standard_normal(len(error)))
            row = (depth, width, examples, replicate, density, measured, plateau)
            for name, values in zip(columns, row, strict=True):
                columns[name].append(np.broadcast_to(values, density.shape))
    arrays = {name: np.concatenate(values) for name, values in columns.items()}
    if not known:
        del arrays["unpruned_error"]
    return arrays, planted


def family_table(seed: int, **changes: Any) -> tuple[Table, dict[str, float]]:
    """Return a family as a table, and its parameters."""
    columns, planted = family(seed, **changes)
    return read_table(columns), planted


def family_group(seed: int, **changes: Any) -> tuple[GroupData, dict[str, float]]:
    """Return a family as one group, and its parameters."""
    table, planted = family_table(seed, **changes)
    return sample(table, joint=True).groups[0], planted


def curve(
    unpruned: float = 0.08,
    eps_up: float = 0.8,
    gamma: float = 1.5,
    p: float = 0.02,
    noise: float = 0.0,
    levels: int = 30,
    replicates: int = 1,
    seed: int = 0,
    known: bool = True,
) -> dict[str, Any]:
    """Return the columns of one network's curve."""
    from prunescope.laws import single_error

    random = np.random.default_rng(seed)
    density = 0.8 ** np.arange(levels)
    error = single_error(unpruned, density, eps_up, gamma, p)
    rows = [error * (1 + noise * random.standard_normal(levels)) for _ in range(replicates)]
    columns = {
        "density": np.tile(density, replicates),
        "error": np.concatenate(rows),
        "replicate": np.repeat(np.arange(replicates), levels),
    }
    return columns | ({"unpruned_error": np.full(levels * replicates, unpruned)} if known else {})


def alike(levels: int = 10, psi: float = 0.0, noise: float = 0.03) -> dict[str, Any]:
    """Return members of six widths, whose place in the family matters by `psi` alone beyond their unpruned errors."""
    random = np.random.default_rng(3)
    density = np.tile(0.7 ** np.arange(levels), 2)
    parts = []
    for width in (0.25, 0.5, 0.7, 1.0, 1.4, 2.0):
        law = {"eps_up": 0.9, "gamma": 1.0, "p_prime": 0.05, "phi": 0.0, "psi": psi}
        error = joint_error(0.3 / width**0.1, density, 1.0, width, **law)
        error = error * np.exp(noise * random.standard_normal(len(density)))
        parts.append((np.full(len(density), width), np.repeat([0, 1], levels), density, error))
    columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
    return dict(zip(("width", "replicate", "density", "error"), columns, strict=True))


def dipped(error: Any, density: Any, dip: float) -> Any:
    """Return errors of curves that fall by a share below the law at density 0.45."""
    return error * (1 - dip * np.exp(-(((np.log(density) + 0.8) / 0.4) ** 2) / 2))


def disturbed(
    seed: int,
    members: Sequence[tuple[float, float, float]],
    planted: Mapping[str, float],
    *,
    noise: float = NOISE,
    replicates: int = 3,
    levels: int = 30,
    persistence: float = 0.0,
    test_examples: int = 0,
    member_shift: float = 0.0,
    dip: float = 0.0,
    heavy: bool = False,
    given: bool = False,
) -> tuple[dict[str, Any], Numbers]:
    """Return a table of members (depth, width, examples) as real studies measure them, and the true errors.

    Parameters
    ----------
    persistence
        Correlation of the noise between neighbouring rungs.
    test_examples
        Of the one test set, whose examples differ in difficulty: a network with a true error of 10 % errs on the
        hardest tenth. 0 is very many.
    member_shift
        Standard deviation of a shift of ``log m*`` that all cells of one depth and width share.
    dip
        How far the error falls below the law at density 0.45.
    heavy
        Whether noise is Student's with three degrees of freedom.
    """
    random = np.random.default_rng([seed, 2])
    names = ("depth", "width", "examples", "replicate", "density", "error", "unpruned_error", "true")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    difficulty = np.sort(random.random(test_examples))
    shifts: dict[tuple[float, float], float] = {}
    for depth, width, examples in members:
        plateau = float(low_plateau(depth, width, examples))
        density = 0.8 ** np.arange(levels)
        shift = shifts.setdefault((depth, width), member_shift * float(random.standard_normal()))
        error = joint_error(plateau, density * np.exp(shift), depth, width, **planted)
        true = dipped(error, density, dip)
        for replicate in range(replicates):
            fresh = random.standard_t(3, levels) / np.sqrt(3) if heavy else random.standard_normal(levels)
            walk = fresh.copy()
            for rung in range(1, levels):
                walk[rung] = persistence * walk[rung - 1] + np.sqrt(1 - persistence**2) * fresh[rung]
            measured = np.clip(true * np.exp(noise * walk), 1e-4, 0.999)
            if test_examples:
                measured = np.maximum(np.searchsorted(difficulty, measured), 1) / test_examples
            row = (depth, width, examples, replicate, density, measured, plateau, true)
            for name, values in zip(columns, row, strict=True):
                columns[name].append(np.broadcast_to(values, density.shape))
    arrays = {name: np.concatenate(values) for name, values in columns.items()}
    true = arrays.pop("true")
    if not given:
        del arrays["unpruned_error"]
    if test_examples:
        arrays["test_examples"] = np.full(len(true), test_examples)
    return arrays, true
