"""The command line: the one place that wires rooms together; each command loads what it needs, when it runs."""

import sys


def start() -> None:
    """Run ``prunescope``; Ctrl-C is no error even while the command line itself is being loaded."""
    try:
        from prunescope.cli.main import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
