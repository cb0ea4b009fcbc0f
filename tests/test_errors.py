"""Messages: what is told on one line, and what tells groups apart."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import pytest

from prunescope.errors import Fault, InputError, Key, command, named, printable


def test_faults_told_within_a_message_stand_on_its_line() -> None:
    two = InputError("the members", [Fault("depth", "must be 20", "50"), Fault("width", "must be 1")])
    assert (
        printable(f"no answer: {two}")
        == "no answer: the members: 2 faults: depth: must be 20; found 50; width: must be 1"
    )


def test_a_strangers_text_is_shown_on_one_line_and_steers_nothing() -> None:
    assert printable("two\nlines\tand a tab") == "two lines and a tab"
    assert printable("\x1b[31mred\x07") == "\ufffd[31mred\ufffd"


def test_values_are_named_by_those_that_are_there_and_keys_by_what_tells_them_apart() -> None:
    values = {"label_noise": 0.0, "width": 0.1 * 3, "recipe": "8e44ee272a8c", "leave": None}
    assert named(values) == "label_noise 0, width 0.3, recipe 8e44ee272a8c"
    key = pickle.loads(pickle.dumps(Key(values, ("label_noise", "leave"))))
    assert key == values
    assert named(key) == "label_noise 0"
    assert named(Key(values)) == named(Key(values, ("leave",))) == named(values)
    assert named({"method": None}) == "method None"
    assert named({}) == ""


WORDS = [
    "plain",
    "two words",
    "it's",
    'a "b" c',
    "$HOME",
    "`ls`",
    "a!b",
    "new\nline",
    "tab\tand 'quote'",
    "back\\slash\n",
    "é",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_a_command_as_it_is_meant(word: str) -> None:
    typed = command("table", Path(word), "--where", word)
    assert typed.isprintable()
    show = f"prunescope() {{ printf '%s\\0' \"$@\"; }}; {typed}"
    done = subprocess.run(["bash", "-c", show], capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == ["table", word, "--where", word]


def test_a_path_is_never_taken_for_an_option_and_plain_words_stay_plain() -> None:
    assert command("fit", Path("-runs"), "--law", "joint") == "prunescope fit ./-runs --law joint"
    assert command("fit", Path("-"), "--max-error", 0.1) == "prunescope fit - --max-error 0.1"
    assert command("next", Path("my runs"), "--where", "method = 'a'") == (
        """prunescope next 'my runs' --where "method = 'a'\""""
    )
