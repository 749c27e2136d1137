"""A limit of requests at once, told at literal times, and as a server would have it."""

import math

import pytest
from support.limits import DIRECT, send

from benchmarks.limits import at_once
from kallglot_async._core.limit.gate import PAUSE_WITHOUT_ADVICE, SHORTEST_PAUSE, Gate
from kallglot_async._core.limit.places import FIRST, LONG, LOOKING, SERVED, STEP, Places, shown
from kallglot_async._core.limit.unannounced import SILENT, Unannounced

TOOK = 0.5  # seconds of a request that has a place
REFUSED_IN = 0.05  # seconds until a refusal is heard


def found(count=5, *, limit=None, named=1.0):
    """Return a limit that served so many at once while it refused one more, and the moment at which it goes on."""
    limit = limit or Unannounced()
    served, refused = [send(limit, 0.0) for _ in range(count)], send(limit, 0.0)
    limit.on_refused(refused, REFUSED_IN, None, REFUSED_IN + (named or 30.0), named=named or 0.0)
    for ticket in served:
        limit.on_answer(ticket, TOOK, None)
    now = REFUSED_IN + (named or 30.0)
    limit.on_answer(send(limit, now), now + TOOK, None)
    return limit, now + TOOK


def fill(limit, now):
    """Let all go that may at a moment; returns their tickets."""
    tickets = []
    while limit.next_at(now, DIRECT) <= now:
        tickets.append(limit.on_sent(now, DIRECT) if isinstance(limit, Gate) else send(limit, now))
    return tickets


def most_at_once(limit, now):
    """Return how many go at a moment, and give them back."""
    tickets = fill(limit, now)
    for ticket in tickets:
        limit.on_unsent(ticket)
    return len(tickets)


def use(limit, now, seconds):
    """Let requests have all places, one after the other in each; returns when that is over."""
    end = now + seconds
    while now < end:
        tickets = fill(limit, now)
        now += TOOK
        for ticket in tickets:
            limit.on_answer(ticket, now, None)
    return now


def refuse_one_more(limit, now):
    """Let all places be taken, and the last of those requests be refused; returns when its pause is over."""
    tickets = fill(limit, now)
    limit.on_refused(tickets[-1], now + REFUSED_IN, None, now + REFUSED_IN + 1.0)
    for ticket in tickets[:-1]:
        limit.on_answer(ticket, now + TOOK, None)
    return now + REFUSED_IN + 1.0


class TestShown:
    """Which refusals show places, and how many."""

    def test_the_places_are_those_that_were_taken_beside_a_refusal(self):
        """Most of them at first: some may have been taken twice, before all had arrived."""
        places = shown(2.0, 1.0, REFUSED_IN, [TOOK] * 10, [0.0] * 10)
        assert places is not None
        assert places.count == FIRST * 10
        assert places.rate == pytest.approx(places.count / TOOK)

    def test_all_that_were_sent_within_a_refusals_time_were_under_way_at_once(self):
        """Some of them were answered before the refusal was heard."""
        places = shown(2.0, 1.0, REFUSED_IN, [TOOK] * 4, [0.0, 0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.2, 0.4, 0.45])
        assert places is not None
        assert places.count == int(FIRST * 7)

    def test_one_is_left_at_least(self):
        places = shown(2.0, 1.0, REFUSED_IN, [TOOK], [0.0])
        assert places is not None
        assert places.count == 1

    @pytest.mark.parametrize(
        ("named", "took"),
        [(1.0, REFUSED_IN + SERVED - 0.01), (LONG + 1.0, TOOK)],
        ids=["as quick as the refusal", "a long pause is named"],
    )
    def test_a_rate_is_shown_by_what(self, named, took):
        """Whom nobody kept waiting held no place; and a place is free sooner than a window renews."""
        assert shown(2.0, named, REFUSED_IN, [took] * 10, [0.0] * 10) is None


class TestPlaces:
    """How many there are, as time goes on."""

    def test_one_more_is_tried_where_all_were_taken(self):
        """Each in turn, and never while some stay free: that shows nothing."""
        places = Places(0.0, 2, TOOK)
        for now in (1.0, STEP, STEP + 1.0):
            places.on_accepted(now, 1)
        assert places.count == 2
        for now in (STEP, STEP + 0.5):
            places.on_accepted(now, 2)
        assert places.count == 3
        for _ in range(9):
            places.on_accepted(2 * STEP, 3)
        assert places.count == 3

    def test_it_is_neither_sure_nor_denied_as_it_begins(self):
        """One more is tried after a STEP, and not before."""
        places = Places(0.0, 1, TOOK)
        assert (places.is_sure, places.is_denied) == (False, False)
        places.on_accepted(STEP - 0.1, 1)
        assert places.count == 1

    def test_the_one_more_is_used_in_every_place_before_another_is(self):
        places = Places(0.0, 1, TOOK)
        places.on_accepted(STEP, 1)
        for accepted in range(1, 3):
            assert places.count == 2
            places.on_accepted((2 + accepted) * STEP, 2)
        assert places.count == 3

    def test_one_place_is_left_whoever_had_all(self):
        """Where a stranger took them, one request of ours still asks."""
        places = Places(0.0, 1, TOOK)
        places.on_accepted(STEP, 1)
        places.on_refused(1, STEP + 1.0, 1.0)
        places.on_refused(0, STEP + 3.0, 1.0)
        assert (places.count, places.is_denied) == (1, False)

    def test_a_refusal_of_the_one_more_takes_it_back(self):
        """It is sure now; the next is tried long after, as each costs a pause."""
        places = Places(0.0, 1, TOOK)
        assert not places.is_sure
        places.on_accepted(STEP, 1)
        assert places.explains(1)
        places.on_refused(1, STEP + 2.0, 2.0)
        assert (places.count, places.is_sure, places.is_denied) == (1, True, False)
        for now in (STEP + 2.0, STEP + 2.0 * LOOKING, STEP + 2.0 + 2.0 * LOOKING):
            assert places.count == 1
            places.on_accepted(now, 1)
        assert places.count == 2

    @pytest.mark.parametrize("others", [4, 0])
    def test_a_refusal_before_one_more_was_tried_denies_what_one_refusal_had_shown(self, others):
        places = Places(0.0, 5, TOOK)
        places.on_refused(others, 2.0, 1.0)
        assert places.is_denied

    def test_what_is_sure_may_be_refused_once_more(self):
        """Somebody else may have had a place, or one was not free yet; a second time in a row it is none of that."""
        places = Places(0.0, 5, TOOK)
        for _ in range(5):
            places.on_accepted(STEP, 5)
        places.on_refused(5, STEP + 1.0, 1.0)
        places.on_refused(4, STEP + 3.0, 1.0)
        assert (places.count, places.is_denied) == (4, False)
        places.on_refused(3, STEP + 5.0, 1.0)
        assert places.is_denied

    def test_who_was_alone_wanted_for_no_place(self):
        places = Places(0.0, 1, TOOK)
        places.on_accepted(STEP, 1)
        assert not places.explains(0)


class TestUnannounced:
    """Places in the stead of a rate."""

    @pytest.mark.parametrize("named", [1.0, None], ids=["a named pause", "no advice"])
    def test_as_many_go_as_there_are_places_however_fast(self, named):
        """The rate that the refusal would have shown is ten in each pause."""
        limit, now = found(10, named=named)
        now = use(limit, now, 2.0)
        assert most_at_once(limit, now) == 8
        assert limit.supply(now).rate == pytest.approx(8 / TOOK)

    def test_after_a_sure_refusal_nobody_goes_alone_first(self):
        """What is known need not be found again, one by one."""
        limit, now = found(5)
        now = use(limit, now, STEP)
        assert most_at_once(limit, now) == 5
        now = refuse_one_more(limit, now)
        assert most_at_once(limit, now) == 4

    def test_an_early_refusal_makes_it_a_rate_again(self):
        """Of ten in a pause of a second; and it is not asked again whether it counts places."""
        limit, now = found(10)
        now = refuse_one_more(limit, use(limit, now, 1.0))
        assert limit.supply(now).rate == limit.rate
        served = [send(limit, now) for _ in range(5)]
        limit.on_refused(send(limit, now), now + REFUSED_IN, None, now + 1.0)
        for ticket in served:
            limit.on_answer(ticket, now + TOOK, None)
        limit.on_answer(send(limit, now + 1.0), now + 1.0 + TOOK, None)
        assert limit.supply(now).rate == limit.rate

    def test_a_refusal_before_anything_was_accepted_makes_it_a_rate(self):
        """However sure it was: in all those places nothing was served."""
        limit, now = found(5)
        now = refuse_one_more(limit, use(limit, now, STEP))
        limit.on_refused(send(limit, now), now + REFUSED_IN, None, now + 2.0)
        assert limit.supply(now).rate == limit.rate

    def test_what_went_by_places_is_not_waited_for_by_the_rate(self):
        """Of ten in half a minute: the pace of all that went meanwhile would let nothing go for as long."""
        limit, now = found(10, named=None)
        now = refuse_one_more(limit, use(limit, now, 3.0))
        assert limit.next_at(now, DIRECT) <= now

    def test_it_is_forgotten_with_the_rate(self):
        limit, now = found(5)
        accept_at = now + SILENT + 1.0
        limit.on_answer(send(limit, accept_at), accept_at + TOOK, None)
        assert limit.supply(accept_at).rate == math.inf


def test_a_refusal_without_advice_pauses_briefly_where_an_answer_makes_room():
    """Half a minute is for limits of which nothing is known."""
    gate = Gate()
    assert gate.next_pause(None, None) == PAUSE_WITHOUT_ADVICE
    served, refused = [gate.on_sent(0.0, DIRECT) for _ in range(5)], gate.on_sent(0.0, DIRECT)
    gate.on_refused(refused, REFUSED_IN, None, 30.0)
    for ticket in served:
        gate.on_answer(ticket, TOOK, None)
    assert gate.next_pause(None, None) == PAUSE_WITHOUT_ADVICE
    now = 30.0
    gate.on_answer(gate.on_sent(now, DIRECT), now + TOOK, None)
    now = use(gate, now + TOOK, STEP)
    tickets = fill(gate, now)
    assert gate.next_pause(None, None) == SHORTEST_PAUSE
    gate.on_refused(tickets[-1], now + REFUSED_IN, None, now + 1.0)
    assert gate.next_pause(None, None) == SHORTEST_PAUSE  # of the next one of the same moment, too


@pytest.mark.parametrize(("is_advised", "most"), [(True, 12.0), (False, 42.0)])
def test_a_server_of_five_at_once_is_used_like_one(is_advised, most):
    """Two hundred requests of half a second: 22 s at best, and once a pause; as a rate, 14 and 160 s more than that."""
    figures = at_once(5, 0.5, 200, 7, is_advised=is_advised)
    assert figures["over the best s"] < most
    assert figures["refused"] <= 62  # 59 of the first burst, which nobody could know
