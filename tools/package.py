"""Build the package and try it: the source archive, the wheel, and the wheel in a virtual environment of its own.

    python tools/package.py

It runs in an environment that has the extra `dev`. The trial environment is new and has the wheel alone; it borrows the
packages that the wheel needs from the environment that runs this program. No file is downloaded, and nothing is left
behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADDED = {"PKG-INFO"}  # what the build itself writes into a source archive
LIBRARY = """\
import sys, prunescope
from prunescope.data import load
from prunescope.demo import sample_path
assert prunescope.__file__.startswith(sys.prefix), prunescope.__file__
assert len(load("digits").train_images) == 1297
print(sample_path())
"""


def main() -> None:
    """Build, compare, try."""
    with tempfile.TemporaryDirectory(prefix="prunescope-package-") as name:
        folder = Path(name)
        archive, wheel = build(ROOT, folder / "built", "sdist", "wheel")
        with tarfile.open(archive) as opened:
            packed = {member.name.partition("/")[2] for member in opened if member.isfile()}
            if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on; we built the archive ourselves
                opened.extraction_filter = tarfile.data_filter
            opened.extractall(folder / "unpacked")
        (unpacked,) = (folder / "unpacked").iterdir()
        (second,) = build(unpacked, folder / "rebuilt", "wheel")
        with zipfile.ZipFile(wheel) as opened_wheel:
            installed = {entry.filename for entry in opened_wheel.infolist()}
        faults = [
            *archive_faults(packed, git_files("--cached"), git_files("--cached", "--others", "--exclude-standard")),
            *wheel_faults(installed, {path for path in packed if path.startswith("src/")}),
        ]
        if wheel.read_bytes() != second.read_bytes():
            faults.append("the wheel built from the source archive differs from the wheel built from this folder")
        faults += try_wheel(wheel, folder)
        if faults:
            sys.exit("\n".join(faults))
        sizes = f"{archive.stat().st_size / 1e6:.1f} MB and {wheel.stat().st_size / 1e6:.1f} MB"
        sys.stdout.write(f"Package: source archive and wheel ({sizes}) are complete, and the wheel works\n")


def build(root: Path, target: Path, *kinds: str) -> list[Path]:
    """Build a project; return the files in the order of the kinds that were asked for."""
    options = [option for kind in kinds for option in ("-t", kind)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *options]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the package cannot be built:\n{done.stdout}{done.stderr}")
    endings = {"sdist": "*.tar.gz", "wheel": "*.whl"}
    return [next(target.glob(endings[kind])) for kind in kinds]


def git_files(*options: str) -> set[str] | None:
    """Return the files that git knows and that exist, None outside a repository."""
    if not (ROOT / ".git").exists():
        return None
    listed = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, check=True, capture_output=True, text=True)
    return {path for path in listed.stdout.split("\0") if path and (ROOT / path).exists()}


def archive_faults(packed: set[str], tracked: set[str] | None, allowed: set[str] | None) -> list[str]:
    """Return what the source archive lacks of the repository, and what does not belong into it."""
    if tracked is None or allowed is None:
        return []
    missing, strange = sorted(tracked - packed), sorted(packed - allowed - ADDED)
    return [
        *(
            f"the source archive lacks {path}: name it in pyproject.toml, [tool.hatch.build.targets.sdist]"
            for path in missing
        ),
        *(f"the source archive holds {path}, which git does not know" for path in strange),
    ]


def wheel_faults(installed: set[str], source: set[str]) -> list[str]:
    """Return the files of `src` that the wheel lacks."""
    return [f"the wheel lacks {path}" for path in sorted(source) if path.removeprefix("src/") not in installed]


def try_wheel(wheel: Path, folder: Path) -> list[str]:
    """Install the wheel alone into a new environment and use it from an empty folder; return what failed."""
    home, empty = folder / "environment", folder / "empty"
    empty.mkdir()
    venv.create(home, with_pip=False, symlinks=True)
    scripts = home / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(scripts / "python")]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", "--no-compile", str(wheel)], check=True)
    # A folder named in a .pth file is searched last, and its own .pth files (an editable install is one) are not read.
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")

    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    faults = []

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(scripts / command[0]), *command[1:]],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            faults.append(f"the installed wheel fails: {' '.join(command)}\n{done.stderr}")
        return done.stdout.strip()

    sample = run("python", "-P", "-c", LIBRARY)
    run("prunescope", "--version")
    run("prunescope", "plan", "digits")
    run("prunescope", "fit", sample, "--law", "joint", "--intervals", "quick")
    return faults


if __name__ == "__main__":
    main()
