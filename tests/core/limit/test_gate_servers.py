"""The gate against every kind of server that the emulator has: hypothesis makes the history, then all is well again."""

import heapq
import math
from collections import deque
from itertools import count

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.limits import AHEAD, DIRECT, GRAIN, PACED

from benchmarks._limits_world import EPOCH, Server
from kallglot_async._core.api.answers import parse_rate_figures, parse_retry_after
from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async.emulator.limits.plans import LimitSettings
from kallglot_async.models import RateLimit

CEILING = RateLimit(20, per=3.0)
MINUTE = 60.0
USED = 0.85  # of what it allows in the minutes after

limits = st.sampled_from([(5, 1.0), (50, 1.0), (20, 10.0), (30, 60.0), (150, 60.0)])
counting = st.one_of(
    st.fixed_dictionaries({"window": st.sampled_from(["fixed", "sliding", "sliding_counter"])}),
    st.fixed_dictionaries(
        {
            "window": st.just("token_bucket"),
            "burst": st.sampled_from([None, 1, 5]),
            "bucket_reset": st.sampled_from(["full", "next"]),
        }
    ),
)
others = st.fixed_dictionaries(
    {
        "second_limit": st.sampled_from([None, None, (5, 1.0), (10, 1.0)]),
        "nodes": st.sampled_from([1, 1, 4]),
        "stranger": st.sampled_from([0.0, 0.0, 0.3, 1.5]),
        "rate_headers": st.sampled_from([True, True, "fractional", "delta", "no_remaining", "repeated", "none"]),
        "retry_after": st.sampled_from(["auto", "auto", None, 0, 1, 10, 45]),
    }
)
servers = st.builds(lambda limit, kind, more: LimitSettings(rate_limit=limit, **kind, **more), limits, counting, others)
well_again = st.sampled_from(  # with what it then allows a second
    [
        (LimitSettings(plan="unlimited", rate_headers="none"), 10.0),
        (LimitSettings(rate_limit=(600, MINUTE)), 10.0),
        (LimitSettings(rate_limit=(150, MINUTE), window="sliding"), 2.5),
        (LimitSettings(rate_limit=(150, MINUTE), window="token_bucket"), 2.5),
    ]
)


class Servers(RuleBasedStateMachine):
    """Whatever a server did, once it is well again it is used again."""

    @initialize(settings=servers, has_ceiling=st.sampled_from([False, False, True]), well_again=well_again)
    def start(self, settings, has_ceiling, well_again):
        self.well_again = well_again
        self.gate = Gate([Ceiling(CEILING)] if has_ceiling else [])
        self.has_ceiling = has_ceiling
        self.server = Server(settings)
        self.now = 0.0
        self.happens = []  # a heap of what is to happen on the way to the server and back
        self.order = count()
        self.line = {urgency: deque() for urgency in Urgency}
        self.arrived = []
        self.accepted = []  # (when, urgency)
        self.round_trip, self.lost_every = 0.05, 0

    # -- what a shell and a network do

    def later(self, seconds, act, *told):
        heapq.heappush(self.happens, (self.now + seconds, next(self.order), act, told))

    def come(self, urgency, number=1):
        self.line[urgency].extend(next(self.order) for _ in range(number))

    def pump(self):
        while True:
            places = [self.line[urgency][0] if self.line[urgency] else None for urgency in Urgency]
            urgency, at = self.gate.next_turn(self.now, places)
            if urgency is None:
                return at
            self.line[urgency].popleft()
            up = self.round_trip * (next(self.order) % 7) / 7  # requests pass each other on their way
            self.later(up, self.arrive, self.gate.on_sent(self.now, urgency), urgency)

    def arrive(self, ticket, urgency):
        self.arrived.append(self.now)
        answer = self.server.ask(self.now, "ours", None)
        is_lost = self.lost_every and len(self.arrived) % self.lost_every == 0
        self.later(self.round_trip / 2, self.lose if is_lost else self.hear, ticket, urgency, answer)

    def lose(self, ticket, urgency, answer):
        self.gate.on_lost(ticket, self.now)

    def hear(self, ticket, urgency, answer):
        figures = parse_rate_figures(answer.headers, wall_now=EPOCH + self.now)
        if answer.is_accepted:
            self.accepted.append((self.now, urgency))
            self.gate.on_answer(ticket, self.now, figures)
            return
        told = parse_retry_after(answer.headers, wall_now=EPOCH + self.now)
        self.gate.on_refused(ticket, self.now, figures, self.now + self.gate.next_pause(figures, told))

    def go_on(self, seconds, endless=None, at_once=30):
        """Let time pass; of the endless ones so many always stand in line."""
        until = self.now + seconds
        while True:
            if endless is not None:
                self.come(endless, max(0, at_once - len(self.line[endless]) - self.gate.in_flight))
            at = self.pump()
            at = max(at, self.now + 1e-6)
            if (next_at := min(at, self.happens[0][0] if self.happens else math.inf)) > until:
                self.now = until
                return
            self.now = max(self.now, next_at)
            while self.happens and self.happens[0][0] <= self.now:
                _, _, act, told = heapq.heappop(self.happens)
                act(*told)

    # -- what happens

    @rule(urgency=st.sampled_from(Urgency), seconds=st.sampled_from([0.5, 5.0, 20.0, 70.0]), at_once=st.integers(1, 40))
    def busy(self, urgency, seconds, at_once):
        self.go_on(seconds, urgency, at_once)
        self.line[urgency].clear()

    @rule(seconds=st.sampled_from([1.0, 30.0, 200.0]))
    def idle(self, seconds):
        self.go_on(seconds)

    @rule(round_trip=st.sampled_from([0.01, 0.2, 2.0]), lost_every=st.sampled_from([0, 0, 2, 7]))
    def the_way_changes(self, round_trip, lost_every):
        self.round_trip, self.lost_every = round_trip, lost_every

    @rule(number=st.integers(1, 200))
    def somebody_else_takes(self, number):
        for _ in range(number):
            self.server.ask(self.now, "stranger", None)

    @rule(settings=servers)
    def another_server(self, settings):
        self.server = Server(settings)

    @precondition(lambda self: getattr(self, "happens", None))
    @rule()
    def the_loop_goes_away(self):
        self.happens.clear()
        self.gate.forget_in_flight()

    # -- what holds

    def owed(self):
        """Seconds of the pause that was asked for, and of the window that was announced."""
        return max(self.gate.paused_for(self.now), self.gate.resets_in(self.now) or 0.0)

    def teardown(self):
        if not hasattr(self, "gate"):
            return
        settings, rate = self.well_again
        for queue in self.line.values():
            queue.clear()
        self.round_trip, self.lost_every = 0.05, 0
        self.go_on(5.0)  # the last answers of before
        self.server = Server(settings)
        self.go_on(self.owed() + MINUTE, DIRECT, 1)
        begun, self.accepted = self.now, []
        for queue in self.line.values():
            queue.clear()
        self.come(PACED)
        self.come(DIRECT)
        self.go_on(3 * MINUTE, AHEAD, 1)
        used = len(self.accepted) / (self.now - begun)
        possible = min(rate, CEILING.requests / (CEILING.per + self.round_trip)) if self.has_ceiling else rate
        assert used >= USED * possible, f"{used:.2f}/s of {possible:.2f}/s a minute after {settings} is well again"
        assert {DIRECT, PACED} <= {urgency for _, urgency in self.accepted}, "one starved beside polls ahead"
        if self.has_ceiling:
            most = CEILING.requests
            gaps = [later - earlier for earlier, later in zip(self.arrived, self.arrived[most:], strict=False)]
            assert min(gaps, default=math.inf) >= CEILING.per - GRAIN, "the ceiling was exceeded by arrival"


def test_probes_of_a_spent_bucket_keep_nobody_back():
    """Each goes when one comes free; together they put off the next paced poll by minutes."""
    servers = Servers()
    servers.start(
        settings=LimitSettings(rate_limit=(20, 10.0), window="token_bucket", burst=5, rate_headers="fractional"),
        has_ceiling=True,
        well_again=(LimitSettings(rate_limit=(150, MINUTE), window="token_bucket"), 2.5),
    )
    servers.idle(seconds=2.0)
    servers.busy(at_once=1, seconds=20.0, urgency=DIRECT)
    servers.idle(seconds=30.0)
    servers.teardown()


TestServers = Servers.TestCase
TestServers.settings = hypothesis.settings(max_examples=8, stateful_step_count=8, derandomize=True, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(600)  # half a minute of a core, of which there may be little
class TestServersAtLength(Servers.TestCase):
    """More and longer histories."""

    settings = hypothesis.settings(max_examples=150, stateful_step_count=20, deadline=None)
