"""The server's clock, by the `Date` of its answers, at literal times."""

import pytest
from support.limits import EPOCH, figures

from kallglot_async._core.limit.dated import DRIFT, Dated


def told(clock, now, *, date, reset=EPOCH + 60.0):
    """Return when the reset comes by an answer with that `Date`."""
    return clock.resets_at(figures(reset=reset, resets_in=reset - date), now)


def test_the_answer_that_came_soonest_after_its_date_tells_best():
    """The server is 100 s ahead of us; a `Date` is up to a second older than its answer."""
    clock = Dated()
    reset = EPOCH + 160.0
    assert told(clock, EPOCH + 0.9, date=EPOCH + 100.0, reset=reset) == EPOCH + 60.9
    assert told(clock, EPOCH + 1.1, date=EPOCH + 101.0, reset=reset) == pytest.approx(EPOCH + 60.1)
    assert told(clock, EPOCH + 1.8, date=EPOCH + 101.0, reset=reset) == pytest.approx(EPOCH + 60.1, abs=0.01)


def test_that_holds_for_the_windows_after_it_too():
    """Clocks come apart by a thousandth at most."""
    clock = Dated()
    assert told(clock, EPOCH + 0.1, date=EPOCH) == pytest.approx(EPOCH + 60.1)
    later = told(clock, EPOCH + 100.9, date=EPOCH + 100.0, reset=EPOCH + 120.0)
    assert later == pytest.approx(EPOCH + 120.1 + 100.8 * DRIFT)


def test_what_is_forgotten_is_learned_anew():
    """A clock was set: the answer alone counts."""
    clock = Dated()
    told(clock, EPOCH + 0.1, date=EPOCH)
    clock.forget()
    assert told(clock, EPOCH + 1.9, date=EPOCH + 1.0) == pytest.approx(EPOCH + 60.9)


def test_what_tells_no_moment_of_the_clock_changes_nothing():
    """Seconds from now in whole ones, and a reset that is over."""
    clock = Dated()
    assert told(clock, EPOCH + 0.9, date=EPOCH) == EPOCH + 60.9
    rounded = figures(reset=EPOCH + 10.0, resets_in=10.0)
    rounded = type(rounded)(rounded.limit, rounded.remaining, rounded.reset, rounded.resets_in, 1.0)
    assert clock.resets_at(rounded, EPOCH + 5.0) == EPOCH + 15.0
    assert clock.resets_at(figures(reset=EPOCH, resets_in=0.0), EPOCH + 5.0) == EPOCH + 5.0
    assert told(clock, EPOCH + 0.95, date=EPOCH) == pytest.approx(EPOCH + 60.9, abs=0.001)
