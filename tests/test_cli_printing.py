"""Words in a terminal: within its width, further lines under the first one's words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.cli.printing import hung, table_lines, wrapped

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


COLUMNS: dict[str, list[Any]] = {
    "label_noise": [0, 0.05, 0.15],
    "rewind": ["weights", "learning-rate", "learning-rate"],
    "eps_up": ["0.1269 [0.1, 0.2]", "0.9 [0.34, 1]", "0.5 ?"],
    "sigma, %": ["1.52", "15.00", "-3.1"],
    "meaning": ["error of the high plateau, where almost everything is pruned", "", "short"],
}


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_table_keeps_to_the_width_and_loses_nothing(width: int) -> None:
    lines = table_lines(COLUMNS, 2, width)
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() and (not line or line.startswith("  ")) for line in lines)
    words = Counter(" ".join(lines).split())
    wanted = Counter(word for name, cells in COLUMNS.items() for cell in (name, *cells) for word in str(cell).split())
    assert not wanted - words
    blocks = "\n".join(lines).split("\n\n")
    assert all(block.split()[0] == "label_noise" for block in blocks)  # what goes on below names its rows again
    assert (len(blocks) == 1) == (width >= 80)


def test_numbers_stand_to_the_right_and_wrapped_words_under_their_first() -> None:
    head, *rows = table_lines({"sigma, %": COLUMNS["sigma, %"], "meaning": COLUMNS["meaning"]}, width=44)
    assert [row[:8] for row in rows if row[:8].strip()] == ["    1.52", "   15.00", "    -3.1"]
    assert {row[10:11] for row in rows if len(row) > 10} <= set("eawps")
    assert head.startswith("sigma, %  meaning")


def test_a_table_that_a_program_reads_is_as_wide_as_it_needs_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    assert len(table_lines(COLUMNS)) == len(COLUMNS["rewind"]) + 1


TABLES = (
    ("table", "renda2020", "--limit", "3"),
    ("fit", "renda2020", "--law", "single", "--where", "depth = 50 and density > 0.3", "--intervals", "none"),
    ("sensitivity", "digits", "--repeats", "2", "--networks", "40", "--configurations", "5"),
    ("next", "digits", "--max-error", "0.1"),
    ("choose", "digits", "--max-error", "0.1"),
)


@pytest.mark.parametrize("command", TABLES, ids=lambda words: words[0])
def test_no_line_of_a_command_is_wider_than_the_terminal(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
