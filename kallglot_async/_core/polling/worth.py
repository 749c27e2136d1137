"""What a poll of an id is worth, by what was learned of how long analyses take.

"The waiting rules" (docstring of the package) have reasons and figures for the constants.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from math import expm1, inf, isfinite, log1p

from kallglot_async._core.limit.ticket import Supply
from kallglot_async._core.polling.hazard import FirstLooks, PollModel
from kallglot_async._core.polling.pending import ANNOUNCED, FIRM, Entry

__all__ = ["FRESH", "MIN_GAP", "RE_ASK", "Worth", "look_again_at"]

# Without a unit: a probability, or a share.
WORTH = 0.25  # a poll is worth sending for this chance of finding its id settled
SURE = 0.95  # the chance for which a poll goes ahead though there is no request to spare
DEAREST = 0.8  # the most that is asked of a poll that goes ahead, however scarce requests are
FIRST_LOOKS = 0.5  # for first looks that are probably in vain: they show when that changes
SAVING = 0.1  # the same, while what is saved now can be spent later in the window
HINT_STEPS = 3.0  # a server's hint moves the next look so many of the law's own steps beyond the last one at most
FRESH = 0.2  # share of the rate for looks at the id seen longest ago, whatever the law says of it
MIN_GAP = 1.0  # s between two polls of one id
UNKNOWN_GAP = 2.0  # s: the documented polling interval, for freshness while the rate is unknown
RE_ASK = 0.05  # s after which a slot that nothing was worth is asked for again
LOOK_AGAIN = 0.5  # s between two looks at a poll that is not due, while no rate is known

_STEP = -log1p(-WORTH)


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
        growth = self._model.growth(entry.kind, entry.seen_at - entry.born_at, now - entry.born_at)
        return growth >= 0.99 * _STEP  # 0.99: a key may come a rounding early

    def first_look_due(self, entry: Entry, supply: Supply) -> float:
        """When the first look at an id of unknown age is worth it.

        At once, as long as the first looks before it were. If those found theirs running, it is taken to have been
        created when it was added, as they were, and is due by that age; but some are looked at all the same.
        """
        missing = _STEP - self.first_looks.growth
        if missing <= 0.0 or not self._is_learned:
            return entry.key
        share = SAVING if supply.spare(self._model.pending) > 0.0 else FIRST_LOOKS
        by_age = entry.born_at + self._model.age_after(entry.kind, 0.0, missing)
        return min(by_age, self.first_look_at + supply.seconds_per_request(share))

    def fresh_at(self, entry: Entry, supply: Supply) -> float:
        """When the id seen longest ago is looked at for that, or because it is due by the law as it is now."""
        seen_at = entry.born_at if entry.seen_at is None else entry.seen_at
        gap = self._model.pending * supply.seconds_per_request(FRESH)
        least = UNKNOWN_GAP if supply.rate == inf else MIN_GAP
        return max(seen_at + least, min(seen_at + gap, self.key(entry)))

    def covers(self, deadline: float | None, now: float, supply: Supply) -> bool:
        """Whether the rate allows a look at each open id before that moment; None: there is none."""
        return deadline is None or self._model.pending <= supply.rate * (deadline - now)

    def on_first_look(self, entry: Entry, now: float) -> None:
        """The first look at an id of unknown age found it settled, perhaps before it was added."""
        unseen = self.first_looks.growth
        since = self._model.observed_growth(entry.kind, 0.0, now - entry.born_at)
        self.first_looks.on_look(expm1(-unseen) / expm1(-unseen - since))

    def can_spend(self, entry: Entry, now: float, supply: Supply) -> bool:
        """Whether a poll of it may go ahead of the even pace; the rule is at the top of `queue`."""
        if entry.state == ANNOUNCED:
            return True
        spare = supply.spare(self._model.pending)
        if spare <= 0.0 and not supply.can_run_low:
            return False
        if spare > 0.0:
            price = self._model.pending / spare
            price = WORTH if price < WORTH else DEAREST if price > DEAREST else price
        else:  # a hit takes a pending id with it, so a near-certain one leaves no id without a look
            price = SURE
        least = -log1p(-price)
        seen_age, growth = 0.0, self.first_looks.growth
        if entry.seen_at is not None:
            seen_age, growth = entry.seen_at - entry.born_at, 0.0
        elif growth >= least:
            return True
        return growth + self._model.observed_growth(entry.kind, seen_age, now - entry.born_at) >= least


def look_again_at(now: float, supply: Supply, pending: int) -> float:
    """When to look again at a poll that is not due: other calls of the client may have changed that by then.

    They settle ids at the limiter's rate at most, so that is how fast a poll for freshness can come nearer.
    """
    drained_in = supply.seconds_per_request(1.0 + FRESH) * pending
    return now + (max(RE_ASK, drained_in) if isfinite(supply.rate) else LOOK_AGAIN)
