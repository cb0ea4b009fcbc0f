"""``python -m prunescope`` is ``prunescope``."""

import os
import sys

# Python puts the current folder first: modules that lie there must not be taken for libraries.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109 - pathlib is not loaded yet
    del sys.path[0]

from prunescope.cli import start

start()
