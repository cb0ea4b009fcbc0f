"""The rules of a ladder for anybody's own training loop: which weights go, how to rewind, what is written."""

from prunescope.record.recorder import Recorder
from prunescope.record.rung import Epochs, Rung

__all__ = ["Epochs", "Recorder", "Rung"]
