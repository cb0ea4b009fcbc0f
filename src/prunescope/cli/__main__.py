"""``python -m prunescope.cli`` is ``prunescope``."""

from prunescope.cli import start

start()
