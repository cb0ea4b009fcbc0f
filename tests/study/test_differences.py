"""Two versions of a study: what differs, key by key."""

from __future__ import annotations

from prunescope.study import differences, parse_study, preset_text


def test_differences_name_the_key_and_both_values() -> None:
    text = preset_text("digits")
    changed = text.replace("epochs = 30", "epochs = 15").replace("width = [0.1, 0.2, 0.4]", "width = [0.1, 0.3]")
    changed += '\n[[treatments]]\nkind = "extended"\n'
    lines = [str(difference) for difference in differences(parse_study(text), parse_study(changed))]
    assert lines == [
        "axes 1.width: [0.1, 0.2, 0.4] -> [0.1, 0.3]",
        "recipe.epochs: 30 -> 15",
        "treatments 2: not there -> kind = extended, name = extended",
    ]
