"""When to poll which id: one queue per wait call, one learned model per client.

How a granted slot is spent (`PollQueue.take`), and how a window (`Worth.can_spend`), say "the waiting rules" (docstring
of the package), 3 and 5; the others are what puts an id where it stands.

Pure: no clock (`now` is an argument: seconds of a clock that never goes back), no randomness of its own, no I/O.
"""

from __future__ import annotations

from math import inf

from kallglot_async._core.limit.retry import RetryBudget
from kallglot_async._core.polling.pending import ANNOUNCED, FIRM, FLYING, GONE, HELD, LEARNED, OVER, Entry, Orders
from kallglot_async._core.polling.schedule import PollSchedule, Slot, Supply
from kallglot_async._core.polling.worth import MIN_GAP, InboxTrust, PollModel, Worth, next_echo

__all__ = ["PollQueue"]

PATIENCE = 10  # refusals of one id in a row that stop its clock; a server that only refuses must not stop it for good
MAX_PUT_BACKS = 100  # per question, so that it never takes more than a millisecond


class PollQueue:
    """The ids of one wait call, and which of them to poll next.

    Args:
        model: What the client has learned; shared by all its queues.
        schedule: How the polls of one id follow each other.
        timeout: Seconds per id counted from its first poll; None: for ever.
        lead: Seconds before a deadline at which the last look is sent: more than a round trip, as the caller sees it.
        from_add: Count the timeout from the moment an id is added, as for a single call that must end in time.
        budget: Lets go the ids that are held after a failure; None: a budget of its own.
        trust: How far polls by the learned law rely on webhooks; None: not at all.
    """

    __slots__ = (
        "_budget", "_flying", "_from_add", "_is_learned", "_model", "_orders", "_schedule", "_timeout", "_trust",
        "_worth", "lead",
    )  # fmt: skip

    def __init__(
        self,
        model: PollModel,
        *,
        schedule: PollSchedule,
        timeout: float | None,
        lead: float = 0.25,
        from_add: bool = False,
        budget: RetryBudget | None = None,
        trust: InboxTrust | None = None,
    ) -> None:
        self.lead = lead
        self._budget = RetryBudget() if budget is None else budget
        self._from_add = from_add
        self._model = model
        self._schedule = schedule
        self._timeout = timeout
        self._trust = InboxTrust() if trust is None else trust
        self._flying = 0
        self._is_learned = schedule.policy == "learned"
        self._worth = Worth(model, is_learned=self._is_learned)
        self._orders = Orders()

    def __len__(self) -> int:
        """How many ids are pending: waiting for a poll or being polled."""
        return self._orders.live

    def __repr__(self) -> str:
        return f"<PollQueue {self._schedule.policy}: {self._orders.live} pending, {self._flying} in flight>"

    # -- facts

    def add(self, id: str, kind: str, now: float, *, age: float | None = None, due_in: float | None = None) -> Entry:
        """A new id to wait for: its age and a server's hint when to come, in seconds, where they are known."""
        # Below 0 a creation can lie by rounding, or by a clock that is ahead: nothing is younger than now.
        born_at = now if age is None else now - max(0.0, age)
        entry = Entry(id, kind, now, born_at, None if age is None else born_at, self._timeout, FIRM)
        self._orders.live += 1
        self._model.pending += 1
        if self._from_add and self._timeout is not None:
            entry.begin(now)
            self._orders.endings.start(entry)
        # An estimate of the server's stands, unless others of this kind were seen to be done sooner; the law's guesses
        # do not.
        if self._is_learned and due_in is not None:
            hinted = now + max(0.0, due_in)
            self._orders.wait(
                entry, hinted if age is None else max(now, min(hinted, self._worth.observed_key(entry))), FIRM
            )
        elif self._is_learned and age is not None:
            self._wait_by_law(entry, now)
        elif self._schedule.delay and age is not None:
            self._orders.wait(entry, now + max(0.0, self._schedule.delay - age), FIRM)
        else:
            self._orders.new.append(entry)
        return entry

    def adopt(self, known: Entry, now: float, *, ends_at: float | None) -> Entry:
        """Go on with an id that another queue has polled until now; `ends_at`: when its time here is over."""
        # So that its timeout from there ends at the moment that its owner here has promised.
        first = known.first_poll_at if ends_at is None or self._timeout is None else ends_at - self._timeout
        # A copy: of its own the other queue may still have to hear how a poll has ended.
        entry = known.for_another(self._timeout, first)
        self._orders.live += 1
        self._model.pending += 1
        if (deadline := entry.deadline) is not None:
            self._orders.endings.start(entry)
        had_last_look = entry.seen_at is not None and known.polls > 0 and now - entry.seen_at <= 2.0 * self.lead
        if had_last_look and deadline is not None and deadline - now <= 2.0 * self.lead:
            self._await_end(entry)  # the other's last look was its last look too
        # What is in trouble, or was announced, keeps the moment of its next look: of either the law knows nothing.
        elif self._is_learned and known.trouble is None and not known.is_announced and entry.seen_at is not None:
            self._wait_by_law(entry, now)
        else:
            self._orders.wait(entry, max(now, known.key), FIRM)
        return entry

    def on_pending(self, entry: Entry, now: float, *, age: float | None = None, hint_in: float | None = None) -> None:
        """It is still running; the answer may have told its age and when to come back, in seconds."""
        if not self._land(entry):
            return
        entry.failures = entry.refusals = 0
        entry.trouble = None
        # Before the answer dates it, which counts as having been seen.
        if entry.seen_at is None:
            self._worth.first_looks.on_look(0.0)
        entry.date(now, age)
        if entry.seen_at is not None:
            self._model.on_running(entry.kind, entry.seen_at - entry.born_at, now - entry.born_at)
        entry.seen_at = now
        if entry.is_owed_a_look(now):
            self._orders.endings.drop(entry)
            self._grant_late_look(entry, now)
        elif entry.is_last or (entry.deadline is not None and now >= entry.deadline - self.lead):
            self._await_end(entry)
        else:
            self._reschedule(entry, now, hint_in)

    def on_settled(self, entry: Entry, now: float, *, age: float | None = None, took: float | None = None) -> None:
        """It has settled; the answer may have told its age, and the seconds from creation to completion."""
        if entry.seen_at is None:
            self._worth.on_first_look(entry, now)
        entry.date(now, took if age is None else age)
        if entry.seen_at is not None:
            seen_age = entry.seen_at - entry.born_at
            if took is not None:
                self._model.on_took(entry.kind, seen_age, took)
            else:
                self._model.on_settled(entry.kind, seen_age, now - entry.born_at)
        self.discard(entry)

    def on_announced(self, entry: Entry, at: float) -> None:
        """The server says that it has settled: look at `at`, whatever the schedule says; not if it is in flight."""
        if entry.state <= LEARNED:
            if entry.polls == 0:
                # What is in a heap by an old key drops out by itself; the line of first looks drops only what is gone.
                self._orders.new.drop_latest(entry)
            self._orders.wait(entry, at, ANNOUNCED)

    def on_given_up(self, entry: Entry, now: float) -> None:
        """The poll failed, and no other follows: it waits to be popped, but for a late look if it is due one."""
        if self._land(entry) and entry.is_owed_a_look(now):
            self._orders.endings.drop(entry)
            self._grant_late_look(entry, now)

    def on_refused(self, entry: Entry, now: float) -> None:
        """The poll was refused for rate: it never happened, and is due as it was."""
        if not self._land(entry):
            return
        entry.polls -= 1
        entry.refusals += 1
        is_patient = entry.refusals <= PATIENCE
        # But a clock that runs from the call, or one that has run out and left a late look, stops for no refusal.
        if is_patient and entry.polls == 0 and not (self._from_add or entry.is_last):
            entry.begin(None)
            self._orders.endings.undo_start(entry)
        elif is_patient and entry.deadline is not None and entry.deadline - self.lead <= now:
            self._orders.endings.undo_last_look(entry)
        # Still due at the moment it was added, so it went as a first look: it is the first in line for one again.
        if entry.polls == 0 and entry.seen_at is None and entry.key == entry.born_at:
            entry.state = FIRM
            self._orders.new.appendleft(entry)
        elif entry.key <= now:
            self._orders.wait(entry, entry.key, FIRM)
        else:
            self._orders.wait(entry, entry.key, LEARNED)
            # It went before it was due, as a rule to keep the tail fresh: it is again the one seen longest ago.
            self._orders.by_sight.put_back(entry)

    def on_failed(self, entry: Entry, now: float, retry_at: float, *, is_held: bool = False) -> None:
        """The poll failed for a passing reason: poll it again at `retry_at`; if held, once the budget lets it go."""
        if self._land(entry):
            entry.failures += 1
            self._orders.wait(entry, max(now, retry_at), HELD if is_held else FIRM)

    def discard(self, entry: Entry) -> None:
        """Nobody waits for it any more. Safe in any state, and twice."""
        if entry.state == GONE:
            return
        self._land(entry)
        entry.state = GONE
        self._orders.live -= 1
        self._model.pending -= 1
        self._orders.trim()

    # -- questions

    def next_slot(self, now: float, supply: Supply) -> Slot | None:
        """When to ask the limiter for a slot; None: nothing waits for a poll. Ask again when facts have come in."""
        # Asked after every answer: where all are under way no line need be looked at.
        if self._orders.live == self._flying:
            return None
        last, entry = self._orders.endings.next_last_look(now, self.lead)
        if entry is not None and last <= now:
            return Slot(now, True, entry, "last look")
        due, first = self._next_due(now, supply)
        # Who was seen longest ago only matters where nothing is due: looks for freshness take what is left.
        fresh, oldest = (inf, None) if due <= now else self._next_fresh(supply)
        if oldest is not None and fresh < min(last, due):
            return Slot(max(now, fresh), False, oldest, "fresh")
        if entry is not None and last <= due:
            return Slot(last, True, entry, "last look")
        if first is None or due == inf:
            return None
        # A comparison, as in all that each poll asks: `max` costs five times as much.
        at = due if due > now else now
        return Slot(at, self._worth.can_spend(first, at, supply), first, "due")

    def take(self, now: float, supply: Supply) -> Entry | None:
        """The id to spend a slot on that was waited for, in flight from now on; None: nothing is worth it any more."""
        slot = self.next_slot(now, supply)
        return None if slot is None or slot.at > now else self.spend(slot, now)

    def spend(self, slot: Slot, now: float) -> Entry:
        """Spend a slot that was granted in the very moment it was asked for: its id is in flight from now on."""
        entry = slot.entry
        if slot.why == "last look":
            self._orders.endings.take_last_look()
            if entry.polls == 0:
                self._orders.new.drop_latest(entry)
            if entry.is_late(now):
                self._orders.endings.drop(entry)
                self._grant_late_look(entry, now)
        elif slot.why == "fresh":
            self._orders.by_sight.pop()
        # By where it stands: what was never polled and what waits for its key are both FIRM.
        elif self._orders.new and entry is self._orders.new[0]:
            self._orders.new.popleft()
            self._worth.first_look_at = now
        elif entry.state == HELD:
            self._budget.on_look(now)
            self._orders.held.drop_first()
        else:
            self._orders.by_key.drop_first()
        return self._fly(entry, now)

    def next_deadline(self) -> float | None:
        """The moment from which `pop_expired` has something to give, as things stand."""
        return self._orders.endings.next_deadline()

    def pop_expired(self, now: float) -> Entry | None:
        """The next entry whose wait has ended, removed: past its deadline, or its last look found it running.

        Past its deadline it may still be in flight; whatever answer comes is then ignored, except that the model
        learns from a settled one. One whose deadline passed while nothing here ran has a last look first, sent after
        that: a poll that was out meanwhile may bring an answer from before.
        """
        while (entry := self._orders.endings.pop_expired(now)) is not None:
            if entry.is_late(now):
                # Popped, and not searched for: after a sleep of hours this may come for each of a hundred thousand. But
                # one whose last look was answered just before stands in the line of its time, too.
                if entry.state == OVER:
                    self._orders.endings.drop(entry)
                self._grant_late_look(entry, now)
                continue
            self.discard(entry)
            return entry
        return None

    def pop_hopeless(self, until: float) -> Entry | None:
        """The next entry whose deadline comes before `until`, removed: no poll can be answered before."""
        deadline = self._orders.endings.next_deadline()
        # Asked as if it were that moment: whoever ends first by it comes out.
        if deadline is None or deadline >= until or (entry := self._orders.endings.pop_expired(deadline)) is None:
            return None
        self.discard(entry)
        return entry

    # -- from state to state

    def _wait_by_law(self, entry: Entry, at: float) -> None:
        """Have it due by the learned law, but not before `at`."""
        self._orders.wait(entry, max(at, self._worth.key(entry)), LEARNED)
        self._orders.by_sight.append(entry)

    def _await_end(self, entry: Entry) -> None:
        """It had its last look: `pop_expired` gives it next."""
        entry.state = OVER
        self._orders.endings.end(entry)

    def _grant_late_look(self, entry: Entry, now: float) -> None:
        """Out of the lines of its time, which passed while nothing here ran: it is worth a last look, at once."""
        entry.grant_late_look(now)
        self._orders.endings.start(entry)
        if not entry.is_stale:
            if entry.polls == 0:
                self._orders.new.drop_latest(entry)
            self._orders.wait(entry, now, ANNOUNCED)

    def _fly(self, entry: Entry, now: float) -> Entry:
        entry.state = FLYING
        entry.is_stale = False
        entry.polls += 1
        self._flying += 1
        if entry.first_poll_at is None:
            entry.begin(now)
            if self._timeout is not None:
                self._orders.endings.start(entry)
        return entry

    def _land(self, entry: Entry) -> bool:
        """Take it out of flight; False if it was not in flight any more."""
        if entry.state != FLYING:
            return False
        self._flying -= 1
        # As one that waits to be popped, until the caller puts it in an order again; if none does, it is.
        entry.state = OVER
        return True

    def _reschedule(self, entry: Entry, now: float, hint_in: float | None) -> None:
        if not self._is_learned:
            self._orders.wait(entry, now + self._schedule.interval(entry.polls, hint_in), FIRM)
        elif hint_in is not None:
            self._orders.wait(
                entry, max(now + MIN_GAP, min(now + hint_in, self._worth.latest(entry, now + hint_in))), FIRM
            )
        else:
            self._wait_by_law(entry, now + MIN_GAP)
        if entry.unconfirmed is not None:
            if (echo := next_echo(entry, now)) < entry.key:
                self._orders.wait(entry, echo, FIRM)
            entry.unconfirmed += 1

    # -- what is due

    def _next_due(self, now: float, supply: Supply) -> tuple[float, Entry | None]:
        orders = self._orders
        new, due, entry = orders.new, inf, None
        if orders.asleep:
            self._wake(now)
        if orders.by_key:
            self._put_back(now)
        while new and new[0].state == GONE:
            new.popleft()
        for line in (orders.by_key, orders.asleep):
            if line and (first := line.first()) is not None and first.key < due:
                due, entry = first.key, first
        look = self._worth.first_look_due(new[0], supply) if new else inf
        # A first look starts a deadline: where the rate does not cover all, those whose time runs go before it.
        if new and look <= due and (due > now or self._worth.covers(self.next_deadline(), now, supply)):
            due, entry = look, new[0]
        held = orders.held.first() if orders.held else None
        if held is not None and (next_held := self._budget.next_look(held.key)) < due:
            return next_held, held
        return due, entry

    def _wake(self, now: float) -> None:
        """Let go those that have slept long enough without their event; or all, where events are not to be trusted."""
        while (entry := self._orders.asleep.first()) is not None and (entry.key <= now or not self._trust.is_trusted):
            self._orders.asleep.drop_first()
            # At once where the trust has ended, although its slow moment has not come.
            self._orders.wait(entry, min(entry.key, now), entry.state)

    def _put_back(self, now: float) -> None:
        """Put back what is due by its key but is not worth a poll, by what was learned since, or as its event comes."""
        for _ in range(MAX_PUT_BACKS):
            entry = self._orders.by_key.first()
            if entry is None or entry.key > now:
                return
            if not self._worth.is_due(entry, now):
                entry.key = self._worth.key(entry)
                self._orders.by_key.put_back(entry)
            elif (slow := self._trust.next_look(entry)) > now:
                self._orders.by_key.drop_first()
                entry.key = slow
                self._orders.asleep.push(entry)
            else:
                return

    def _next_fresh(self, supply: Supply) -> tuple[float, Entry | None]:
        """The id seen longest ago, and when it is to be looked at for that."""
        entry = self._orders.by_sight.first()
        if entry is None:
            return inf, None
        return max(self._worth.fresh_at(entry, supply), self._trust.next_look(entry)), entry
