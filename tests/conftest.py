"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No test depends on the clock; examples are the same in every run, so that a failure can be repeated.
settings.register_profile(
    "prunescope", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("prunescope")
