"""``python -m prunescope.cli`` is ``prunescope``."""

from prunescope.cli.main import main

main()
