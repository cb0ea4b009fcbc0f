"""How a recorder refuses something: what, what must hold, what there is instead."""

from __future__ import annotations

from prunescope.errors import Fault, InputError


def refusal(place: str, must: str, got: str = "", hint: str = "", source: str = "the recorder") -> InputError:
    """Return the error that tells one fault."""
    return InputError(source, [Fault(place, must, got, hint)])
