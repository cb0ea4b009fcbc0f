"""Fitted laws to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prunescope.errors import Fault, InputError, clipped
from prunescope.files import replacing
from prunescope.laws.estimators import DenseLaw, Estimator, JointLaw, SingleLaw
from prunescope.laws.results import Fit, RefusedFit, json_text
from prunescope.version import __version__

FORMAT = 1
ESTIMATORS: dict[str, type[Estimator]] = {each.__name__: each for each in (SingleLaw, JointLaw, DenseLaw)}


def save_law(law: Estimator, path: str | Path) -> None:
    """Write a fitted law as JSON, numbers unrounded, with what it was fitted on."""
    content = {
        "prunescope": __version__,
        "format": FORMAT,
        "estimator": type(law).__name__,
        "settings": {name: _plain(value) for name, value in law.get_params().items()},
        "by": list(law.by_),
        "fitted_on": dict(law.fitted_on_),
        "fits": [fit.saved() for fit in law.fits_],
        "refused": [vars(each) | {"group": dict(each.group)} for each in law.refused_],
        "notes": list(law.notes_),
    }
    with replacing(Path(path)) as draft:
        draft.write_text(json_text(content) + "\n", encoding="utf-8")


def load_law(path: str | Path) -> Estimator:
    """Read a law that `save_law` wrote, of whichever kind it is."""
    source = clipped(str(path), 300)[1:-1]
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as trouble:
        found = getattr(trouble, "strerror", None) or "something else"
        raise InputError(source, [Fault("the law", "must be a JSON file that --save wrote", found)]) from None
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            found = f"format {content['format']}"
            raise InputError(source, [Fault("the law", f"must be of format {FORMAT}", found, "Fit it anew.")])
        law = ESTIMATORS[content["estimator"]](**content["settings"])
        law.fits_ = tuple(Fit.restored(each) for each in content["fits"])
        law.refused_ = tuple(RefusedFit(**each) for each in content["refused"])
        law.notes_, law.by_ = tuple(content["notes"]), tuple(content["by"])
        law.fitted_on_ = content["fitted_on"]
        if any(set(fit.parameters) != set(law._law.parameters) for fit in law.fits_):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        hint = "Make one with: prunescope fit TABLE --law joint --save law.json"
        raise InputError(source, [Fault("the law", "must be a file that --save wrote", "another file", hint)]) from None
    return law


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it: numbers and lists of Python's own."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, Iterable) else value
