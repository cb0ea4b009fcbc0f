"""Write constraints that install the lowest versions that `pyproject.toml` names.

    python tools/minimum.py > constraints.txt

What users install (the dependencies and the extras `train`, `pictures` and `report`) stands at its lower bound; torch
stands at the version in the lock. What only tests need is no newer than in the lock, but may be older: pandas of today
needs a newer numpy.
Packages that `pyproject.toml` does not name are left to pip.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKED = {"torch"}


def minimum_constraints() -> list[str]:
    """Return one line for each package that the project names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lock = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    lines = []
    for requirement in [
        *project["dependencies"],
        *extras["train"],
        *extras["pictures"],
        *extras["report"],
        *extras["dev"],
    ]:
        match = re.fullmatch(r"([A-Za-z0-9-]+)>=([0-9.]+)", requirement)
        if match is None:
            raise ValueError(f"{requirement!r} must read NAME>=VERSION, so that its lowest version can be installed")
        name, version = match.groups()
        if name in LOCKED:
            lines.append(f"{name}=={lock[name]}")
        else:
            lines.append(f"{name}<={lock[name]}" if requirement in extras["dev"] else f"{name}=={version}")
    return lines


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in minimum_constraints()))
