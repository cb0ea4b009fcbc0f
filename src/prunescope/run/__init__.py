"""Running: a study's ladders in cohorts, by one process or several, into a store."""

from prunescope.run.study import Report, run_study

__all__ = ["Report", "run_study"]
