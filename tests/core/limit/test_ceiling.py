"""The configured limit, asked and told at literal times, and by hypothesis."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.limits import DIRECT, GRAIN, PACED, pauses, send, urgencies

from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.ticket import Supply, Urgency
from kallglot_async.models import RateLimit


def pass_through(ceiling, now, urgency=DIRECT):
    """One request goes out and is answered at once."""
    ceiling.on_answer(send(ceiling, now, urgency), now, None)


def test_a_ceiling_holds_in_any_stretch_of_its_period():
    """Three in ten seconds: the fourth waits until the first is ten seconds old."""
    ceiling = Ceiling(RateLimit(3, per=10.0))
    for now in (0.0, 1.0, 2.0):
        assert ceiling.next_at(now, DIRECT) <= now
        pass_through(ceiling, now)
    assert ceiling.next_at(2.0, DIRECT) == 10.0
    pass_through(ceiling, 10.0)
    assert ceiling.next_at(10.0, DIRECT) == 11.0


@pytest.mark.parametrize("end", ["answered", "refused", "lost"])
def test_a_request_has_its_place_until_a_period_after_it_has_arrived(end):
    """It may have arrived as late as it ended, as its connection took so long; and until then nobody knows."""
    ceiling = Ceiling(RateLimit(1, per=10.0))
    ticket = send(ceiling, 0.0)
    assert ceiling.next_at(0.0, DIRECT) == 10.0
    assert ceiling.next_at(2.0, DIRECT) == 12.0
    match end:
        case "answered":
            ceiling.on_answer(ticket, 3.0, None)
        case "refused":
            ceiling.on_refused(ticket, 3.0, None, 4.0)
        case "lost":
            ceiling.on_lost(ticket, 3.0)
    assert ceiling.next_at(3.0, DIRECT) == 13.0
    assert ceiling.supply(12.9).remaining == 0.0
    assert ceiling.supply(13.0).remaining == 1.0


def test_what_an_event_loop_left_in_flight_stays_counted_for_a_period():
    """No end of it will be told, and an end that is told after all does not count twice."""
    ceiling = Ceiling(RateLimit(2, per=10.0))
    left = [send(ceiling, 0.0) for _ in range(2)]
    assert ceiling.available(1.0) == 0
    ceiling.forget_in_flight()
    assert ceiling.next_at(1.0, DIRECT) == 11.0
    ceiling.on_answer(left[0], 5.0, None)
    assert ceiling.available(11.0) == 2


def test_a_ceiling_paces_polls_evenly():
    """Polls keep the period divided by the limit between them, after a burst of two."""
    ceiling = Ceiling(RateLimit(6, per=60.0))
    send(ceiling, 0.0, PACED)
    assert ceiling.next_at(0.0, PACED) == pytest.approx(0.0)
    send(ceiling, 0.0, PACED)
    assert ceiling.next_at(0.0, PACED) == pytest.approx(10.0)


def test_a_slot_given_back_to_a_ceiling_can_be_used_again():
    """The ceiling forgets the request that was not sent."""
    ceiling = Ceiling(RateLimit(1, per=10.0))
    ceiling.on_unsent(send(ceiling, 0.0))
    assert ceiling.next_at(0.0, DIRECT) <= 0.0


def test_a_slot_given_back_to_a_ceiling_gives_its_place_in_the_pace_back():
    """The next poll need not wait for one that was never sent."""
    ceiling = Ceiling(RateLimit(6, per=60.0))
    send(ceiling, 0.0, PACED)
    unsent = send(ceiling, 0.0, PACED)
    assert ceiling.next_at(0.0, PACED) == pytest.approx(10.0)
    ceiling.on_unsent(unsent)
    assert ceiling.next_at(0.0, PACED) == pytest.approx(0.0)


def test_a_ceiling_supplies_what_may_go_in_its_period():
    """Down to nothing; a request leaves it once it is as old as the period, and not before."""
    ceiling = Ceiling(RateLimit(2, per=10.0))
    for left in (1.0, 0.0):
        ceiling.on_answer(send(ceiling, 0.0), 0.0, None)
        assert ceiling.supply(0.0) == Supply(rate=0.2, remaining=left, resets_in=10.0)
    assert ceiling.supply(9.9).remaining == 0.0
    assert ceiling.supply(10.0).remaining == 2.0


class Ceilings(RuleBasedStateMachine):
    """Never more than the ceiling arrives in any period, whoever asks, whatever is given back, lost or slow."""

    @initialize(requests=st.integers(1, 6), per=st.sampled_from([1.0, 10.0]))
    def start(self, requests, per):
        self.limit = RateLimit(requests, per=per)
        self.ceiling = Ceiling(self.limit)
        self.now = 0.0
        self.flying = []
        self.arrived: list[float] = []

    @rule(seconds=pauses)
    def time_passes(self, seconds):
        self.now += seconds

    @rule(urgency=urgencies, is_patient=st.booleans())
    def send(self, urgency, is_patient):
        at = self.ceiling.next_at(self.now, urgency)
        assert at < self.now + 2 * self.limit.per
        if is_patient:
            self.now = max(self.now, at)
        if self.ceiling.next_at(self.now, urgency) <= self.now:
            ticket = send(self.ceiling, self.now, urgency)
            self.flying.append([ticket, False])

    @precondition(lambda self: getattr(self, "flying", None))
    @rule(place=st.integers(0, 99))
    def arrives(self, place):
        flight = self.flying[place % len(self.flying)]
        if not flight[1]:
            flight[1] = True
            self.arrived.append(self.now)

    @precondition(lambda self: getattr(self, "flying", None))
    @rule(place=st.integers(0, 99), is_lost=st.booleans())
    def ends(self, place, is_lost):
        """It has arrived by then, or never does."""
        ticket, has_arrived = self.flying.pop(place % len(self.flying))
        if is_lost or not has_arrived:
            self.ceiling.on_lost(ticket, self.now)
        else:
            self.ceiling.on_answer(ticket, self.now, None)

    @rule(urgency=urgencies)
    def given_back(self, urgency):
        """The request granted last, in the turn of its grant: the poller finds nothing worth it."""
        if self.ceiling.next_at(self.now, urgency) > self.now:
            return
        before = self.picture()
        self.ceiling.on_unsent(send(self.ceiling, self.now, urgency))
        assert self.picture() == before

    def picture(self):
        at = [max(self.now, self.ceiling.next_at(self.now, urgency)) for urgency in Urgency]
        return (self.ceiling.available(self.now), *map(pytest.approx, at))

    @invariant()
    def it_holds_in_any_stretch(self):
        if hasattr(self, "arrived") and len(self.arrived) > self.limit.requests:
            assert self.arrived[-1] - self.arrived[-1 - self.limit.requests] >= self.limit.per - GRAIN

    @invariant()
    def it_forgets_what_is_old(self):
        if hasattr(self, "ceiling"):
            self.ceiling.available(self.now)
            assert len(self.ceiling._flying) + len(self.ceiling._ended) <= self.limit.requests


TestCeilings = Ceilings.TestCase
