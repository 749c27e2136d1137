"""The ways of counting, driven with literal times."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async.emulator.limits.windows import (
    FixedWindow,
    SlidingCounter,
    SlidingWindow,
    TokenBucket,
    Window,
    WindowFromFirst,
    WindowKind,
    make_window,
)

KINDS: tuple[WindowKind, ...] = get_args(WindowKind)
EPOCH = 1_800_000_000.0


def drain(window: Window, now: float) -> int:
    count = 0
    while window.wait(now) == 0:
        window.count(now)
        count += 1
    return count


def test_fixed_window_is_aligned_to_multiples_of_its_period() -> None:
    """A fixed window ends where the wall clock is a multiple of the period, wherever the requests began."""
    window = FixedWindow(3, 60.0)
    assert drain(window, 119.0) == 3
    assert window.wait(119.0) == 1.0
    assert window.resets_at(119.0) == 120.0
    assert drain(window, 120.0) == 3
    assert (window.number(119.0), window.number(120.0)) == (1, 2)


def test_window_from_first_lasts_a_period_from_the_request_that_opens_it() -> None:
    """The first request opens it, and the first after its end opens the next, whenever that is."""
    window = WindowFromFirst(2, 10.0)
    assert (window.remaining(3.0), window.resets_at(3.0)) == (2, 13.0)
    window.count(3.5)
    window.count(9.0)
    assert (window.remaining(9.0), window.resets_at(9.0), window.wait(9.0)) == (0, 13.5, 4.5)
    assert drain(window, 20.0) == 2
    assert window.resets_at(20.0) == 30.0


def test_sliding_window_never_holds_more_than_its_limit_in_any_period() -> None:
    """A sliding window frees a place exactly one period after the request that took it."""
    window = SlidingWindow(2, 10.0)
    assert window.resets_at(100.0) == 100.0
    window.count(100.0)
    window.count(104.0)
    assert window.remaining(105.0) == 0
    assert window.wait(105.0) == 5.0
    assert window.resets_at(105.0) == 110.0
    assert drain(window, 110.0) == 1
    assert window.wait(110.0) == 4.0


def test_sliding_counter_counts_the_bucket_before_by_how_much_of_it_is_still_covered() -> None:
    """A quarter into a bucket, three quarters of the one before count; two buckets later, nothing does."""
    window = SlidingCounter(100, 60.0)
    assert drain(window, 30.0) == 100
    assert window.remaining(75.0) == 25
    assert window.resets_at(75.0) == 120.0
    assert drain(window, 75.0) == 25
    assert window.wait(75.0) == pytest.approx(0.6)  # a hundredth of a period frees one of a hundred
    assert window.remaining(180.0) == 100


def test_sliding_counter_that_is_spent_waits_into_the_next_bucket() -> None:
    """What was spent within a bucket does not fade before its end, then evenly."""
    window = SlidingCounter(4, 60.0)
    assert drain(window, 10.0) == 4
    assert window.wait(10.0) == pytest.approx(50.0 + 15.0)
    assert drain(window, 74.9) == 0
    assert drain(window, 75.0) == 1


def test_token_bucket_refills_evenly_up_to_its_limit() -> None:
    """A bucket starts full, gains limit/period tokens a second and never holds more than its limit."""
    window = TokenBucket(10, 5.0)
    assert drain(window, 100.0) == 10
    assert window.wait(100.0) == pytest.approx(0.5)
    assert window.resets_at(100.0) == pytest.approx(105.0)
    assert window.remaining(101.25) == 2
    assert drain(window, 101.25) == 2
    assert window.remaining(1000.0) == 10


def test_token_bucket_can_be_shallower_than_its_limit_and_announce_its_next_token() -> None:
    """Its depth is what can be spent at once; its reset is the moment of the next token."""
    window = TokenBucket(120, 60.0, 5, "next")
    assert window.resets_at(100.0) == 100.0
    assert drain(window, 100.0) == 5
    assert window.resets_at(100.0) == pytest.approx(100.5)
    assert window.remaining(1000.0) == 5


@pytest.mark.parametrize("kind", KINDS)
@given(
    limit=st.integers(1, 12),
    period=st.sampled_from([1.0, 7.5, 60.0]),
    gaps=st.lists(st.floats(0, 0.6), min_size=1, max_size=60),
)
def test_every_kind_keeps_its_word(kind: WindowKind, limit: int, period: float, gaps: list[float]) -> None:
    """What it calls remaining it accepts, after its wait it accepts, and in no period more than two limits."""
    window, now, accepted = make_window(kind, limit, period), EPOCH + 0.3, list[float]()
    for gap in gaps:
        now += gap * period
        wait = window.wait(now)
        assert (wait == 0) == (window.remaining(now) > 0)
        now += wait
        while window.wait(now) > 0:  # of Unix seconds, a double does not hold a millionth
            now += 1e-6
            wait += 1e-6
            assert window.wait(now) < 1e-3
        window.count(now)
        accepted.append(now)
    assert all(sum(at - period < other <= at for other in accepted) <= 2 * limit for at in accepted)
