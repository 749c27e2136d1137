"""The window against a model server, with hypothesis as the network.

It decides in which order requests reach the server and in which order their answers come back.
"""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.limits import DIRECT, Server, budgets, kinds, offsets, pauses, send, skews, urgencies

from kallglot_async._core.api.headers import parse_rate_figures
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._core.limit.window import Window


class Request:
    def __init__(self, ticket):
        self.ticket = ticket
        self.answer = None  # what the server said, once the request has reached it
        self.is_accepted = False


class Figures(RuleBasedStateMachine):
    """We are alone and the headers are honest: whatever the network does, nothing is refused."""

    @initialize(kind=kinds, budget=budgets, skew=skews, offset=offsets)
    def start(self, kind, budget, skew, offset):
        self.server = Server(kind, budget, skew=skew, offset=offset)
        self.window = Window()
        self.now = 0.0
        self.flying: list[Request] = []
        self.losses = 0  # requests given up since the last answer: a probe may find what they have used

    def send(self, urgency):
        if self.window.next_at(self.now, urgency) <= self.now:
            self.flying.append(Request(send(self.window, self.now, urgency)))

    def reach(self, request):
        if request.answer is None:
            request.is_accepted, headers = self.server.ask(self.now)
            is_excused = self.losses and request.ticket.is_probe
            assert request.is_accepted or is_excused, "a request that the figures covered was refused"
            request.answer = parse_rate_figures(headers, wall_now=self.now)
            assert request.answer is not None

    def answer(self, request):
        self.reach(request)
        self.flying.remove(request)
        if request.is_accepted:
            self.losses = 0
            self.window.on_answer(request.ticket, self.now, request.answer)
        else:
            until = self.now + request.answer.resets_in + self.window.guard()
            self.window.on_refused(request.ticket, self.now, request.answer, until)

    @rule(seconds=pauses)
    def time_passes(self, seconds):
        self.now += seconds

    @rule(urgency=urgencies)
    def waits_for_its_turn(self, urgency):
        at = self.window.next_at(self.now, urgency)
        if at < math.inf:
            self.now = max(self.now, at)
            self.send(urgency)

    @rule(urgency=urgencies, number=st.integers(1, 30))
    def send_some(self, urgency, number):
        for _ in range(number):
            self.send(urgency)

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
        self.window.on_lost(request.ticket)

    @rule(urgency=urgencies)
    def given_back(self, urgency):
        """As if never granted, for every urgency."""
        if self.window.next_at(self.now, urgency) > self.now:
            return
        before = self.picture()
        self.window.on_unsent(send(self.window, self.now, urgency))
        assert self.picture() == before

    def picture(self):
        at = [max(self.now, self.window.next_at(self.now, urgency)) for urgency in Urgency]
        return (self.window.in_flight, self.window.available, *map(pytest.approx, at))

    @invariant()
    def it_counts_what_flies(self):
        if hasattr(self, "window"):
            assert self.window.in_flight == len(self.flying)

    @invariant()
    def it_always_says_when_to_ask_again(self):
        if hasattr(self, "window") and not self.flying:
            for urgency in Urgency:
                at = self.window.next_at(self.now, urgency)
                assert at < self.now + self.server.window.period + 5.0

    def teardown(self):
        """After the last answer it grants as many as the server would."""
        if not hasattr(self, "window"):
            return
        for request in list(self.flying):
            self.answer(request)
        window = self.server.window
        until = self.now + 4.0 * (window.period + 3.2)  # rounding of Date and Reset, and the guard, per window
        accepted = self.server.accepted
        while self.now < until and self.server.accepted < accepted + 2 * window.limit:
            at = self.window.next_at(self.now, DIRECT)
            assert at < math.inf
            self.now = max(self.now, at)
            self.send(DIRECT)
            self.answer(self.flying[-1])
        assert self.server.accepted == accepted + 2 * window.limit, "a slot was lost"


TestFigures = Figures.TestCase
