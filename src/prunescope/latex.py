"""Words as LaTeX: its own characters made plain, the papers' symbols as mathematics."""

from __future__ import annotations

import re

_SYMBOLS = {
    "\N{GREEK SMALL LETTER EPSILON}\N{UPWARDS ARROW}": r"$\epsilon_\uparrow$",
    "\u03b5\u2099\u209a": r"$\epsilon_{np}$",
    "\N{GREEK SMALL LETTER GAMMA}": r"$\gamma$",
    "p\N{PRIME}": r"$p'$",
    "\N{GREEK SMALL LETTER PHI}": r"$\varphi$",
    "\N{GREEK SMALL LETTER PSI}": r"$\psi$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SYMBOL = re.compile("(" + "|".join(map(re.escape, _SYMBOLS)) + ")")


def escaped(words: str) -> str:
    """Return words as LaTeX."""
    pieces = _SYMBOL.split(words)
    return "".join(_SYMBOLS.get(piece) or "".join(_SPECIAL.get(letter, letter) for letter in piece) for piece in pieces)
