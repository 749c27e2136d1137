"""The gate against a model server, with hypothesis as the network and as those who wait in line.

It decides who comes and who gives up, in which order requests reach the server, in which order their answers come
back, what is lost, and when an event loop goes away with all that was its own.
"""

import math
from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.limits import DIRECT, GRAIN, Server, budgets, kinds, offsets, pauses, skews, urgencies

from kallglot_async._core.api.answers import parse_rate_figures, parse_retry_after
from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.gate import SERVED_BEFORE, Gate
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._core.limit.window import SHORT_PERIOD
from kallglot_async.models import RateLimit


class Request:
    def __init__(self, ticket):
        self.ticket = ticket
        self.answer = None  # what the server said, once the request has reached it
        self.is_accepted = False


class Gates(RuleBasedStateMachine):
    """We are alone and the headers, if there are any, are honest: whatever the network does, nothing is refused.

    But for one probe of a short window that was first seen from its middle: a log of that rest explains it as well.
    """

    @initialize(
        kind=kinds,
        budget=budgets,
        skew=skews,
        offset=offsets,
        has_headers=st.sampled_from([True, True, True, False]),
        ceiling=st.sampled_from([None, None, RateLimit(7, per=10.0)]),
    )
    def start(self, kind, budget, skew, offset, has_headers, ceiling):
        self.server = Server(kind, budget, skew=skew, offset=offset, has_headers=has_headers)
        self.ceiling = ceiling
        self.gate = Gate([Ceiling(ceiling)] if ceiling is not None else [])
        self.now = 0.0
        self.line: dict[Urgency, deque[int]] = {urgency: deque() for urgency in Urgency}
        self.places = 0
        self.flying: list[Request] = []
        self.granted: list[float] = []
        self.paused_until = -math.inf
        self.early_probes = 0
        self.losses = 0  # requests given up since the last answer: a probe may find what they have used

    # -- what a shell does

    def grant(self, urgency):
        assert self.now >= self.paused_until, "sent between a 429 and the end of its pause"
        self.granted.append(self.now)
        self.flying.append(Request(self.gate.on_sent(self.now, urgency)))

    def send(self, urgency):
        """Somebody comes and asks."""
        is_first = not any(self.line[who] for who in SERVED_BEFORE[urgency])
        if is_first and self.gate.next_at(self.now, urgency) <= self.now:
            self.grant(urgency)
            return True
        return False

    def pump(self):
        """Serve the line, and return when to ask again."""
        while True:
            places = [self.line[urgency][0] if self.line[urgency] else None for urgency in Urgency]
            urgency, at = self.gate.next_turn(self.now, places)
            assert urgency is self.expected_turn()
            if urgency is None:
                return at
            self.line[urgency].popleft()
            self.grant(urgency)

    def expected_turn(self):
        """Direct requests first, then the poll that has waited longest of those that may go now."""
        may_go = [who for who in Urgency if self.line[who] and self.gate.next_at(self.now, who) <= self.now]
        return DIRECT if DIRECT in may_go else min(may_go, key=lambda who: self.line[who][0], default=None)

    def reach(self, request):
        if request.answer is None:
            request.is_accepted, headers = self.server.ask(self.now)
            is_excused = (self.losses and request.ticket.is_probe) or not self.server.has_headers
            if not (request.is_accepted or is_excused):
                self.early_probes += 1
                is_short = self.server.window.period < SHORT_PERIOD
                is_excused = request.ticket.is_probe and is_short and self.early_probes == 1
            assert request.is_accepted or is_excused, "a request that the figures covered was refused"
            request.answer = (
                parse_rate_figures(headers, wall_now=self.now),
                parse_retry_after(headers, wall_now=self.now),
            )

    def answer(self, request):
        self.reach(request)
        self.flying.remove(request)
        figures, retry_after = request.answer
        if request.is_accepted:
            self.losses = 0
            self.gate.on_answer(request.ticket, self.now, figures)
        else:
            until = self.now + self.gate.next_pause(figures, retry_after)
            self.paused_until = max(self.paused_until, until)
            self.gate.on_refused(request.ticket, self.now, figures, until)
        self.pump()

    # -- what happens

    @rule(seconds=pauses)
    def time_passes(self, seconds):
        self.now += seconds
        self.pump()

    @rule(urgency=urgencies, number=st.integers(1, 30))
    def some_come(self, urgency, number):
        for _ in range(number):
            if not self.send(urgency):
                self.line[urgency].append(self.places)
                self.places += 1

    @rule(urgency=urgencies, place=st.integers(0, 99))
    def one_gives_up(self, urgency, place):
        if self.line[urgency]:
            del self.line[urgency][place % len(self.line[urgency])]

    @rule()
    def the_timer_rings(self):
        if (at := self.pump()) < math.inf:
            self.now = max(self.now, at)
            assert self.pump() > self.now

    @precondition(lambda self: getattr(self, "flying", None))
    @rule(place=st.integers(0, 99), number=st.integers(1, 10))
    def reaches_the_server(self, place, number):
        for step in range(number):
            self.reach(self.flying[(place + step) % len(self.flying)])

    @precondition(lambda self: getattr(self, "flying", None))
    @rule(place=st.integers(0, 99), number=st.integers(1, 10))
    def answered(self, place, number):
        for _ in range(min(number, len(self.flying))):
            self.answer(self.flying[place % len(self.flying)])

    @precondition(lambda self: getattr(self, "flying", None))
    @rule(place=st.integers(0, 99))
    def answer_lost(self, place):
        """Counted by the server or not; it never reaches the server after it was given up."""
        request = self.flying.pop(place % len(self.flying))
        self.losses += 1
        self.gate.on_lost(request.ticket, self.now)
        self.pump()

    @rule(urgency=urgencies)
    def given_back(self, urgency):
        """As if never granted, for every urgency."""
        if self.gate.next_at(self.now, urgency) <= self.now:
            before = self.picture()
            self.gate.on_unsent(self.gate.on_sent(self.now, urgency))
            assert self.picture() == before

    def picture(self):
        at = [max(self.now, self.gate.next_at(self.now, urgency)) for urgency in Urgency]
        return (self.gate.in_flight, self.gate.supply(self.now).remaining, *map(pytest.approx, at))

    @rule()
    def the_loop_goes_away(self):
        """Those in line and those in flight are gone with it; what the server counted, it has counted."""
        for queue in self.line.values():
            queue.clear()
        self.losses += len(self.flying)
        self.flying.clear()
        self.gate.forget_in_flight()

    # -- what holds at any time

    @invariant()
    def it_counts_what_flies(self):
        if hasattr(self, "gate"):
            assert self.gate.in_flight == len(self.flying)

    @invariant()
    def it_always_says_when_to_ask_again(self):
        if hasattr(self, "gate") and not self.flying:
            longest = max(self.server.window.period + 5.0, self.paused_until - self.now + 1.0, 20.0)
            for urgency in Urgency:
                assert self.gate.next_at(self.now, urgency) < self.now + longest

    @invariant()
    def it_stays_below_its_ceiling(self):
        if getattr(self, "ceiling", None) is not None and len(self.granted) > self.ceiling.requests:
            assert self.granted[-1] - self.granted[-1 - self.ceiling.requests] >= self.ceiling.per - GRAIN

    def teardown(self):
        """After the last answer it grants as many as the server would."""
        if not hasattr(self, "gate"):
            return
        for queue in self.line.values():
            queue.clear()
        for request in list(self.flying):
            self.answer(request)
        window, accepted = self.server.window, self.server.accepted
        until = self.now + 4.0 * (window.period + 3.2)  # rounding of Date and Reset, and the guard, per window
        wanted = accepted + (2 * window.limit if self.server.has_headers and self.ceiling is None else 1)
        while self.now < until and self.server.accepted < wanted:
            at = self.gate.next_at(self.now, DIRECT)
            assert at < math.inf
            self.now = max(self.now, at)
            self.send(DIRECT)
            self.answer(self.flying[-1])
        assert self.server.accepted >= wanted, "a slot was lost"


TestGates = Gates.TestCase
