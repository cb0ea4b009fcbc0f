"""Train families of networks under pruning, predict their error, choose the smallest that is good enough.

The names below are loaded when first used, so ``import prunescope`` costs next to nothing and never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from prunescope.version import __version__

if TYPE_CHECKING:
    from prunescope.choose import smallest_network as smallest_network
    from prunescope.design import next_ladders as next_ladders
    from prunescope.errors import ConflictError as ConflictError
    from prunescope.errors import DamageError as DamageError
    from prunescope.errors import Fault as Fault
    from prunescope.errors import InputError as InputError
    from prunescope.errors import PrunescopeError as PrunescopeError
    from prunescope.export import export_network as export_network
    from prunescope.export import load_network as load_network
    from prunescope.laws import DenseLaw as DenseLaw
    from prunescope.laws import JointLaw as JointLaw
    from prunescope.laws import SingleLaw as SingleLaw
    from prunescope.laws import SparseLaw as SparseLaw
    from prunescope.laws import load_law as load_law
    from prunescope.record import Recorder as Recorder
    from prunescope.run import run_study as run_study
    from prunescope.study import Ladder as Ladder
    from prunescope.study import Study as Study
    from prunescope.study import read_study as read_study
    from prunescope.table import Store as Store
    from prunescope.table import Table as Table
    from prunescope.table import load_table as load_table
    from prunescope.table import read_table as read_table

_HOMES = {
    "smallest_network": "prunescope.choose",
    "next_ladders": "prunescope.design",
    "ConflictError": "prunescope.errors",
    "DamageError": "prunescope.errors",
    "Fault": "prunescope.errors",
    "InputError": "prunescope.errors",
    "PrunescopeError": "prunescope.errors",
    "export_network": "prunescope.export",
    "load_network": "prunescope.export",
    "DenseLaw": "prunescope.laws",
    "JointLaw": "prunescope.laws",
    "SingleLaw": "prunescope.laws",
    "SparseLaw": "prunescope.laws",
    "load_law": "prunescope.laws",
    "Recorder": "prunescope.record",
    "run_study": "prunescope.run",
    "Ladder": "prunescope.study",
    "Study": "prunescope.study",
    "read_study": "prunescope.study",
    "Store": "prunescope.table",
    "Table": "prunescope.table",
    "load_table": "prunescope.table",
    "read_table": "prunescope.table",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'prunescope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
