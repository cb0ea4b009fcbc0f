"""How results show themselves: in a notebook as HTML, where whatever a file says is escaped; elsewhere in short."""

from __future__ import annotations

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
