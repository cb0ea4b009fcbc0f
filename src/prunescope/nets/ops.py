"""The operations that designs are written in.

A family is one function over these. What the operations do is up to who runs it: `outline` notes shapes and counts,
`cohort` computes for R members at once, `network` follows what can be reached through masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Ops(Protocol):
    """What a design may do to a value; names are those of a torch state dict."""

    def conv(self, x: Any, name: str, out: int, kernel: int = 3, stride: int = 1) -> Any:
        """Convolve without bias; the padding keeps the size where the stride is 1."""

    def norm(self, x: Any, name: str, last: bool = False) -> Any:
        """Batch normalisation over channels; ``last`` of a residual branch, which may start from zero."""

    def linear(self, x: Any, name: str, out: int) -> Any:
        """Multiply by a matrix and add a bias."""

    def relu(self, x: Any) -> Any:
        """Cut off below zero."""

    def add(self, x: Any, y: Any) -> Any:
        """Add two branches."""

    def concat(self, x: Any, y: Any) -> Any:
        """Lay the channels of one branch behind those of another."""

    def max_pool(self, x: Any) -> Any:
        """Halve height and width, keeping the largest of each four values; an odd row or column is dropped."""

    def max_pool_3(self, x: Any) -> Any:
        """Halve height and width, rounded up, keeping the largest of nine values: those around every second one."""

    def halve(self, x: Any) -> Any:
        """Halve height and width by the mean of each four values; an odd row or column is dropped."""

    def mean_pool(self, x: Any) -> Any:
        """Average each channel over the picture."""

    def flatten(self, x: Any) -> Any:
        """Lay a picture out as one row: channels, then height, then width."""

    def channels(self, x: Any) -> int:
        """Return the channels of a value."""

    def side(self, x: Any) -> int:
        """Return the larger side of the network's input, a picture."""


Design = Callable[[Ops, Any, int, float, int], Any]
"""From operations, input, depth, width factor and classes to logits."""
