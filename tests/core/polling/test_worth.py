"""What a poll is worth: what the model learns, and what an inbox is worth, at literal times."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async._core.polling.pending import ANNOUNCED, FIRM, LEARNED, Entry, Trouble
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule, Supply
from kallglot_async._core.polling.worth import (
    FirstLooks,
    InboxTrust,
    PollModel,
    Throughput,
    Worth,
    has_room,
    need_of,
    next_echo,
    seconds_per_request,
    spare,
)
from tests.support.queues import plan

ages = st.floats(min_value=0.0, max_value=1e6)


def taught(low: float, high: float, count: int, *, every: float) -> PollModel:
    """Return a model that has polled `count` analyses each `every` seconds, ready between `low` and `high`."""
    model, draw = PollModel(), random.Random(1)
    for _ in range(count):
        ready, seen = draw.uniform(low, high), draw.uniform(0.0, every)
        while seen + every < ready:
            model.on_running("a", seen, seen + every)
            seen += every
        model.on_settled("a", seen, seen + every)
    return model


def chance(model: PollModel, start: float, end: float) -> float:
    """Return how likely one running at `start` is settled by `end`."""
    return -math.expm1(-model.growth("a", start, end))


def test_beyond_all_data_the_hazard_is_one_over_age() -> None:
    """So that the schedule is exponential back-off where nothing is known."""
    model = PollModel()
    assert model.growth("a", 1000.0, 2000.0) == pytest.approx(math.log(2.0), rel=0.01)
    assert model.growth("a", 4000.0, 8000.0) == pytest.approx(math.log(2.0), rel=0.01)


def test_the_documented_latency_is_likely_from_the_start() -> None:
    model = PollModel()
    assert chance(model, 22.0, 30.0) > 2.0 * chance(model, 12.0, 20.0) * 0.9
    assert model.observed_growth("a", 0.0, 10.0) == 0.0
    assert model.observed_growth("a", 20.0, 32.0) > 0.0


def test_age_after_is_the_inverse_of_growth() -> None:
    model = taught(22.0, 30.0, 50, every=3.0)
    for start in (0.0, 0.3, 7.0, 26.0, 200.0, 1e6):
        for growth in (0.01, 0.3, 2.0):
            age = model.age_after("a", start, growth)
            assert model.growth("a", start, age) == pytest.approx(growth)


@pytest.mark.parametrize("every", [1.0, 3.0, 6.0])
def test_a_law_is_learned_from_intervals(every: float) -> None:
    """Uniform between 22 and 30 s: by 26 s half of it, before 20 s next to nothing."""
    model = taught(22.0, 30.0, 400, every=every)
    assert chance(model, 0.0, 18.0) < 0.05
    assert chance(model, 0.0, 26.0) == pytest.approx(0.5, abs=0.12)
    assert chance(model, 0.0, 32.0) > 0.85


def test_told_durations_teach_more_than_intervals() -> None:
    model, draw = PollModel(), random.Random(1)
    for _ in range(400):
        model.on_took("a", 0.0, draw.uniform(22.0, 30.0))
    assert chance(model, 0.0, 18.0) < 0.02
    assert chance(model, 0.0, 26.0) == pytest.approx(0.5, abs=0.06)


def test_kinds_do_not_teach_each_other() -> None:
    model = PollModel()
    before = model.growth("b", 0.0, 60.0)
    for _ in range(100):
        model.on_took("a", 0.0, 5.0)
    assert model.growth("b", 0.0, 60.0) == before


def test_an_old_law_fades() -> None:
    """After as many answers as the half-life, a new law outweighs as many of the old."""
    model = PollModel()
    for _ in range(2_000):
        model.on_took("a", 0.0, 60.0)
    for _ in range(10_000):
        model.on_took("a", 0.0, 5.0)
    assert chance(model, 0.0, 6.0) > 0.93


def test_answers_without_a_span_teach_nothing() -> None:
    model = PollModel()
    before = model.growth("a", 0.0, 60.0)
    model.on_running("a", 5.0, 5.0)
    model.on_running("a", 5.0, 4.0)
    model.on_settled("a", 5.0, 5.0)
    assert model.growth("a", 0.0, 60.0) == before


def test_clocks_that_disagree_do_no_harm() -> None:
    """Ages before birth count as birth."""
    model = PollModel()
    model.on_running("a", -5.0, 3.0)
    model.on_settled("a", -1.0, 3.0)
    model.on_took("a", 9.0, 7.0)
    assert model.growth("a", -3.0, 0.0) == 0.0
    assert model.age_after("a", -3.0, 0.1) > 0.0


def test_what_was_seen_before_it_began_was_seen_as_it_began() -> None:
    """Two clocks may differ by a second."""
    early, punctual = PollModel(), PollModel()
    for _ in range(20):
        early.on_took("a", -1.0, 20.0)
        punctual.on_took("a", 0.0, 20.0)
    assert early.growth("a", 0.0, 1000.0) == punctual.growth("a", 0.0, 1000.0)
    assert early.growth("a", 0.0, 21.0) == punctual.growth("a", 0.0, 21.0)


@given(st.lists(st.tuples(st.sampled_from(["running", "settled", "took"]), ages, ages), max_size=60), ages, ages)
def test_whatever_is_heard_the_hazard_stays_positive_and_finite(
    facts: list[tuple[str, float, float]], start: float, end: float
) -> None:
    model = PollModel()
    for fact, one, other in facts:
        getattr(model, f"on_{fact}")("a", min(one, other), max(one, other))
    low, high = min(start, end), max(start, end)
    growth = model.growth("a", low, high)
    assert growth >= 0.0
    assert math.isfinite(growth)
    assert 0.0 <= model.observed_growth("a", low, high) <= growth + 1e-9
    assert low <= model.age_after("a", low, 0.3) < math.inf


def test_first_looks_start_even_and_follow_the_last_ten() -> None:
    looks = FirstLooks()
    assert -math.expm1(-looks.growth) == pytest.approx(0.5)
    for _ in range(3):
        looks.on_look(0.0)
    assert -math.expm1(-looks.growth) < 0.25
    for _ in range(40):
        looks.on_look(0.0)
    assert -math.expm1(-looks.growth) == pytest.approx(1.0 / 12.0, rel=0.05)
    for _ in range(3):
        looks.on_look(1.0)
    assert -math.expm1(-looks.growth) > 0.25


def test_a_first_look_that_hits_counts_by_the_chance_that_it_had_settled_before() -> None:
    """At even odds before, and as likely since it was added: two of the three quarters that have settled."""
    model = PollModel()
    for _ in range(400):
        model.on_took("a", 0.0, 20.0)
        model.on_took("a", 0.0, 40.0)
    worth = Worth(model)
    worth.on_first_look(Entry("ana_1", "a", 0.0, 0.0, None, None, FIRM), 30.0)
    assert -math.expm1(-worth.first_looks.growth) == pytest.approx((1.0 + 2.0 / 3.0) / 3.0, abs=0.02)


class Written:
    """The law as the waiting rules have it, by the book: no fit that waits, and no sums kept."""

    DOUBT, HALF_LIFE = 0.2, 5_000
    EDGES = (0.0, *(0.5 * 2.0 ** (i / 4.0) for i in range(71)))

    def __init__(self) -> None:
        self.events, self.exposure = [0.0] * len(self.EDGES), [0.0] * len(self.EDGES)
        for age in (22.5, 23.5, 24.5, 25.5, 26.5, 27.5, 28.5, 29.5):  # three analyses in all, between 22 and 30 s
            self.took(0.0, age, 3.0 / 8.0)

    def bin(self, age: float) -> int:
        return max(i for i, edge in enumerate(self.EDGES) if edge <= age)

    def width(self, i: int) -> float:
        return (self.EDGES[i + 1] if i + 1 < len(self.EDGES) else self.EDGES[i] * 2.0**0.25) - self.EDGES[i]

    def running(self, start: float, end: float, weight: float = 1.0) -> None:
        for i, edge in enumerate(self.EDGES):
            upper = self.EDGES[i + 1] if i + 1 < len(self.EDGES) else math.inf
            self.exposure[i] += weight * max(0.0, min(end, upper) - max(start, edge))

    def took(self, start: float, took: float, weight: float = 1.0) -> None:
        self.running(start, took, weight)
        self.events[self.bin(took)] += weight

    def settled(self, start: float, end: float) -> None:
        """One death in several bins, in the middle of each, as likely as the law says."""
        alive, ways = 1.0, []
        for i, edge in enumerate(self.EDGES):
            upper = self.EDGES[i + 1] if i + 1 < len(self.EDGES) else math.inf
            low, high = max(start, edge), min(end, upper)
            if low < high:
                dies = alive * -math.expm1(-self.rate(i) * (high - low))
                ways.append(((low + high) / 2.0, dies))
                alive -= dies
        for middle, dies in ways:
            self.took(start, middle, dies / (1.0 - alive))

    def fade(self, answers: int) -> None:
        kept = 0.5 ** (answers / self.HALF_LIFE)
        self.events, self.exposure = ([value * kept for value in values] for values in (self.events, self.exposure))

    def rate(self, i: int, doubt: float = DOUBT) -> float:
        middle = self.EDGES[i] + self.width(i) / 2.0
        return (self.events[i] + doubt) / (self.exposure[i] + self.DOUBT * middle)

    def agrees(self, model: PollModel) -> bool:
        """Whether each bin has the hazard that the rules give it, with the doubt and without."""
        for i, edge in enumerate(self.EDGES[:-1]):
            upper = self.EDGES[i + 1]
            assert model.growth("a", edge, upper) == pytest.approx(self.rate(i) * self.width(i), rel=1e-9)
            observed = self.rate(i, 0.0) * self.width(i)
            assert model.observed_growth("a", edge, upper) == pytest.approx(observed, rel=1e-9, abs=1e-9)
        return True


def test_a_law_begins_with_three_analyses_of_the_documented_latency() -> None:
    assert Written().agrees(PollModel())


@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_counts_in_the_bins_that_it_lies_in(seed: int) -> None:
    """Eight answers make a fit; they have faded by then as the half-life says."""
    model, rules, draw = PollModel(), Written(), random.Random(seed)
    for n in range(8):
        start = draw.choice([0.0, draw.uniform(0.0, 60.0)])
        end = start + draw.choice([0.01, draw.expovariate(0.05)])
        if n % 2:
            model.on_running("a", start, end)
            rules.running(start, end)
        else:
            model.on_took("a", start, end)
            rules.took(start, end)
    rules.fade(8)
    assert rules.agrees(model)


@pytest.mark.parametrize(("start", "end"), [(0.0, 3.0), (0.7, 0.8), (20.0, 31.0), (24.0, 90.0)])
def test_an_event_between_two_looks_is_spread_as_the_law_has_it(start: float, end: float) -> None:
    """It counts as one event in all, and with the time that it is expected to have lived."""
    model, rules = PollModel(), Written()
    grown = Written()
    for _ in range(8):
        model.on_settled("a", start, end)
    grown.settled(start, end)
    for values, before, after in (
        (rules.events, Written().events, grown.events),
        (rules.exposure, Written().exposure, grown.exposure),
    ):
        for i in range(len(values)):
            values[i] = before[i] + 8.0 * (after[i] - before[i])
    rules.fade(8)
    assert rules.agrees(model)


def test_half_of_what_was_told_is_forgotten_after_five_thousand_answers() -> None:
    model, rules = PollModel(), Written()
    for _ in range(8):
        model.on_took("a", 0.0, 60.0)
        rules.took(0.0, 60.0)
    rules.fade(8)
    for _ in range(5_000):
        model.on_running("a", 0.0, 0.25)  # of the first bin, which is not compared
    rules.fade(5_000)
    at = rules.bin(60.0)
    edge, width = rules.EDGES[at], rules.width(at)
    # A 64th of what is remembered may not be in the law yet, and nothing is forgotten for it until it is.
    assert model.growth("a", edge, edge + width) == pytest.approx(rules.rate(at) * width, rel=0.02)


def test_the_more_is_known_the_rarer_is_a_fit() -> None:
    """The ninth answer of a young law is not in it before the sixteenth; of an old one, only with dozens more."""
    model, waited = PollModel(), []
    law = model.growth("a", 20.0, 40.0)
    since = 0
    for _ in range(4_000):
        model.on_took("a", 0.0, 30.0)
        since += 1
        if (new := model.growth("a", 20.0, 40.0)) != law:
            waited.append(since)
            law, since = new, 0
    assert waited[:8] == [8] * 8
    assert waited == sorted(waited)
    assert 40 < waited[-1] < 60


def test_the_age_before_birth_is_birth_and_no_later() -> None:
    """An age that a clock puts before birth starts the exposure there, and not a second on."""
    model, same = PollModel(), PollModel()
    for _ in range(8):
        model.on_running("a", -2.0, 0.9)
        same.on_running("a", 0.0, 0.9)
    assert model.growth("a", 0.0, 0.5) == same.growth("a", 0.0, 0.5) != PollModel().growth("a", 0.0, 0.5)


# -- what an inbox is worth

PACED = Supply(rate=10.0)


def entry(seen_at: float | None = 0.0, state: int = LEARNED, born_at: float = 0.0) -> Entry:
    return Entry("ana_1", "a", 0.0, born_at, seen_at, None, state)


def trusting(at: float = 0.0) -> InboxTrust:
    trust = InboxTrust(has_inbox=True)
    trust.on_event(at)
    return trust


class TestTrust:
    def test_an_inbox_has_to_earn_it(self) -> None:
        """Until an event has come for something that is waited for, polls rely on nothing."""
        trust = InboxTrust(has_inbox=True)
        assert (trust.is_trusted, trust.next_look(entry())) == (False, -math.inf)
        trust.on_event(5.0)
        assert (trust.is_trusted, trust.next_look(entry())) == (True, 60.0)

    def test_without_an_inbox_events_change_nothing(self) -> None:
        """`settle` tells of one id; that others will be told of is not to be expected."""
        trust = InboxTrust()
        trust.on_event(5.0)
        assert not trust.is_trusted

    def test_silence_ends_it_until_the_next_event(self) -> None:
        """What is found settled without its event brings normal polling back."""
        trust = trusting(5.0)
        assert trust.on_silence(6.0)
        assert not trust.is_trusted
        assert not trust.on_silence(7.0)
        trust.on_event(8.0)
        assert trust.is_trusted

    def test_a_poll_from_before_says_nothing(self) -> None:
        """It was sent as if there were no inbox, and overtook its event; later events do not make it younger."""
        trust = trusting(5.0)
        assert not trust.on_silence(4.9)
        assert trust.is_trusted
        trust.on_event(9.0)
        assert trust.on_silence(6.0)

    @pytest.mark.parametrize(
        ("seen_at", "at"),
        [(None, 60.0), (0.0, 60.0), (26.0, 86.0), (60.0, 120.0), (120.0, 240.0), (240.0, 480.0), (1000.0, 1300.0)],
    )
    def test_slow_looks_are_a_minute_apart_and_then_rarer(self, seen_at: float | None, at: float) -> None:
        """Twice the age, within one and five minutes of the last look; whenever it was created."""
        assert trusting().next_look(entry(seen_at)) == at
        later = entry(None if seen_at is None else 5000.0 + seen_at, born_at=5000.0)
        assert trusting().next_look(later) == 5000.0 + at

    def test_what_is_announced_or_failed_is_not_slow(self) -> None:
        """Its event has come, or the look that was due was not answered."""
        announced, failed = entry(), entry()
        announced.unconfirmed, failed.trouble = 3, Trouble(1.0)
        for one in (announced, failed, entry(state=ANNOUNCED)):
            assert trusting().next_look(one) == -math.inf


class TestEchoes:
    @pytest.mark.parametrize(
        ("unconfirmed", "gap"),
        [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (10, 1024.0), (5000, 2.0**30), (None, math.inf)],
    )
    def test_each_is_twice_as_late(self, unconfirmed: int | None, gap: float) -> None:
        """1, 2, 4, 8 s after the look that did not confirm it; never where nothing was announced."""
        one = entry()
        one.unconfirmed = unconfirmed
        assert next_echo(one, 100.0) == 100.0 + gap

    def test_the_queue_looks_again_up_to_its_schedule(self) -> None:
        """As soon as the echo, as long as the schedule would come later."""
        queue = PollQueue(PollModel(), schedule=PollSchedule.fixed(5.0), timeout=None)
        one = queue.add("ana_1", "a", 0.0)
        one.unconfirmed, now, gaps = 0, 0.0, []
        for _ in range(6):
            assert queue.take(now, PACED) is one
            queue.on_pending(one, now)
            slot = queue.next_slot(now, PACED)
            assert slot is not None
            gaps.append(slot.at - now)
            now = slot.at
        assert gaps == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


class TestQueue:
    """A queue whose polls rely on events."""

    def make(self, trust: InboxTrust, count: int = 3) -> tuple[PollQueue, list[Entry]]:
        model = PollModel()
        for i in range(200):
            model.on_took("a", 0.0, 22.0 + 8.0 * (i + 0.5) / 200)
        queue = PollQueue(model, schedule=PollSchedule.learned(), timeout=None, trust=trust)
        return queue, [queue.add(f"ana_{i}", "a", 0.0, age=0.0) for i in range(count)]

    def test_an_id_sleeps_past_its_due_time(self) -> None:
        """Its event will come first; if not, it is looked at after a minute."""
        queue, entries = self.make(trusting())
        due = queue.next_slot(0.0, PACED)
        assert due is not None
        assert 22.0 < due.at < 30.0
        assert queue.take(due.at, PACED) is None
        assert plan(queue, due.at, PACED) == (60.0, False)
        assert queue.take(59.9, PACED) is None
        assert queue.take(60.0, PACED) in entries

    def test_all_are_woken_when_trust_ends(self) -> None:
        """They are due at once, whatever they slept for."""
        trust = trusting()
        queue, entries = self.make(trust)
        assert queue.take(31.0, PACED) is None
        trust.on_silence(31.0)
        assert queue.next_slot(31.0, PACED) is not None
        taken = [queue.take(31.0, PACED) for _ in range(4)]
        assert {one.id for one in taken if one is not None} == {one.id for one in entries}
        assert taken[3] is None

    def test_an_announced_one_does_not_sleep(self) -> None:
        """Before or after it fell asleep."""
        queue, [first, second, _] = self.make(trusting())
        queue.on_announced(first, 3.0)
        assert queue.take(3.0, PACED) is first
        assert queue.take(31.0, PACED) is None
        queue.on_announced(second, 32.0)
        assert plan(queue, 32.0, PACED) == (32.0, True)
        assert queue.take(32.0, PACED) is second
        assert queue.take(33.0, PACED) is None

    def test_a_sleeper_may_be_discarded(self) -> None:
        """And is not woken any more."""
        queue, entries = self.make(trusting(), count=200)
        while queue.take(31.0, PACED) is not None:
            pass  # a question puts back so many at most
        for one in entries:
            queue.discard(one)
        assert len(queue) == 0
        assert queue.next_slot(61.0, PACED) is None
        assert queue.take(61.0, PACED) is None

    def test_a_hint_makes_no_look_sooner(self) -> None:
        """Where events are heard, a server's estimate is no reason to ask."""
        queue, [one] = self.make(trusting(), count=1)
        queue.on_announced(one, 1.0)
        assert queue.take(1.0, PACED) is one
        queue.on_pending(one, 1.0, hint_in=5.0)
        assert one.state == FIRM
        assert queue.take(6.0, PACED) is None
        assert queue.take(61.0, PACED) is one

    def test_an_heir_keeps_its_next_echo(self) -> None:
        """The call that announced it was in leaves; the next look stays where it was."""
        queue, [one] = self.make(trusting(), count=1)
        queue.on_announced(one, 1.0)
        one.unconfirmed = 0
        assert queue.take(1.0, PACED) is one
        queue.on_pending(one, 1.0)
        queue.discard(one)
        heir = queue.adopt(one, 1.5, ends_at=None)
        assert heir.key == 2.0
        assert queue.take(2.0, PACED) is heir


def test_a_share_of_the_rate_is_a_time_between_two_requests() -> None:
    """Half of two a second is one a second; of nothing never, and of no limit at once."""
    assert seconds_per_request(Supply(rate=2.0), 0.5) == 1.0
    assert seconds_per_request(Supply(rate=10.0), 0.5) == 0.2
    assert seconds_per_request(Supply(rate=0.0), 0.5) == math.inf
    assert seconds_per_request(Supply(), 0.5) == 0.0


def test_what_is_to_spare_is_what_no_pending_id_will_need() -> None:
    """One request for each is kept; less than that is a lack, and nothing is to spare of what is not known."""
    assert spare(Supply(remaining=10.0), 4) == 6.0
    assert spare(Supply(rate=2.0, remaining=10.0), 3) == 7.0
    assert spare(Supply(remaining=2.0), 4) == -2.0
    assert spare(Supply(), 4) == 0.0


class TestHasRoom:
    """Whether one more analysis may be requested, with a hundred requests in a window of a minute."""

    SUPPLY = Supply(rate=1.0, remaining=20.0, resets_in=50.0)

    @pytest.mark.parametrize(
        ("rate", "needed", "under_way", "ending", "is_brief", "has"),
        [
            (2.0, 0.9, 50, 0, False, True),  # 0.45 of the rate
            (2.0, 0.91, 50, 0, False, False),
            (2.0, 0.5, 50, 19, False, True),
            (2.0, 0.5, 50, 20, False, False),  # what the window holds is for those who end in it
            (0.0, 0.5, 3, 0, False, True),  # nothing is known, or hardly anything is to be had: a few
            (0.0, 0.5, 4, 0, False, False),
            (0.1, 0.5, 4, 0, True, True),  # four requests for each, and one more, are there
            (0.1, 0.5, 5, 0, True, False),
            (math.inf, 500.0, 4_999, 0, False, True),
            (math.inf, 500.0, 5_000, 0, False, False),
        ],
    )
    def test_by_rate_and_window(
        self, rate: float, needed: float, under_way: int, ending: int, is_brief: bool, has: bool
    ) -> None:
        """As many as can be looked after, within bounds."""
        found = has_room(self.SUPPLY, rate, needed, under_way=under_way, ending=ending, is_brief=is_brief)
        assert found is has

    def test_where_no_window_is_known_it_holds_nothing_back(self) -> None:
        """Nor does it hold enough for a burst."""
        assert has_room(Supply(), math.inf, 1.0, under_way=10, ending=10, is_brief=False)
        assert not has_room(Supply(rate=0.1), 0.1, 1.0, under_way=10, ending=0, is_brief=True)

    def test_each_needs_one_request_in_its_time(self) -> None:
        """What has for ever needs none, and one of a batch what keeps 45 s of the rate under way."""
        assert need_of(120.0, is_one_of_many=False) == 1 / 120
        assert need_of(None, is_one_of_many=False) == need_of(math.inf, is_one_of_many=False) == 0.0
        assert need_of(120.0, is_one_of_many=True) == need_of(None, is_one_of_many=True) == pytest.approx(0.01)


def gone(throughput: Throughput, now: float, went: int, waits_since: float = math.inf) -> float:
    """Return the requests/s of a limit of a minute and waits of two."""
    return throughput.rate(now, went, period=60.0, lasts=120.0, waits_since=waits_since)


def test_while_polls_lack_nothing_what_went_shows_no_bound() -> None:
    """However little that was, and however long: nobody asked for more."""
    throughput = Throughput()
    assert [gone(throughput, at, 1, at - 10.0) for at in (0.0, 50.0, 100.0, 150.0)] == [math.inf] * 4


def test_while_a_poll_waits_long_what_went_in_the_last_period_is_what_there_is() -> None:
    """Of which a part is counted on; for as long again after it, as a window that renews serves many at once."""
    throughput = Throughput()
    assert gone(throughput, 0.0, 0) == math.inf
    assert gone(throughput, 30.0, 15, 10.0) == math.inf  # not observed for long enough
    assert gone(throughput, 60.0, 30, 47.0) == pytest.approx(0.7 * 0.5)
    assert gone(throughput, 90.0, 39) == pytest.approx(0.7 * 24 / 60.0)
    assert gone(throughput, 121.0, 40) == math.inf


def test_a_rest_is_no_time_in_which_little_went() -> None:
    """What came to nothing in the night says nothing of the morning."""
    throughput = Throughput()
    assert gone(throughput, 0.0, 0) == math.inf
    assert [gone(throughput, at, 10, at - 20.0) for at in (30_000.0, 30_059.0)] == [math.inf] * 2
    assert gone(throughput, 30_060.0, 70, 30_000.0) == pytest.approx(0.7)
