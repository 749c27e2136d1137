"""What a poll is worth: how long analyses take, as learned from the answers to polls, and what webhooks make needless.

`PollModel` keeps the hazard h(age): the chance per second that an analysis of that age, still running, settles now. It
is kept in age bins that grow by a fixed ratio, one law per kind of analysis. Its integral says what a poll is worth: an
id seen running at age a and polled at age b is found settled with the probability 1 - exp(-(H(b) - H(a))).

    hazard of a bin = (events + DOUBT) / (exposure + DOUBT * middle)     ("The waiting rules": docstring of the package)

- "Still running" adds the seconds it covers to the exposure. "Settled" says only that the event lies between two
  looks: it is spread over the bins between them as the present law has it (a step of expectation-maximisation),
  unless the answer tells how long the analysis took.
- With no data the hazard is 1/age, and a schedule of equal steps in H *is* exponential back-off. `DOUBT` is the
  weight of that in each bin, as a number of analyses. The usual weight is 1/2; at 1/5 a batch of sixty is
  enough to know that nothing settles in its first twenty seconds, and long runs come out the same.
- What is spent ahead of time must rest on what was seen: `observed` leaves the doubt out of the numerator.
- Each law starts with `PRIOR` analyses that took the documented 22 to 30 s, and forgets with a half-life of 5,000.

`Worth` judges the ids of one queue by it. `InboxTrust` says how far polls may rely on events instead. An inbox may be
silent: another worker has the event, the secret is wrong, the endpoint is down. So it has to earn that polling is
slow, with an event for something that is waited for, and loses that with an analysis that is found settled without one.
The ids that wait meanwhile keep their places; only the moment of their next look moves.

The constants have reasons and figures in the package's docstring. Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from itertools import accumulate, pairwise
from math import expm1, inf, isfinite, log1p
from operator import mul

from kallglot_async._core.api.answers import DOCUMENTED_PERIOD
from kallglot_async._core.limit.ticket import Supply
from kallglot_async._core.polling.pending import ANNOUNCED, FIRM, HELD, Entry

__all__ = [
    "FRESH", "MIN_GAP", "RE_ASK", "FirstLooks", "InboxTrust", "PollModel", "Throughput", "Worth", "is_worth_last_look",
    "look_again_at", "next_echo", "seconds_per_request", "spare",
]  # fmt: skip

_RATIO = 2.0**0.25
_BINS_TO_A_DAY = 71
_EDGES = (0.0, *(0.5 * _RATIO**i for i in range(_BINS_TO_A_DAY)))
# The last bin has no end: it is as wide as the ratio would have it.
_WIDTHS = (*(high - low for low, high in pairwise(_EDGES)), _EDGES[-1] * (_RATIO - 1.0))
_MIDDLES = tuple(edge + width / 2.0 for edge, width in zip(_EDGES, _WIDTHS, strict=True))

_GUESSES = [1.0 / middle for middle in _MIDDLES]  # chances per second where nothing was seen: doubt alone, ...
_NOTHING = [0.0] * len(_MIDDLES)  # ... which is no observation

DOUBT = 0.2
PRIOR = 3.0
_PRIOR_AGES = (22.5, 23.5, 24.5, 25.5, 26.5, 27.5, 28.5, 29.5)
_FADE = 0.5 ** (1.0 / 5_000)
_REFIT = 8  # answers that a fit waits for, as it takes about 20 us ...
_LITTLE = 64  # ... or for this part of all that are remembered: more would be hardly any news

# Without a unit: a probability, or a share.
WORTH = 0.25  # a poll is worth sending for this chance of finding its id settled
SURE = 0.95  # the chance for which a poll goes ahead though there is no request to spare
DEAREST = 0.8  # the most that is asked of a poll that goes ahead, however scarce requests are
FIRST_LOOKS = 0.5  # for first looks that are probably in vain: they show when that changes
SAVING = 0.1  # the same, while what is saved now can be spent later in the window
HINT_STEPS = 3.0  # a server's hint moves the next look so many of the law's own steps beyond the last one at most
FRESH = 0.2  # share of the rate for looks at the id seen longest ago, whatever the law says of it
OPEN_PART = 0.45  # of the rate is what may be needed to look after the analyses that were requested here, ...
OPEN_FOR = 45.0  # ... so that of a batch as many are under way as the rate gives requests in so many s; ...
LOOKS = 4  # ... requests for each that are enough in a window in which all of them end
LEAST_OPEN, MOST_OPEN = 4, 5_000  # analyses, whatever they need
STRAINED = 0.1  # of the time that a wait may take, for which a poll stands in line that is short of requests
LONGEST_MEASURED = 600.0  # s: what went in a period of the limit, or in this, shows then what there is; ...
CAUTION = 0.7  # ... so much of it is counted on
MIN_GAP = 1.0  # s between two polls of one id
UNKNOWN_GAP = 2.0  # s: the documented polling interval, for freshness while the rate is unknown
RE_ASK = 0.05  # s after which a slot that nothing was worth is asked for again
LOOK_AGAIN = 0.5  # s between two looks at a poll that is not due, while no rate is known

_STEP = -log1p(-WORTH)

EVENT_GAP = 60.0  # s after which an id is looked at that no event has come for; then twice its age, ...
LONGEST_EVENT_GAP = 300.0  # ... but no later than this after the last look
FIRST_ECHO = 1.0  # s after which what was announced and is found running is looked at again; twice as long each time
MAX_ECHOES = 30  # doublings: beyond any schedule, and far from what a float can hold


class _Integral:
    """A rate that is constant in each age bin, and its integral from birth."""

    __slots__ = ("_sums", "rates")

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        # At the lower edges alone: the last bin, whose sum is left out, has no upper one.
        self._sums: list[float] = [0.0, *accumulate(map(mul, rates, _WIDTHS))][:-1]

    def at(self, age: float) -> float:
        if age <= 0.0:
            return 0.0
        i = bisect_right(_EDGES, age) - 1
        return self._sums[i] + self.rates[i] * (age - _EDGES[i])

    def age_at(self, value: float) -> float:
        i = bisect_right(self._sums, value) - 1
        return _EDGES[i] + (value - self._sums[i]) / self.rates[i] if self.rates[i] else inf


class _Law:
    """The law of one kind: events and exposure by age bin, and the hazard fitted to them every few answers.

    `hazard` is the chance per second of settling, doubts included; `observed` is the same as it was seen.
    """

    __slots__ = ("_answers", "_crossed", "_enough", "_events", "_exposure", "_unfitted", "hazard", "observed")

    def __init__(self) -> None:
        # By bin, up to the oldest age that was ever seen: beyond it, there is nothing but doubt.
        self._events: list[float] = []
        self._exposure: list[float] = []
        self._crossed: list[float] = []  # lives that were seen in a whole bin, more or less than in the one before
        self._answers, self._unfitted = 0.0, 0
        for age in _PRIOR_AGES:
            weight = PRIOR / len(_PRIOR_AGES)
            self._events[self._expose(0.0, age, weight)] += weight
        self._fit()

    def on_running(self, start: float, end: float) -> None:
        self._expose(start, end, 1.0)
        self._count()

    def on_took(self, start: float, took: float) -> None:
        self._events[self._expose(start, took, 1.0)] += 1.0
        self._count()

    def on_settled(self, start: float, end: float) -> None:
        """Spread one event over the ages from `start` to `end` as the present law has it."""
        # Nobody saw when: what is expected of that by the law so far, as in one step of Turnbull's estimator (1976).
        hazard = self.hazard
        total = -expm1(hazard.at(start) - hazard.at(end))
        # So short a stretch that a float sees no chance in it: there is nothing to be divided among its ages.
        if total <= 0.0:
            return
        rates, alive, dies_later = hazard.rates, 1.0, total
        self._reach(bisect_right(_EDGES, end) - 1)
        for i, low, high in _pieces(start, end):
            dies = -alive * expm1(-rates[i] * (high - low))
            alive -= dies
            dies_later = max(0.0, dies_later - dies)
            self._events[i] += dies / total
            # Who dies later has lived through the whole piece; who dies in it, through half of it on average.
            self._exposure[i] += (high - low) * (dies_later + dies / 2.0) / total
        self._count()

    def _expose(self, start: float, end: float, weight: float) -> int:
        """Add the seconds from one age to another to the exposure of the bins that they lie in; returns the last."""
        first, last = bisect_right(_EDGES, start) - 1, bisect_right(_EDGES, end) - 1
        if last >= len(self._events):
            self._reach(last)
        exposure = self._exposure
        if first == last:
            exposure[first] += (end - start) * weight
            return last
        exposure[first] += (_EDGES[first + 1] - start) * weight
        # Where a run of whole bins begins, and where it ends: a fit adds what lies between, which may be seventy of
        # them.
        self._crossed[first + 1] += weight
        self._crossed[last] -= weight
        exposure[last] += (end - _EDGES[last]) * weight
        return last

    def _reach(self, bin: int) -> None:
        """Make room for what is seen in this bin."""
        new = bin + 1 - len(self._events)
        for by_bin in (self._events, self._exposure, self._crossed):
            by_bin += [0.0] * new

    def _count(self) -> None:
        self._unfitted += 1
        if self._unfitted >= self._enough:
            self._fit()

    def _fit(self) -> None:
        fade = _FADE**self._unfitted
        self._answers = (self._answers + self._unfitted) * fade
        self._enough = max(_REFIT, self._answers / _LITTLE)
        self._unfitted = 0
        # Events and exposure fade alike: the rate stays as it is, and what is new weighs more.
        self._events = [value * fade for value in self._events]
        # Not strict: what was seen ends at the oldest age that was, and the bins go on.
        lives = zip(self._exposure, accumulate(self._crossed), _WIDTHS, strict=False)
        self._exposure = [(seconds + crossed * width) * fade for seconds, crossed, width in lives]
        self._crossed = [0.0] * len(self._events)
        # A gamma prior of DOUBT events at a chance of 1/age: what little was seen moves it little.
        at_risk = [exposure + DOUBT * middle for exposure, middle in zip(self._exposure, _MIDDLES, strict=False)]
        by_bin = list(zip(self._events, at_risk, strict=True))
        self.hazard = _Integral([(events + DOUBT) / seconds for events, seconds in by_bin] + _GUESSES[len(by_bin) :])
        self.observed = _Integral([events / seconds for events, seconds in by_bin] + _NOTHING[len(by_bin) :])


def _pieces(start: float, end: float) -> list[tuple[int, float, float]]:
    """The ages from `start` to `end` cut at the bin edges: (bin, from, to)."""
    first, last = bisect_right(_EDGES, start) - 1, bisect_right(_EDGES, end) - 1
    cuts = (start, *_EDGES[first + 1 : last + 1], end)
    return [(first + i, low, high) for i, (low, high) in enumerate(pairwise(cuts)) if low < high]


class PollModel:
    """What all waits of one client have learned: one law per kind, and how many ids are pending in all.

    Ages are seconds; a kind is any text that tells laws apart.
    """

    __slots__ = ("_laws", "pending")

    def __init__(self) -> None:
        self.pending: int = 0  # ids over all queues of the client; the queues keep it
        self._laws: defaultdict[str, _Law] = defaultdict(_Law)

    def growth(self, kind: str, start: float, end: float) -> float:
        """The hazard summed from the age `start` to the age `end`: settled in between with 1 - exp(-growth)."""
        hazard = self._laws[kind].hazard
        return hazard.at(end) - hazard.at(start)

    def observed_growth(self, kind: str, start: float, end: float) -> float:
        """As `growth`, but only what has been observed: nothing where there is no data."""
        observed = self._laws[kind].observed
        return observed.at(end) - observed.at(start) if start > 0.0 else observed.at(end)

    def age_after(self, kind: str, start: float, growth: float) -> float:
        """The age at which the hazard summed from the age `start` reaches `growth`."""
        hazard = self._laws[kind].hazard
        return hazard.age_at(hazard.at(start) + growth)

    def observed_age_after(self, kind: str, start: float, growth: float) -> float:
        """As `age_after`, but only what has been observed; infinity where nothing was seen to last that long."""
        observed = self._laws[kind].observed
        return observed.age_at(observed.at(start) + growth)

    def on_running(self, kind: str, start: float, end: float) -> None:
        """One was seen running at the ages `start` and `end`."""
        start = max(0.0, start)
        if start < end:
            self._laws[kind].on_running(start, end)

    def on_settled(self, kind: str, start: float, end: float) -> None:
        """One settled after the age `start` and by the age `end`."""
        start = max(0.0, start)
        if start < end:
            self._laws[kind].on_settled(start, end)

    def on_took(self, kind: str, start: float, took: float) -> None:
        """One that was seen running at the age `start` settled at the age `took`, as the server tells."""
        if start < 0.0:
            start = 0.0
        # No sooner than it was seen to live: the one moment is by our clock, the other as the server tells.
        self._laws[kind].on_took(start, took if took > start else start)


class FirstLooks:
    """How the first looks at the ids of one batch have turned out: its ids tend to be alike.

    The last ten looks or so count, and one imagined hit in two from before them.
    """

    __slots__ = ("_hits", "_looks", "growth")

    _MEMORY = 0.9

    def __init__(self) -> None:
        # One hit in two that never was (a Beta(1, 1) prior): the first ids are looked at, and few misses change that.
        self._hits, self._looks = 1.0, 2.0
        # What an id never looked at has behind it, as a growth of hazard: it may have settled long ago.
        self.growth: float = -log1p(-self._hits / self._looks)

    def on_look(self, hit: float) -> None:
        """One more; `hit`: the probability that it had settled before its id was added, 0.0 if still running."""
        self._hits = 1.0 + self._MEMORY * (self._hits - 1.0) + hit
        self._looks = 2.0 + self._MEMORY * (self._looks - 2.0) + 1.0
        self.growth = -log1p(-self._hits / self._looks)


class Worth:
    """Judges the ids of one queue.

    Args:
        model: What the client has learned.
        is_learned: Whether its polls follow the law; else only what goes ahead of the pace does.
    """

    __slots__ = ("_is_learned", "_model", "first_look_at", "first_looks")

    def __init__(self, model: PollModel, *, is_learned: bool = True) -> None:
        self._model = model
        self._is_learned = is_learned
        self.first_looks = FirstLooks()
        self.first_look_at = -inf  # the moment of the latest

    def key(self, entry: Entry) -> float:
        """The moment at which its hazard has grown by the step since it was last seen."""
        seen_age = 0.0 if entry.seen_at is None else entry.seen_at - entry.born_at
        return entry.born_at + self._model.age_after(entry.kind, seen_age, _STEP)

    def observed_key(self, entry: Entry) -> float:
        """As `key`, from what was observed alone: where the server names a moment, guesses do not come before it."""
        return entry.born_at + self._model.observed_age_after(entry.kind, 0.0, _STEP)

    def latest(self, entry: Entry, hinted: float) -> float:
        """The moment beyond which a hint at the moment `hinted` does not move the next look: a few steps of the law.

        A hint that fits what was observed may go as far as one step of that, past what is only guessed.
        """
        seen_age = 0.0 if entry.seen_at is None else entry.seen_at - entry.born_at
        guessed = self._model.age_after(entry.kind, seen_age, HINT_STEPS * _STEP)
        observed = self._model.observed_age_after(entry.kind, seen_age, _STEP)
        fits = observed < inf and hinted - entry.born_at <= 2.0 * observed
        return entry.born_at + (max(guessed, observed) if fits else guessed)

    def is_due(self, entry: Entry, now: float) -> bool:
        """Whether a poll that is due by its key is still worth it."""
        if entry.state <= FIRM or entry.seen_at is None:
            return True
        # A hundredth less: a key is this sum solved for its age, and may come a rounding early.
        growth = self._model.growth(entry.kind, entry.seen_at - entry.born_at, now - entry.born_at)
        return growth >= 0.99 * _STEP

    def first_look_due(self, entry: Entry, supply: Supply) -> float:
        """When the first look at an id of unknown age is worth it.

        At once, as long as the first looks before it were. If those found theirs running, it is taken to have been
        created when it was added, as they were, and is due by that age; but some are looked at all the same.
        """
        missing = _STEP - self.first_looks.growth
        if missing <= 0.0 or not self._is_learned:
            return entry.key
        share = SAVING if spare(supply, self._model.pending) > 0.0 else FIRST_LOOKS
        by_age = entry.born_at + self._model.age_after(entry.kind, 0.0, missing)
        return min(by_age, self.first_look_at + seconds_per_request(supply, share))

    def fresh_at(self, entry: Entry, supply: Supply) -> float:
        """When the id seen longest ago is looked at for that, or because it is due by the law as it is now."""
        seen_at = entry.born_at if entry.seen_at is None else entry.seen_at
        gap = self._model.pending * seconds_per_request(supply, FRESH)
        least = UNKNOWN_GAP if supply.rate == inf else MIN_GAP
        # The key that the entry has is of the law when it was last seen: here by the law as it is now.
        return max(seen_at + least, min(seen_at + gap, self.key(entry)))

    def covers(self, deadline: float | None, now: float, supply: Supply) -> bool:
        """Whether the rate allows a look at each open id before that moment; None: there is none."""
        return deadline is None or self._model.pending <= supply.rate * (deadline - now)

    def on_first_look(self, entry: Entry, now: float) -> None:
        """The first look at an id of unknown age found it settled, perhaps before it was added."""
        unseen = self.first_looks.growth
        since = self._model.observed_growth(entry.kind, 0.0, now - entry.born_at)
        # Of the chance that it has settled by now, the part that was there before it was added.
        self.first_looks.on_look(expm1(-unseen) / expm1(-unseen - since))

    def can_spend(self, entry: Entry, now: float, supply: Supply) -> bool:
        """Whether a poll of it may go ahead of the even pace, by rule 5."""
        if entry.state == ANNOUNCED:
            return True
        left = spare(supply, self._model.pending)
        if left <= 0.0 and not supply.can_run_low:
            return False
        if left > 0.0:
            price = self._model.pending / left
            price = WORTH if price < WORTH else DEAREST if price > DEAREST else price
        else:
            # A hit takes its id along, so that one which is nearly certain leaves no other without a look.
            price = SURE
        least = -log1p(-price)
        seen_age, growth = 0.0, self.first_looks.growth
        if entry.seen_at is not None:
            seen_age, growth = entry.seen_at - entry.born_at, 0.0
        elif growth >= least:
            return True
        return growth + self._model.observed_growth(entry.kind, seen_age, now - entry.born_at) >= least


def seconds_per_request(supply: Supply, share: float) -> float:
    """The seconds between two requests at that share of the rate."""
    return 1.0 / (share * supply.rate) if supply.rate > 0.0 else inf


def need_of(lasts: float | None, *, is_one_of_many: bool) -> float:
    """Requests/s to be kept for an analysis that was requested here: one, within the time that it may take.

    Args:
        lasts: Seconds within which it has to be seen settled; None: it has for ever.
        is_one_of_many: Whether it is of a batch, which has its own measure.
    """
    if is_one_of_many:
        return OPEN_PART / OPEN_FOR
    return 1.0 / lasts if lasts else 0.0


def has_room(supply: Supply, rate: float, needed: float, *, under_way: int, ending: int, is_brief: bool) -> bool:
    """Whether one more analysis may be requested, by rule 10.

    Args:
        supply: What the limit can give now.
        rate: Requests/s that it can give for long; 0.0 while nobody knows.
        needed: Requests/s that those under way need, and this one.
        under_way: How many those are.
        ending: How many of them have to be seen settled before the window renews.
        is_brief: Whether this one has to be, too.
    """
    if under_way >= MOST_OPEN or (ending and ending >= supply.remaining):
        return False
    # A burst may be far beyond the rate of a window that is long, and has enough for all of it.
    is_held = is_brief and isfinite(supply.remaining) and LOOKS * (under_way + 1) <= supply.remaining
    return under_way < LEAST_OPEN or needed <= OPEN_PART * rate or is_held


class Throughput:
    """What the limit has left for analyses that are requested here, and for polls.

    Direct requests of our own, and others under the same key, take of it what no figure tells. While polls are short
    of requests, what went in place of them and of requests for analyses is all that there was.
    """

    __slots__ = ("_counts", "_strained_until")

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()  # how many had gone at that moment
        self._strained_until = -inf

    def rate(self, now: float, went: int, *, period: float, lasts: float, waits_since: float) -> float:
        """The requests/s to count on; infinity where nothing shows a bound.

        Args:
            now: The present moment.
            went: Polls, and requests for analyses, until now.
            period: Seconds in which the limit renews.
            lasts: Seconds that a wait may take.
            waits_since: Since when the poll has stood in line that has waited longest; infinity: none waits.
        """
        counts, span = self._counts, max(DOCUMENTED_PERIOD, min(period, LONGEST_MEASURED))
        if not counts or now >= counts[-1][0] + span / 20.0:
            counts.append((now, went))
        # The last moment that is so far back; none that is much further: what rested meanwhile shows nothing.
        while counts[0][0] < now - 2.0 * span or (len(counts) > 1 and counts[1][0] <= now - span):
            counts.popleft()
        if waits_since < now - STRAINED * lasts:
            self._strained_until = now + span
        began, before = counts[0]
        is_bound = now < self._strained_until and now >= began + span
        return CAUTION * (went - before) / (now - began) if is_bound else inf


def spare(supply: Supply, pending: int) -> float:
    """What the window holds beyond one request per pending id; 0.0 if what it holds is not known."""
    return supply.remaining - pending if isfinite(supply.remaining) else 0.0


def look_again_at(now: float, supply: Supply, pending: int) -> float:
    """When to look again at a poll that is not due: other calls of the client may have changed that by then.

    They settle ids at the limiter's rate at most, so that is how fast a poll for freshness can come nearer.
    """
    drained_in = seconds_per_request(supply, 1.0 + FRESH) * pending
    return now + (max(RE_ASK, drained_in) if isfinite(supply.rate) else LOOK_AGAIN)


class InboxTrust:
    """Whether the events of one inbox make polls unnecessary, as far as can be seen.

    Args:
        has_inbox: Whether events can be expected at all; if not, polls never rely on them.
    """

    __slots__ = ("_since", "has_inbox")

    def __init__(self, *, has_inbox: bool = False) -> None:
        self.has_inbox: bool = has_inbox
        self._since = inf

    @property
    def is_trusted(self) -> bool:
        """Whether polls are slow at present."""
        return self._since < inf

    def on_event(self, now: float) -> None:
        """An event has come for something that is waited for."""
        if self.has_inbox:
            # From the first one on: a poll that was sent since then and found what none of them told of ends the trust.
            self._since = min(self._since, now)

    def on_silence(self, sent_at: float) -> bool:
        """A poll that was sent at `sent_at` found settled what no event had announced.

        Returns:
            Whether that ends the trust. A poll from before it does not: that overtook its event, as many do.
        """
        is_lost = self._since <= sent_at
        if is_lost:
            self._since = inf
        return is_lost

    def next_look(self, entry: Entry) -> float:
        """The moment before which a look that is due is not worth a request, as an event would come first."""
        if not self.is_trusted or entry.state == ANNOUNCED or entry.is_announced or entry.trouble is not None:
            return -inf
        seen_at = entry.born_at if entry.seen_at is None else entry.seen_at
        return seen_at + max(EVENT_GAP, min(LONGEST_EVENT_GAP, seen_at - entry.born_at))


def is_worth_last_look(entry: Entry, now: float) -> bool:
    """Whether it is looked at for a call whose time ends, and which does not poll it itself.

    Many may follow one id, each with an end of its own: they share what was seen just now, and in an outage it is
    looked at no more often than the budget lets it.
    """
    return entry.state != HELD and (entry.seen_at is None or now >= entry.seen_at + MIN_GAP)


def next_echo(entry: Entry, now: float) -> float:
    """When to look again at what was announced and is found running: after 1, 2, 4, 8 s and so on; infinity: never."""
    return inf if entry.unconfirmed is None else now + FIRST_ECHO * 2.0 ** min(entry.unconfirmed, MAX_ECHOES)
