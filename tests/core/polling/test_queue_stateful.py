"""The poll queue against a model server, whatever the order of answers, refusals, failures and cancellations."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from kallglot_async._core.limit.retry import RetryBudget
from kallglot_async._core.polling.pending import Entry
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule, Supply
from kallglot_async._core.polling.worth import InboxTrust, PollModel

SUPPLIES = [
    Supply(),
    Supply(rate=2.5),
    Supply(rate=2.5, remaining=150.0, resets_in=60.0),
    Supply(rate=2.5, remaining=3.0, resets_in=20.0),
    Supply(rate=50.0, remaining=50.0, resets_in=0.5),
    Supply(rate=0.0, remaining=0.0, resets_in=9.0),
]
SCHEDULES = [PollSchedule.learned(), PollSchedule.fixed(2.0), PollSchedule.exponential()]
TIMEOUTS = [None, 0.1, 5.0, 120.0]
LONGEST_WAIT = 400.0  # s: no pending id stays unpolled for longer, at 2.5 requests/s for at most 60 ids
ages = st.none() | st.floats(min_value=0.0, max_value=500.0)
hints = st.none() | st.floats(min_value=0.0, max_value=60.0)


class Queues(RuleBasedStateMachine):
    """Two queues of one client share a model; what is asked of one must never show in the other."""

    flying = Bundle("flying")

    @initialize(schedule=st.sampled_from(SCHEDULES), timeout=st.sampled_from(TIMEOUTS))
    def start(self, schedule: PollSchedule, timeout: float | None) -> None:
        self.model = PollModel()
        self.budget = RetryBudget()
        self.trust = InboxTrust(has_inbox=True)
        self.queue = PollQueue(self.model, schedule=schedule, timeout=timeout, budget=self.budget, trust=self.trust)
        self.other = PollQueue(self.model, schedule=PollSchedule.learned(), timeout=None)
        self.timeout = timeout
        self.now = 100.0
        self.waiting: set[Entry] = set()
        self.in_flight: set[Entry] = set()
        self.over: set[Entry] = set()  # last look answered: to be popped, not to be polled
        self.gone: list[Entry] = []
        self.count = 0

    def leave(self, entry: Entry) -> None:
        self.waiting.discard(entry)
        self.in_flight.discard(entry)
        self.over.discard(entry)
        self.gone.append(entry)

    @rule(seconds=st.floats(min_value=0.0, max_value=40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.count < 60)
    @rule(number=st.integers(1, 8), age=ages, due_in=hints, kind=st.sampled_from("ab"))
    def add(self, number: int, age: float | None, due_in: float | None, kind: str) -> None:
        for _ in range(number):
            self.count += 1
            entry = self.queue.add(f"ana_{self.count}", kind, self.now, age=age, due_in=due_in)
            self.waiting.add(entry)

    @rule(number=st.integers(0, 3))
    def another_wait_adds(self, number: int) -> None:
        for i in range(number):
            self.other.add(f"ana_other{i}", "a", self.now)

    @rule(target=flying, supply=st.sampled_from(SUPPLIES), patient=st.booleans(), at_once=st.booleans())
    def poll(self, supply: Supply, patient: bool, at_once: bool) -> Entry | None:
        slot = self.queue.next_slot(self.now, supply)
        if slot is not None:
            assert slot.at >= self.now
            if patient and slot.at < self.now + 1e5:
                self.now = slot.at
                slot = self.queue.next_slot(self.now, supply)  # its event may be worth waiting for
        if at_once and slot is not None and slot.at <= self.now:
            entry: Entry | None = self.queue.spend(slot, self.now)
            assert entry is slot.entry
        else:
            entry = self.queue.take(self.now, supply)
        if slot is not None and slot.at <= self.now:
            assert entry is slot.entry, "a slot was asked for, and then not used for what it was to be"
        if entry is not None:
            assert entry in self.waiting
            self.waiting.remove(entry)
            self.in_flight.add(entry)
            assert entry.in_flight
            assert entry.first_poll_at is not None
        return entry

    @rule(entry=consumes(flying), seconds=st.floats(0.0, 2.0), age=ages, hint=hints)
    def pending(self, entry: Entry | None, seconds: float, age: float | None, hint: float | None) -> None:
        if entry is None:
            return
        self.now += seconds
        is_owed, had_late_look = entry.is_owed_a_look(self.now), entry.is_last
        self.queue.on_pending(entry, self.now, age=age, hint_in=hint)
        if entry in self.in_flight:
            self.in_flight.remove(entry)
            is_over = entry.deadline is not None and self.now >= entry.deadline - self.queue.lead
            is_over = not is_owed and (is_over or had_late_look)
            (self.over if is_over else self.waiting).add(entry)
            assert entry.seen_at == self.now

    @rule(entry=consumes(flying), age=ages, took=ages)
    def settled(self, entry: Entry | None, age: float | None, took: float | None) -> None:
        if entry is not None:
            self.queue.on_settled(entry, self.now, age=age, took=took)
            self.leave(entry)

    @rule(entry=consumes(flying))
    def refused(self, entry: Entry | None) -> None:
        if entry in self.in_flight and entry is not None:
            key, polls = entry.key, entry.polls
            self.queue.on_refused(entry, self.now)
            assert (entry.key, entry.polls) == (key, polls - 1)
            assert (entry.first_poll_at is None) == (entry.polls == entry.failures == 0 and not entry.is_last)
            self.in_flight.remove(entry)
            self.waiting.add(entry)

    @rule(entry=consumes(flying), retry_in=st.floats(-1.0, 30.0), is_held=st.booleans())
    def failed(self, entry: Entry | None, retry_in: float, is_held: bool) -> None:
        if entry is not None:
            self.queue.on_failed(entry, self.now, self.now + retry_in, is_held=is_held)
            if entry in self.in_flight:
                self.in_flight.remove(entry)
                self.waiting.add(entry)

    @rule(entry=consumes(flying))
    def given_up(self, entry: Entry | None) -> None:
        if entry is not None and entry in self.in_flight:
            is_owed = entry.is_owed_a_look(self.now)
            self.queue.on_given_up(entry, self.now)
            self.in_flight.remove(entry)
            (self.waiting if is_owed else self.over).add(entry)

    @rule(entry=st.runner().flatmap(lambda self: st.sampled_from(sorted(self.waiting, key=lambda it: it.id) or [None])))
    def announced(self, entry: Entry | None) -> None:
        if entry is not None:
            entry.unconfirmed = 0
            self.queue.on_announced(entry, self.now)

    @rule(is_heard=st.booleans())
    def events_come_or_fail_to_come(self, is_heard: bool) -> None:
        if is_heard:
            self.trust.on_event(self.now)
        else:
            self.trust.on_silence(self.now)

    @rule(data=st.data())
    def cancelled(self, data: st.DataObject) -> None:
        pool = sorted(self.waiting | self.in_flight | self.over, key=lambda entry: entry.id) + self.gone[-1:]
        if pool:
            entry = data.draw(st.sampled_from(pool))
            self.queue.discard(entry)
            self.leave(entry)

    @rule()
    def expire(self) -> None:
        late = {entry for entry in self.over if entry.is_late(self.now)}
        for _ in range(100):
            entry = self.queue.pop_expired(self.now)
            due_at = self.queue.next_deadline()
            if entry is None:  # whoever's deadline was missed has a second for a late look
                assert due_at is None or due_at > self.now
                self.over -= late
                self.waiting |= late
                return
            assert entry in self.over or (entry.deadline is not None and entry.deadline <= self.now)
            self.leave(entry)
        raise AssertionError("more expire than there are")

    @rule(lead=st.floats(0.0, 2.0))
    def round_trips_change(self, lead: float) -> None:
        self.queue.lead = lead

    @invariant()
    def it_knows_what_is_pending(self) -> None:
        if hasattr(self, "queue"):
            pending = len(self.waiting) + len(self.in_flight) + len(self.over)
            assert len(self.queue) == pending
            assert self.model.pending == pending + len(self.other)

    @invariant()
    def what_waits_gets_a_slot(self) -> None:
        if hasattr(self, "queue"):
            slot = self.queue.next_slot(self.now, SUPPLIES[1])
            if self.waiting:
                assert slot is not None
            elif not self.over:
                assert slot is None

    @invariant()
    def what_has_left_is_not_kept(self) -> None:
        if hasattr(self, "queue"):
            room = 1.25 * len(self.queue) + 64
            for line in (
                self.queue._orders.by_key,
                self.queue._orders.held,
                self.queue._orders.new,
                self.queue._orders.by_sight._entries,
            ):
                assert len(line) <= room

    def teardown(self) -> None:
        """No id starves: with 2.5 requests/s for this call, each is polled, or its wait ends."""
        if not hasattr(self, "queue"):
            return
        for entry in sorted(self.in_flight, key=lambda entry: entry.id):
            self.queue.on_pending(entry, self.now)
        for i, entry in enumerate(sorted(self.gone, key=lambda entry: entry.id)):
            assert entry not in self.waiting, i
        polled: dict[Entry, float] = {}
        end = self.now + LONGEST_WAIT
        before = self.waiting | self.in_flight
        while self.now < end and len(self.queue):
            while (expired := self.queue.pop_expired(self.now)) is not None:
                polled[expired] = self.now
            taken = self.queue.take(self.now, SUPPLIES[1])
            if taken is not None:
                polled[taken] = self.now
                self.budget.on_answer()
                self.queue.on_pending(taken, self.now)
            self.now += 0.4
        assert before <= polled.keys(), "an id was not polled for too long"


TestQueues = Queues.TestCase
