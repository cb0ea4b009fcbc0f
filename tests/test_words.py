"""What a user meets is written plainly: turns of phrase that were hard to read do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "prunescope"
BANNED = (
    "is told all of them",
    "are told at once",
    "never read by half",
    "to be surer",
    "would have it told",
    "only together are they told",
    "not told by the data",
    "teaches nothing",
    "its pupils",
    "there and back",
    "gets you the same",
    "how surely",
    "what it came to",
    "as people say them",
    "who asks for it",
    "is read by half",
    "in any company",
    "other company",
    "held for true",
)


@cache
def texts() -> list[tuple[str, str]]:
    return list(_texts())


def _texts() -> Iterator[tuple[str, str]]:
    """Yield where and what a user may read: documents, and every string of the source that is no docstring."""
    pages = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    for path in [*pages, *sorted((ROOT / "docs").glob("*.md"))]:
        yield str(path.relative_to(ROOT)), path.read_text()
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


@pytest.mark.parametrize("words", BANNED)
def test_a_turn_of_phrase_that_is_hard_to_read_is_nowhere(words: str) -> None:
    pattern = re.compile(r"\s+".join(map(re.escape, words.split())), re.IGNORECASE)
    assert [place for place, text in texts() if pattern.search(text)] == []
