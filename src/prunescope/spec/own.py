"""A user's own function, named in a study by its import path: ``package.module:function``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from prunescope.errors import Fault, InputError, clipped, listed, nearest, said


def own_function(path: str) -> Callable[..., Any]:
    """Import a function by its path."""
    module, _, name = path.partition(":")
    try:
        home = import_module(module)
    except ImportError as trouble:
        hint = "It must be installed, or lie in a folder on PYTHONPATH."
        raise InputError("the study", [Fault(path, "must name a module", str(trouble), hint)]) from None
    except Exception as trouble:
        raise InputError("the study", [Fault(path, f"{module} must be importable", said(trouble))]) from trouble
    function = getattr(home, name, None)
    if not callable(function):
        have = [word for word, value in vars(home).items() if callable(value) and not word.startswith("_")]
        hint = nearest(name, have) or (f"It has {listed(have, 8)}." if have else "")
        raise InputError("the study", [Fault(path, f"must name a function of {module}", clipped(name), hint)])
    return function  # type: ignore[no-any-return]
