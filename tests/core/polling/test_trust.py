"""What an inbox is worth, at literal times: when polls are slow, and when an announcement is looked at again."""

import math

import pytest

from kallglot_async._core.polling.hazard import PollModel
from kallglot_async._core.polling.pending import ANNOUNCED, FIRM, LEARNED, Entry, Trouble
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule, Supply
from kallglot_async._core.polling.trust import InboxTrust, next_echo
from tests.support.queues import plan

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
        """Twice the age, within one and five minutes of the last look."""
        assert trusting().next_look(entry(seen_at)) == at

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
