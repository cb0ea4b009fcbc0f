"""Words in a terminal: within its width, further lines under the first one's words."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.cli.printing import hung, wrapped

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")


@pytest.mark.parametrize("head", ["", "  ", "  ! ", "  expected         ", "  - "])
def test_further_lines_stand_under_the_words(head: str) -> None:
    lines = wrapped(head + WORDS).splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 50
    assert lines[0].startswith(f"{head}one")
    assert all(line.startswith(" " * len(head)) and line[len(head)] != " " for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == (head + WORDS).strip()


def test_rows_of_a_table_stay_as_they_are() -> None:
    row = "  member   0.1234   0.5678   0.91011   0.121314   0.151617"
    assert wrapped(row) == row


def test_a_head_that_leaves_no_room_stands_above() -> None:
    lines = hung(WORDS, f"  {'a name':40} ").splitlines()
    assert max(map(len, lines)) <= 50
    assert lines[1].startswith("    ")
    assert lines[1][4] != " "


LAWS = (
    ("fit", "renda2020", "--law", "single", "--where", "depth = 50 and density > 0.3"),
    ("fit", "digits", "--law", "joint"),
    ("compare", "digits"),
)


@pytest.mark.parametrize("command", LAWS, ids=lambda words: " ".join(words[:2]))
def test_laws_keep_to_eighty_columns(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0
    words = [line for line in done.output.splitlines() if "  " not in line.strip() and not line.startswith("note:")]
    assert len(words) > 2
    assert [line for line in words if len(line) > 80] == []
