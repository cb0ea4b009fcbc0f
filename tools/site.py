"""Hooks of mkdocs: pages that `docs/` does not hold, links that lead to them, and a site that loads nothing.

`make site` runs them, by `mkdocs.yml`. Pages come from the repository's own files (the README, the changelog and
others) and from the names that `prunescope` and its rooms export, whose docstrings mkdocstrings reads.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "prunescope"
PAGES = {  # pages by the files of the repository that they show; docs/X.md is X.md
    "README.md": "tour.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "licence.md",
    "CITATION.cff": "citation.md",
    "src/prunescope/data/digits/README.md": "digits.md",
}
PLAIN = {"LICENSE": "Licence", "CITATION.cff": "How to cite"}  # files that are no Markdown, with their titles
SHIM = "javascripts/iframe-worker.js"
LINK = re.compile(r"(\]\()([^)#\s]+)")
LOADS = re.compile(
    r"""<(?!a\b)[a-z]+\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>|url\(["']?(?:https?:)?//[^)]*\)|@import[^;]*"""
)
ELSEWHERE = re.compile(r"""<a\b[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]*)""")
PAPERS = ("https://arxiv.org/abs/", "https://doi.org/")


def exported_names(path: Path) -> list[tuple[str, str]]:
    """Return the names that a module takes from its package for others, each with the module that it comes from."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    body += [node for condition in body if isinstance(condition, ast.If) for node in condition.body]
    return sorted(
        (alias.name, node.module)
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("prunescope.")
        for alias in node.names
        if not alias.name.startswith("_")
    )


def reference_pages() -> dict[str, str]:
    """Return the pages of the reference: one for each room, one for the errors, and one that lists all names."""
    rooms = {path.parent.name: exported_names(path) for path in sorted(PACKAGE.glob("*/__init__.py"))}
    public = exported_names(PACKAGE / "__init__.py")
    for name, module in public:
        if (PACKAGE / f"{module.split('.')[1]}.py").exists():  # a room of one file, which is its own list of names
            rooms.setdefault(module.split(".")[1], []).append((name, module))
    rooms = {room: names for room, names in rooms.items() if names}
    pages = {}
    for room, names in rooms.items():
        entries = "\n\n".join(f"::: prunescope.{room}.{name}" for name, _ in names)
        source = next(iter(PACKAGE.glob(f"{room}/__init__.py")), PACKAGE / f"{room}.py").read_text(encoding="utf-8")
        opening = ast.get_docstring(ast.parse(source)) or ""
        pages[f"reference/{room}.md"] = f"# prunescope.{room}\n\n{opening}\n\n{entries}\n"

    def link(room: str, name: str) -> str:
        return f"[`{name}`]({room}.md#prunescope.{room}.{name})"

    top = ", ".join(link(module.split(".")[1], name) for name, module in public)
    lines = [
        f"| [prunescope.{room}]({room}.md) | {', '.join(link(room, name) for name, _ in rooms[room])} |"
        for room in rooms
    ]
    pages["reference/index.md"] = (
        "# Every public name\n\n"
        "What `prunescope` and its rooms export; everything else may change without notice. "
        "[From Python](../python.md) begins with what one wants to do.\n\n"
        f"`import prunescope` gives {top}.\n\n| room | names |\n|---|---|\n" + "\n".join(lines) + "\n"
    )
    return pages


def site_text(source: str) -> str:
    """Return a file of the repository as Markdown; what is no Markdown is shown as it is."""
    text = (ROOT / source).read_text(encoding="utf-8")
    return f"# {PLAIN[source]}\n\n```\n{text}```\n" if source in PLAIN else text


def moved_links(text: str, source: str) -> str:
    """Return a document with its links to files of the repository turned into links to the site's pages."""
    page = PAGES.get(source, source.removeprefix("docs/"))

    def moved(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target:
            return match[0]
        path = os.path.normpath(os.path.join(os.path.dirname(source), target))  # noqa: PTH118, PTH120
        path = PAGES.get(path, path.removeprefix("docs/"))
        return match[1] + os.path.relpath(path, os.path.dirname(page) or ".")  # noqa: PTH120

    parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)  # code is left alone
    return "".join(part if part.startswith("`") else LINK.sub(moved, part) for part in parts)


def loads_from_elsewhere(text: str) -> list[str]:
    """Return what a page or a style sheet loads from another machine, and links to other places than papers."""
    links = [target for target in ELSEWHERE.findall(text) if not target.startswith(PAPERS)]
    return [*LOADS.findall(text), *links]


def on_config(config: MkDocsConfig) -> None:
    """Put the rooms' pages into the navigation."""
    section = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    section += [page for page in reference_pages() if not page.endswith("index.md")]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that `docs/` does not hold."""
    from mkdocs.structure.files import File

    pages = {page: site_text(source) for source, page in PAGES.items()} | reference_pages()
    pages[SHIM] = (ROOT / "tools" / "iframe-worker.js").read_text(encoding="utf-8")
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where the pages are."""
    del config, files
    path = page.file.src_uri
    sources = {target: source for source, target in PAGES.items()}
    return markdown if path.startswith("reference/") else moved_links(markdown, sources.get(path, f"docs/{path}"))


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads anything from elsewhere."""
    from mkdocs.exceptions import PluginError

    site = Path(config.site_dir)
    faults = [
        f"{path.relative_to(site)}: {fault}"
        for ending in ("*.html", "*.css")
        for path in sorted(site.rglob(ending))
        for fault in loads_from_elsewhere(path.read_text(encoding="utf-8"))
    ]
    if faults:
        raise PluginError("The site would load from elsewhere, or link to more than papers:\n" + "\n".join(faults))
