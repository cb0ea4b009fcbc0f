"""Find the browser that the page is tested in, or install Debian's Chromium where that can be done.

    python tools/browser.py

Where there is none and none can be installed, it says how to get one and goes on: the tests of the page then say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "the page is tested in Chromium: apt-get install chromium, or name one with PRUNESCOPE_BROWSER=/path/to/it"


def found_browser() -> str | None:
    """Return the path of a browser, None where there is none."""
    named = os.environ.get("PRUNESCOPE_BROWSER")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> None:
    """Install a browser where there is none."""
    if found_browser():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        sys.stderr.write("installing Chromium, in which the page is tested\n")
        for what in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *what], stdout=subprocess.DEVNULL, check=False)
    if not found_browser():
        sys.stderr.write(f"{HOW}\n")


if __name__ == "__main__":
    main()
