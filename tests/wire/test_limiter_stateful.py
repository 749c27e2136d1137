"""The limiter against a model server: any order of answers, losses, cancellations, changes of limit, lies.

Two machines. `Figures` drives the pure `Window` by hand, so that hypothesis decides in which order requests
reach the server and in which order their answers come back. `Lanes` drives a `Lane` with real waiters on a
virtual clock, through a network that delays, loses and refuses.
"""

import asyncio
import gc
import math
from collections import deque
from email.utils import formatdate

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kallglot_async import RateLimit, RateLimiter, _clock
from kallglot_async._core.api.headers import RateFigures, parse_rate_figures, parse_retry_after
from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.probing import Probing
from kallglot_async._core.limit.ticket import PAUSE_WITHOUT_ADVICE, Ticket, Urgency
from kallglot_async._core.limit.window import Window

DIRECT, AHEAD, PACED = Urgency
EPOCH = 1_800_000_000.0  # the server's wall clock at 0.0 of ours, a boundary of every fixed window below
GRAIN = 1e-6  # s: rounding of floating-point sums, not time

kinds = st.sampled_from(["fixed", "sliding", "token_bucket"])
budgets = st.sampled_from([(5, 10.0), (20, 60.0), (3, 1.0), (1, 5.0), (60, 60.0)])
skews = st.sampled_from([0.0, 0.4, -0.7, 3600.0, -3600.0])
offsets = st.integers(0, 600).map(lambda tenths: tenths / 10)
pauses = st.one_of(st.integers(0, 300), st.integers(0, 7_000)).map(lambda hundredths: hundredths / 100)
urgencies = st.sampled_from(list(Urgency))


# -- the model server


class Fixed:
    """So many in each period, aligned to the epoch."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.number, self.counted = None, 0

    def left(self, wall):
        if (number := math.floor(wall / self.period)) != self.number:
            self.number, self.counted = number, 0
        return max(0, self.limit - self.counted)

    def count(self, wall):
        self.left(wall)
        self.counted += 1

    def resets_at(self, wall):
        return (math.floor(wall / self.period) + 1) * self.period

    free_at = resets_at


class Sliding:
    """So many in any stretch of a period."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.log = deque()

    def left(self, wall):
        while self.log and self.log[0] <= wall - self.period + GRAIN:
            self.log.popleft()
        return max(0, self.limit - len(self.log))

    def count(self, wall):
        self.log.append(wall)

    def resets_at(self, wall):
        return self.log[0] + self.period if self.log else wall

    def free_at(self, wall):
        surplus = len(self.log) - self.limit
        return self.log[surplus] + self.period if surplus >= 0 else wall


class Bucket:
    """Tokens that come back evenly."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.tokens, self.at = float(limit), -math.inf

    def left(self, wall):
        self.tokens = min(float(self.limit), self.tokens + (wall - self.at) * self.limit / self.period)
        self.at = wall
        return max(0, math.floor(self.tokens + GRAIN))

    def count(self, wall):
        self.left(wall)
        self.tokens -= 1.0

    def resets_at(self, wall):
        return wall + (self.limit - self.tokens) * self.period / self.limit

    def free_at(self, wall):
        return wall + max(0.0, 1.0 - self.tokens) * self.period / self.limit


WINDOWS = {"fixed": Fixed, "sliding": Sliding, "token_bucket": Bucket}
GARBAGE = [
    {"X-RateLimit-Limit": None},
    {"X-RateLimit-Remaining": "-5"},
    {"X-RateLimit-Remaining": "many"},
    {"X-RateLimit-Remaining": "999999"},
    {"X-RateLimit-Reset": "60"},
    {"X-RateLimit-Reset": None},
    {"X-RateLimit-Limit": "0"},
    {"X-RateLimit-Limit": None, "X-RateLimit-Remaining": None, "X-RateLimit-Reset": None},
]


class Server:
    """Decides at once, and says so in whole seconds of its own clock."""

    def __init__(self, kind, budget, *, skew=0.0, offset=0.0, advice="auto", has_headers=True):
        self.window = WINDOWS[kind](*budget)
        self.ahead = EPOCH + skew + offset
        self.advice = advice
        self.has_headers = has_headers
        self.accepted = self.refused = 0

    def ask(self, now):
        """Return whether the request was accepted, and the headers of the answer."""
        wall = self.ahead + now
        window = self.window
        is_accepted = window.left(wall) > 0
        if is_accepted:
            window.count(wall)
            self.accepted += 1
        else:
            self.refused += 1
        headers = {"Date": formatdate(math.floor(wall), usegmt=True)}
        if self.has_headers:
            headers["X-RateLimit-Limit"] = str(window.limit)
            headers["X-RateLimit-Remaining"] = str(window.left(wall))
            headers["X-RateLimit-Reset"] = str(math.ceil(window.resets_at(wall) - GRAIN))
        if not is_accepted and self.advice is not None:
            wait = max(1, math.ceil(window.free_at(wall) - wall - GRAIN))
            headers["Retry-After"] = str(wait if self.advice == "auto" else self.advice)
        return is_accepted, headers

    def eat(self, now, number):
        """Other clients take so many, or what is left."""
        wall = self.ahead + now
        for _ in range(min(number, self.window.left(wall))):
            self.window.count(wall)


# -- the pure window: hypothesis is the network


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
            self.flying.append(Request(self.window.on_sent(self.now, urgency)))

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
        self.window.on_unsent(self.window.on_sent(self.now, urgency))
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


# -- the lane: real waiters, a virtual clock, a network that misbehaves


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
        self.loop = looptime.new_event_loop()
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
            self.lane.unsent(ticket, urgency)
            assert self.picture() == before
        elif ticket is not None:
            self.lane.unsent(ticket, urgency)

    def picture(self):
        now = _clock.now()
        at = [max(now, self.lane.next_at(now, urgency)) for urgency in Urgency]
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
                assert self.lane.next_at(now, urgency) < now + 200.0

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
        self.run(asyncio.sleep(3.0 * (window.period + 3.2)))
        assert self.server.accepted == accepted + 2 * window.limit, "a slot was lost"


TestLanes = Lanes.TestCase


# -- the same, told at literal times: what the machines above have found, and what they cannot reach


def figures(remaining, *, limit=60, reset=EPOCH, resets_in=60.0):
    return RateFigures(limit, remaining, reset, resets_in)


def described(**kwargs):
    window = Window()
    window.on_answer(window.on_sent(0.0, DIRECT), 0.1, figures(59, **kwargs))
    return window


def test_an_answer_overtaken_by_a_later_one_does_not_raise_the_figure():
    """The server served `first` and then `second`; that `first` was sent last makes its answer no newer."""
    window = described()
    second, early = window.on_sent(0.2, DIRECT), window.on_sent(0.2, DIRECT)
    window.on_answer(early, 0.3, figures(58))
    first = window.on_sent(0.4, DIRECT)
    window.on_answer(second, 0.5, figures(56))
    window.on_answer(first, 0.6, figures(57))
    assert window.available == 56


def test_answers_of_one_instant_are_not_taken_for_later_ones():
    """A clock that stands still, as coarse and virtual ones do, does not make a request newer than the figure."""
    window = Window()
    window.on_answer(window.on_sent(0.0, DIRECT), 0.0, figures(4, limit=5))
    first, second, third = (window.on_sent(0.0, DIRECT) for _ in range(3))
    window.on_answer(second, 0.0, figures(2, limit=5))
    window.on_answer(third, 0.0, figures(1, limit=5))
    window.on_answer(first, 0.0, figures(3, limit=5))
    assert window.available == 1


@pytest.mark.parametrize("lost_sent_at", [0.2, 0.4], ids=["sent first", "sent last"])
def test_a_request_lost_while_an_answer_was_under_way_stays_counted(lost_sent_at):
    """The answer may have been made before the lost request came in, whichever was sent first."""
    window = described()
    if lost_sent_at < 0.3:
        lost = window.on_sent(lost_sent_at, DIRECT)
        answered = window.on_sent(0.3, DIRECT)
    else:
        answered = window.on_sent(0.3, DIRECT)
        lost = window.on_sent(lost_sent_at, DIRECT)
    window.on_lost(lost)
    window.on_answer(answered, 0.5, figures(58))
    assert window.available == 57


def test_a_test_of_the_water_that_brings_headers_leaves_no_dead_end():
    """Headers come and go: whatever an answer says, the next one may be asked for."""

    async def main():
        lane = RateLimiter().lane("key", "analysis")
        lane.answered(lane.try_acquire(DIRECT), None)
        lane.refused_for(lane.try_acquire(DIRECT), None, 5.0)
        lane.answered(await lane.acquire(DIRECT), figures(0, resets_in=5.0))
        for _ in range(10):
            async with asyncio.timeout(60.0):
                lane.answered(await lane.acquire(DIRECT), None)

    in_virtual_time(main())


def test_a_slot_given_back_leaves_no_mark_on_the_pace():
    """Also where the pace slows down afterwards."""
    used, unused = described(), described()
    used.on_unsent(used.on_sent(10.0, PACED))
    for window in (used, unused):
        window.on_answer(window.on_sent(10.1, DIRECT), 10.2, figures(4, resets_in=50.0))
    assert max(10.3, used.next_at(10.3, PACED)) == max(10.3, unused.next_at(10.3, PACED))


@pytest.mark.parametrize(("limit", "period"), [(150, 60.0), (50, 1.0)])
def test_an_idle_hour_does_not_pass_for_a_long_window(limit, period):
    """Two resets an hour apart, with a window or more unseen between them, say nothing of its length."""
    window = described(limit=limit, resets_in=period)
    window.on_answer(
        window.on_sent(3600.0, DIRECT), 3600.1, figures(limit - 1, limit=limit, reset=EPOCH + 3600.0, resets_in=period)
    )
    assert window.period <= 60.0
    assert window.interval(3600.2) <= 1.2 * max(period, 1.0) / limit


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
        lane.answered(ticket, figures(0))
        assert lane.in_flight == 0
        assert lane.state().remaining == 0

    in_virtual_time(first())
    in_virtual_time(second())


def in_virtual_time(coroutine):
    loop = looptime.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


# -- the two small machines


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
        at = self.ceiling.next_at(urgency)
        assert at < self.now + 2 * self.limit.per
        if is_patient:
            self.now = max(self.now, at)
        if at <= self.now:
            self.ceiling.on_sent(self.now, urgency)
            self.sent.append(self.now)

    @rule(urgency=urgencies)
    def given_back(self, urgency):
        """The request granted last, in the turn of its grant: the poller finds nothing worth it."""
        if self.ceiling.next_at(urgency) > self.now:
            return
        before = self.picture()
        self.ceiling.on_sent(self.now, urgency)
        self.ceiling.on_unsent(self.now, urgency)
        assert self.picture() == before

    def picture(self):
        at = [max(self.now, self.ceiling.next_at(urgency)) for urgency in Urgency]
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


@given(
    limit=st.integers(20, 300),
    period=st.sampled_from([1.0, 10.0, 60.0]),
    kind=kinds,
    offset=offsets,
)
def test_probing_stays_around_what_the_server_allows(limit, period, kind, offset):
    """Without headers: additive increase, multiplicative decrease, and at most 2 % refused in the long run."""
    server = Server(kind, (limit, period), offset=offset, has_headers=False)
    probing, now, paused_until = Probing(), 0.0, 0.0
    sent = refused = 0
    while sent < 30 * limit:
        now = max(now + 1e-3, probing.next_at(), paused_until)
        ticket = Ticket(now, is_probe=False)
        probing.on_sent(ticket, now)
        is_accepted, headers = server.ask(now)
        is_late = sent > 15 * limit
        sent += 1
        if is_accepted:
            probing.on_answer(ticket)
        else:
            refused += is_late
            probing.on_refused(ticket, now)
            paused_until = now + parse_retry_after(headers, wall_now=now)
    assert refused <= 0.02 * 15 * limit
