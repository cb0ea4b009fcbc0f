"""Imports all that commands import, for the server that forks their processes (`tests.commands`)."""

from __future__ import annotations

import pkgutil
from contextlib import suppress
from importlib import import_module

import prunescope

for module in pkgutil.walk_packages(prunescope.__path__, "prunescope."):
    if not module.name.endswith("__main__"):
        with suppress(ImportError):  # of packages that are not installed here
            import_module(module.name)
for name in (
    "altair",
    "duckdb",
    "jinja2",
    "numpy",
    "rich.live",
    "rich.progress",
    "safetensors.numpy",
    "torch",
    "vl_convert",
):
    with suppress(ImportError):
        import_module(name)
