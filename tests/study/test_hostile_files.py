"""Files of studies that are no studies, or were made to harm whoever reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.errors import InputError
from prunescope.study import parse_study, read_study
from tests.builders import within_limits
from tests.study.test_read import SOUND, faults, only_fault

QUOTES = '"' + '\\"' * 400_000
CHAIN = "".join(f'[[treatments]]\nkind = "leave-out"\nname = "{n}"\nlearns_from = "{n + 1}"\n' for n in range(20_000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file: must describe a study; found nothing. `prunescope plan digits --save FILE`"),
        ("# nothing yet", "must describe a study"),
        ("seed = 1", "[[axes]]: must be given, as one table or more\n"),
        ("name = ", "must be TOML"),
        ("a = 1\na = 2", "must be TOML"),
        ("x = " + "[" * 5_000 + "]" * 5_000, "must"),
        (SOUND.replace("[recipe]", "[[recipe]]"), "recipe"),
        (SOUND.replace("[axes]", "[axes.deeper]"), "axes"),
        (SOUND.replace('[[treatments]]\nkind = "imp"', "treatments = 3"), "must"),
        (SOUND.replace('[[treatments]]\nkind = "imp"', ""), "[[treatments]]: must be given"),
        (SOUND.replace("[3, 4]", str(list(range(2, 9_000)))).replace("[0.5, 1]", str(list(range(1, 900)))), "at most"),
        (SOUND.replace("levels = 5", "levels = 5\npruning_fraction = inf"), "finite"),
        (SOUND.replace("128", "99999999999999999999999999"), "recipe.batch"),
        (SOUND.replace("epochs = 40", "epochs = " + "1" * 5_000), "must be TOML"),
        (SOUND.replace("epochs = 40", "epochs = 0x" + "f" * 5_000), "too large to show"),
        (SOUND.replace("epochs = 40", "epochs" + ".a" * 2_000 + " = 4"), "recipe.epochs"),
        (
            SOUND.replace('kind = "imp"', 'kind = "imp"\n[[treatments]]\nname = "again"\nkind = "imp"'),
            "the same as 'imp'",
        ),
        (SOUND.replace('"mnist"', '"../../etc/passwd"'), "must be one of digits"),
    ],
)
def test_hostile_text_is_told_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_study(text)
    assert words in str(refused.value)


def test_a_path_that_is_no_study_names_the_nearest_preset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'lenet-mnist'"):
        read_study("lenet-mnits")
    with pytest.raises(InputError, match="a folder"):
        read_study(tmp_path)
    with pytest.raises(InputError, match="neither"):
        read_study("a\0b")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(InputError, match="UTF-8"):
        read_study(tmp_path / "latin.toml")


def test_a_list_of_many_values_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="must hold at most 1,000 values; found 200,000"):
        parse_study(SOUND.replace("width = [0.5, 1]", f"width = {[1 + n / 1e6 for n in range(200_000)]}"))


def test_a_study_too_large_to_be_meant_is_refused() -> None:
    widths = SOUND.replace("width = [0.5, 1]", f"width = {[1 + n / 1e6 for n in range(1_000)]}")
    assert only_fault(f"replicates = 60\n{widths}").must == "must make at most 100,000 ladders"
    assert only_fault(widths.replace("[3, 4]", "[600, 700]")).must.startswith("must make networks of at most 1,000,000")
    narrow = widths.replace('kind = "imp"', 'kind = "narrow"').replace("[3, 4]", "[100, 110]")
    assert only_fault(narrow).found == f"{1_000 * 210 * 6:,}"
    assert len(parse_study(widths).cells) == 2_000
    assert only_fault(SOUND.replace("epochs = 40", f"epochs = {10**12}")).must == "must be 1000000 or less"


@pytest.mark.parametrize(
    ("text", "place", "must"),
    [
        (
            SOUND + ".".join("a" * 100_000) + " = 1",
            "treatments.a (line 17)",
            "must be a key of fewer than twenty parts",
        ),
        (SOUND + "x = {" + ".".join("a" * 100_000) + " = 1}", "treatments.a (line 17)", "must be a key of fewer"),
        (f"[{'.'.join('a' * 100_000)}]\n" + "b = 1\n" * 1_000, "a (line 1)", "must be a key of fewer than"),
        (f"purpose = '''{QUOTES}'''\n{SOUND}", "purpose (line 1)", "must be at most 5000 letters"),
        (SOUND.replace("[3, 4]", f"{[0] * 400_000}"), "axes 1: depth (line 6)", "must hold at most 1,000 values"),
        (SOUND.replace("levels = 5", "".join(f"k{n} = 1\n" for n in range(100_000))), "recipe (line 9)", "at most 100"),
        (SOUND + CHAIN, "[[treatments]]", "must be given at most 200 times"),
    ],
    ids=["dotted key", "inline", "header", "quotes", "values", "keys", "treatments"],
)
def test_a_file_made_to_take_for_ever_is_refused(tmp_path: Path, text: str, place: str, must: str) -> None:
    (tmp_path / "bomb.toml").write_text(text)
    answer = within_limits("-m", "prunescope", "plan", tmp_path / "bomb.toml", megabytes=400, seconds=20)
    assert answer.returncode == 2, answer.stderr
    assert f"  {place}: " in answer.stderr
    assert must in answer.stderr


def test_a_file_of_nothing_but_faults_is_read_until_there_are_many() -> None:
    with pytest.raises(InputError) as raised:
        parse_study(SOUND.replace("[axes]", "[[axes]]") + "[[axes]]\n" * 9_000)
    assert 1_000 <= len(raised.value.faults) < 1_100


@pytest.mark.parametrize("comment", ['# say """', "# don'''t", "# [recipe]"])
def test_marks_in_comments_and_short_texts_do_not_hide_lines(comment: str) -> None:
    text = SOUND.replace('"mine"', '"a ' + "'" * 3 + f' b" {comment}').replace("batch = 128", "batch = 0")
    assert list(faults(text)) == ["recipe.batch (line 11)"]


def test_lines_are_counted_by_newlines_and_not_inside_long_texts() -> None:
    text = SOUND.replace('name = "mine"', 'name = "mine"\npurpose = """\u2028\n[recipe]\nepochs = 1\n"""')
    assert list(faults(text.replace("batch = 128", "batch = 0"))) == ["recipe.batch (line 15)"]
