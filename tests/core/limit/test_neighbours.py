"""What part of a log is taken beside others."""

import pytest

from kallglot_async._core.limit.neighbours import LEFT, part_of_log


def test_who_has_more_gives_up_more():
    """Where nothing is left, a quarter of what each has, and as little is gained by all: they come nearer."""
    assert part_of_log(100, 0) == pytest.approx(78.0)
    assert part_of_log(20, 0) == pytest.approx(18.0)


def test_who_holds_nothing_gets_in():
    """However full it is."""
    assert part_of_log(0, 0) == pytest.approx(3.0)


def test_what_is_left_is_gained_up_to_a_bound():
    """Each place beyond those left to others brings requests, but no rush."""
    assert part_of_log(64, LEFT + 2) == pytest.approx(48.0 + 32.0)
    assert part_of_log(64, 100) == pytest.approx(48.0 + 64.0)


def test_two_who_share_a_log_meet_at_equal_parts():
    """Whoever began with all of it."""
    parts = [90.0, 10.0]
    for _ in range(30):
        left = int(100 - sum(parts))
        wanted = [part_of_log(int(part), left) for part in parts]
        parts = [want * min(1.0, 96.0 / sum(wanted)) for want in wanted]
    assert min(parts) > 0.8 * max(parts)
