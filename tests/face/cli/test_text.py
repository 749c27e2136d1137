"""What may be printed on a terminal, and the figures that are drawn with text."""

import pytest

from kallglot_async.cli.text import bar, clean, complain, sparkline


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with umlauts: äöü 漢字", "plain, with umlauts: äöü 漢字"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mC1", "C1"),
        ("\x1bPdevice\x1b\\after", "after"),
        ("\x1b(0charset", "charset"),
        ("a\r\nb\tc\u2028d\x85e", "a b c d e"),
        ("bell\x07 back\x08 del\x7f nul\x00", "bell back del nul"),
        ("\u202egnp.exe\u2069", "gnp.exe"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        (42, "42"),
    ],
)
def test_clean_leaves_nothing_that_a_terminal_obeys(text, shown):
    """Escape sequences go as a whole, controls and direction marks one by one, line ends become blanks."""
    assert clean(text) == shown


def test_complaints_are_one_clean_line_on_stderr(capsys):
    """Whatever a message holds, it is one line that says who speaks."""
    complain("two\nlines \x1b[2Jand an escape")
    assert capsys.readouterr() == ("", "kallglot: two lines and an escape\n")


def test_sparkline_runs_from_minus_one_to_one():
    """The lowest mark stands for -1, the highest for 1, and what lies beyond is cut."""
    assert sparkline([-1.0, -0.5, 0.0, 0.5, 1.0]) == "▁▃▅▇█"
    assert sparkline([-7.0, 7.0]) == "▁█"
    assert sparkline([-1.0, 0.0, 1.0], ascii_only=True) == "_=#"
    assert sparkline([]) == ""


def test_a_long_course_is_averaged_into_the_width():
    """No score is dropped: groups of neighbours share a mark."""
    assert sparkline([-1.0, -1.0, 1.0, 1.0], width=2) == "▁█"
    assert sparkline([-1.0, 1.0, -1.0, 1.0], width=2) == "▅▅"
    assert len(sparkline([0.0] * 1000, width=60)) == 60


@pytest.mark.parametrize(("share", "filled"), [(0.0, 0), (0.55, 11), (1.0, 20), (-3.0, 0), (9.0, 20)])
def test_bar_is_filled_to_its_share(share, filled):
    """Both parts together have the width, whatever the share."""
    assert bar(share, width=20) == ("█" * filled, "░" * (20 - filled))
    assert bar(share, width=20, ascii_only=True) == ("#" * filled, "." * (20 - filled))
