"""`Lease`: what one process may send of a limit that several share.

The folder's docstring has its rules, 17 to 20.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from kallglot_async._core.api.answers import SAME_RESET, RateFigures
from kallglot_async._core.limit.exchange import Alone, Ask, Reply
from kallglot_async._core.limit.ticket import Pace, Supply, Ticket, Urgency

__all__ = ["Lease"]

RETRY = 1.0  # seconds after which a process that goes on alone asks again
MOST_WANTED = 1000  # slots that polls ask for at once
LAPSE = 0.5  # of the horizon: after so long, slots that were to be spent at once are given back
STALE = 8  # requests that have ended, and that the others take to be under way: they should hear of it, ...
STALE_FOR = 0.1  # ... but no more often, in seconds
TRIP_KEPT = 0.98  # of the longest time that an answer took, with each that took less


class Lease:
    """What one process may send of a limit that several share.

    Args:
        horizon: Seconds that slots are taken for in advance.
        on_news: Called when `next_ask` may have come nearer though nobody waits.
        ceiling: Requests/s of a configured ceiling over all processes.
    """

    __slots__ = (
        "_again_at", "_alone", "_appetite", "_burst", "_ceiling", "_direct_again_at", "_figures", "_figures_at",
        "_figures_sent_at", "_free", "_free_until", "_granted", "_has_sent", "_horizon", "_in_flight", "_interval",
        "_is_fresh", "_is_quiet", "_is_urgent", "_landed", "_lost", "_on_news", "_pace", "_paced", "_paced_until",
        "_paused_until", "_people", "_probe", "_replied_at", "_reply", "_taken", "_told", "_touched_at", "_trip",
        "_want", "is_alone",
    )  # fmt: skip

    def __init__(self, horizon: float, on_news: Callable[[], object], *, ceiling: float = math.inf) -> None:
        self._horizon = horizon
        self._on_news = on_news
        self._ceiling = ceiling
        self._alone = Alone(ceiling)
        # Whether nobody can be asked: then the process goes on with its part of what was known.
        self.is_alone: bool = False
        self._reply: Reply | None = None
        self._replied_at = -math.inf
        self._again_at = self._direct_again_at = -math.inf
        self._in_flight = 0
        self._told = 0  # the requests in flight and slots that were told of last, ...
        self._burst = 0  # ... and those of them that are no paced slots
        self._touched_at = -math.inf  # when something was last sent or ended
        self._has_sent = False  # since it was last asked
        self._trip = 0.0  # the longest time that an answer has lately taken
        self._free = 0
        self._free_until = -math.inf
        self._paced = 0
        self._paced_until = -math.inf
        self._taken = 0  # of those, by people since it was last asked
        self._people = 0  # requests of people since then
        self._interval = 0.0
        self._pace = Pace()
        self._want = 1  # slots for polls: more, while they are used up
        self._appetite = 0  # what polls would spend in a horizon
        self._granted = 0  # slots that the newest answer brought
        self._probe: Ticket | bool = False  # True: the next request is it
        self._figures: RateFigures | None = None
        self._figures_at = self._figures_sent_at = -math.inf
        self._is_fresh = self._is_quiet = self._is_urgent = self._landed = False
        self._lost = 0
        self._paused_until = -math.inf

    # -- a rule behind the gate

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go; infinity: once the others were asked."""
        if self._free and now < self._free_until:
            return -math.inf
        if self._paced and now < self._paced_until:
            return -math.inf if urgency is Urgency.DIRECT else self._pace.theoretical + self._interval
        return self._alone.next_at(now, urgency, self._pace.theoretical) if self.is_alone else math.inf

    def supply(self, now: float) -> Supply:
        """Return this process' part; it may not run low, as nobody knows how many ids the others wait for."""
        reply = self._reply
        if self.is_alone:
            interval = self._alone.interval(now, Urgency.PACED)
            return Supply(rate=1.0 / interval if interval else math.inf)
        if reply is None or reply.limit is None:
            return Supply(rate=self._ceiling / reply.sharers if reply else math.inf)
        resets_in = max(0.0, self._replied_at + reply.ends_in - now)
        return Supply(
            rate=reply.rate / reply.sharers,
            remaining=self._held(now) + max(0.0, reply.available) // reply.sharers,
            resets_in=resets_in,
        )

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now."""
        self._in_flight += 1
        self._has_sent, self._touched_at = True, now
        self._people += urgency is Urgency.DIRECT
        # It was granted before anybody knew which request it would be.
        if self._probe is True:
            self._probe = ticket
        if self.is_alone:
            # Nobody may ever have to wait, and somebody has to ask the others again.
            self._on_news()
        if self._free and now < self._free_until:
            self._free -= 1
        elif self.is_alone and not self._held(now):
            self._pace.on_sent(now, self._alone.interval(now, urgency))
        elif self._paced:
            self._paced -= 1
            if urgency is Urgency.DIRECT:
                self._taken += 1
            else:
                self._pace.on_sent(now, self._interval)

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: the slot is for whoever comes next, until it lapses."""
        self._in_flight -= 1
        # Not for the pace to have back: who takes the slot goes at once, on the step that was made for this one.
        self._free += 1
        self._free_until = max(self._free_until, ticket.sent_at + LAPSE * self._horizon)
        if self._probe is ticket:
            self._probe = True

    def on_lost(self, ticket: Ticket, now: float) -> None:
        """A request ended without an answer: the server may have counted it."""
        self._lost += 1
        self._land(ticket, now)

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered, and not refused."""
        self._trip = max(now - ticket.sent_at, TRIP_KEPT * self._trip)
        self._adopt(ticket, now, figures)
        self._land(ticket, now)

    def on_refused(self, ticket: Ticket, now: float, figures: RateFigures | None, until: float) -> None:
        """A request was refused for rate: the others hear of it at once."""
        if figures is not None and self.limit in (None, figures.limit):
            self._adopt(ticket, now, figures)
        # Nobody sends before the pause is over: what was granted goes back to all.
        self._free = self._paced = 0
        self._paused_until = max(self._paused_until, until)
        self._is_urgent = True
        self._land(ticket, now)

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come."""
        self._lost += self._in_flight
        self._in_flight = self._free = self._paced = 0
        # Nobody will hear how a probe ended, and the others need not wait for that.
        self._landed = self._landed or self._probe is not False
        self._probe = False

    @property
    def keeps_pace(self) -> bool:
        """Whether what it names is a pace, so that the window need not keep another."""
        return self._alone.is_told

    # -- what is exchanged with the other processes

    @property
    def limit(self) -> int | None:
        """Requests in a window, as far as known."""
        if self._reply is not None and self._reply.limit is not None:
            return self._reply.limit
        return self._figures.limit if self._figures is not None else None

    def next_ask(self, now: float, waiting: Sequence[int]) -> float:
        """Return when to ask the others; infinity: once somebody waits, or something was learned.

        Args:
            now: The present moment.
            waiting: How many wait, by urgency.
        """
        if self.is_alone:  # also where nobody ever waits, because nobody has to
            return self._again_at if self._has_sent or self._in_flight or any(waiting) else math.inf
        if self._is_urgent:
            return now
        is_stale = self._is_stale()
        if any(waiting) and self.next_at(now, Urgency.DIRECT) == math.inf:  # nothing is held
            again_at = self._direct_again_at if waiting[Urgency.DIRECT] else self._again_at
            again_at = min(again_at, self._replied_at + STALE_FOR) if is_stale else again_at
            return max(now, again_at, self._paused_until)
        if is_stale:
            return max(now, self._replied_at + STALE_FOR)
        # Something is held, or held against us: told before this falls idle, or once what was granted has lapsed.
        if self._told != self._in_flight or self._free or self._paced:
            return self._touched_at + self._horizon if not any(waiting) else max(now, self._lapses_at())
        return math.inf

    def can_leave(self) -> bool:
        """Whether there are others to hear that this process has no more use for its part."""
        return not self.is_alone and self._reply is not None

    def ask(self, now: float, waiting: Sequence[int], *, is_leaving: bool = False) -> Ask:
        """Return what to tell the others, and what to ask for. What was not spent in time is given back."""
        direct, ahead, paced = waiting
        lapsed = self._lapse(now)
        if is_leaving or (not any(waiting) and self._touched_at + self._horizon <= now):
            self._free = self._paced = self._appetite = 0
        elif lapsed:
            self._want = max(1, self._want - lapsed)
            self._appetite = min(self._appetite, max(1, self._granted - lapsed))
        elif (ahead or paced) and not self._paced:
            # Who has not shown how little it needs may need anything.
            self._appetite = min(MOST_WANTED, 2 * self._appetite + 1) if self._appetite else MOST_WANTED
        figures = self._figures
        if figures is not None:
            figures = msgspec.structs.replace(figures, resets_in=self._figures_at + figures.resets_in - now)
        asked = Ask(
            flying=self._in_flight,
            unspent=self._free + self._paced,
            lapses_in=max(0.0, self._lapses_at() - now),
            foregone=lapsed + self._taken,
            people=self._people,
            direct=direct,
            polls=max(self._want, min(ahead, MOST_WANTED)) if (ahead or paced) and not self._paced else 0,
            appetite=self._appetite,
            is_ahead=ahead > 0,
            # Before anything was sent both times are infinite, which JSON has no word for: an hour says as much.
            idle_for=min(3600.0, max(0.0, now - self._pace.theoretical)),
            figures=figures,
            is_fresh=self._is_fresh,
            rest=self._alone.rest,
            sent_ago=min(3600.0, now - self._figures_sent_at),
            trip=self._trip,
            lost=self._lost,
            pause=max(0.0, self._paused_until - now),
            landed=self._landed,
            is_quiet=self._is_quiet,
            is_back=self.is_alone,
            is_leaving=is_leaving and not self._in_flight,
            processes=self._reply.processes if self._reply is not None else 1,
        )
        self._told = asked.flying + asked.unspent
        # Told, if there is an answer: where there is none, `on_silence` takes back what must not be lost on the way.
        self._lost = self._taken = self._people = 0
        self._has_sent = self._is_fresh = self._is_urgent = self._landed = False
        return asked

    def on_reply(self, asked: Ask, reply: Reply, asked_at: float, now: float) -> None:
        """The others have answered. What is granted lapses by the moment of asking, before they take it for spent."""
        self.is_alone = False
        self._reply, self._replied_at = reply, now
        self._alone.on_reply(reply, now)
        self._again_at = now + reply.again_in
        # What polls have to wait for, a person who comes meanwhile may have at once.
        self._direct_again_at = self._again_at if reply.direct < asked.direct else -math.inf
        self._granted = reply.direct + reply.paced
        # What the others take us to hold: what we told them, and what they have just granted.
        self._told += self._granted
        self._burst = asked.flying + reply.direct
        if reply.direct:
            self._free += reply.direct
            self._free_until = asked_at + LAPSE * self._horizon
        if asked.polls:
            self._interval = reply.interval
            self._paced += reply.paced
            self._paced_until = asked_at + self._horizon + reply.paced * reply.interval
            if self._granted >= asked.direct + asked.polls:
                self._want = min(MOST_WANTED, 2 * self._want + 1)
        if reply.is_probe:
            self._probe = True
        self._paused_until = max(self._paused_until, now + reply.pause)

    def on_silence(self, asked: Ask, now: float) -> None:
        """Nobody has answered: go on with what is held, then with this process' part, and ask again later."""
        self._lost += asked.lost
        self._is_fresh = self._is_fresh or asked.is_fresh
        self._landed = self._landed or asked.landed
        # By the time that the others can be asked again they take it for lost, and how it ended is no news.
        self._probe = False
        self.is_alone = True
        self._again_at = now + RETRY

    def _lapse(self, now: float) -> int:
        """Let go of slots that were not spent in time, and return how many they were."""
        lapsed = 0
        if now >= self._free_until:
            lapsed, self._free = self._free, 0
        if now >= self._paced_until:
            lapsed, self._paced = lapsed + self._paced, 0
        return lapsed

    def _is_stale(self) -> bool:
        """Whether the others take a burst for under way that has ended. What is paced they hear of soon enough."""
        ended = self._told - self._in_flight - self._free - self._paced
        return self._burst >= STALE and ended >= STALE and 4 * ended >= 3 * self._told

    def _held(self, now: float) -> int:
        return (self._free if now < self._free_until else 0) + (self._paced if now < self._paced_until else 0)

    def _lapses_at(self) -> float:
        return max(self._free_until if self._free else -math.inf, self._paced_until if self._paced else -math.inf)

    def _land(self, ticket: Ticket, now: float) -> None:
        self._in_flight -= 1
        self._touched_at = now
        if self._probe is ticket:
            self._probe, self._landed, self._is_urgent = False, True, True
        if self._is_urgent or (self._told and not self._in_flight) or self._is_stale():
            self._on_news()

    def _adopt(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        self._is_quiet = figures is None
        if figures is None:
            return
        self._alone.on_figures(figures)
        known = self._figures
        if known is not None and figures.reset < known.reset - SAME_RESET and ticket.sent_at <= self._figures_at:
            return
        if known is None or figures.reset > known.reset + SAME_RESET:
            # Of a new window that the others do not know of they hear at once: everybody may go on.
            self._is_urgent = self._reply is None or figures.reset > self._reply.reset + SAME_RESET
        elif self._is_fresh and abs(figures.reset - known.reset) <= SAME_RESET:
            # Of several that nobody was told of yet, the least counts; and the earliest end, as `Date` is rounded down.
            least = min(known.remaining, figures.remaining)
            ends_in = min(self._figures_at + known.resets_in - now, figures.resets_in)
            figures = msgspec.structs.replace(figures, remaining=least, resets_in=ends_in)
        self._figures, self._figures_at, self._figures_sent_at = figures, now, ticket.sent_at
        self._is_fresh = True
