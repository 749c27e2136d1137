"""The limiter's shell against a model server, with real waiters on a virtual clock.

A network that delays, loses and refuses stands between them. The rules alone are driven in `core/limit`.
"""

import asyncio
import gc
import math
from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.limits import (
    DIRECT,
    GARBAGE,
    GRAIN,
    Server,
    budgets,
    figures,
    kinds,
    offsets,
    pauses,
    skews,
    urgencies,
)
from support.virtual import virtual_loop

from kallglot_async import RateLimit, RateLimiter, _clock
from kallglot_async._core.api.answers import parse_rate_figures, parse_retry_after
from kallglot_async._core.limit.gate import PAUSE_WITHOUT_ADVICE
from kallglot_async._core.limit.ticket import Urgency


class Call:
    """One request of ours, from the queue to its end."""

    def __init__(self, number, urgency):
        self.number = number
        self.urgency = urgency
        self.task = None
        self.ticket = None
        self.is_flying = False


class Lanes(RuleBasedStateMachine):
    """Waiters come, go and are cancelled; the server changes its mind, shares its budget, and lies."""

    @initialize(
        kind=kinds,
        budget=budgets,
        skew=skews,
        offset=offsets,
        advice=st.sampled_from(["auto", "auto", 30, None]),
        has_headers=st.sampled_from([True, True, True, False]),
        ceiling=st.sampled_from([None, None, RateLimit(40, per=10.0)]),
    )
    def start(self, kind, budget, skew, offset, advice, has_headers, ceiling):
        self.loop = virtual_loop()
        self.server = Server(kind, budget, skew=skew, offset=offset, advice=advice, has_headers=has_headers)
        self.lane = RateLimiter(ceiling).lane("key", "analysis")
        self.ceiling = ceiling
        self.calls: list[Call] = []
        self.count = 0
        self.granted = dict.fromkeys(Urgency, -1)
        self.latency = (0.05, 0.05)
        self.lies: deque = deque()
        self.is_excused = not has_headers  # whether a refusal may be nobody's mistake
        self.paused_until = -math.inf
        self.sent_since_pause = 0  # requests out since a pause ended that no answer has followed yet
        self.is_probing = False
        self.grants: deque[float] = deque()
        self.broken: list[str] = []

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    # -- one call

    async def call(self, call):
        while True:
            call.number, self.count = self.count, self.count + 1
            ticket = await self.lane.acquire(call.urgency)
            self.on_grant(call, ticket)
            try:
                is_over = await self.exchange(call, ticket)
            finally:
                call.is_flying = False
            if is_over:
                return

    def on_grant(self, call, ticket):
        now = self.loop.time()
        self.expect(call.number > self.granted[call.urgency], "somebody of the same urgency was overtaken")
        self.granted[call.urgency] = call.number
        self.expect(now >= self.paused_until - GRAIN, "sent between a 429 and its Retry-After")
        call.is_flying, call.ticket = True, ticket
        if self.is_probing:
            self.sent_since_pause += 1
            self.expect(self.sent_since_pause == 1, "more than one request tests the water after a pause")
        if self.ceiling is not None:
            self.grants.append(now)
            while self.grants[0] <= now - self.ceiling.per + GRAIN:
                self.grants.popleft()
            self.expect(len(self.grants) <= self.ceiling.requests, "more than the ceiling")

    def expect(self, is_met, promise):
        """Note a broken promise; it is raised outside of the task, which goes on, so that nothing else breaks."""
        if not is_met:
            self.broken.append(promise)

    async def exchange(self, call, ticket):
        up, down = self.latency
        try:
            # Later requests may be faster: the order of answers is not that of the requests.
            await asyncio.sleep(up * (1 + (call.number * 7) % 5))
            is_accepted, headers = self.server.ask(self.loop.time())
            await asyncio.sleep(down * (1 + (call.number * 3) % 7))
        except BaseException:
            self.is_excused = True  # the server may count it after a later answer was made
            self.on_end()
            self.lane.lost(ticket)
            raise
        if self.lies:
            headers = {name: text for name, text in (headers | self.lies.popleft()).items() if text is not None}
        wall_now = self.server.ahead + self.loop.time()
        figures = parse_rate_figures(headers, wall_now=wall_now)
        call.is_flying = False
        self.on_end()
        if is_accepted:
            self.lane.answered(ticket, figures)
            return True
        self.expect(self.is_excused, "refused although we are alone and the headers were honest")
        advice = parse_retry_after(headers, wall_now=wall_now)
        now = self.loop.time()
        named = advice if advice is not None else figures.resets_in if figures else PAUSE_WITHOUT_ADVICE
        self.paused_until = max(self.paused_until, now + named)
        self.is_probing, self.sent_since_pause = True, 0
        self.lane.refused_for(ticket, figures, advice)
        return False

    def on_end(self):
        """An answer or a loss: whoever waits may follow."""
        if self.sent_since_pause:
            self.is_probing, self.sent_since_pause = False, 0

    # -- rules

    @rule(seconds=pauses)
    def time_passes(self, seconds):
        self.run(asyncio.sleep(seconds))
        self.calls = [call for call in self.calls if not self.is_done(call)]

    def is_done(self, call):
        if not call.task.done():
            return False
        if not call.task.cancelled():
            call.task.result()
        return True

    @rule(urgency=urgencies, number=st.integers(1, 40))
    def ask(self, urgency, number):
        for _ in range(number):
            call = Call(-1, urgency)
            call.task = self.loop.create_task(self.call(call))
            self.calls.append(call)
        self.run(asyncio.sleep(0))

    @rule(place=st.integers(0, 99), number=st.integers(1, 20), is_prompt=st.booleans())
    def cancel(self, place, number, is_prompt):
        """Waiters and requests in flight; also in the very turn of a grant."""
        for step in range(min(number, len(self.calls))):
            self.calls[(place + step) % len(self.calls)].task.cancel()
        if not is_prompt:
            self.run(asyncio.sleep(0))

    @rule(up=st.sampled_from([0.0, 0.05, 0.3]), down=st.sampled_from([0.0, 0.05, 0.3, 2.0]))
    def network_changes(self, up, down):
        self.latency = up, down

    @rule(lies=st.lists(st.sampled_from(GARBAGE), min_size=1, max_size=3))
    def headers_lie(self, lies):
        self.is_excused = True
        self.lies.extend(lies)

    @rule(limit=st.integers(1, 100))
    def limit_changes(self, limit):
        self.is_excused = self.is_excused or limit < self.server.window.limit
        self.server.window.left(self.server.ahead + self.loop.time())
        self.server.window.limit = limit

    @rule(number=st.integers(1, 30))
    def others_eat(self, number):
        self.is_excused = True
        self.server.eat(self.loop.time(), number)

    @precondition(lambda self: hasattr(self, "lane"))
    @rule(urgency=urgencies)
    def given_back(self, urgency):
        self.run(self.take_and_give_back(urgency))

    async def take_and_give_back(self, urgency):
        before = self.picture()
        ticket = self.lane.try_acquire(urgency)
        if ticket is not None and not self.lane.waiting:
            self.lane.unsent(ticket)
            assert self.picture() == before
        elif ticket is not None:
            self.lane.unsent(ticket)

    def picture(self):
        now = _clock.now()
        at = [max(now, self.lane.gate.next_at(now, urgency)) for urgency in Urgency]
        return (self.lane.in_flight, self.lane.sent, *map(pytest.approx, at))

    # -- what holds at any time

    @invariant()
    def every_promise_was_kept(self):
        if hasattr(self, "lane"):
            assert not self.broken

    @invariant()
    def it_counts_what_flies(self):
        if hasattr(self, "lane"):
            for _ in range(50):  # turns of the loop: whoever was granted a slot knows it by then
                self.run(asyncio.sleep(0))
            assert self.lane.in_flight == sum(call.is_flying for call in self.calls)
            assert self.lane.state().waiting == sum(not c.is_flying and not c.task.done() for c in self.calls)

    @invariant()
    def it_always_says_when_to_ask_again(self):
        if hasattr(self, "lane") and not self.lane.in_flight:
            now = self.run(self.time())
            for urgency in Urgency:
                assert self.lane.gate.next_at(now, urgency) < now + 200.0

    async def time(self):
        return _clock.now()

    def teardown(self):
        """Everything settles, and the lane grants at its full rate again."""
        if not hasattr(self, "lane"):
            return
        try:
            if not self.broken:
                self.settle()
                assert not self.broken
        finally:
            for call in self.calls:
                call.task.cancel()
            self.run(asyncio.sleep(0))
            self.loop.close()

    def settle(self):
        self.is_excused = True
        self.lies.clear()
        self.latency = 0.01, 0.01
        for call in self.calls:
            call.task.cancel()
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))
        assert (self.lane.in_flight, self.lane.waiting) == (0, 0)
        self.run(asyncio.sleep(130.0))  # whatever pause there was is over
        self.ask(DIRECT, 1)
        self.run(asyncio.sleep(70.0))
        assert self.calls[-1].task.done(), "a dead end"
        if not self.server.has_headers or self.ceiling is not None:
            return
        self.is_excused = False
        window, accepted = self.server.window, self.server.accepted
        self.ask(DIRECT, 2 * window.limit)
        # A minute more, as the lies may have made it believe in a limit that no figure tells of.
        self.run(asyncio.sleep(60.0 + 3.0 * (window.period + 3.2)))
        assert self.server.accepted == accepted + 2 * window.limit, "a slot was lost"


TestLanes = Lanes.TestCase


# -- the same, told at literal times: what the machine above has found, and what it cannot reach


def test_a_test_of_the_water_that_brings_headers_leaves_no_dead_end():
    """Headers come and go: whatever an answer says, the next one may be asked for."""

    async def main():
        lane = RateLimiter().lane("key", "analysis")
        lane.answered(lane.try_acquire(DIRECT), None)
        lane.refused_for(lane.try_acquire(DIRECT), None, 5.0)
        lane.answered(await lane.acquire(DIRECT), figures(remaining=0, resets_in=5.0))
        for _ in range(10):
            async with asyncio.timeout(60.0):
                lane.answered(await lane.acquire(DIRECT), None)

    in_virtual_time(main())


def test_a_retry_after_of_zero_is_no_invitation_to_a_stampede():
    """`Retry-After: 0` without any other advice: a refused request is not repeated at the speed of the network."""

    async def main():
        lane = RateLimiter().lane("key", "analysis")
        lane.answered(lane.try_acquire(DIRECT), None)
        started, refused = asyncio.get_running_loop().time(), 0
        while asyncio.get_running_loop().time() < started + 60.0:
            ticket = await lane.acquire(DIRECT)
            await asyncio.sleep(0.05)
            lane.refused_for(ticket, None, 0.0)
            refused += 1
        return refused

    assert in_virtual_time(main()) <= 60


def test_without_headers_one_request_tests_the_water_after_a_pause():
    """Of a hundred who wait, one goes when the pause is over; the others follow its answer."""

    async def main():
        lane = RateLimiter().lane("key", "analysis")
        tickets = [lane.try_acquire(DIRECT)]
        lane.answered(tickets[0], None)
        for _ in range(150):
            lane.answered(lane.try_acquire(DIRECT), None)
        await asyncio.sleep(0.1)
        lane.refused_for(lane.try_acquire(DIRECT), None, 30.0)
        tasks = [asyncio.create_task(lane.acquire(DIRECT)) for _ in range(100)]
        await asyncio.sleep(31.0)
        granted = sum(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return granted

    assert in_virtual_time(main()) == 1


def test_what_a_closed_loop_left_behind_gives_nothing_back_twice():
    """Its requests were forgotten when the next loop came; their end, whenever it comes, changes nothing."""
    limiter = RateLimiter()
    left_behind = []

    def begin(loop):
        async def hold():
            lane = limiter.lane("key", "analysis")
            ticket = await lane.acquire(DIRECT)
            try:
                await loop.create_future()
            except BaseException:
                lane.lost(ticket)
                raise

        coroutine = hold()
        left_behind.append(coroutine)
        coroutine.send(None)  # runs as a task would, but leaves no task behind to warn of

    async def first():
        begin(asyncio.get_running_loop())

    async def second():
        lane = limiter.lane("key", "analysis")
        ticket = await lane.acquire(DIRECT)
        with pytest.raises(asyncio.CancelledError):
            left_behind.pop().throw(asyncio.CancelledError())
        gc.collect()
        assert lane.in_flight == 1
        lane.answered(ticket, figures(remaining=0))
        assert lane.in_flight == 0
        assert lane.state().remaining == 0

    in_virtual_time(first())
    in_virtual_time(second())


def in_virtual_time(coroutine):
    loop = virtual_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


# -- the two small machines
