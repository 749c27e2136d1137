"""`Explanations`: how a server may count whose figures are known; `Drift`: what in them is none of our doing.

The folder's docstring has their rules, 9 and 10.
"""

from __future__ import annotations

import math
from collections import deque
from enum import IntEnum
from itertools import islice

from kallglot_async._core.api.answers import DOCUMENTED_PERIOD, ROUNDING, SAME_RESET, RateFigures

__all__ = ["Drift", "Explanations", "Way"]

MOST_LOGGED = 10_000  # requests; the oldest beyond leave unseen
SHORTEST = 1.0  # seconds; no limit is of less, and each of whole ones until a refusal shows that it is not
SLACK = 0.005  # of a period, by which the one that was found may be too long, ...
LEAST_SLACK = 0.02  # ... and seconds that are so at least
TELLING = 4  # one in so many of a limit has to be used until what is out of it shows a period
SPAN = 30  # one in so many of a period is the least time over which explanations are compared
MEMORY = 2  # one in so many of a period is the time after which an error counts for a third
SHORTEST_MEMORY = 2.0  # seconds
REFILL_MEMORY = 10.0  # seconds in which what came free makes a rate
REFILL_EVENTS = 15  # places; of a slow limit it is the time that so many take
REGAINED = 1.1  # by which each accepted request multiplies what is counted on, up to all of it ...
LEAST_TRUST = 0.05  # ... from this at least, each refusal halving it; ...
DISTRUST = 0.2  # ... at so little a refusal closes until the announced reset again
CERTAIN = 0.98  # of that rate is counted on
WORSE = 3.0  # times as wrong as the best, ...
NOISE = 4.0  # ... and by so many requests, ...
FEWEST = 3  # ... or by one in so many of its limit, if that is less, has to be what ruled so far, or it goes on to
AS_WELL = 1.0  # requests by which a log may have been worse lately than what seems fixed
DENIED_FOR = 3  # periods for which a log that was seen to be none is none
ALONE = 0.8  # of the documented rate comes free, or somebody else takes it
SMALL = 20  # one in so many of its limit is more than a small bucket ever shows, ...
SMALL_REST = 10.0  # ... whose reset is nearer than so many seconds, ...
FASTER = 1.3  # ... and which fills no more times as fast as by the documentation
SOONER = 0.5  # of the time that a place takes by the documentation: what resets sooner fills faster
SEEN = 30  # one in so many of a log that is held by others shows that they use it, ...
SEEN_FOR = 2  # ... for so many of its periods
DRIFT_MEMORY = 6  # one in so many of a period is the time after which what others took counts for a third
MARGIN = 0.5  # standard deviations of what neighbours take in a time that are left to them beside the mean
OURS = 2.0  # requests; fewer that were taken may be our own, answered in another order


class Way(IntEnum):
    """How a server may count. Of two that were wrong by as much the earlier is believed."""

    FIXED = 0  # all comes back at the reset
    LOG = 1  # each request leaves one period after it arrived
    REFILL = 2  # places come free evenly


class Log:
    """Our own accepted requests, each of which leaves one period after it arrived.

    A request arrived between its sending and its answer. What the quickest trip took they all take: it moves every
    arrival alike, and is no doubt about the time between two. A request is taken to leave as late as it may, and to
    have been in a figure no longer than it must. The period is what figures have shown to be out, in whole seconds
    until one is refused that should have found a place.
    """

    __slots__ = ("_after", "_is_whole", "_rest", "_since", "_upper", "denied_at", "doubt", "inside", "period", "trip")

    def __init__(self) -> None:
        # Those that it held when the newest figure came, and since: (sent, answered), in order of answers.
        self.inside: deque[tuple[float, float]] = deque(maxlen=MOST_LOGGED)
        self._upper = math.inf  # the shortest time from a request to an answer that showed it to have left
        self.trip = math.inf  # the shortest from a request to its own answer
        self._is_whole = True
        self._rest = 0.0
        self.doubt = 0  # of those that had left before the newest figure, how many may only just not have
        self.denied_at = -math.inf  # when it was seen to be none
        self._reckon()

    def fits(self, now: float, rest: float, step: float) -> bool:
        """Whether it may be a log: its reset is the moment at which the oldest request leaves, ours or another.

        So it moves on once it is over; and the oldest of ours that is surely inside will leave no earlier.

        Args:
            now: The present moment.
            rest: Seconds until the reset that a figure tells.
            step: Seconds by which that is later than the reset before.
        """
        shortest = max(SHORTEST, 0.5 * self._rest, self._rest - 2 * ROUNDING)
        # A reset is when the oldest leaves: none is further off than a request stays, but for rounding.
        if self._upper < math.inf and self._upper - self.trip < shortest - LEAST_SLACK:
            self.learn_anew()
            return False
        if step > SAME_RESET and rest - step > 2 * ROUNDING:
            return False
        surely = now - self._rest + 2 * ROUNDING
        for sent, answered_at in self.inside:
            if sent > surely:
                return rest <= answered_at + self.period - now + 2 * ROUNDING + self.period / 10
        return True

    def on_figure(self, sent_at: float, now: float, used: int, limit: int, rest: float) -> int:
        """Take note of a request that found so many places taken; returns how many of ours have left before it."""
        if rest > self._rest:
            self._rest = rest
            self._reckon()
        inside = self.inside
        # Of those that had surely arrived by then, at most `used` can still be inside; a clock may stand still.
        sure = len(inside)
        while sure and inside[sure - 1][1] - self.trip >= sent_at:
            sure -= 1
        can_tell = sure > used >= limit // TELLING and not self.is_denied(now)
        if can_tell and now - inside[sure - used - 1][0] < self._upper:
            # They leave as they arrived, and not as they were answered: the first of them was sent no later than this.
            first = min(sent for sent, _ in islice(inside, sure - used - 1, sure))
            self._upper = min(self._upper, now - first)
            self._reckon()
        # The period is overstated by a little: what may have left before the figure must not be counted after it.
        gone, surely, number = now - self._since, sent_at - self._after, 0
        self.doubt = 0
        while inside and inside[0][0] <= gone:
            number += 1
            self.doubt += inside.popleft()[1] > surely
        return number

    def is_denied(self, now: float) -> bool:
        """Whether it was seen to be none lately; who has few places has few figures to see it by."""
        return now - self.denied_at <= DENIED_FOR * self.period

    def learn_anew(self) -> None:
        """The period that was found does not hold."""
        self._upper = math.inf
        self._reckon()

    def returned(self, now: float) -> int:
        """How many of ours have left since the newest figure."""
        gone, number = now - self._after, 0
        for _, answered_at in self.inside:
            if answered_at > gone:
                break
            number += 1
        return number

    def returns_at(self, number: int) -> float:
        """When so many will have left since the newest figure; infinity where there are not so many."""
        return self.inside[number - 1][1] + self._after if number <= len(self.inside) else math.inf

    def may_have_left(self, now: float, number: int) -> bool:
        """Whether so many may have left since the newest figure, before a request that is answered now arrived."""
        return 0 < number <= len(self.inside) and self.inside[number - 1][0] <= now - self._since

    def on_trip(self, seconds: float) -> None:
        """A request was answered sooner than any before."""
        self.trip = seconds
        self._reckon()

    def on_refused(self) -> None:
        """A request was refused, maybe as the period is no whole number of seconds."""
        self._is_whole = False
        self._reckon()

    def _reckon(self) -> None:
        longest = self._rest if self._rest > DOCUMENTED_PERIOD + 2 * ROUNDING else DOCUMENTED_PERIOD
        trip = self.trip if self.trip < math.inf else 0.0
        upper = self._upper - trip
        if self._is_whole and upper < longest:
            upper = math.floor(upper + LEAST_SLACK)
        # Seconds after which a request leaves; until one was seen to, the longest rest, or a minute if it can be.
        self.period = period = min(upper, longest)
        slack = SLACK * period
        # One has surely left so long after its answer, though a trip may yet be quicker than all so far; ...
        self._after = period - trip + min(LEAST_SLACK, slack)
        # ... and may have left before an answer that comes so long after it was sent.
        self._since = period + trip - max(LEAST_SLACK, slack)


class Explanations:
    """Each predicts what comes free between two figures; the one that was least wrong lately rules."""

    __slots__ = (
        "_accepted", "_at", "_documented", "_doubt", "_errors", "_figure_at", "_flying", "_freed", "_is_new",
        "_leaving", "_left", "_most", "_newest_reset", "_remaining", "_reset", "_seconds", "_seen_at", "_trust", "gone",
        "is_shared", "is_small", "log", "moves", "others", "sees_others", "way",
    )  # fmt: skip

    def __init__(self) -> None:
        self.way = Way.FIXED
        self.log = Log()
        self.others = 0  # places in the newest figure that are not ours, if it is a log
        self.gone = 0  # places of ours that had left it before the newest figure, and not before the one before
        self.is_shared = False  # whether it must be a log that others use as well
        self.sees_others = False  # whether more was taken lately than by us, if it does not renew
        self.moves = False  # whether the reset moves by less than a period
        self.is_small = False  # whether it is a bucket that holds far less than its limit, which is then a rate
        self._seen_at = -math.inf  # when more was seen to be taken than by us
        self._documented = 0.0
        self._errors = [0.0, 0.0, 0.0]
        # Since when the explanations are compared, and what was so then; and what happened since.
        self._at = -math.inf
        self._remaining = 0
        self._reset = 0.0
        self._flying = 0
        self._accepted = 0
        self._left = self._doubt = 0
        self._figure_at = -math.inf
        self._newest_reset = -math.inf
        self._most = 0  # places that a figure ever showed
        self._leaving = 0.0  # places of ours that have just left, or are about to; it fades
        self._is_new = True  # whether it was ever taken for anything but a fixed window
        self._freed = 0.0  # what has come free lately, ...
        self._seconds = 0.0  # ... and in which time; both fade
        self._trust = 1.0  # halved by each refusal

    @property
    def is_trusted(self) -> bool:
        """Whether the latest requests were accepted rather than refused, and not many others take of it."""
        return self._trust > DISTRUST and (self.way is not Way.REFILL or self.refill() > 0.0)

    def on_accepted(self, sent_at: float, now: float) -> None:
        """A request of ours was accepted."""
        self._accepted += 1
        if self._trust < 1.0:
            self._trust = min(1.0, REGAINED * self._trust)
        log = self.log
        log.inside.append((sent_at, now))
        if now - sent_at < log.trip:
            log.on_trip(now - sent_at)

    def on_refused(self) -> None:
        """A request of ours was refused, where nothing was left."""
        self._trust = max(LEAST_TRUST, self._trust / 2)
        self.log.on_refused()

    def on_figure(
        self,
        sent_at: float,
        now: float,
        figures: RateFigures,
        *,
        found: int,
        flying: int,
        period: float,
        is_rolling: bool,
    ) -> None:
        """A newer figure came, of a request that found so many places taken; so many others are under way."""
        self.gone = self.log.on_figure(sent_at, now, found, figures.limit, figures.resets_in)
        self._left += self.gone
        if self._leaving or self.gone:
            self._leaving = self._leaving * math.exp((self._figure_at - now) / (2 * ROUNDING)) + self.gone
        if not self.log.fits(now, figures.resets_in, figures.reset - self._newest_reset):
            self._errors[Way.LOG] = float(figures.limit)
            self.log.denied_at = now
        self._newest_reset = figures.reset
        self.others = found - len(self.log.inside)
        if self.others - flying - self._leaving > figures.limit // SEEN:
            self._seen_at = now
        # Among others no prediction holds. But a reset that moves by less than a period is that of a log or of a
        # bucket, and what we know of our own requests denies a log soon where it is none.
        self.sees_others = now - self._seen_at < SEEN_FOR * self.log.period
        self.is_shared = self.sees_others and is_rolling and not (self.is_small or self.log.is_denied(now))
        if self.is_shared:
            self.way = Way.LOG
        self._most = max(self._most, figures.remaining)
        self._figure_at = now
        self._documented = figures.limit / max(DOCUMENTED_PERIOD, period)
        # Told in whole seconds, a period may look shorter by two.
        is_renewed = figures.reset - self._reset >= max(1.0, period - 2)
        if now - self._at < period / SPAN and not is_renewed:
            return
        if self._at > -math.inf:
            self._compare(now, figures, flying, period, is_renewed)
        self._at, self._remaining, self._reset, self._flying = now, figures.remaining, figures.reset, flying
        self._accepted, self._left, self._doubt = 0, 0, self.log.doubt

    def came_free(self, now: float) -> int:
        """Places that have surely come free since the newest figure."""
        return self.log.returned(now) if self.way is Way.LOG else 0

    def comes_free_at(self, number: int) -> float:
        """When so many places will have come free since the newest figure; infinity where that is not known."""
        if self.way is Way.LOG:
            return self.log.returns_at(number)
        if self.way is Way.FIXED:
            return math.inf
        # A counter, whose reset stands still, frees as little as its last bucket was used: no sign of others. Who waits
        # for its reset then uses each second bucket only.
        refill = self.refill() if self.moves else self._trust * CERTAIN * self._rate()
        return self._figure_at + number / refill if refill else math.inf

    def refill(self) -> float:
        """Places that come free a second and can be counted on."""
        rate = self._documented if self.is_small else self._rate()
        return self._trust * CERTAIN * rate if rate >= ALONE * self._documented else 0.0

    def _rate(self) -> float:
        """Places a second that came free lately, or by the documentation as long as little was seen."""
        return max(0.0, self._freed / self._seconds) if self._seconds > SHORTEST_MEMORY else self._documented

    def _seems_small(self, figures: RateFigures) -> bool:
        """Whether it is a bucket with little in it, as its reset is near, and never brings more than that.

        Not if it fills faster than its limit in a minute: by what has come free, or by a reset that is nearer than a
        place should take. No rate could be told of that, as a bucket that is always empty shows none.
        """
        seconds, soon = self._seconds, SOONER / self._documented
        fills_slowly = seconds >= SHORTEST_MEMORY and self._freed <= FASTER * self._documented * seconds
        return fills_slowly and soon <= figures.resets_in < SMALL_REST and self._most < figures.limit / SMALL

    def may_be_log(self) -> bool:
        """Whether a log explains as well what seems fixed: where all is spent at once, and comes back at once."""
        if self.way is not Way.FIXED or self.log.is_denied(self._figure_at):
            return False
        return self._errors[Way.LOG] <= self._errors[Way.FIXED] + AS_WELL

    def _compare(self, now: float, figures: RateFigures, flying: int, period: float, is_renewed: bool) -> None:
        elapsed = now - self._at
        freed = figures.remaining - self._remaining + self._accepted
        rate = max(0.0, self._freed / self._seconds) if self._seconds else 0.0
        # Each may be in a figure already, or not: by so much nobody is wrong.
        unsure = self._flying + flying
        fixed = max(0.0, abs(freed) - unsure)
        if is_renewed and self._freed < -NOISE:
            # Others take of it as well: who knows what they left.
            fixed = 0.0
        elif is_renewed:
            fixed = max(0.0, figures.limit - self._accepted - flying - figures.remaining)
        log = max(0.0, abs(freed - self._left) - unsure - self._doubt - self.log.doubt)
        # Wrong by more than half of what has moved: then it is the period that is wrong.
        if log > 2 and log > 0.5 * max(freed, self._left):
            self.log.learn_anew()
        fade = math.exp(-elapsed / max(SHORTEST_MEMORY, period / MEMORY))
        now_wrong = (fixed, log, max(0.0, abs(freed - rate * elapsed) - unsure))
        self._errors = [before * fade + wrong for before, wrong in zip(self._errors, now_wrong, strict=True)]
        fade = math.exp(-elapsed / max(REFILL_MEMORY, REFILL_EVENTS / max(rate, self._documented)))
        self._freed = self._freed * fade + freed
        self._seconds = self._seconds * fade + elapsed
        self.moves = not is_renewed and abs(figures.reset - self._reset) > SAME_RESET
        if is_renewed:
            self.is_small = self._seems_small(figures)
        if self.is_small:
            self.way, self.moves, self.is_shared = Way.REFILL, True, False
            return
        # A bucket out of which nothing comes for so long is none, whatever its predictions were: all begin again.
        if self.way is Way.REFILL and self._freed <= 0.0 and self._seconds > REFILL_MEMORY / 3:
            self.way, self._errors = Way.FIXED, [0.0, 0.0, 0.0]
        least = min(self._errors)
        if not self.is_shared and self._errors[self.way] > WORSE * least + min(NOISE, figures.limit / FEWEST):
            if self._is_new:
                self._is_new = False
                # It was full until now, so that nothing could come free: what was seen of a rate says nothing.
                if self._freed < self._documented * self._seconds:
                    self._freed = self._seconds = 0.0
            self.way = Way(self._errors.index(least))


class Drift:
    """How fast `Remaining` moves beyond what our own requests take: up where places come free, down for neighbours.

    A request in flight may be in a figure already, or not. It is taken to be in it where that shows fewer
    neighbours, and not to be in it where that shows fewer free places.

    Attributes:
        sent: Requests of ours that went out since the newest figure; whoever sends one counts it here, ...
        accepted: ... and here whoever hears that one was.
    """

    __slots__ = ("_at", "_freed", "_ours", "_remaining", "_seconds", "_taken", "accepted", "sent")

    def __init__(self) -> None:
        self._at = -math.inf  # when the newest figure came
        self._remaining = 0
        self.sent = 0
        self.accepted = 0
        self._ours = 0  # requests of ours that went out since the window began, until the newest figure
        self._taken = 0.0  # what the figure has fallen by beyond those sent, ...
        self._freed = 0.0  # ... what it has risen by beyond those accepted, ...
        self._seconds = 0.0  # ... and in which time; all three fade

    def on_figure(self, now: float, remaining: int, period: float) -> None:
        """A newer figure of the same window came."""
        fade = math.exp((self._at - now) / _memory(period))
        change = remaining - self._remaining
        self._taken = self._taken * fade - change - self.sent
        self._freed = self._freed * fade + change + self.accepted
        self._seconds = self._seconds * fade + now - self._at
        self._at, self._remaining = now, remaining
        self._ours += self.sent
        self.sent = self.accepted = 0

    def on_renewed(self, now: float, remaining: int, period: float, *, in_flight: int, gone: int) -> None:
        """The first figure of a window came, which tells nothing of the one before; so many of it are gone.

        Where a part of the window before counts on, that may be as many as we sent in it.
        """
        # A burst of our own that was sent before this figure falls from those after it.
        self._taken -= in_flight
        if (others := gone - self._ours - self.sent) > OURS:
            self._taken = max(self._taken, others)
            self._seconds = max(self._seconds, _known_after(period))
        self._at, self._remaining = now, remaining
        self._ours = self.sent = self.accepted = 0

    def freed(self, period: float) -> float:
        """Places that come free a second, 0.0 where none are seen to."""
        return self._freed / self._seconds if self._freed > 0.0 and self._is_known(period) else 0.0

    def sees_neighbours(self, period: float) -> bool:
        """Whether the figure falls by more than our own requests take."""
        return self._taken > OURS and self._is_known(period)

    def taken(self, now: float, period: float) -> float:
        """Requests that neighbours have probably sent since the newest figure: fewer, the less there is to take."""
        if self._taken <= OURS or not self._remaining or not self._is_known(period):
            return 0.0
        rate = self._taken / self._seconds
        expected = self._remaining * -math.expm1(-rate * (now - self._at) / self._remaining)
        # Requests that come by chance deviate by the root of their number.
        return expected + MARGIN * math.sqrt(expected)

    def _is_known(self, period: float) -> bool:
        return self._seconds >= _known_after(period)


def _known_after(period: float) -> float:
    return _memory(period) / 3


def _memory(period: float) -> float:
    return period / DRIFT_MEMORY if period > DRIFT_MEMORY * SHORTEST_MEMORY else SHORTEST_MEMORY
