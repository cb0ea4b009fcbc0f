"""Before a decision: whether it stands under either form of the law, with how measured members depart from it.

The posterior takes Eq. 2 for true, up to its corners, and a shift and small departures of each cell. Where the curves
have another shape, it is sure of a wrong density. So the paper's and the tilted form are fitted to what was trained, as
`choose` does, and the loss of the decision is stated under both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prunescope.choose.family import Grid, fit_families
from prunescope.choose.unpruned import Place
from prunescope.design.posterior import Numbers, Rows
from prunescope.design.value_of_information import WORST, Decision, Question
from prunescope.errors import PrunescopeError
from prunescope.laws.estimators import FORMS_OF_FAMILIES
from prunescope.table import read_table

STARTS = 8


@dataclass(frozen=True)
class FormCheck:
    """What each form of the law says that members need: log densities ``[members]`` by the name of the form."""

    question: Question
    needed: Mapping[str, Numbers]

    def losses(self, decision: Decision) -> dict[str, float]:
        """Return the loss of a decision under each form, as a logarithm."""
        return {name: self._loss(decision, needed) for name, needed in self.needed.items()}

    def _loss(self, decision: Decision, needed: Numbers) -> float:
        size = np.log(self.question.sizes.parameters(needed))
        if decision.member < 0 or not np.isfinite(needed[decision.member]):
            return 0.0 if decision.member < 0 and not np.isfinite(needed).any() else WORST
        off = abs(decision.log_density - float(needed[decision.member]))
        return float(min(WORST, size[decision.member] - size.min()) + min(WORST, off))


def check_forms(question: Question, place: Place, rows: Rows, classes: int | None) -> FormCheck | None:
    """Fit both forms to what was trained; None where that is too little."""
    sizes = question.sizes
    if not len(rows):
        return None
    columns = {
        "depth": place.depth[rows.cell].astype(np.int64),
        "width": place.width[rows.cell],
        "examples": place.examples[rows.cell].astype(np.int64),
        "density": np.minimum(np.exp(rows.log_density), 1.0),
        "error": np.exp(rows.log_error),
    }
    examples = int(place.examples[question.cell[0]])
    grid = Grid(examples=examples, table={"depth": sizes.depth.astype(np.int64), "width": sizes.width})
    needed = {}
    try:
        table = read_table(columns)
        for form in FORMS_OF_FAMILIES:
            settings = {"form": form, "intervals": "none", "starts": STARTS, "classes": classes}
            families, _, _ = fit_families(table, grid, settings, extrapolate=True)
            densities = families[0].likeliest.needed(question.bound)[0]
            needed[form] = np.where(densities > 0, np.inf, np.maximum(densities, question.lowest))
    except PrunescopeError:
        return None
    return FormCheck(question, needed)
