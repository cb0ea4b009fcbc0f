"""Messages: what is told on one line, and what tells groups apart."""

from __future__ import annotations

from prunescope.errors import Fault, InputError, printable


def test_faults_told_within_a_message_stand_on_its_line() -> None:
    two = InputError("the members", [Fault("depth", "must be 20", "50"), Fault("width", "must be 1")])
    assert (
        printable(f"no answer: {two}")
        == "no answer: the members: 2 faults: depth: must be 20; found 50; width: must be 1"
    )


def test_a_strangers_text_is_shown_on_one_line_and_steers_nothing() -> None:
    assert printable("two\nlines\tand a tab") == "two lines and a tab"
    assert printable("\x1b[31mred\x07") == "\ufffd[31mred\ufffd"
