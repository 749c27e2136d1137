"""When a window resets by a server that sends no `Date`, by clocks that differ, told at literal times."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.undated import Undated


def undated(rest):
    """Return figures whose reset is so far away if both clocks are right."""
    return RateFigures(150, 10, 1_800_000_000.0, max(0.0, rest), by_our_clock=rest)


def test_figures_that_tell_their_own_moment_stay_as_they_are():
    """With a `Date` there is nothing to be learned."""
    told = RateFigures(150, 10, 1_800_000_000.0, 300.0)
    assert Undated().dated(told, 0.1) is told
    assert Undated().rest(told) == 300.0


def test_clocks_are_taken_to_be_right_where_nothing_tells_otherwise():
    """A rest that can be true is."""
    assert Undated().dated(undated(42.0), 0.1).resets_in == 42.0


def test_a_rest_longer_than_a_window_shows_a_clock_that_is_ahead():
    """Of the documented minute, and a second in which the reset was rounded; it is remembered."""
    clock = Undated()
    assert clock.dated(undated(81.0), 0.1).resets_in == 61.0
    assert clock.dated(undated(60.0), 0.1).resets_in == 40.0


def test_a_reset_that_is_over_shows_a_clock_that_is_behind():
    """It was not when the answer was made, at the latest when its request was sent."""
    clock = Undated()
    assert clock.dated(undated(-20.0), 0.5).resets_in == 0.0
    assert clock.dated(undated(39.5), 0.5).resets_in == 59.0


def test_a_clock_that_was_set_is_learned_anew():
    """It was behind and is ahead: both cannot be, so what was known of it holds no more."""
    clock = Undated()
    clock.dated(undated(-20.0), 0.5)
    clock.dated(undated(81.0), 0.5)
    assert clock.rest(undated(42.0)) == 42.0


def test_a_reset_that_stands_still_for_longer_than_a_minute_shows_a_longer_window():
    """An hour's is known as such once it was waited for."""
    clock = Undated()
    for rest in range(3600, 0, -1):
        clock.dated(undated(float(rest)), 0.0)
    assert clock.dated(undated(3600.0), 0.0).resets_in == pytest.approx(3600.0, abs=2.0)


@given(
    st.floats(-3600.0, 3600.0),
    st.sampled_from([1.0, 10.0, 60.0]),
    st.lists(st.floats(0.0, 20.0), min_size=1, max_size=50),
    st.floats(0.0, 2.0),
)
def test_a_reset_is_never_taken_for_earlier_than_it_is_nor_more_than_a_minute_later(ahead, period, pauses, took):
    """Never earlier where the server's clock is ahead; one that is behind shows itself when a reset is over."""
    clock, now = Undated(), 10_000.0
    for pause in pauses:
        now += pause
        made = now - took / 2 + ahead  # by the server's clock
        reset = math.ceil((math.floor(made / period) + 1) * period)
        rest = clock.dated(undated(reset - now), took).resets_in
        true = max(0.0, reset - ahead - now)
        if ahead >= 0.0:
            assert rest >= true - took - 1e-6
        assert rest <= 61.0 + 1e-6
