"""Write the lock file anew: every package that prunescope and its extras need, at the version that resolves today.

    python tools/lock.py requirements.lock

torch stays at the version pinned here: a newer one is a decision, not an update. The lock holds names and versions
alone, so it works with any index and any build of a version.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PINNED = {"torch": "2.13.0"}
HEAD = """\
# Every version that `make` installs, for all extras; written by `make lock`, never by hand.
# An install takes from here only what its extras need (pip install --constraint).
"""


def main(target: Path) -> None:
    """Resolve in an empty environment and write what came of it."""
    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        wanted = [f"{name}=={version}" for name, version in PINNED.items()]
        subprocess.run(
            [*pip, "install", "--quiet", *wanted, f"{root}[train,cluster,remote,pictures,report,dev,site]"], check=True
        )
        frozen = subprocess.run([*pip, "freeze", "--exclude", "prunescope"], check=True, capture_output=True, text=True)
    lines = [line for line in frozen.stdout.splitlines() if "==" in line]
    lines += [f"{name}=={version}" for name, version in PINNED.items()]
    packages = dict(line.split("+")[0].split("==") for line in lines)
    target.write_text(HEAD + "".join(f"{name}=={packages[name]}\n" for name in sorted(packages, key=str.lower)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
