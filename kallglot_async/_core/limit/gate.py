"""`Gate`: when the next request of one endpoint group under one key may go, and whose it is.

It asks the rules that are in force and tells them what happens: the window that the server announces, where it does;
what refusals have shown that no figure explains, once there was one; and whatever else holds (a configured ceiling).
The latest moment that any of them names is the one that counts. A refusal pauses everybody, whatever the rules say.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.lease import Lease
from kallglot_async._core.limit.ticket import Rule, Supply, Ticket, Urgency
from kallglot_async._core.limit.unannounced import MOST_ACCEPTED, Unannounced
from kallglot_async._core.limit.window import Renewal, Window

__all__ = ["SERVED_BEFORE", "Gate"]

SHORTEST_PAUSE = 1.0  # seconds; `Retry-After: 0` is no invitation to ask again at the speed of the network
PAUSE_WITHOUT_ADVICE = 30.0  # seconds; what the documentation's sample clients fall back to
SPREAD = 0.1  # of a pause: what is added to it at most, so that clients who know nothing of each other come apart
LONGEST_SPREAD = 3.0  # seconds; of a long pause a tenth would keep people waiting for nothing

# Who among the waiting is served before a newcomer. A poll ahead passes by the paced ones: where one of those still
# waits, it waits for the pace, and the slot would stay unused.
SERVED_BEFORE = {
    Urgency.DIRECT: (Urgency.DIRECT,),
    Urgency.AHEAD: (Urgency.DIRECT, Urgency.AHEAD),
    Urgency.PACED: (Urgency.DIRECT, Urgency.AHEAD, Urgency.PACED),
}


class Share:
    """What others left of the window before this one: what we had of it, and what was there then.

    Who is alone has all of it, however little that is used.

    Attributes:
        requests: So many of a window; infinity: none is over yet.
    """

    __slots__ = ("_had", "_limit", "_remaining", "_reset", "requests")

    def __init__(self) -> None:
        self.requests: float = math.inf
        self._limit: int | None = None
        self._reset = -math.inf  # of the present window, on the server's clock
        self._had = self._remaining = 0  # requests of ours that were accepted in it, and what its least figure shows

    def on_answer(self, figures: RateFigures | None, renewal: Renewal, *, accepted: int) -> None:
        """A request was answered, and accepted (1) or refused (0)."""
        if figures is None:
            self._had += accepted
            return
        step = figures.reset - self._reset
        if figures.limit != self._limit or step < -2.0 * renewal.period:
            # Another plan; or what was known was another limit's, or a clock's that was set.
            self.requests = math.inf
        elif step >= 1.0 and step >= renewal.at_least:
            self.requests = self._had + self._remaining
        else:
            self._had += accepted
            if figures.remaining < self._remaining:
                self._remaining = figures.remaining
            return
        self._limit, self._reset, self._remaining, self._had = figures.limit, figures.reset, figures.remaining, accepted


class Gate:
    """When the next request may go, and whose it is.

    Args:
        beside: Rules that hold whatever the server announces. Several gates may share one.
        lease: What this process may send of a limit that several share. While the others can be asked, it stands
            for the window, which knows of this process' requests alone.

    Facts are told of tickets of the present `epoch` only.
    """

    __slots__ = (
        "_accepted", "_asked", "_began_at", "_beside", "_lease", "_paused_until", "_share", "_told", "_unannounced",
        "epoch", "paused_at", "window",
    )  # fmt: skip

    def __init__(self, beside: Sequence[Rule] = (), lease: Lease | None = None) -> None:
        self.window: Window = Window()
        self._share = Share()
        self._lease = lease
        self._beside: tuple[Rule, ...] = (*beside, lease) if lease is not None else tuple(beside)
        self._asked = self._beside  # beside the window, ...
        self._told: tuple[Rule, ...] = (self.window, *self._beside)  # ... which hears of everything, in force or not
        # There is none before a refusal that no figure explains. What was accepted until then says how fast it is.
        self._unannounced: Unannounced | None = None
        self._accepted: deque[float] = deque(maxlen=MOST_ACCEPTED)
        self._began_at = math.inf
        self._paused_until = -math.inf
        self.paused_at: float = -math.inf  # when the latest pause began
        self.epoch: int = 0

    @property
    def in_flight(self) -> int:
        """Requests granted and not yet ended."""
        return self.window.in_flight

    def resets_in(self, now: float) -> float | None:
        """Return the seconds until the announced window renews, or None where none is announced."""
        return self.window.renewal.resets_in(now) if self.window.limit is not None else None

    def paused_for(self, now: float) -> float:
        """Return the seconds until the pause that a refusal asked for is over."""
        return self._paused_until - now if self._paused_until > now else 0.0

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request could go if nobody else were waiting; infinity: once an answer has come."""
        at = self._paused_until
        if self.window.is_ruling and (self._lease is None or self._lease.is_alone):
            # Of processes that keep to their parts none is a stranger to the others, whose share has to be guessed.
            is_paced_elsewhere = self._lease is not None and self._lease.keeps_pace
            next_at = self.window.next_at(now, Urgency.DIRECT if is_paced_elsewhere else urgency)
            # By a comparison: `max` costs five times as much, and every poll asks this.
            at = next_at if next_at > at else at
        for rule in self._asked:
            at = max(at, rule.next_at(now, urgency))
        return at

    def next_turn(self, now: float, places: Sequence[int | None]) -> tuple[Urgency | None, float]:
        """Return whose turn it is: direct requests first, then the poll that has waited longest.

        Args:
            now: The present moment.
            places: By urgency, the place in line of whoever has waited longest; None where nobody waits.

        Returns:
            The urgency whose longest waiter may go now; or None, and when to ask again.
        """
        chosen, longest, wake_at = None, math.inf, math.inf
        for urgency, place in zip(Urgency, places, strict=True):
            if place is None:
                continue
            at = self.next_at(now, urgency)
            wake_at = min(wake_at, at)
            if at <= now and place < longest:
                chosen, longest = urgency, place
            # However long polls have waited, so they need not be asked.
            if chosen is Urgency.DIRECT:
                break
        return chosen, wake_at

    def supply(self, now: float) -> Supply:
        """Return what a scheduler may count on."""
        if self._lease is not None and not self._lease.is_alone:
            supply = self._lease.supply(now)
        else:
            supply = self.window.supply(now) if self.window.is_ruling else Supply()
        for rule in self._asked:
            supply = supply.within(rule.supply(now))
        return supply

    def lasting_rate(self, now: float) -> float:
        """Return the requests/s to be had over many windows; 0.0 as long as nothing is known.

        Of a spent window, `supply` has what is left of it alone. What neighbours leave has shown in the window that was
        over last; of a limit that does not renew, `supply` shows it.
        """
        rate, window = self.supply(now).rate, self.window
        if not window.is_ruling or (self._lease is not None and not self._lease.is_alone):
            return rate
        if window.limit is None:
            return 0.0
        if window.is_contended or (window.is_shared and window.renewal.is_rolling):
            return rate
        beside = min((rule.supply(now).rate for rule in self._asked), default=math.inf)
        if self._share.requests < window.limit and not window.renewal.is_rolling:
            return min(beside, self._share.requests / window.renewal.period)
        return rate if window.is_shared else min(beside, max(rate, window.limit / window.renewal.period))

    def on_sent(self, now: float, urgency: Urgency) -> Ticket:
        """A request goes out now; the ticket is what it will be known by."""
        ticket = Ticket(now, self.epoch, urgency is Urgency.DIRECT)
        if now < self._began_at:
            self._began_at = now
        for rule in self._told:
            rule.on_sent(ticket, now, urgency)
        return ticket

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: everything is as before."""
        for rule in self._told:
            rule.on_unsent(ticket)

    def on_lost(self, ticket: Ticket, now: float) -> None:
        """A request ended without an answer, or with one that tells nothing of the limit."""
        for rule in self._told:
            rule.on_lost(ticket, now)

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered, and not refused for rate."""
        if self._unannounced is None:
            # For the first refusal that nothing explains, which is judged by what was accepted before it.
            self._accepted.append(ticket.sent_at)
        self._share.on_answer(figures, self.window.renewal, accepted=1)
        for rule in self._told:
            rule.on_answer(ticket, now, figures)

    def on_refused(
        self, ticket: Ticket, now: float, figures: RateFigures | None, until: float, *, named: float = 0.0
    ) -> None:
        """A request was refused for rate: nobody sends before `until`. Of that the server `named` so much, or 0.0."""
        if self._is_explained(figures):
            self.window.on_refused(ticket, now, figures, until)
            self._share.on_answer(figures, self.window.renewal, accepted=0)
            if self._unannounced is not None:
                self._unannounced.on_lost(ticket, now)
        else:
            # Before the window lets go of this request: a new rule takes over all that are under way, this one too.
            unannounced = self._unannounced or self._look_for_unannounced()
            self.window.on_refused_elsewhere(ticket, now, figures)
            unannounced.on_refused(ticket, now, figures, until, named=named)
        for rule in self._beside:
            rule.on_refused(ticket, now, figures, until)
        self.pause(now, until)

    def pause(self, now: float, until: float) -> None:
        """Somebody who shares the limit was refused: nobody sends before `until`."""
        if until > self._paused_until:
            # One that only makes the present one longer is the same pause, and began with it.
            if now >= self._paused_until:
                self.paused_at = now
            self._paused_until = until

    def next_pause(self, figures: RateFigures | None, retry_after: float | None, *, luck: float = 0.0) -> float:
        """Return the seconds for which a refusal pauses everybody.

        `luck`, uniform in [0, 1), spreads the wake-ups of clients that know nothing of each other.
        """
        if retry_after is not None:
            pause = max(SHORTEST_PAUSE, retry_after)
        else:
            unannounced = self._unannounced
            is_brief = unannounced is not None and unannounced.is_for_want_of_place()
            pause = SHORTEST_PAUSE if is_brief else PAUSE_WITHOUT_ADVICE
        # The reset of a limit that has something left is none of this refusal's.
        if figures is not None and figures.remaining == 0 and (retry_after is None or self._is_explained(figures)):
            closed_for = self.window.closed_for(figures, is_advised=retry_after is not None)
            pause = closed_for if retry_after is None else max(pause, closed_for)
        return pause + luck * min(LONGEST_SPREAD, SPREAD * pause)

    def _look_for_unannounced(self) -> Unannounced:
        """From now on there may be a limit of which no figure tells."""
        found = self._unannounced = Unannounced(self._accepted, self._began_at, self.window.in_flight)
        self._accepted.clear()
        self._asked = (found, *self._beside)
        self._told = (self.window, found, *self._beside)
        return found

    def _is_explained(self, figures: RateFigures | None) -> bool:
        """Whether the announced figures explain a refusal: nothing is left of the limit that answers tell of."""
        return figures is not None and figures.remaining == 0 and self.window.limit in (None, figures.limit)

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come, and no ticket of theirs counts any more."""
        self.epoch += 1
        for rule in self._told:
            rule.forget_in_flight()
