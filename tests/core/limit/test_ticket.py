"""The pace that paced requests keep, what it takes to undo a step of it, and what a scheduler may count on."""

import math

import pytest

from kallglot_async._core.limit.ticket import Pace, Supply, Ticket


def due_at(pace, interval):
    return pace.theoretical + interval


def test_an_idle_pace_lets_two_go_back_to_back():
    """One slot that a late timer missed may be made up for, and no more."""
    pace = Pace()
    for expected in (100.0, 110.0):
        pace.on_sent(100.0, 10.0)
        assert due_at(pace, 10.0) == expected


def test_a_pace_that_is_kept_up_with_is_even():
    """However long it goes on."""
    pace, now = Pace(), 0.0
    for _ in range(100):
        pace.on_sent(now, 3.0)
        now = max(now, due_at(pace, 3.0))
    assert now == pytest.approx(99 * 3.0)


def test_a_step_undone_before_the_next_leaves_no_trace():
    """Also where the pace had never been asked before."""
    pace = Pace()
    pace.on_unsent(pace.on_sent(5.0, 10.0))
    assert pace.theoretical == -math.inf


def test_a_step_undone_after_the_next_brings_that_forward():
    """The slot in between is free again."""
    pace = Pace()
    pace.on_sent(0.0, 10.0)
    first, _ = pace.on_sent(0.0, 10.0), pace.on_sent(10.0, 10.0)
    assert due_at(pace, 10.0) == 20.0
    pace.on_unsent(first)
    assert due_at(pace, 10.0) == 10.0


def test_a_new_ticket_bears_nobodys_note():
    """Each rule writes its own when the request goes by it."""
    ticket = Ticket(3.0)
    assert (ticket.sent_at, ticket.epoch, ticket.is_probe) == (3.0, 0, False)
    assert (ticket.window_pace, ticket.unannounced_pace, ticket.ceiling_pace) == (None, None, None)


def test_two_limits_together_give_the_lesser_of_each():
    """The slower rate, the fewer requests, the nearer renewal."""
    window = Supply(rate=2.5, remaining=100.0, resets_in=30.0, can_run_low=True)
    assert window.within(Supply(rate=1.0, remaining=200.0, resets_in=60.0)) == Supply(1.0, 100.0, 30.0, True)
    assert window.within(Supply(rate=5.0, remaining=20.0, resets_in=10.0)) == Supply(2.5, 20.0, 10.0, True)


def test_a_limit_beside_nothing_known_is_all_there_is():
    """Unlimited and unknown are infinite: whatever else is known is less."""
    assert Supply().within(Supply(rate=1.0, remaining=2.0, resets_in=3.0)) == Supply(1.0, 2.0, 3.0)
    assert Supply().within(Supply()).rate == math.inf
