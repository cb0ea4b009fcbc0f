"""The command line: the one place that wires rooms together; each command loads what it needs, when it runs."""
