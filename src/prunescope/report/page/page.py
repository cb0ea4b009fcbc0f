"""From a report to its page.

Words and values of strangers go through the template, which escapes them, or into JSON whose letters ``<``, ``>`` and
``&`` are escaped; the policy in the page's head lets no script run but the two whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from prunescope.report.chapters import Chapter, Report
from prunescope.report.page.content import Drawing, drawing, head, packed, stops
from prunescope.report.page.scripts import LICENCES, bundle

FIRST_ROWS = 12


def page(report: Report) -> str:
    """Return the page."""
    vega, script = Markup(_inert(bundle())), Markup(_inert(_file("page.js")))  # noqa: S704 - our own
    names, first, same = head(report.rows, FIRST_ROWS)
    text: str = _template().render(
        report=report,
        chapters=[(chapter, place, _drawings(chapter, place)) for place, chapter in enumerate(report.chapters)],
        stops=stops,
        columns=names,
        first=first,
        same=same,
        table=packed(report.rows),
        style=Markup(_file("page.css")),  # noqa: S704
        scripts=(vega, script),
        policy="; ".join(
            (
                "default-src 'none'",
                f"script-src {_hash(vega)} {_hash(script)}",
                "style-src 'unsafe-inline'",
                "img-src data: blob:",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        licences=LICENCES,
    )
    return text


def _drawings(chapter: Chapter, place: int) -> dict[str, Drawing]:
    """Return the drawings of a chapter by the slugs of their figures."""
    first = "" if place == 0 else f"{place + 1}-"
    return {figure.slug: drawing(figure, f"{first}{figure.slug}") for figure in chapter.figures}


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_file("page.html"))


def _file(name: str) -> str:
    return (resources.files("prunescope.report.page") / name).read_text(encoding="utf-8")


def _inert(script: str) -> str:
    """Keep a script from ending the element that it stands in."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
