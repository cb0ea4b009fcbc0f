"""Which rung of a ladder is the optimally sparse network: the one with the lowest validation error.

Of rungs that do equally well the one with the most weights, our choice. Rung 0 is dense and plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping


def optimal_rung(validation_error: Mapping[int, float]) -> int:
    """Return the optimal among rungs, from the validation error of each; there must be one above 0."""
    return min((rung for rung in sorted(validation_error) if rung > 0), key=validation_error.__getitem__)
