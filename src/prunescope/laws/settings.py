"""What the settings of a law may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from prunescope.errors import Fault, clipped, listed, nearest

INTERVALS = ("auto", "resampled", "quick", "none")


def setting_faults(settings: Mapping[str, Any], names: Sequence[str]) -> Iterator[Fault]:
    """Yield what is wrong with an estimator's settings, given the parameters of its law."""
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
        elif not _is_number(value) or (name not in ("phi", "psi") and not value > 0):
            must = "must be a number" if name in ("phi", "psi") else "must be a positive number"
            yield Fault(f"fix {name!r}", must, clipped(value))
        elif name in ("eps_up", "eps_0") and value > 1:
            yield Fault(f"fix {name!r}", "must be at most 1", clipped(value), "Write 0.9 for 90 %.")
    if set(names) <= set(settings["fix"] or {}):
        yield Fault("fix", "must leave a parameter to be fitted")
    for column in settings.get("vary") or ():
        if column not in ("depth", "width"):
            hint = nearest(column, ("depth", "width"))
            if column in ("density", "examples"):
                hint = "The law always explains density, and examples by way of the unpruned error."
            yield Fault(f"vary {column!r}", "must be depth or width", hint=hint)
    for name, low in (("draws", 20), ("starts", 1), ("seed", 0), ("classes", 2)):
        value = settings.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low):
            yield Fault(name, f"must be a whole number of {low} or more", clipped(value))
    if not (_is_number(settings["level"]) and 0 < settings["level"] < 1):
        yield Fault("level", "must be between 0 and 1", clipped(settings["level"]))
    for name, allowed in (("intervals", INTERVALS), ("replicates", ("mean", "keep"))):
        if name in settings and settings[name] not in allowed:
            yield Fault(
                name,
                f"must be one of {listed(allowed)}",
                clipped(settings[name]),
                nearest(str(settings[name]), allowed),
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))
