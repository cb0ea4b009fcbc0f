"""Networks to take away: a trained rung as a sparse and a dense file, proved to be the same, and loaded in one line.

What computes is loaded when it is first used, since it needs torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.export.export import export_network as export_network
    from prunescope.export.module import load_network as load_network
    from prunescope.export.outcome import Exported as Exported

_HOMES = {
    "Exported": "prunescope.export.outcome",
    "export_network": "prunescope.export.export",
    "load_network": "prunescope.export.module",
}
__all__ = ["Exported", "export_network", "load_network"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'prunescope.export' has no attribute {name!r}")
