"""Write the sample table: errors made up from the papers' law, not measured, to try commands on before training.

    python tools/sample.py src/prunescope/samples/family.csv

Eq. 2 of "On the Predictability of Pruning Across Scales" with the parameters below gives each member's error at each
density; seeds add a spread of 3 %. A test holds the shipped file against this program.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from statistics import NormalDist

PLATEAU, GAMMA, P, PHI, PSI = 0.9, 1.1, 0.06, 0.9, 1.2
DEPTHS, WIDTHS, EXAMPLES = (8, 14, 20), (0.25, 0.5, 1.0), (50_000, 12_500)
REPLICATES, LEVELS, SPREAD, SEED = 3, 24, 0.03, 20_200_618
COLUMNS = ("family", "dataset", "depth", "width", "examples", "replicate", "density", "error")


def unpruned_error(depth: int, width: float, examples: int) -> float:
    """Return a dense member's error: falling with size and data, as Rosenfeld et al. (2020) find it."""
    found: float = 0.045 + 9.0 * examples**-0.5 + 0.045 * (depth * width**2 / 8) ** -0.35
    return found


def pruned_error(unpruned: float, density: float, depth: int, width: float) -> float:
    """Eq. 2."""
    invariant: float = depth**PHI * width**PSI * density
    high: float = P * (PLATEAU / unpruned) ** (1 / GAMMA)
    found: float = unpruned * ((invariant**2 + high**2) / (invariant**2 + P**2)) ** (GAMMA / 2)
    return found


def sample() -> str:
    """Return the file's text, the same on every machine."""
    chance, normal = random.Random(SEED), NormalDist()
    lines = [",".join(COLUMNS)]
    for depth in DEPTHS:
        for width in WIDTHS:
            for examples in EXAMPLES:
                for replicate in range(REPLICATES):
                    for level in range(LEVELS + 1):
                        density = 0.8**level
                        law = pruned_error(unpruned_error(depth, width, examples), density, depth, width)
                        error = min(0.9, law * (1 + SPREAD * normal.inv_cdf(chance.uniform(0.001, 0.999))))
                        member = f"made-up,made-up,{depth},{width:g},{examples}"
                        lines.append(f"{member},{replicate},{density:.6g},{error:.5f}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(sample(), encoding="utf-8")
