"""Clients without sockets against servers that limit: the shipped gate and queue, in a time of their own.

A discrete-event simulation: nothing sleeps, so an hour of requests takes seconds. A server is the emulator's limits
and what it announces; a client is a gate, somebody who wants to send, and a network between the two.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from multidict import CIMultiDict

from kallglot_async._core.api.answers import RateFigures, parse_rate_figures, parse_retry_after
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.ticket import Supply, Ticket, Urgency
from kallglot_async._core.polling.pending import Entry
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._core.polling.worth import RE_ASK, PollModel, look_again_at
from kallglot_async.emulator.limits.announcing import Announcing
from kallglot_async.emulator.limits.budget import Limits, Verdict
from kallglot_async.emulator.limits.plans import LimitSettings
from kallglot_async.emulator.limits.windows import Window, make_window

EPOCH = 1_800_000_000.0  # Unix seconds at 0.0 of a world; every window below begins a period there
MOST_IN_FLIGHT = 64  # requests of one client


class World:
    """The time, and what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._next: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Let something happen at a moment, or now if that is over."""
        heappush(self._next, (max(moment, self.now), next(self._number), act))

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        while self._next and self._next[0][0] <= until and not is_over():
            self.now, _, act = heappop(self._next)
            act()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One line of a server's record."""

    at: float
    who: str
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer tells of the limit."""

    is_accepted: bool
    headers: CIMultiDict[str]
    body_retry_after: float | None = None
    takes: float = 0.0  # seconds until it is given


class Server:
    """The emulator's limits, asked at a moment of the world; it keeps a record.

    Args:
        settings: How requests are limited, and what answers tell of it.
        ahead: Seconds into a window at which the world begins.
        skew: Seconds by which its clock is ahead of a client's.
        has_date: Whether its answers have a `Date`.
        takes: Draws the seconds for which it works on a request that it accepts.
    """

    def __init__(
        self,
        settings: LimitSettings,
        *,
        ahead: float = 0.0,
        skew: float = 0.0,
        has_date: bool = True,
        takes: Callable[[], float] = float,
    ) -> None:
        self._limits = Limits(settings)
        self._announcing = Announcing(settings)
        self._ahead = EPOCH + ahead + skew
        self._has_date = has_date
        self._takes = takes
        self.record: list[Arrival] = []

    def ask(self, now: float, who: str, what: str | None) -> Answer:
        """Return what becomes of a request that arrives now."""
        wall = self._ahead + now
        verdict = self.judge(wall, what)
        self.record.append(Arrival(now, who, verdict.accepted))
        headers = CIMultiDict({"Date": formatdate(math.floor(wall), usegmt=True)} if self._has_date else {})
        headers.extend(self._announcing.headers(verdict, wall))
        if not verdict.accepted:
            return Answer(verdict.accepted, headers, self._announcing.body_retry_after(verdict))
        takes = self._takes()
        self.begin(wall + takes)
        return Answer(verdict.accepted, headers, takes=takes)

    def judge(self, wall: float, what: str | None) -> Verdict:
        """Decide on a request for an analysis."""
        return self._limits.admit("analysis", wall)

    def begin(self, until: float) -> None:
        """Work on a request until then."""


class Refuser(Server):
    """Announces nothing, and refuses each analysis so often, with `Retry-After: 1`; then it serves everything."""

    def __init__(self, times: int, only: frozenset[str]) -> None:
        super().__init__(LimitSettings(plan="unlimited", rate_headers="none"))
        self._left = dict.fromkeys(only, times)

    def judge(self, wall: float, what: str | None) -> Verdict:
        if not self._left.get(what or ""):
            return Verdict(accepted=True)
        self._left[what or ""] -= 1
        return Verdict(accepted=False, retry_in=1.0)


class AtOnce(Server):
    """Announces nothing but `Retry-After: 1`, if that, and refuses what comes while it works on so many requests."""

    def __init__(self, places: int, takes: Callable[[], float], *, is_advised: bool = True) -> None:
        advice = {} if is_advised else {"retry_after": None}
        super().__init__(LimitSettings(plan="unlimited", rate_headers="none", **advice), takes=takes)  # type: ignore[arg-type]
        self._places = places
        self._until: list[float] = []

    def judge(self, wall: float, what: str | None) -> Verdict:
        while self._until and self._until[0] <= wall:
            heappop(self._until)
        is_free = len(self._until) < self._places
        return Verdict(accepted=is_free, retry_in=0.0 if is_free else 1.0)

    def begin(self, until: float) -> None:
        heappush(self._until, until)


@dataclass(frozen=True, slots=True)
class Network:
    """How long a request is under way: half a round trip each way, and an exponential share of that more."""

    round_trip: float = 0.05
    jitter: float = 0.2
    late: float = 0.0  # share of the answers that come 0.3 s late, after those to later requests

    def up(self, draw: random.Random) -> float:
        return self.round_trip / 2 * (1 + (self.jitter * draw.expovariate(1.0) if self.jitter else 0.0))

    def down(self, draw: random.Random) -> float:
        return self.up(draw) + (0.3 if self.late and draw.random() < self.late else 0.0)


class Limiting(Protocol):
    """What a client asks before it sends: the shipped gate, or one that was told the limit."""

    def next_at(self, now: float, urgency: Urgency) -> float: ...

    def supply(self, now: float) -> Supply: ...

    def on_sent(self, now: float, urgency: Urgency) -> Ticket: ...

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None: ...

    def on_refused(
        self, ticket: Ticket, now: float, figures: RateFigures | None, until: float, *, named: float = 0.0
    ) -> None: ...

    def next_pause(self, figures: RateFigures | None, retry_after: float | None, *, luck: float = 0.0) -> float: ...


class Told:
    """A dispatcher that is told how the server counts: it sends at each moment at which that has room.

    Args:
        settings: The server's.
        ahead: The server's.
        round_trip: Of a network without jitter.
    """

    def __init__(self, settings: LimitSettings, *, ahead: float, round_trip: float) -> None:
        self._windows = windows_of(settings)
        self._ahead = EPOCH + ahead + round_trip / 2
        self._rate = min(window.limit / window.period for window in self._windows)

    def next_at(self, now: float, urgency: Urgency) -> float:
        wait = max(window.wait(self._ahead + now) for window in self._windows)
        return now + wait + 1e-6 if wait else now

    def supply(self, now: float) -> Supply:
        wall = self._ahead + now
        left = min(window.remaining(wall) for window in self._windows)
        return Supply(self._rate, left, max(window.resets_at(wall) - wall for window in self._windows))

    def on_sent(self, now: float, urgency: Urgency) -> Ticket:
        for window in self._windows:
            window.count(self._ahead + now)
        return Ticket(now)

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """It knows."""

    def on_refused(
        self, ticket: Ticket, now: float, figures: RateFigures | None, until: float, *, named: float = 0.0
    ) -> None:
        """Rounding: it asks again."""

    def next_pause(self, figures: RateFigures | None, retry_after: float | None, *, luck: float = 0.0) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Wish:
    """When somebody wants to send, and how."""

    at: float
    urgency: Urgency
    ask_again: float = math.inf  # when that may have changed, before it is due
    in_line_until: float = math.inf  # when it may have changed, while it waits for its slot


class Demand(Protocol):
    """Who wants to send."""

    def wish(self, now: float, supply: Supply) -> Wish | None: ...

    def take(self, now: float, supply: Supply) -> Entry | str | None: ...

    def on_end(self, what: Entry | str, now: float, *, is_accepted: bool, arrived_at: float) -> None: ...


@dataclass
class Calls:
    """So many requests that want to go at once, each repeated until it is accepted."""

    number: float = math.inf
    urgency: Urgency = Urgency.PACED
    done: list[float] = field(default_factory=list)  # when each was accepted
    _refused: list[str] = field(default_factory=list)
    _started: int = 0

    def wish(self, now: float, supply: Supply) -> Wish | None:
        return Wish(now, self.urgency) if self._refused or self._started < self.number else None

    def take(self, now: float, supply: Supply) -> str:
        if self._refused:
            return self._refused.pop()
        self._started += 1
        return f"call {self._started}"

    def on_end(self, what: Entry | str, now: float, *, is_accepted: bool, arrived_at: float) -> None:
        if is_accepted:
            self.done.append(now)
        else:
            self._refused.append(str(what))


class Waits:
    """Waits for analyses, polled by the shipped queue; `settled` is when each was delivered."""

    def __init__(self, ready_at: dict[str, float], *, timeout: float = 120.0, lead: float = 0.1) -> None:
        self._ready_at = ready_at
        self._model = PollModel()
        self._queue = PollQueue(self._model, schedule=PollSchedule.learned(), timeout=timeout, lead=lead)
        for id in ready_at:
            self._queue.add(id, "analysis", 0.0)
        self._open = set(ready_at)
        self.settled: dict[str, float] = {}

    def wish(self, now: float, supply: Supply) -> Wish | None:
        while (expired := self._queue.pop_expired(now)) is not None:
            self._open.discard(expired.id)
        slot = self._queue.next_slot(now, supply)
        if slot is None:
            return None
        ask_again = look_again_at(now, supply, self._model.pending)
        if slot.why == "last look":
            return Wish(slot.at, Urgency.DIRECT, ask_again)
        deadline = self._queue.next_deadline()
        last_look = math.inf if deadline is None else max(now + RE_ASK, deadline - self._queue.lead)
        urgency = Urgency.AHEAD if slot.ahead else Urgency.PACED
        return Wish(slot.at, urgency, min(ask_again, last_look), last_look)

    def take(self, now: float, supply: Supply) -> Entry | None:
        return self._queue.take(now, supply)

    def on_end(self, what: Entry | str, now: float, *, is_accepted: bool, arrived_at: float) -> None:
        assert isinstance(what, Entry)
        if not is_accepted:
            self._queue.on_refused(what, now)
        elif self._ready_at[what.id] > arrived_at:
            self._queue.on_pending(what, now)
        else:
            if what.id in self._open:
                self._open.discard(what.id)
                self.settled[what.id] = now
            self._queue.on_settled(what, now)


class Client:
    """One client: what it wants, its limiter, and the way to the server.

    Args:
        world: The time.
        server: Where its requests go.
        demand: What it wants.
        seed: Of its network and its luck.
        limiter: By default a shipped gate.
        network: By default a near one.
        name: Its name in the server's record.
        begins: When it begins to send.
    """

    def __init__(
        self,
        world: World,
        server: Server,
        demand: Demand,
        seed: int,
        *,
        limiter: Limiting | None = None,
        network: Network | None = None,
        name: str = "ours",
        begins: float = 0.0,
    ) -> None:
        self._world = world
        self._server = server
        self._demand = demand
        self._gate: Limiting = limiter or Gate()
        self._network = network or Network()
        self._draw = random.Random(seed)
        self._name = name
        self._timer = math.inf
        self.in_flight = 0
        world.at(begins, self._step)

    def _wake_at(self, moment: float) -> None:
        if moment < self._timer or self._timer <= self._world.now:
            self._timer = max(moment, self._world.now + 1e-6)
            if math.isfinite(self._timer):
                self._world.at(self._timer, self._ring)

    def _ring(self) -> None:
        if self._world.now >= self._timer:
            self._timer = math.inf
            self._step()

    def _step(self) -> None:
        while self.in_flight < MOST_IN_FLIGHT:
            now, gate = self._world.now, self._gate
            wish = self._demand.wish(now, gate.supply(now))
            if wish is None:
                return
            if wish.at > now:
                self._wake_at(min(wish.at, wish.ask_again))
                return
            at = gate.next_at(now, wish.urgency)
            if at > now:
                self._wake_at(min(at, wish.in_line_until))
                return
            what = self._demand.take(now, gate.supply(now))
            if what is None:
                self._wake_at(now + 0.05)
                return
            self._send(gate.on_sent(now, wish.urgency), what)

    def _send(self, ticket: Ticket, what: Entry | str) -> None:
        self.in_flight += 1
        self._world.at(self._world.now + self._network.up(self._draw), lambda: self._arrive(ticket, what))

    def _arrive(self, ticket: Ticket, what: Entry | str) -> None:
        arrived_at = self._world.now
        answer = self._server.ask(arrived_at, self._name, what.id if isinstance(what, Entry) else what)
        self._world.at(
            arrived_at + answer.takes + self._network.down(self._draw),
            lambda: self._hear(ticket, what, answer, arrived_at),
        )

    def _hear(self, ticket: Ticket, what: Entry | str, answer: Answer, arrived_at: float) -> None:
        self.in_flight -= 1
        now = self._world.now
        figures = parse_rate_figures(answer.headers, wall_now=EPOCH + now)
        if answer.is_accepted:
            self._gate.on_answer(ticket, now, figures)
        else:
            told = parse_retry_after(answer.headers, wall_now=EPOCH + now)
            named = max((wait for wait in (told, answer.body_retry_after) if wait is not None), default=None)
            pause = self._gate.next_pause(figures, named, luck=self._draw.random())
            self._gate.on_refused(ticket, now, figures, now + pause, named=named or 0.0)
        self._demand.on_end(what, now, is_accepted=answer.is_accepted, arrived_at=arrived_at)
        self._step()


def stranger(world: World, server: Server, rate: float, seed: int) -> None:
    """Let somebody else under the same key ask so many times a second on average, at random."""
    draw = random.Random(seed)

    def ask() -> None:
        server.ask(world.now, "stranger", None)
        world.at(world.now + draw.expovariate(rate), ask)

    world.at(draw.expovariate(rate), ask)


def windows_of(settings: LimitSettings) -> list[Window]:
    """Return all that a server counts an analysis request against."""
    limit, period = settings.limits.groups["analysis"], settings.period
    windows = [make_window(settings.window, limit, period, burst=settings.burst, announces=settings.bucket_reset)]
    if settings.second_limit is not None:
        windows.append(make_window("fixed", *settings.second_limit))
    return windows


def best_moments(settings: LimitSettings, ahead: float, wanted_at: Iterator[float], until: float) -> list[float]:
    """Return when requests would be accepted that are each sent at the first moment which has room for it.

    Args:
        settings: How the server counts.
        ahead: Seconds into a window at which that begins.
        wanted_at: From when each is wanted, in order.
        until: When to end.
    """
    windows, start, moments = windows_of(settings), EPOCH + ahead, []
    now = 0.0
    for wanted in wanted_at:
        now = max(now, wanted)
        while (wait := max(window.wait(start + now) for window in windows)) > 0 and now < until:
            now += max(wait, 1e-6)
        if now >= until:
            break
        for window in windows:
            window.count(start + now)
        moments.append(now)
    return moments
