"""Results as markup: in a few lines for Python, as HTML tables in a notebook, as words in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

# Lines of a result where Python shows it.
MOST_LINES = 10


class Summarised:
    """A result that Python shows in a few lines: the first ones of `str`, and how many more there are."""

    def __repr__(self) -> str:
        lines = str(self).splitlines()
        if len(lines) <= MOST_LINES:
            return "\n".join(lines)
        return "\n".join([*lines[: MOST_LINES - 1], f"... {len(lines) - MOST_LINES + 1} lines more with print()"])


def table_html(
    head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "", notes: Iterable[str] = ()
) -> str:
    """Return a table under a caption, and notes below it."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    below = "".join(f"<li>{escape(words)}</li>" for words in notes)
    shown = f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f"{shown}<ul>{below}</ul>" if below else shown


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
