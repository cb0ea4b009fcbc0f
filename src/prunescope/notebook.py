"""How results show themselves in a notebook: plain HTML, with whatever a stranger's file says escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


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
