"""How a figure moves beyond our own requests, told at literal times."""

import pytest

from kallglot_async._core.limit.drift import Drift

PERIOD = 60.0


def follow(drift, seconds, *, ours=0, others=0, freed=0, start=1000):
    """A figure each second, which so many of ours and of others' have lowered, and so many places that came free."""
    left = start
    drift.on_renewed(0.0, left, PERIOD)
    for second in range(1, seconds + 1):
        left += freed - ours - others
        for _ in range(ours):
            drift.on_sent()
            drift.on_accepted()
        drift.on_figure(float(second), left, PERIOD)


def test_our_own_requests_are_no_drift():
    """Alone in a fixed window: nobody takes anything, and nothing comes free."""
    drift = Drift()
    follow(drift, 30, ours=3)
    assert (drift.freed(PERIOD), drift.taken(31.0, PERIOD)) == (0.0, 0.0)


def test_what_falls_beyond_our_own_requests_is_the_neighbours():
    """Two a second: three seconds after the newest figure six are gone, and half a deviation more, out of many."""
    drift = Drift()
    follow(drift, 30, ours=1, others=2)
    assert drift.taken(33.0, PERIOD) == pytest.approx(6.0 + 0.5 * 6.0**0.5, rel=0.05)
    assert drift.freed(PERIOD) == 0.0


def test_neighbours_take_less_the_less_there_is():
    """Nobody can have taken more than all that was left."""
    drift = Drift()
    follow(drift, 30, others=2, start=65)
    assert 4.0 < drift.taken(130.0, PERIOD) <= 5.0 + 5.0**0.5


def test_what_comes_free_is_seen_beside_our_own_requests():
    """Of a sliding counter, whose figure rises while its reset stands still."""
    drift = Drift()
    follow(drift, 30, ours=2, freed=2)
    assert drift.freed(PERIOD) == pytest.approx(2.0)
    assert drift.taken(33.0, PERIOD) == 0.0


def test_requests_in_flight_pass_for_nobody_elses():
    """The figure that comes first may hold all of them already, or none."""
    drift = Drift()
    drift.on_renewed(0.0, 100, PERIOD)
    for _ in range(50):
        drift.on_sent()
    for second in range(1, 9):
        drift.on_figure(float(second), 50, PERIOD)
    assert drift.taken(9.0, PERIOD) == 0.0
    assert drift.freed(PERIOD) == 0.0


def test_a_slot_given_back_was_never_sent():
    """What it would have taken is not taken for ours."""
    drift = Drift()
    follow(drift, 30, others=2)
    before = drift.taken(33.0, PERIOD)
    drift.on_sent()
    drift.on_sent(-1)
    assert drift.taken(33.0, PERIOD) == before


def test_a_new_window_tells_nothing_of_the_old_one():
    """All of it coming back is no place that came free."""
    drift = Drift()
    follow(drift, 30, ours=1)
    drift.on_renewed(60.0, 1000, PERIOD)
    assert drift.freed(PERIOD) == 0.0


@pytest.mark.parametrize(("seconds", "others"), [(3, 3), (30, 0)])
def test_a_little_is_no_drift(seconds, others):
    """Neither a few seconds nor a request or two, which the order of answers can make."""
    drift = Drift()
    follow(drift, seconds, ours=1, others=others)
    drift.on_figure(seconds + 0.1, 1000 - seconds * (1 + others) - 1, PERIOD)
    assert drift.taken(seconds + 5.0, PERIOD) == 0.0


def test_who_has_taken_of_a_window_before_its_first_figure_is_a_neighbour():
    """A window of which more is gone than we have asked for: it is known at once, and nobody spends it ahead."""
    drift = Drift()
    drift.on_renewed(0.0, 140, PERIOD, gone=9)
    assert drift.sees_neighbours(PERIOD)
    assert drift.taken(1.0, PERIOD) > 1.0


def test_one_or_two_that_are_missing_from_a_window_are_no_neighbours():
    """They may be our own, of which no answer came."""
    drift = Drift()
    drift.on_renewed(0.0, 147, PERIOD, gone=2)
    assert not drift.sees_neighbours(PERIOD)
    assert drift.taken(1.0, PERIOD) == 0.0


def test_a_burst_that_was_sent_before_a_window_renewed_is_no_neighbour():
    """The first of 60 answers is that window's first figure; each of the others falls by one, within half a second."""
    drift = Drift()
    follow(drift, 30, ours=1)
    drift.on_sent(60)
    drift.on_renewed(31.0, 149, PERIOD, in_flight=59, gone=1)
    for number in range(1, 60):
        drift.on_figure(31.0 + number / 120, 149 - number, PERIOD)
    assert not drift.sees_neighbours(PERIOD)
