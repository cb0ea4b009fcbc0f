"""The scripts that draw in the page: Vega, Vega-Lite and Vega-Embed, as one bundle that comes with vl-convert.

Making the bundle takes seconds, so it is kept in the user's cache, under the version that made it and with its hash.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

# What the bundle gives the page's own script.
HANDLE = "window.embedVega = vegaEmbed;"
LICENCES = (
    "Vega, Vega-Lite, Vega-Embed, Vega-Tooltip: BSD 3-Clause, (c) University of Washington Interactive Data Lab and "
    "contributors; D3: ISC, (c) Mike Bostock; lodash.debounce, fast-json-patch: MIT; semver, topojson-client: ISC; "
    "tslib: 0BSD"
)


def bundle() -> str:
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
