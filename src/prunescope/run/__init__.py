"""Running: a study's ladders in cohorts, by one process or several, into a store.

What trains is loaded when it is first used, since it needs torch; `run.estimate` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.run.study import Report as Report
    from prunescope.run.study import run_study as run_study

__all__ = ["Report", "run_study"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from prunescope.run import study

        return getattr(study, name)
    raise AttributeError(f"module 'prunescope.run' has no attribute {name!r}")
