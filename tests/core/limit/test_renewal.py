"""When a window renews, by clocks that differ, and what others take of it until then, told at literal times."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.limits import EPOCH, figures

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.renewal import APART, Drift, Renewal

PERIOD = 60.0


def dated(clock, now, *, date, reset=EPOCH + 60.0):
    """Return when the reset comes by an answer with that `Date`."""
    return clock.moment(figures(reset=reset, resets_in=reset - date), now, does_move=False)


def test_the_answer_that_came_soonest_after_its_date_tells_best():
    """The server is 100 s ahead of us; a `Date` is up to a second older than its answer."""
    clock = Renewal()
    reset = EPOCH + 160.0
    assert dated(clock, EPOCH + 0.9, date=EPOCH + 100.0, reset=reset) == EPOCH + 60.9
    assert dated(clock, EPOCH + 1.1, date=EPOCH + 101.0, reset=reset) == pytest.approx(EPOCH + 60.1)
    assert dated(clock, EPOCH + 1.8, date=EPOCH + 101.0, reset=reset) == pytest.approx(EPOCH + 60.1, abs=0.01)


def test_that_holds_for_the_windows_after_it_too():
    """Clocks come apart by a thousandth at most."""
    clock = Renewal()
    assert dated(clock, EPOCH + 0.1, date=EPOCH) == pytest.approx(EPOCH + 60.1)
    later = dated(clock, EPOCH + 100.9, date=EPOCH + 100.0, reset=EPOCH + 120.0)
    assert later == pytest.approx(EPOCH + 120.1 + 100.8 * APART)


def test_what_is_forgotten_is_learned_anew():
    """A clock was set: the answer alone counts."""
    clock = Renewal()
    dated(clock, EPOCH + 0.1, date=EPOCH)
    clock.forget_date()
    assert dated(clock, EPOCH + 1.9, date=EPOCH + 1.0) == pytest.approx(EPOCH + 60.9)


def test_what_tells_no_moment_of_the_clock_changes_nothing():
    """Seconds from now in whole ones, and a reset that is over."""
    clock = Renewal()
    assert dated(clock, EPOCH + 0.9, date=EPOCH) == EPOCH + 60.9
    rounded = figures(reset=EPOCH + 10.0, resets_in=10.0)
    rounded = type(rounded)(rounded.limit, rounded.remaining, rounded.reset, rounded.resets_in, 1.0)
    assert clock.moment(rounded, EPOCH + 5.0, does_move=False) == EPOCH + 15.0
    assert clock.moment(figures(reset=EPOCH, resets_in=0.0), EPOCH + 5.0, does_move=False) == EPOCH + 5.0
    assert dated(clock, EPOCH + 0.95, date=EPOCH) == pytest.approx(EPOCH + 60.9, abs=0.001)


def undated(rest):
    """Return figures whose reset is so far away if both clocks are right."""
    return RateFigures(150, 10, 1_800_000_000.0, max(0.0, rest), by_our_clock=rest)


def test_figures_that_tell_their_own_moment_stay_as_they_are():
    """With a `Date` there is nothing to be learned."""
    told = RateFigures(150, 10, 1_800_000_000.0, 300.0)
    assert Renewal().undated(told, 0.1) is told
    assert Renewal().rest(told) == 300.0


def test_clocks_are_taken_to_be_right_where_nothing_tells_otherwise():
    """A rest that can be true is."""
    assert Renewal().undated(undated(42.0), 0.1).resets_in == 42.0


def test_a_rest_longer_than_a_window_shows_a_clock_that_is_ahead():
    """Of the documented minute, and a second in which the reset was rounded; it is remembered."""
    clock = Renewal()
    assert clock.undated(undated(81.0), 0.1).resets_in == 61.0
    assert clock.undated(undated(60.0), 0.1).resets_in == 40.0


def test_a_reset_that_is_over_shows_a_clock_that_is_behind():
    """It was not when the answer was made, at the latest when its request was sent."""
    clock = Renewal()
    assert clock.undated(undated(-20.0), 0.5).resets_in == 0.0
    assert clock.undated(undated(39.5), 0.5).resets_in == 59.0


def test_a_clock_that_was_set_is_learned_anew():
    """It was behind and is ahead: both cannot be, so what was known of it holds no more."""
    clock = Renewal()
    clock.undated(undated(-20.0), 0.5)
    clock.undated(undated(81.0), 0.5)
    assert clock.rest(undated(42.0)) == 42.0


def test_a_reset_that_stands_still_for_longer_than_a_minute_shows_a_longer_window():
    """An hour's is known as such once it was waited for."""
    clock = Renewal()
    for rest in range(3600, 0, -1):
        clock.undated(undated(float(rest)), 0.0)
    assert clock.undated(undated(3600.0), 0.0).resets_in == pytest.approx(3600.0, abs=2.0)


@given(
    st.floats(-3600.0, 3600.0),
    st.sampled_from([1.0, 10.0, 60.0]),
    st.lists(st.floats(0.0, 20.0), min_size=1, max_size=50),
    st.floats(0.0, 2.0),
)
def test_a_reset_is_never_taken_for_earlier_than_it_is_nor_more_than_a_minute_later(ahead, period, pauses, took):
    """Never earlier where the server's clock is ahead; one that is behind shows itself when a reset is over."""
    clock, now = Renewal(), 10_000.0
    for pause in pauses:
        now += pause
        made = now - took / 2 + ahead  # by the server's clock
        reset = math.ceil((math.floor(made / period) + 1) * period)
        rest = clock.undated(undated(reset - now), took).resets_in
        true = max(0.0, reset - ahead - now)
        if ahead >= 0.0:
            assert rest >= true - took - 1e-6
        assert rest <= 61.0 + 1e-6


def follow(drift, seconds, *, ours=0, others=0, freed=0, start=1000):
    """A figure each second, which so many of ours and of others' have lowered, and so many places that came free."""
    left = start
    drift.on_renewed(0.0, left, PERIOD)
    for second in range(1, seconds + 1):
        left += freed - ours - others
        drift.sent += ours
        drift.accepted += ours
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
    drift.sent += 50
    for second in range(1, 9):
        drift.on_figure(float(second), 50, PERIOD)
    assert drift.taken(9.0, PERIOD) == 0.0
    assert drift.freed(PERIOD) == 0.0


def test_a_slot_given_back_was_never_sent():
    """What it would have taken is not taken for ours."""
    drift = Drift()
    follow(drift, 30, others=2)
    before = drift.taken(33.0, PERIOD)
    drift.sent += 1
    drift.sent -= 1
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
    drift.sent += 60
    drift.on_renewed(31.0, 149, PERIOD, in_flight=59, gone=1)
    for number in range(1, 60):
        drift.on_figure(31.0 + number / 120, 149 - number, PERIOD)
    assert not drift.sees_neighbours(PERIOD)
