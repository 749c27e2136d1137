"""The poll queue, at literal times: which id is polled when, and what each answer changes."""

import sys
from types import FrameType
from typing import Any

import pytest

from kallglot_async._core.polling.pending import Entry, Trouble
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule, Supply
from kallglot_async._core.polling.worth import InboxTrust, PollModel, look_again_at
from tests.support.queues import plan

PACED = Supply(rate=10.0)
TraceFunction = Any  # what it returns is a function like itself
FULL_WINDOW = Supply(rate=10.0, remaining=600.0, resets_in=60.0)


def make(
    schedule: PollSchedule | None = None,
    *,
    model: PollModel | None = None,
    timeout: float | None = None,
    lead: float = 0.25,
) -> PollQueue:
    return PollQueue(model or PollModel(), schedule=schedule or PollSchedule.learned(), timeout=timeout, lead=lead)


def poll(queue: PollQueue, now: float, supply: Supply = PACED) -> Entry:
    entry = queue.take(now, supply)
    assert entry is not None
    return entry


def knowing(*, low: float = 22.0, high: float = 30.0, count: int = 200) -> PollModel:
    """Return a model that knows the uniform law between `low` and `high` seconds."""
    model = PollModel()
    for i in range(count):
        model.on_took("a", 0.0, low + (high - low) * (i + 0.5) / count)
    return model


class TestFixedAndExponential:
    def test_an_empty_queue_wants_nothing(self) -> None:
        queue = make()
        assert queue.next_slot(1.0, PACED) is None
        assert queue.take(1.0, PACED) is None
        assert queue.next_deadline() is None
        assert queue.pop_expired(1.0) is None

    def test_fixed_polls_every_interval(self) -> None:
        queue = make(PollSchedule.fixed(2.0))
        queue.add("ana_1", "a", 1.0)
        assert plan(queue, 1.0, PACED) == (1.0, False)
        entry = poll(queue, 1.0)
        assert queue.next_slot(1.1, PACED) is None  # in flight
        queue.on_pending(entry, 1.2)
        assert plan(queue, 1.3, PACED) == (3.2, False)
        assert queue.take(3.1, PACED) is None
        assert queue.take(3.2, PACED) is entry
        assert (entry.polls, entry.first_poll_at, entry.seen_at) == (2, 1.0, 1.2)

    def test_exponential_polls_ever_more_rarely(self) -> None:
        queue = make(PollSchedule.exponential(first=1.0, factor=2.0, maximum=3.0))
        queue.add("ana_1", "a", 0.0)
        times, now = [], 0.0
        for _ in range(5):
            times.append(now)
            queue.on_pending(poll(queue, now), now)
            slot = queue.next_slot(now, PACED)
            assert slot is not None
            now = slot.at
        assert times == [0.0, 1.0, 3.0, 6.0, 9.0]

    def test_ids_are_taken_in_the_order_they_came(self) -> None:
        queue = make(PollSchedule.fixed())
        for i in range(5):
            queue.add(f"ana_{i}", "a", 0.0)
        assert [poll(queue, 1.0).id for _ in range(5)] == [f"ana_{i}" for i in range(5)]

    def test_a_hint_may_only_make_a_fixed_poll_later(self) -> None:
        queue = make(PollSchedule.fixed(2.0))
        entry = queue.add("ana_1", "a", 0.0)
        for hint, due in ((0.5, 2.0), (5.0, 7.0)):
            now = due - max(2.0, hint)
            assert poll(queue, now) is entry
            queue.on_pending(entry, now, hint_in=hint)
            assert plan(queue, now, PACED) == (due, False)

    def test_behind_webhooks_the_first_look_comes_a_delay_after_the_creation(self) -> None:
        """Not after the wait began, and not in the past; what was not created here may have settled long ago."""
        for age, due in ((0.0, 160.0), (45.0, 115.0), (100.0, 100.0), (None, 100.0)):
            queue = make(PollSchedule.behind_webhooks())
            queue.add("ana_1", "a", 100.0, age=age)
            assert plan(queue, 100.0, PACED) == (due, False)


class TestLearned:
    def test_a_known_law_sets_the_first_look(self) -> None:
        """A quarter of 22 to 30 s is 24 s."""
        queue = make(model=knowing())
        queue.add("ana_1", "a", 100.0, age=0.0)
        slot = queue.next_slot(100.0, Supply(rate=0.01))
        assert slot is not None
        assert slot.at == pytest.approx(124.0, abs=1.0)

    def test_an_age_told_by_the_answer_moves_the_next_look(self) -> None:
        queue = make(model=knowing())
        queue.add("ana_1", "a", 0.0)
        entry = poll(queue, 0.0)
        queue.on_pending(entry, 0.2, age=20.2)
        assert entry.key == pytest.approx(4.0, abs=1.0)

    def test_a_hint_stands_whatever_the_law_says(self) -> None:
        queue = make(model=knowing())
        entry = queue.add("ana_1", "a", 0.0, due_in=3.0)
        assert plan(queue, 0.0, PACED) == (3.0, False)
        assert poll(queue, 3.0) is entry
        queue.on_pending(entry, 3.0, age=3.0, hint_in=4.5)
        assert plan(queue, 3.0, PACED) == (7.5, False)
        assert queue.take(7.4, PACED) is None
        assert queue.take(7.5, PACED) is entry

    def test_a_hint_for_an_id_of_known_age_comes_before_all_guesses_but_not_before_what_was_observed(self) -> None:
        """The law has seen 22 to 30 s: a hint of 60 s does not make it wait that long, one of 5 s goes first."""
        late = make(model=knowing()).add("ana_1", "a", 0.0, age=0.0, due_in=60.0)
        assert 22.0 < late.key < 27.0
        assert make(model=knowing()).add("ana_1", "a", 0.0, age=0.0, due_in=5.0).key == 5.0

    def test_what_was_observed_is_counted_from_the_creation(self) -> None:
        """Analyses of a second or less are looked at within that, although a hint names a minute."""
        quick = make(model=knowing(low=0.5, high=1.0, count=2000)).add("ana_1", "a", 0.0, age=0.0, due_in=60.0)
        assert quick.key < 1.0

    def test_a_hint_that_fits_what_was_observed_goes_past_what_is_only_guessed(self) -> None:
        """As far as one step of what was observed: 24 s of 22 to 30 s. One that does not fit goes as far as guesses."""
        for hint, low, high in ((30.0, 24.0, 25.0), (100.0, 8.0, 10.0)):
            queue = make()
            entry = queue.add("ana_1", "a", 100.0)
            queue.on_pending(poll(queue, 100.0), 100.0, age=0.0, hint_in=hint)
            assert low < entry.key - 100.0 < high

    def test_a_hint_goes_three_steps_of_what_is_known(self) -> None:
        """At 24 s a quarter of those of 22 to 30 s have settled, at 26.6 s more than half."""
        queue = make(model=knowing())
        entry = queue.add("ana_1", "a", 100.0)
        queue.on_pending(poll(queue, 100.0), 100.0, age=0.0, hint_in=29.0)
        assert 26.0 < entry.key - 100.0 < 27.0

    def test_two_polls_of_one_id_are_a_second_apart(self) -> None:
        queue = make(model=knowing())
        entry = queue.add("ana_1", "a", 0.0, age=29.0)
        queue.on_pending(poll(queue, 0.0), 0.0, hint_in=0.0)
        assert entry.key == 1.0
        queue.on_pending(poll(queue, 1.0), 1.0)
        assert entry.key >= 2.0

    def test_a_single_id_is_polled_every_few_seconds_whatever_the_law_says(self) -> None:
        """One id has a fifth of 2.5 requests/s to itself: a look every 2 s."""
        queue = make(model=knowing(low=500.0, high=600.0))
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0, age=0.0)
        assert plan(queue, 0.0, Supply(rate=2.5)) == (2.0, False)
        assert queue.take(1.9, Supply(rate=2.5)) is None
        assert queue.take(2.0, Supply(rate=2.5)) is entry

    def test_an_unknown_rate_means_the_documented_two_seconds(self) -> None:
        queue = make(model=knowing(low=500.0, high=600.0))
        queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0, age=0.0)
        assert plan(queue, 0.0, Supply()) == (2.0, False)

    def test_no_rate_at_all_is_survived(self) -> None:
        queue = make(model=knowing())
        queue.add("ana_1", "a", 0.0, age=0.0)
        slot = queue.next_slot(0.0, Supply(rate=0.0, remaining=0.0, resets_in=30.0))
        assert slot is not None
        assert slot.at > 20.0

    def test_the_one_seen_longest_ago_gets_the_fresh_look(self) -> None:
        queue = make(model=knowing(low=500.0, high=600.0))
        for i in range(3):
            queue.add(f"ana_{i}", "a", 0.0, age=0.0)
        # 3 pending at a fifth of 0.5/s: each every 30 s
        assert plan(queue, 0.0, Supply(rate=0.5)) == (30.0, False)
        first = poll(queue, 30.0, Supply(rate=0.5))
        queue.on_pending(first, 30.0)
        assert first.id == "ana_0"
        assert poll(queue, 31.0, Supply(rate=0.5)).id == "ana_1"

    def test_one_polled_for_its_key_goes_to_the_end_of_the_line_for_fresh_looks(self) -> None:
        queue = make(model=knowing(low=500.0, high=600.0))
        first = queue.add("ana_0", "a", 0.0, age=550.0)
        second = queue.add("ana_1", "a", 0.0, age=0.0)
        assert first.key < 50.0
        assert poll(queue, first.key, Supply(rate=0.01)) is first
        queue.on_pending(first, first.key)
        supply = Supply(rate=0.1)  # 2 pending at a fifth of it: each every 100 s
        assert queue.take(99.9, supply) in {None, first}
        assert queue._orders.by_sight.first() is second

    def test_what_is_learned_meanwhile_puts_a_look_off(self) -> None:
        """Due after a second by the first guess, and not worth it any more once 200 analyses have taken 22 s."""
        model = PollModel()
        queue = make(model=model)
        entry = queue.add("ana_1", "a", 0.0, age=0.0)
        due = entry.key
        assert due < 5.0
        for _ in range(200):
            model.on_running("a", 0.0, 22.0)
            model.on_took("a", 22.0, 25.0)
        assert queue.take(due, Supply(rate=0.01)) is None
        assert entry.key > 20.0

    def test_what_is_learned_meanwhile_brings_a_look_forward(self) -> None:
        model = knowing(low=500.0, high=600.0)
        queue = make(model=model)
        entry = queue.add("ana_1", "a", 0.0, age=0.0)
        assert entry.key > 300.0
        for _ in range(2_000):
            model.on_took("a", 0.0, 10.0)
        slot = queue.next_slot(0.0, Supply(rate=0.001))
        assert slot is not None
        assert 8.0 < slot.at < 12.0
        assert queue.take(slot.at, Supply(rate=0.001)) is entry

    def test_no_question_puts_back_more_than_a_hundred(self) -> None:
        """With a million ids due by an old guess, one question must not take seconds."""
        model = PollModel()
        queue = make(model=model)
        entries = [queue.add(f"ana_{i}", "a", 0.0, age=0.0) for i in range(300)]
        due = entries[0].key
        for _ in range(200):
            model.on_took("a", 0.0, 25.0)
        assert queue.take(due + 0.1, Supply(rate=0.01)) is not None
        assert sum(entry.key > 10.0 for entry in entries) == 100

    def test_what_is_put_back_does_not_hold_up_what_is_due(self) -> None:
        """The law now says that the first is not worth it yet; the second is due by a hint."""
        model = knowing(low=2.0, high=3.0)
        queue = make(model=model)
        early, hinted = queue.add("ana_1", "a", 0.0), queue.add("ana_2", "b", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0, age=0.0)
        queue.on_pending(poll(queue, 0.0), 0.0, hint_in=5.0)
        was_due = early.key
        for _ in range(4_000):
            model.on_took("a", 0.0, 60.0)
        assert was_due < 5.0
        assert queue.take(was_due, Supply(rate=0.001)) is None
        assert early.key > 10.0
        assert poll(queue, 5.0, Supply(rate=0.001)) is hinted

    def test_how_long_it_took_teaches_more_than_when_it_was_found(self) -> None:
        """Looked at after 10 s and after 200 s: that it took 50 s is told, and need not be guessed."""
        told, found = PollModel(), PollModel()
        for model, took in ((told, 50.0), (found, None)):
            for _ in range(64):
                queue = make(PollSchedule.fixed(190.0), model=model)
                queue.add("ana_1", "a", 10.0, age=10.0)
                queue.on_pending(poll(queue, 10.0), 10.0, age=10.0)
                queue.on_settled(poll(queue, 200.0), 200.0, age=200.0, took=took)
        assert told.observed_growth("a", 40.0, 60.0) > 3.0 * found.observed_growth("a", 40.0, 60.0)
        assert told.observed_growth("a", 60.0, 200.0) == 0.0

    def test_an_age_told_with_the_result_dates_what_was_never_seen(self) -> None:
        """It was running from its creation on: the model learns from birth to now."""
        dated, told = PollModel(), PollModel()
        for _ in range(8):
            queue = make(model=dated)
            queue.add("ana_1", "a", 100.0)
            queue.on_settled(poll(queue, 100.0), 100.0, age=40.0)
            told.on_settled("a", 0.0, 40.0)
        assert dated.growth("a", 0.0, 40.0) == pytest.approx(told.growth("a", 0.0, 40.0))


class TestFirstLooks:
    def test_a_new_id_is_due_at_once(self) -> None:
        queue = make(model=knowing())
        queue.add("ana_1", "a", 7.0)
        assert plan(queue, 7.0, PACED) == (7.0, False)

    def test_a_new_id_does_not_go_before_what_was_due_when_it_came(self) -> None:
        """First looks are in their place among the rest: by the moment at which each was due."""
        for added_at, first in ((4.0, "ana_new"), (6.0, "ana_due")):
            queue = make()
            queue.add("ana_due", "a", 0.0, due_in=5.0)
            queue.add("ana_new", "a", added_at)
            assert poll(queue, 7.0).id == first

    def test_first_looks_in_vain_put_off_the_rest_of_the_batch(self) -> None:
        queue = make(model=knowing())
        for i in range(60):
            queue.add(f"ana_{i}", "a", 0.0)
        for i in range(3):
            queue.on_pending(poll(queue, 0.1 * i, FULL_WINDOW), 0.1 * i, age=0.1 * i)
        # a tenth of 10/s goes on looking, in case that changes
        assert plan(queue, 0.3, FULL_WINDOW) == (1.2, False)
        assert poll(queue, 1.2, FULL_WINDOW).id == "ana_3"
        # if only one request is left for later
        assert plan(queue, 1.2, Supply(rate=10.0, remaining=61.0, resets_in=60.0)) == (2.2, False)
        assert plan(queue, 1.2, Supply(rate=10.0, remaining=60.0, resets_in=60.0)) == (1.4, False)
        # and a half where nothing can be saved for later
        assert plan(queue, 1.2, PACED) == (1.4, False)

    def test_first_looks_that_hit_send_the_rest_ahead(self) -> None:
        """A batch that settled long ago is fetched as fast as the window allows."""
        queue = make()
        for i in range(60):
            queue.add(f"ana_{i}", "a", 0.0)
        assert plan(queue, 0.0, FULL_WINDOW) == (0.0, True)
        for _ in range(5):
            queue.on_settled(poll(queue, 0.0), 0.1, age=3600.0)
        tight = Supply(rate=2.5, remaining=120.0, resets_in=60.0)
        assert plan(queue, 0.1, tight) == (0.1, True)

    def test_ids_whose_time_runs_go_first_where_not_all_can_be_looked_at_in_time(self) -> None:
        """A first look starts a time. Of thirty ids the first has 18 s left, enough at 10/s and too few at 1/s."""
        for rate, next_id in ((10.0, "ana_1"), (1.0, "ana_0")):
            queue = make(PollSchedule.fixed(2.0), timeout=20.0)
            for i in range(30):
                queue.add(f"ana_{i}", "a", 0.0)
            supply = Supply(rate=rate)
            queue.on_pending(poll(queue, 0.0, supply), 0.1)
            assert poll(queue, 2.1, supply).id == next_id
            assert poll(queue, 2.1, supply).id == ("ana_2" if rate == 10.0 else "ana_1")

    def test_a_hit_that_the_law_explains_says_little_about_the_rest(self) -> None:
        """Settled 29 s after it was added, under a law of 22 to 30 s: that does not make it an old batch."""
        grown = {}
        for at in (2.0, 29.0):
            queue = make(model=knowing())
            for i in range(10):
                queue.add(f"ana_{i}", "a", 0.0)
            for _ in range(4):
                queue.on_pending(poll(queue, 0.0, Supply()), 0.0, age=0.0)
            before = queue._worth.first_looks.growth
            queue.on_settled(poll(queue, at, Supply()), at)
            grown[at] = queue._worth.first_looks.growth - before
        assert grown[2.0] > 0.1
        assert abs(grown[29.0]) < 0.05


class TestSpendingAWindow:
    def test_what_pays_goes_ahead(self) -> None:
        queue = make(model=knowing())
        for i in range(10):
            queue.add(f"ana_{i}", "a", 0.0, age=0.0)
        window = Supply(rate=2.5, remaining=100.0, resets_in=30.0)
        assert plan(queue, 28.0, window) == (28.0, True)

    def test_the_scarcer_requests_are_the_more_a_poll_must_be_worth(self) -> None:
        """At 25 s three in eight are settled: enough at 10 pending and 40 left, not at 10 and 22.

        At 28.8 s it is six in seven, which is enough for the only one that is to spare.
        """
        for at, remaining, ahead in ((25.0, 40.0, True), (25.0, 22.0, False), (28.8, 11.0, True), (28.0, 11.0, False)):
            queue = make(model=knowing(count=4_000))
            for i in range(10):
                queue.add(f"ana_{i}", "a", 0.0, age=0.0)
            supply = Supply(rate=2.5, remaining=remaining, resets_in=30.0)
            assert plan(queue, at, supply) == (at, ahead)

    def test_a_look_at_every_open_id_is_kept(self) -> None:
        model = knowing()
        queue = make(model=model)
        for i in range(10):
            queue.add(f"ana_{i}", "a", 0.0, age=0.0)
        supply = Supply(rate=2.5, remaining=10.0, resets_in=30.0)
        assert plan(queue, 31.0, supply) == (31.0, False)

    def test_what_is_as_good_as_sure_goes_ahead_all_the_same(self) -> None:
        """A hit takes a pending id with it; a toss-up does not, and a window that may not run low is not touched."""
        for age, can_run_low, ahead in ((31.0, True, True), (27.0, True, False), (31.0, False, False)):
            queue = make(model=knowing(count=4_000))
            for i in range(10):
                queue.add(f"ana_{i}", "a", 0.0, age=0.0)
            supply = Supply(rate=2.5, remaining=10.0, resets_in=30.0, can_run_low=can_run_low)
            assert plan(queue, age, supply) == (age, ahead)

    def test_the_ids_of_other_waits_count(self) -> None:
        model = knowing()
        queue, other = make(model=model), make(model=model)
        queue.add("ana_1", "a", 0.0, age=0.0)
        supply = Supply(rate=2.5, remaining=30.0, resets_in=30.0)
        assert plan(queue, 29.0, supply) == (29.0, True)
        for i in range(29):
            other.add(f"ana_o{i}", "a", 0.0)
        assert plan(queue, 29.0, supply) == (29.0, False)

    def test_nothing_goes_ahead_on_a_guess(self) -> None:
        """Without data the hazard is 1/age; a window is not spent on that."""
        queue = make()
        queue.add("ana_1", "b", 0.0, age=100.0)
        supply = Supply(rate=2.5, remaining=100.0, resets_in=60.0)
        queue.on_pending(poll(queue, 0.0), 0.0)
        assert queue.take(300.0, supply) is not None
        queue = make()
        queue.add("ana_1", "b", 0.0, age=100.0)
        queue.on_pending(poll(queue, 0.0), 0.0)
        assert plan(queue, 300.0, supply) == (300.0, False)

    @pytest.mark.parametrize("supply", [PACED, FULL_WINDOW, Supply(rate=2.5, remaining=22.0, resets_in=30.0)])
    def test_where_the_clock_has_its_zero_does_not_matter(self, supply: Supply) -> None:
        """The same story an hour later is the same story: first looks, looks ahead, fresh looks and last ones."""
        stories = []
        for zero in (0.0, 4096.0):
            story, queue = [], make(model=knowing(), timeout=40.0)
            queue.add("ana_created", "a", zero, age=0.0)
            queue.add("ana_hinted", "a", zero, age=8.0, due_in=64.0)
            for i in range(6):
                queue.add(f"ana_{i}", "a", zero + i / 8.0)
            for tick in range(400):
                now = zero + tick / 8.0
                while queue.pop_expired(now) is not None:
                    story.append((tick, "over", False))
                slot = queue.next_slot(now, supply)
                if slot is None or slot.at > now or (entry := queue.take(now, supply)) is None:
                    continue
                story.append((tick, entry.id, slot.ahead))
                if tick >= 200 and entry.id.endswith(("1", "3")):
                    queue.on_settled(entry, now)
                else:
                    queue.on_pending(entry, now)
            stories.append(story)
        assert stories[0] == stories[1]
        assert len({id for _, id, _ in stories[0]}) == 9


class TestAnnounced:
    def test_what_was_never_looked_at_leaves_the_line_for_first_looks(self) -> None:
        """It is polled once for its announcement, and the next look is another's first."""
        queue = make()
        first, second = queue.add("ana_1", "a", 0.0), queue.add("ana_2", "a", 0.0)
        queue.on_announced(second, 1.0)
        assert {poll(queue, 1.0).id, poll(queue, 1.0).id} == {"ana_1", "ana_2"}
        assert (first.polls, second.polls) == (1, 1)
        assert queue.take(1.0, PACED) is None

    def test_what_was_announced_is_not_looked_at_as_one_of_those_whose_first_looks_were_put_off(self) -> None:
        """Each of sixty is polled once, whichever of them an event was the first word of."""
        queue = make(model=knowing())
        entries = [queue.add(f"ana_{i}", "a", 0.0) for i in range(60)]
        for i in range(3):
            queue.on_pending(poll(queue, 0.1 * i), 0.1 * i, age=0.1 * i)
        queue.on_announced(entries[5], 0.3)
        assert poll(queue, 0.3) is entries[5]
        assert {poll(queue, 100.0).id for _ in range(59)} == {entry.id for entry in entries} - {"ana_5"}
        assert queue.take(100.0, PACED) is None

    def test_what_sleeps_behind_an_inbox_wakes_as_soon_as_events_are_not_to_be_trusted(self) -> None:
        trust = InboxTrust(has_inbox=True)
        trust.on_event(0.0)
        queue = PollQueue(knowing(), schedule=PollSchedule.learned(), timeout=None, trust=trust)
        entry = queue.add("ana_1", "a", 0.0, age=0.0)
        assert queue.take(40.0, PACED) is None
        assert plan(queue, 40.0, PACED) == (60.0, False)
        assert trust.on_silence(40.0)
        assert poll(queue, 41.0) is entry


class TestDeadlines:
    def test_the_last_look_is_kept_and_goes_first(self) -> None:
        queue = make(PollSchedule.fixed(100.0), timeout=10.0)
        first = queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 1.0), 1.2)
        queue.add("ana_2", "a", 5.0)
        assert first.deadline == 11.0
        assert plan(queue, 10.74, PACED) == (10.74, False)  # ana_2, never polled
        assert plan(queue, 10.75, PACED) == (10.75, True)
        assert queue.take(10.75, PACED) is first
        assert poll(queue, 10.75).id == "ana_2"

    def test_a_last_look_at_what_was_never_looked_at_is_its_first_too(self) -> None:
        """It leaves the line for first looks, and is not polled again while it is out."""
        queue = PollQueue(PollModel(), schedule=PollSchedule.learned(), timeout=10.0, from_add=True)
        entry = queue.add("ana_1", "a", 0.0)
        assert poll(queue, 9.9) is entry
        other = queue.add("ana_2", "a", 9.9)
        assert poll(queue, 9.9) is other
        assert (entry.polls, other.polls) == (1, 1)

    def test_a_wait_ends_at_once_if_its_last_look_finds_it_running(self) -> None:
        queue = make(timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0, due_in=0.0)
        queue.on_pending(poll(queue, 0.0), 0.1, hint_in=60.0)
        assert queue.next_deadline() == 10.0
        assert queue.pop_expired(9.8) is None
        queue.on_pending(poll(queue, 9.75), 9.9)
        assert queue.next_slot(9.9, PACED) is None
        assert queue.next_deadline() == 9.9
        assert queue.pop_expired(9.9) is entry
        assert len(queue) == 0

    def test_a_poll_in_flight_as_the_last_look_falls_due_is_the_last_look(self) -> None:
        queue = make(PollSchedule.fixed(2.0), timeout=5.0)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0, hint_in=4.5)
        poll(queue, 4.5)
        assert queue.next_slot(4.8, PACED) is None
        queue.on_pending(entry, 4.9)
        assert queue.pop_expired(4.9) is entry

    def test_an_unanswered_poll_does_not_hold_up_a_deadline(self) -> None:
        model = PollModel()
        queue = make(model=model, timeout=5.0)
        entry = queue.add("ana_1", "a", 0.0)
        poll(queue, 0.0)
        assert queue.pop_expired(4.9) is None
        assert queue.pop_expired(5.0) is entry
        queue.on_pending(entry, 5.1)  # too late: nothing happens
        queue.on_settled(entry, 5.2)
        assert (len(queue), model.pending, queue.next_slot(9.0, PACED)) == (0, 0, None)

    def test_deadlines_come_in_the_order_of_first_polls(self) -> None:
        queue = make(PollSchedule.fixed(50.0), timeout=10.0)
        for i in range(3):
            queue.add(f"ana_{i}", "a", 0.0)
        for now in (1.0, 2.0, 3.0):
            queue.on_pending(poll(queue, now), now)
        assert queue.next_deadline() == 11.0
        expired = [queue.pop_expired(11.0), queue.pop_expired(11.0), queue.pop_expired(12.1), queue.pop_expired(12.1)]
        assert [entry and entry.id for entry in expired] == ["ana_0", None, "ana_1", None]
        assert queue.next_deadline() == 13.0

    def test_the_lead_may_change_while_waiting(self) -> None:
        queue = make(PollSchedule.fixed(50.0), timeout=10.0)
        queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0)
        queue.lead = 2.0
        assert plan(queue, 0.0, PACED) == (8.0, True)

    def test_without_a_timeout_there_is_no_deadline(self) -> None:
        queue = make()
        entry = queue.add("ana_1", "a", 0.0)
        poll(queue, 0.0)
        assert (entry.deadline, queue.next_deadline()) == (None, None)

    def test_a_timeout_shorter_than_the_lead_still_allows_one_look(self) -> None:
        queue = make(timeout=0.1)
        entry = queue.add("ana_1", "a", 0.0)
        assert poll(queue, 3.0) is entry
        queue.on_pending(entry, 3.05)
        assert queue.pop_expired(3.05) is entry


class TestRefusedAndFailed:
    def test_a_refused_first_poll_never_happened(self) -> None:
        queue = make(timeout=10.0)
        for i in range(3):
            queue.add(f"ana_{i}", "a", 0.0)
        entries = [poll(queue, 1.0), poll(queue, 1.1)]
        queue.on_refused(entries[0], 1.3)
        assert (entries[0].polls, entries[0].first_poll_at, entries[0].deadline) == (0, None, None)
        assert queue.next_deadline() == 11.1
        assert poll(queue, 2.0) is entries[0]
        assert queue.next_deadline() == 11.1
        assert entries[0].deadline == 12.0

    def test_a_refused_poll_keeps_its_place(self) -> None:
        queue = make(PollSchedule.fixed(2.0))
        first, second = queue.add("ana_1", "a", 0.0), queue.add("ana_2", "a", 0.1)
        for entry in (first, second):
            queue.on_pending(poll(queue, 1.0), entry.key + 1.0)
        assert poll(queue, 5.0) is first
        queue.on_refused(first, 5.2)
        assert first.polls == 1
        assert first.key == 3.0
        assert [poll(queue, 6.0), poll(queue, 6.0)] == [first, second]

    def test_a_refused_fresh_look_goes_back_to_the_front(self) -> None:
        queue = make(model=knowing(low=500.0, high=600.0))
        for i in range(2):
            queue.add(f"ana_{i}", "a", 0.0, age=0.0)
        entry = poll(queue, 60.0)
        key = entry.key
        queue.on_refused(entry, 60.1)
        assert entry.key == key
        assert poll(queue, 60.2) is entry

    def test_a_refused_last_look_is_due_again_at_once(self) -> None:
        queue = make(PollSchedule.fixed(50.0), timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0)
        poll(queue, 9.75)
        queue.on_refused(entry, 9.8)
        assert plan(queue, 9.8, PACED) == (9.8, True)
        assert poll(queue, 9.9) is entry
        assert queue.pop_expired(10.0) is entry
        assert queue.pop_expired(10.0) is None

    def test_a_failed_poll_is_due_again_when_told(self) -> None:
        queue = make(model=knowing())
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_failed(poll(queue, 0.0), 0.2, retry_at=1.5)
        assert (entry.failures, entry.polls) == (1, 1)
        assert plan(queue, 0.2, PACED) == (1.5, False)
        queue.on_pending(poll(queue, 1.5), 1.6)
        assert entry.failures == 0

    def test_an_answer_ends_the_trouble_before_it(self) -> None:
        """What comes after it is a trouble of its own: a 404 is doubted anew, an error tells of its own attempts."""
        queue = make()
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_failed(poll(queue, 0.0), 0.2, retry_at=1.5)
        entry.trouble = Trouble(since=0.2, missing_since=0.2, missing=1)
        queue.on_pending(poll(queue, 1.5), 1.6)
        assert entry.trouble is None

    def test_ten_refusals_stop_the_clock_of_an_id_and_no_more(self) -> None:
        """A server that only refuses does not stop it for good: the eleventh leaves the time running."""
        queue = make(timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        for n in range(11):
            queue.on_refused(poll(queue, float(n)), n + 0.5)
        assert (entry.refusals, entry.first_poll_at, queue.next_deadline()) == (11, 10.0, 20.0)

    def test_a_refused_look_that_was_first_and_last_leaves_no_end_behind(self) -> None:
        """Its clock runs from its next poll; who began before that ends before it."""
        queue = make(timeout=1.0)
        for id, now in (("ana_1", 0.0), ("ana_2", 0.5)):
            queue.add(id, "a", now)
        first, second = poll(queue, 0.0), poll(queue, 0.5)
        queue.on_failed(second, 0.6, retry_at=9.0)
        queue.next_slot(0.8, PACED)  # its last look falls due while it is out
        queue.on_refused(first, 0.85)
        assert poll(queue, 0.9) is first
        assert poll(queue, 1.25) is second
        assert queue.next_deadline() == 1.5

    def test_a_refusal_does_not_stop_a_clock_that_runs_from_the_call(self) -> None:
        queue = PollQueue(PollModel(), schedule=PollSchedule.learned(), timeout=10.0, from_add=True)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_refused(poll(queue, 1.0), 1.5)
        assert (entry.first_poll_at, queue.next_deadline()) == (0.0, 10.0)

    def test_a_refused_late_look_is_over_in_its_second(self) -> None:
        queue = make(timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_failed(poll(queue, 0.0), 0.0, 50.0)
        assert queue.pop_expired(100.0) is None
        queue.on_refused(poll(queue, 100.0), 100.1)
        assert queue.pop_expired(101.0) is entry


class TestLettingGo:
    def test_a_settled_id_is_gone(self) -> None:
        model = PollModel()
        queue = make(model=model)
        entry = queue.add("ana_1", "a", 0.0)
        assert (len(queue), model.pending) == (1, 1)
        queue.on_settled(poll(queue, 0.0), 0.1)
        assert (len(queue), model.pending, queue.next_slot(9.0, PACED)) == (0, 0, None)
        queue.discard(entry)
        assert (len(queue), model.pending) == (0, 0)

    @pytest.mark.parametrize("answer", ["on_pending", "on_settled", "on_refused", "discard"])
    def test_an_answer_to_a_discarded_poll_changes_nothing(self, answer: str) -> None:
        queue = make(timeout=5.0)
        entry = queue.add("ana_1", "a", 0.0)
        poll(queue, 0.0)
        queue.discard(entry)
        if answer == "discard":
            queue.discard(entry)
        else:
            getattr(queue, answer)(entry, 0.1)
        queue.on_failed(entry, 0.2, retry_at=0.3)
        assert (len(queue), queue.next_slot(9.0, PACED), queue.next_deadline()) == (0, None, None)

    def test_what_nobody_waits_for_is_not_kept(self) -> None:
        queue = make(timeout=1000.0)
        entries = [queue.add(f"ana_{i}", "a", 0.0, age=None if i % 2 else 0.0) for i in range(2_000)]
        for i in range(300):
            taken = queue.take(1.0 + i, PACED)
            if taken is not None:
                queue.on_pending(taken, 1.1 + i)
        for entry in entries[:1_990]:
            queue.discard(entry)
        lines = (queue._orders.by_key, queue._orders.new, queue._orders.by_sight._entries, queue._orders.endings._ahead)
        assert len(queue) == 10
        assert max(len(line) for line in lines) <= 80

    def test_its_repr_is_a_diagnostic_line(self) -> None:
        queue = make()
        queue.add("ana_1", "a", 0.0)
        poll(queue, 0.0)
        assert repr(queue) == "<PollQueue learned: 1 pending, 1 in flight>"


def test_what_is_not_due_is_looked_at_again_no_sooner_than_others_can_bring_it_nearer() -> None:
    """By the rate at which all that is pending may settle, and never without a pause."""
    assert look_again_at(100.0, PACED, 120) == pytest.approx(110.0)
    assert look_again_at(100.0, PACED, 0) == pytest.approx(100.05)


class TestHeld:
    def held(self, queue: PollQueue, id: str, at: float) -> Entry:
        entry = queue.add(id, "a", 0.0)
        assert poll(queue, 0.0) is entry
        queue.on_failed(entry, 0.0, at, is_held=True)
        return entry

    def test_one_of_all_goes_at_a_time(self) -> None:
        """As the budget lets them, those first whose own pace comes first."""
        queue = make()
        first, second = self.held(queue, "ana_1", 10.0), self.held(queue, "ana_2", 9.0)
        assert plan(queue, 0.0, PACED) == (9.0, False)
        assert queue.take(8.9, PACED) is None
        assert poll(queue, 10.0) is second
        assert queue.take(10.0, PACED) is None
        slot = queue.next_slot(10.0, PACED)
        assert slot is not None
        assert slot.at == pytest.approx(10.05)
        assert poll(queue, 10.05) is first

    def test_what_is_announced_or_has_its_last_look_is_held_no_more(self) -> None:
        queue = make(timeout=60.0)
        first, second = self.held(queue, "ana_1", 500.0), self.held(queue, "ana_2", 500.0)
        queue.on_announced(first, 20.0)
        assert poll(queue, 20.0) is first
        assert poll(queue, 59.8) is second
        queue.on_pending(second, 59.9)
        assert queue.pop_expired(59.9) is second
        queue.discard(first)
        assert (len(queue), queue.next_slot(600.0, PACED)) == (0, None)

    def test_a_place_of_before_lets_nobody_go(self) -> None:
        """Its last look was due by deadline, while it stood in line for the same moment."""
        queue = make(timeout=20.25)
        other = self.held(queue, "ana_1", 19.0)
        entry = queue.add("ana_2", "a", 0.0)
        queue.on_failed(poll(queue, 0.0), 0.0, 20.0)
        assert poll(queue, 19.98) is other
        assert poll(queue, 20.0) is entry
        queue.on_failed(entry, 20.0, 20.0, is_held=True)
        assert queue.take(20.0, PACED) is None
        assert poll(queue, 20.1) is entry

    def test_what_is_given_up_waits_to_be_popped(self) -> None:
        queue = make(timeout=60.0)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_given_up(poll(queue, 0.0), 1.0)
        assert queue.take(30.0, PACED) is None
        assert queue.next_slot(59.9, PACED) is None
        assert queue.pop_expired(59.9) is None
        assert queue.pop_expired(60.0) is entry


class TestLateLooks:
    def test_a_deadline_that_was_missed_by_far_is_followed_by_one_look(self) -> None:
        """Within a second, ahead of everything, and once."""
        queue = make(PollSchedule.fixed(50.0), timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0)
        assert queue.pop_expired(100.0) is None
        assert queue.next_deadline() == 101.0
        assert plan(queue, 100.0, PACED) == (100.0, True)
        assert poll(queue, 100.0) is entry
        queue.on_pending(entry, 100.2)
        assert queue.pop_expired(100.2) is entry

    def test_it_is_granted_to_whoever_is_asked_for_first(self) -> None:
        """The slot, the timer or the answer: whichever comes first after a standstill."""
        by_slot, by_failure = make(timeout=10.0), make(timeout=10.0)
        entry = by_slot.add("ana_1", "a", 0.0)
        by_slot.on_pending(poll(by_slot, 0.0), 0.0, hint_in=5.0)
        assert poll(by_slot, 100.0) is entry
        assert entry.deadline == 101.0
        entry = by_failure.add("ana_1", "a", 0.0)
        by_failure.on_given_up(poll(by_failure, 0.0), 100.0)
        assert poll(by_failure, 100.0) is entry
        assert by_failure.pop_expired(101.0) is entry

    @pytest.mark.parametrize(
        ("is_timer_first", "landing"),
        [(False, "running"), (False, "given up"), (True, "running"), (True, "given up")],
    )
    def test_a_poll_that_was_out_meanwhile_does_not_stand_for_it(self, is_timer_first: bool, landing: str) -> None:
        """Its answer may be from before: another is sent, and that one ends the wait."""
        queue = make(timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        poll(queue, 0.0)
        if is_timer_first:
            assert queue.pop_expired(100.0) is None
        if landing == "running":
            queue.on_pending(entry, 100.0)
        else:
            queue.on_given_up(entry, 100.0)
        assert queue.pop_expired(100.0) is None
        assert poll(queue, 100.0) is entry
        queue.on_pending(entry, 100.2)
        assert queue.pop_expired(100.2) is entry

    @pytest.mark.parametrize("landing", ["running", "given up"])
    def test_it_is_granted_whatever_came_of_the_look_before(self, landing: str) -> None:
        """What was to be the last look, or had failed, says nothing of the time in which nothing here ran."""
        queue = make(timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        if landing == "running":
            queue.on_pending(poll(queue, 0.0), 9.8)
        else:
            queue.on_given_up(poll(queue, 0.0), 1.0)
        assert queue.pop_expired(100.0) is None
        assert poll(queue, 100.0) is entry
        queue.on_given_up(entry, 100.2)
        assert queue.take(100.3, PACED) is None
        assert queue.pop_expired(101.0) is entry

    def test_who_had_its_last_look_before_keeps_nobody_from_one(self) -> None:
        """All get theirs in the same moment, also who stands in line behind it."""
        queue = make(PollSchedule.fixed(100.0), timeout=10.0)
        for id in ("ana_1", "ana_2"):
            queue.add(id, "a", 0.0)
            queue.on_pending(poll(queue, 0.0), 0.0)
        seen, out = poll(queue, 9.8), poll(queue, 9.8)
        queue.on_pending(seen, 9.9)
        assert queue.pop_expired(100.0) is None
        assert (seen.is_last, out.is_last) == (True, True)

    @pytest.mark.parametrize("is_out", [True, False])
    def test_the_missed_end_of_a_call_is_followed_by_one_look_at_each(self, is_out: bool) -> None:
        """They have no deadlines of their own; what is out then is looked at again when it has landed."""
        queue = make()
        entry = queue.add("ana_1", "a", 0.0)
        poll(queue, 0.0)
        if not is_out:
            queue.on_pending(entry, 0.1, hint_in=3600.0)
        entry.is_stale = entry.in_flight
        queue.on_announced(entry, 100.0)
        if is_out:
            queue.on_pending(entry, 100.0, hint_in=3600.0)
        assert poll(queue, 100.0) is entry
        queue.on_pending(entry, 100.1, hint_in=3600.0)
        assert queue.take(100.9, PACED) is None

    def test_who_is_a_little_late_is_over(self) -> None:
        """By a quarter of a second: no event loop that runs is later than that."""
        for now, is_over in ((10.2, True), (10.25, True), (10.375, False)):
            queue = make(timeout=10.0)
            entry = queue.add("ana_1", "a", 0.0)
            queue.on_pending(poll(queue, 0.0), 0.0, hint_in=50.0)
            assert (queue.pop_expired(now) is entry) is is_over

    @pytest.mark.parametrize("woken_at", [70.0, 200.0])
    def test_they_cost_each_id_the_same_however_many_are_late(self, woken_at: float) -> None:
        """After a sleep of hours there may be a hundred thousand; none is searched for among the others."""

        def lines_for(count: int) -> float:
            queue = make(PollSchedule.fixed(500.0), timeout=60.0)
            for number in range(count):
                at = 60.0 * number / count
                queue.add(f"ana_{number}", "a", at)
                queue.on_pending(poll(queue, at), at)
            executed = 0

            def note(frame: FrameType, event: str, _: object) -> TraceFunction:
                nonlocal executed
                executed += event == "line"
                return note

            before = sys.gettrace()
            sys.settrace(note)
            try:
                while queue.pop_expired(woken_at) is not None:
                    pass
            finally:
                sys.settrace(before)
            return executed / count

        assert lines_for(400) < 1.5 * lines_for(100)

    def test_what_a_pause_outlasts_has_none(self) -> None:
        queue = make(timeout=10.0)
        entry = queue.add("ana_1", "a", 0.0)
        queue.on_pending(poll(queue, 0.0), 0.0)
        assert queue.pop_hopeless(10.0) is None
        assert queue.pop_hopeless(10.1) is entry
        assert len(queue) == 0


class TestAdopted:
    def seen(self, at: float, timeout: float = 10.0) -> Entry:
        """An entry of another queue, last seen running at that moment."""
        other = make(timeout=timeout)
        entry = other.add("ana_1", "a", 0.0)
        queue_poll = poll(other, 0.0)
        other.on_pending(queue_poll, at)
        other.discard(entry)
        return entry

    def test_it_counts_as_pending_here(self) -> None:
        model = PollModel()
        queue = make(model=model, timeout=60.0)
        entry = queue.adopt(self.seen(4.0), 5.0, ends_at=70.0)
        assert (len(queue), model.pending) == (1, 1)
        queue.discard(entry)
        assert (len(queue), model.pending) == (0, 0)

    def test_its_next_look_is_due_by_the_law_that_is_known_here(self) -> None:
        queue = make(model=knowing(), timeout=60.0)
        queue.adopt(self.seen(4.0), 5.0, ends_at=70.0)
        slot = queue.next_slot(5.0, Supply(rate=0.001))
        assert slot is not None
        assert slot.at == pytest.approx(24.0, abs=1.0)

    def test_a_look_of_long_before_was_not_its_last(self) -> None:
        """Two leads before, and it is looked at once more before its time is over."""
        queue = make(timeout=10.0)
        entry = queue.adopt(self.seen(9.0), 9.6, ends_at=10.0)
        assert queue.pop_expired(9.6) is None
        assert poll(queue, 9.75) is entry

    def test_a_look_of_just_before_is_not_its_last_where_time_is_left(self) -> None:
        queue = make(timeout=10.0)
        queue.adopt(self.seen(4.9), 5.0, ends_at=10.0)
        assert queue.pop_expired(9.7) is None
        assert poll(queue, 9.75).polls == 2

    def test_it_goes_on_where_the_other_was(self) -> None:
        """Its age and what was seen count; its time is this queue's own."""
        queue = make(timeout=60.0)
        entry = queue.adopt(self.seen(4.0), 5.0, ends_at=70.0)
        assert (entry.polls, entry.seen_at, entry.deadline) == (1, 4.0, 70.0)
        slot = queue.next_slot(5.0, Supply())
        assert slot is not None
        assert slot.at > 5.0

    def test_the_others_last_look_is_its_own_where_the_time_is_over_too(self) -> None:
        queue = make(timeout=10.0)
        entry = queue.adopt(self.seen(9.9), 9.95, ends_at=10.0)
        assert queue.next_slot(9.95, PACED) is None
        assert queue.pop_expired(9.95) is entry

    def test_what_was_in_trouble_is_looked_at_when_it_was_due(self) -> None:
        known = self.seen(4.0)
        known.trouble, known.key = Trouble(since=5.0), 30.0
        queue = make(timeout=60.0)
        entry = queue.adopt(known, 6.0, ends_at=70.0)
        assert plan(queue, 6.0, PACED) == (30.0, False)
        assert poll(queue, 30.0) is entry

    def test_deadlines_keep_their_order(self) -> None:
        """Its time began before that of others that are here already."""
        queue = make(PollSchedule.fixed(50.0), timeout=10.0)
        queue.add("ana_2", "a", 8.0)
        queue.on_pending(poll(queue, 8.0), 8.0)
        entry = queue.adopt(self.seen(4.0, timeout=60.0), 9.0, ends_at=12.0)
        assert queue.next_deadline() == 12.0
        assert queue.pop_expired(12.0) is entry
        assert queue.next_deadline() == 18.0

    def test_its_deadline_finds_its_place_among_many(self) -> None:
        queue = make(PollSchedule.fixed(50.0), timeout=10.0)
        for second in (1.0, 3.0, 5.0):
            queue.add(f"ana_{second}", "a", second)
            poll(queue, second)
        queue.adopt(self.seen(4.0, timeout=60.0), 5.0, ends_at=12.0)
        ends = []
        while (deadline := queue.next_deadline()) is not None:
            ends.append(deadline)
            assert queue.pop_expired(deadline) is not None
        assert ends == [11.0, 12.0, 13.0, 15.0]

    def test_without_a_timeout_it_has_none(self) -> None:
        queue = make(timeout=None)
        assert queue.adopt(self.seen(4.0), 5.0, ends_at=None).deadline is None
        assert queue.next_deadline() is None
