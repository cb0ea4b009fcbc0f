"""Running: a study's ladders in cohorts, by one process or several, into a store.

What trains is loaded when it is first used, since it needs torch; `run.estimate` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.run.run_report import RunReport as RunReport
    from prunescope.run.study_run import run_study as run_study

__all__ = ["RunReport", "run_study"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from prunescope.run import study_run as study

        return getattr(study, name)
    raise AttributeError(f"module 'prunescope.run' has no attribute {name!r}")
