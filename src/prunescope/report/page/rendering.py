"""From a report to its page, with the scripts that draw in it.

Words and values of strangers go through the template, which escapes them, or into JSON whose letters ``<``, ``>`` and
``&`` are escaped; the policy in the page's head lets no script run but the two whose hashes it names.

Vega, Vega-Lite and Vega-Embed come with vl-convert as one bundle. Making the bundle takes seconds, so it is kept in the
user's cache, under the version that made it and with its hash.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from contextlib import suppress
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from prunescope.report.chapters import Chapter, Report
from prunescope.report.page.content import Drawing, drawing, head, looks, packed, stops
from prunescope.report.page.tables import family_table

FIRST_ROWS = 12
# The page's own scripts, in one element.
SCRIPTS = ("address.js", "tables.js", "values.js", "page.js")


def page(report: Report) -> str:
    """Return the page."""
    vega, script = Markup(_inert(_bundle())), Markup(_inert("\n".join(map(_file, SCRIPTS))))  # noqa: S704 - our own
    heads, first, same = head(report.rows, FIRST_ROWS)
    families = report.overview
    text: str = _template().render(
        report=report,
        chapters=[(chapter, place, _drawings(chapter, place)) for place, chapter in enumerate(report.chapters)],
        stops=stops,
        looks=looks(),
        families=None if families is None else family_table(families),
        glance=None if families is None else drawing(families.figure, families.figure.slug),
        heads=heads,
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


# What the bundle gives the page's own script.
HANDLE = "window.embedVega = vegaEmbed;"
LICENCES = (
    "Vega, Vega-Lite, Vega-Embed, Vega-Tooltip: BSD 3-Clause, (c) University of Washington Interactive Data Lab and "
    "contributors; D3: ISC, (c) Mike Bostock; lodash.debounce, fast-json-patch: MIT; semver, topojson-client: ISC; "
    "tslib: 0BSD"
)


def _bundle() -> str:
    """Return the bundle, made now or kept from before."""
    cached = _kept()
    with suppress(OSError, UnicodeDecodeError, ValueError):
        digest, content = cached.read_text(encoding="utf-8").split("\n", 1)
        if digest == _digest(content):
            return content
    import vl_convert

    script: str = vl_convert.javascript_bundle(HANDLE)
    with suppress(OSError):
        _keep(cached, f"{_digest(script)}\n{script}")
    return script


def _keep(path: Path, text: str) -> None:
    """Write it whole or not at all; other processes may be at it too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(name).replace(path)


def _kept() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunescope" / "scripts"
    made_by = f"{version('vl-convert-python')} {HANDLE}"
    return home / f"{_digest(made_by)[:16]}.js"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
