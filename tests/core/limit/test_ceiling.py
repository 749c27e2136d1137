"""The configured limit, asked and told at literal times, and by hypothesis."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.limits import DIRECT, GRAIN, PACED, pauses, send, urgencies

from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.supply import Supply
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async.models import RateLimit


def test_a_ceiling_holds_in_any_stretch_of_its_period():
    """Three in ten seconds: the fourth waits until the first is ten seconds old."""
    ceiling = Ceiling(RateLimit(3, per=10.0))
    for now in (0.0, 1.0, 2.0):
        assert ceiling.next_at(now, DIRECT) <= now
        send(ceiling, now)
    assert ceiling.next_at(2.0, DIRECT) == 10.0
    send(ceiling, 10.0)
    assert ceiling.next_at(10.0, DIRECT) == 11.0


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
    """Never more than the ceiling in any period, whoever asks and whatever is given back."""

    @initialize(requests=st.integers(1, 6), per=st.sampled_from([1.0, 10.0]))
    def start(self, requests, per):
        self.limit = RateLimit(requests, per=per)
        self.ceiling = Ceiling(self.limit)
        self.now = 0.0
        self.sent: list[float] = []

    @rule(seconds=pauses)
    def time_passes(self, seconds):
        self.now += seconds

    @rule(urgency=urgencies, is_patient=st.booleans())
    def send(self, urgency, is_patient):
        at = self.ceiling.next_at(self.now, urgency)
        assert at < self.now + 2 * self.limit.per
        if is_patient:
            self.now = max(self.now, at)
        if at <= self.now:
            send(self.ceiling, self.now, urgency)
            self.sent.append(self.now)

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
        if hasattr(self, "sent") and len(self.sent) > self.limit.requests:
            assert self.sent[-1] - self.sent[-1 - self.limit.requests] >= self.limit.per - GRAIN

    @invariant()
    def it_forgets_what_is_old(self):
        if hasattr(self, "sent"):
            assert len(self.ceiling._sent) <= 2 * self.limit.requests


TestCeilings = Ceilings.TestCase
