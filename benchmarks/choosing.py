"""What a trained network that was picked by test or by validation errors does on fresh examples.

Made-up families of three widths with five replicates of each ladder. Every network has a true error; its test error
and its validation error are each measured on 500 examples. `choose` answers for a bound, and the trained network for
that answer is picked by either. Figures are its true error over the test error that is reported for it, less one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prunescope.choose import smallest_network
from prunescope.choose.trained import trained_network
from prunescope.laws import joint_error
from prunescope.table import read_table

FAMILIES, REPLICATES, RUNGS, EXAMPLES = 40, 5, 16, 500
WIDTHS = (0.25, 0.5, 1.0)
LAW = {"eps_up": 0.9, "gamma": 1.2, "p_prime": 0.04, "phi": 0.0, "psi": 1.0}
BOUND = 0.06


def fresh(seed: int) -> dict[str, float | None]:
    """Return how much more the picked network of one family errs on fresh examples than is reported, by each way."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[object]] = {
        name: [] for name in ("ladder", "rung", "width", "treatment", "replicate", "density", "parameters")
    }
    truth: list[float] = []
    density = 0.8 ** np.arange(RUNGS)
    for width in WIDTHS:
        curve = joint_error(0.035 * width**-0.2, density, 1.0, width, **LAW)
        for replicate in range(REPLICATES):
            ladder = f"{len(truth):032x}"
            for rung, error in enumerate(curve.tolist()):
                values = (ladder, rung, width, "imp", replicate, density[rung], round(4000 * width**2 * density[rung]))
                for name, value in zip(columns, values, strict=True):
                    columns[name].append(value)
                truth.append(error * np.exp(0.05 * random.standard_normal()))
    true = np.array(truth)
    measured = {name: random.binomial(EXAMPLES, true) / EXAMPLES for name in ("error", "validation_error")}
    rows = read_table(columns | {name: np.maximum(values, 1 / EXAMPLES) for name, values in measured.items()})
    answers = smallest_network(rows, BOUND, intervals="quick").answers
    outcomes: dict[str, float | None] = dict.fromkeys(("test", "validation"))
    for by in outcomes if answers else ():
        network = trained_network(rows, answers[0], by)
        if network is not None:
            place = np.flatnonzero((rows["ladder"] == network.ladder) & (rows["rung"] == network.rung))[0]
            outcomes[by] = float(true[place] / network.error - 1)
    return outcomes


def measure() -> Iterator[tuple[str, str, list[float]]]:
    """Yield the mean over families, in ten parts of them."""
    families = [fresh(seed) for seed in range(FAMILIES)]
    for by in ("test", "validation"):
        parts = [[100 * off for family in families[part::10] if (off := family[by]) is not None] for part in range(10)]
        yield f"picked by {by} error, fresh error above reported", "%", [float(np.mean(part)) for part in parts if part]
