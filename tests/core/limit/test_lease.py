"""One process' part of a shared limit, asked and told at literal times; and several of them around one honest table."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from support.limits import AHEAD, DIRECT, PACED, figures, send, urgencies

from kallglot_async._core.limit.exchange import Reply
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.lease import MOST_WANTED, Lease

NOBODY = (0, 0, 0)
PERSON = (1, 0, 0)
POLL = (0, 0, 1)


def lease(horizon=1.0, **options):
    """Return a lease, and the list that grows by one whenever it has news."""
    news = []
    return Lease(horizon, lambda: news.append(None), **options), news


def exchange(lease, now=0.0, waiting=PERSON, **told):
    """Ask and be answered at once; returns what was asked."""
    asked = lease.ask(now, waiting)
    lease.on_reply(asked, Reply(**told), now, now)
    return asked


def silence(lease, now=0.0, waiting=PERSON):
    """Ask, and hear nothing."""
    asked = lease.ask(now, waiting)
    lease.on_silence(asked, now)
    return asked


class TestWhatItGrants:
    def test_nothing_before_the_others_were_asked(self):
        """Nobody knows what they have in flight."""
        alone, _ = lease()
        assert [alone.next_at(0.0, urgency) for urgency in (DIRECT, AHEAD, PACED)] == [math.inf] * 3
        assert alone.next_ask(0.0, NOBODY) == math.inf
        assert alone.next_ask(0.0, PERSON) == 0.0

    def test_slots_for_people_go_at_once_and_are_counted(self):
        """Two were granted: the third asks again."""
        ours, _ = lease()
        exchange(ours, direct=2)
        for _ in range(2):
            assert ours.next_at(0.0, DIRECT) == -math.inf
            send(ours, 0.0)
        assert ours.next_at(0.0, DIRECT) == math.inf

    def test_polls_keep_the_interval_and_people_do_not(self):
        """A person takes what is held, whoever it was asked for."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, paced=3, interval=0.2)
        send(ours, 0.0, PACED)
        send(ours, 0.0, PACED)
        assert ours.next_at(0.0, PACED) == pytest.approx(0.2)
        assert ours.next_at(0.0, DIRECT) == -math.inf
        send(ours, 0.0, DIRECT)
        assert ours.next_at(0.2, PACED) == math.inf

    def test_a_slot_that_was_not_used_after_all_is_there_for_the_next(self):
        """At once, and no more go early for it than would have."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, paced=3, interval=0.2)
        send(ours, 0.0, PACED)
        ours.on_unsent(send(ours, 0.0, PACED))
        assert ours.next_at(0.0, PACED) == -math.inf
        assert ours.ask(0.0, NOBODY).flying == 1
        send(ours, 0.0, PACED)
        assert ours.next_at(0.0, PACED) == pytest.approx(0.2)

    def test_a_slot_that_was_not_used_after_all_serves_one(self):
        """It is nobody else's, so it is not counted twice."""
        ours, _ = lease()
        exchange(ours, direct=1)
        ours.on_unsent(send(ours, 0.0))
        assert ours.next_at(0.0, DIRECT) == -math.inf
        assert ours.ask(0.0, NOBODY).unspent == 1
        send(ours, 0.0)
        assert ours.next_at(0.0, DIRECT) == math.inf

    def test_it_asks_for_more_while_that_is_used_up_and_for_less_where_it_lapses(self):
        """1, 3, 7; and fewer by what nobody used."""
        ours, _ = lease()
        wanted = []
        for _ in range(3):
            asked = exchange(ours, waiting=POLL, paced=ours._want)
            wanted.append(asked.polls)
            for _ in range(asked.polls):
                send(ours, 0.0, PACED)
        assert wanted == [1, 3, 7]
        exchange(ours, waiting=POLL, paced=12)
        assert ours.ask(2.0, POLL).polls == 15 - 12

    def test_polls_are_asked_for_where_some_wait_and_none_is_held(self):
        """Not for a person, and no second time."""
        ours, _ = lease()
        assert ours.ask(0.0, PERSON).polls == 0
        assert ours.ask(0.0, (0, 1, 0)).polls == exchange(ours, waiting=POLL, paced=2, interval=5.0).polls == 1
        assert ours.ask(0.0, POLL).polls == 0

    def test_a_person_who_comes_while_polls_have_to_wait_is_asked_for_at_once(self):
        """`again_in` was said to the polls."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, again_in=0.7)
        assert ours.next_ask(0.1, POLL) == pytest.approx(0.7)
        assert ours.next_ask(0.1, (1, 0, 1)) == pytest.approx(0.1)
        exchange(ours, waiting=PERSON, again_in=0.7)
        assert ours.next_ask(0.1, PERSON) == pytest.approx(0.7)


class TestWhatLapses:
    """Unspent grants must lapse: nobody may hold for ever what others could use."""

    def test_slots_for_people_lapse_and_are_given_back(self):
        """They were for those who waited."""
        ours, _ = lease()
        exchange(ours, direct=5)
        send(ours, 0.1)
        assert ours.next_at(0.5, DIRECT) == math.inf
        assert ours.next_ask(0.6, NOBODY) == pytest.approx(0.1 + 1.0)
        asked = ours.ask(1.1, NOBODY)
        assert (asked.flying, asked.unspent, asked.foregone) == (1, 0, 4)

    def test_one_poll_is_asked_for_however_many_slots_for_people_lapsed(self):
        """Who asks for none would never be granted one again."""
        ours, _ = lease()
        exchange(ours, direct=5)
        assert ours.ask(1.1, POLL).polls == 1

    def test_time_counts_from_the_asking(self):
        """The answer took 200 ms: the others count from when they gave it."""
        ours, _ = lease()
        asked = ours.ask(0.0, PERSON)
        ours.on_reply(asked, Reply(direct=1), 0.0, 0.2)
        assert ours.next_at(0.49, DIRECT) == -math.inf
        assert ours.next_at(0.5, DIRECT) == math.inf

    @pytest.mark.parametrize("is_used", [True, False])
    def test_slots_to_be_spent_at_once_lapse_after_half_a_horizon(self, is_used):
        """Counted anew for one that was not used after all, which was one for polls."""
        ours, _ = lease(4.0)
        if is_used:
            exchange(ours, direct=1)
        else:
            exchange(ours, waiting=POLL, paced=1)
            ours.on_unsent(send(ours, 0.0, PACED))
        assert ours.next_at(1.9, DIRECT) == -math.inf
        assert ours.next_at(2.0, DIRECT) == math.inf

    def test_paced_slots_lapse_a_horizon_after_the_last_was_due(self):
        """Three, half a second apart."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, paced=3, interval=0.5)
        assert ours.next_at(2.4, PACED) < math.inf
        assert ours.next_at(2.5, PACED) == math.inf
        assert ours.ask(2.5, POLL).unspent == 0

    def test_before_it_falls_idle_the_others_hear_what_has_ended(self):
        """Else they would count it until they take this process for gone."""
        ours, news = lease()
        exchange(ours, direct=1)
        ticket = send(ours, 0.0)
        assert ours.next_ask(0.0, NOBODY) == math.inf
        ours.on_answer(ticket, 0.3, None)
        assert news
        assert ours.next_ask(0.3, NOBODY) == pytest.approx(1.3)
        assert ours.ask(1.3, NOBODY).flying == 0
        assert ours.next_ask(1.3, NOBODY) == math.inf

    def test_after_a_burst_the_others_hear_that_it_has_ended(self):
        """Much that has landed is held against them until then."""
        ours, news = lease()
        exchange(ours, direct=20)
        tickets = [send(ours, 0.0) for _ in range(20)]
        for ticket in tickets[:15]:
            ours.on_answer(ticket, 0.05, None)
            if ticket is not tickets[14]:
                assert ours.next_ask(0.05, NOBODY) > 0.2
        assert news
        assert ours.next_ask(0.05, NOBODY) == pytest.approx(0.1)
        assert ours.ask(0.1, NOBODY).flying == 5

    def test_what_is_not_spent_yet_has_not_ended(self):
        """The others count it as under way, and are right to."""
        ours, _ = lease()
        exchange(ours, direct=20)
        for _ in range(10):
            send(ours, 0.0)
        asked = exchange(ours, 0.01, NOBODY)
        assert (asked.flying, asked.unspent) == (10, 10)
        assert ours.next_ask(0.02, NOBODY) > 0.2

    def test_after_a_burst_who_waits_need_not_wait_for_longer_than_the_others_do(self):
        """`again_in` was said as much was under way: what has landed since is told by the same time as with nobody."""
        ours, _ = lease()
        exchange(ours, waiting=(30, 0, 0), direct=20, again_in=0.7)
        tickets = [send(ours, 0.0) for _ in range(20)]
        assert ours.next_ask(0.05, PERSON) == pytest.approx(0.7)
        for ticket in tickets[:15]:
            ours.on_answer(ticket, 0.05, None)
        assert ours.next_ask(0.05, PERSON) == pytest.approx(0.1)

    def test_nobody_is_asked_for_more_while_something_is_held(self):
        """Its pace keeps a poll waiting, and not the others: they are asked once it has lapsed."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, paced=3, interval=0.5)
        send(ours, 0.0, PACED)
        assert ours.next_ask(0.1, POLL) == pytest.approx(2.5)

    def test_who_leaves_holds_nothing(self):
        """And says so."""
        ours, _ = lease()
        assert not ours.can_leave()
        exchange(ours, waiting=POLL, paced=3, interval=0.5)
        assert ours.can_leave()
        asked = ours.ask(0.1, NOBODY, is_leaving=True)
        assert (asked.unspent, asked.is_leaving) == (0, True)

    def test_who_still_waits_for_an_answer_does_not_leave(self):
        """The others have to count that; and who has nothing to wait for stays until it says so."""
        ours, _ = lease()
        assert not exchange(ours, direct=1).is_leaving
        send(ours, 0.0)
        assert not ours.ask(0.1, NOBODY, is_leaving=True).is_leaving


class TestAppetite:
    """What polls would spend, which the others leave to a process."""

    def test_it_has_no_end_until_one_is_seen(self):
        """Two of three slots lapse: it is one. Then what is granted is used up, and it may be twice as much."""
        ours, _ = lease()
        assert ours.ask(0.0, POLL).appetite == MOST_WANTED
        exchange(ours, waiting=POLL, paced=3, interval=0.5)
        send(ours, 0.0, PACED)
        assert ours.ask(2.5, POLL).appetite == 1
        exchange(ours, 3.0, POLL, paced=1, interval=0.5)
        send(ours, 3.0, PACED)
        assert ours.ask(3.5, POLL).appetite == 7

    def test_who_has_no_polls_has_none(self):
        """People take nothing from the part of others."""
        ours, _ = lease()
        assert ours.ask(0.0, PERSON).appetite == 0

    def test_it_ends_with_the_polls(self):
        """A horizon after the last."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, paced=1, interval=0.5)
        ticket = send(ours, 0.0, PACED)
        ours.on_answer(ticket, 0.1, None)
        assert ours.ask(0.2, NOBODY).appetite > 0
        assert ours.ask(1.2, NOBODY).appetite == 0


class TestWhatItTells:
    def test_for_how_long_it_has_sent_nothing_up_to_an_hour(self):
        """A clock of the others' need not take more."""
        ours, _ = lease()
        assert ours.ask(0.0, NOBODY).idle_for == 3600.0
        exchange(ours, waiting=POLL, paced=1)
        send(ours, 0.0, PACED)
        assert ours.ask(5.0, NOBODY).idle_for == pytest.approx(5.0)
        assert ours.ask(5000.0, NOBODY).idle_for == 3600.0
        exchange(ours, 5000.0, POLL, paced=2, interval=0.4)
        for _ in range(2):
            send(ours, 5000.0, PACED)
        assert ours.ask(5000.0, NOBODY).idle_for == 0.0

    def test_how_long_an_answer_has_lately_taken(self):
        """The longest, which each quicker one brings down a little."""
        ours, _ = lease()
        exchange(ours, 5.0, direct=2)
        for sent_at, answered_at, trip in ((5.0, 5.4, 0.4), (5.4, 5.5, 0.98 * 0.4)):
            ours.on_answer(send(ours, sent_at), answered_at, None)
            assert ours.ask(answered_at, NOBODY).trip == pytest.approx(trip)

    def test_for_how_long_it_holds_what_it_holds(self):
        """Until the last of it lapses: the others count it as spent from then on."""
        ours, _ = lease()
        assert ours.ask(0.0, PERSON).lapses_in == 0.0
        exchange(ours, waiting=(1, 0, 1), direct=1, paced=3, interval=0.5)
        asked = ours.ask(0.4, POLL)
        assert (asked.lapses_in, asked.foregone) == (pytest.approx(2.1), 0)
        ours, _ = lease()
        exchange(ours, direct=2)
        send(ours, 0.0)
        assert ours.ask(0.1, PERSON).lapses_in == pytest.approx(0.4)

    def test_of_several_answers_the_least_figure(self):
        """They may have come in any order."""
        ours, _ = lease()
        exchange(ours, direct=3)
        tickets = [send(ours, 0.0) for _ in range(3)]
        for ticket, remaining in zip(tickets, (40, 38, 39), strict=True):
            ours.on_answer(ticket, 0.1, figures(remaining=remaining, resets_in=30.0))
        asked = ours.ask(0.5, NOBODY)
        assert (asked.figures.remaining, asked.figures.resets_in) == (38, pytest.approx(29.6))
        assert asked.is_fresh
        assert not ours.ask(0.6, NOBODY).is_fresh

    def test_that_the_newest_answer_told_of_no_limit(self):
        """The others know it no more either, until one is told of again."""
        ours, _ = lease()
        exchange(ours, direct=3)
        for told in (None, figures(), None):
            ours.on_answer(send(ours, 0.0), 0.1, told)
            assert ours.ask(0.1, NOBODY).is_quiet is (told is None)

    def test_a_new_window_is_told_at_once_and_wins(self):
        """Whatever was least in the one before; a late answer of that changes nothing."""
        ours, news = lease()
        exchange(ours, direct=3)
        first, second, late = (send(ours, 0.0) for _ in range(3))
        ours.on_answer(first, 0.1, figures(remaining=3, reset=1000.0))
        exchange(ours, 0.2, NOBODY)
        del news[:]
        ours.on_answer(second, 0.3, figures(remaining=59, reset=1060.0))
        assert news
        assert ours.next_ask(0.3, NOBODY) == 0.3
        ours.on_answer(late, 0.4, figures(remaining=2, reset=1000.0))
        assert ours.ask(0.4, NOBODY).figures.remaining == 59

    def test_a_new_window_that_the_others_know_of_is_no_news(self):
        """They have told of it themselves."""
        ours, _ = lease()
        exchange(ours, direct=2, reset=1060.0, limit=60)
        ticket = send(ours, 0.0)
        send(ours, 0.0)
        ours.on_answer(ticket, 0.3, figures(remaining=59, reset=1060.0))
        assert ours.next_ask(0.3, NOBODY) > 0.3

    def test_what_people_take_is_not_of_the_part_of_polls(self):
        """Of three slots for polls one went to a poll."""
        ours, _ = lease()
        exchange(ours, waiting=POLL, paced=3, interval=0.5)
        for urgency in (DIRECT, PACED, DIRECT):
            send(ours, 0.0, urgency)
        assert ours.ask(0.5, POLL).foregone == 2
        assert ours.ask(0.6, POLL).foregone == 0

    def test_what_people_have_sent_since_it_told_last(self):
        """Of the next window as much is kept for them; what polls sent is not of that."""
        ours, _ = lease()
        exchange(ours, waiting=(2, 0, 1), direct=2, paced=1)
        for urgency in (DIRECT, PACED, DIRECT):
            send(ours, 0.0, urgency)
        assert [ours.ask(0.1, NOBODY).people for _ in range(2)] == [2, 0]

    def test_how_many_there_are(self):
        """Itself, as long as it has heard of nobody else."""
        ours, _ = lease()
        assert exchange(ours, processes=3).processes == 1
        assert ours.ask(0.1, NOBODY).processes == 3

    def test_the_answer_of_a_probe_is_told_at_once(self):
        """Everybody waits for it, in every process; how it ended does not matter."""
        for end in ("answered", "lost", "refused"):
            ours, news = lease()
            exchange(ours, direct=1, is_probe=True)
            probe = send(ours, 0.0)
            del news[:]
            match end:
                case "answered":
                    ours.on_answer(probe, 0.1, None)
                case "lost":
                    ours.on_lost(probe, 0.1)
                case "refused":
                    ours.on_refused(probe, 0.1, None, 5.0)
            assert news
            assert ours.next_ask(0.1, NOBODY) == 0.1
            asked = ours.ask(0.1, NOBODY)
            assert (asked.landed, asked.lost) == (True, int(end == "lost"))

    def test_the_next_request_is_the_probe_that_was_not_sent_after_all(self):
        """Everybody waits for the answer of that one."""
        ours, _ = lease()
        exchange(ours, direct=1, is_probe=True)
        ours.on_unsent(send(ours, 0.0))
        ours.on_answer(send(ours, 0.1), 0.2, None)
        assert ours.ask(0.2, NOBODY).landed

    @pytest.mark.parametrize("told", [figures(remaining=0), None])
    def test_a_refusal_is_told_at_once_and_takes_back_what_was_granted(self, told):
        """Nobody sends before the pause is over, whether it came with figures or not."""
        ours, _ = lease()
        exchange(ours, direct=2)
        ticket = send(ours, 0.0)
        ours.on_refused(ticket, 0.1, told, 4.1)
        assert ours.next_at(0.1, DIRECT) == math.inf
        assert ours.next_ask(0.1, NOBODY) == 0.1
        assert ours.ask(0.1, PERSON).pause == pytest.approx(4.0)
        assert ours.next_ask(0.2, PERSON) == pytest.approx(4.1)

    def test_nobody_is_asked_while_the_others_have_been_told_to_pause(self):
        """There is nothing to be had before that is over."""
        ours, _ = lease()
        exchange(ours, waiting=PERSON, direct=0, pause=4.0)
        assert ours.next_ask(0.5, PERSON) == pytest.approx(4.0)
        assert ours.ask(1.0, PERSON).pause == pytest.approx(3.0)

    def test_what_a_refusal_says_of_the_limit_and_not_of_another(self):
        """Nothing remains of the limit that all know; figures of another size are of one that only refused."""
        for limit, is_told in ((60, True), (10, False)):
            ours, _ = lease()
            exchange(ours, direct=1, limit=60)
            ours.on_refused(send(ours, 0.0), 0.1, figures(limit=limit, remaining=0), 4.1)
            assert (ours.ask(0.1, PERSON).figures is not None) is is_told

    def test_what_was_not_heard_is_told_again(self):
        """Losses, figures, and that a probe has landed."""
        ours, _ = lease()
        exchange(ours, direct=1, is_probe=True)
        ours.on_answer(send(ours, 0.0), 0.1, figures())
        ours.on_lost(send(ours, 0.1), 0.2)
        for _ in range(2):
            asked = silence(ours, 0.3)
            assert (asked.lost, asked.landed, asked.is_fresh) == (1, True, True)

    def test_a_loop_that_is_gone_takes_its_requests_with_it(self):
        """No answer will come: the server may have counted them."""
        ours, _ = lease()
        exchange(ours, direct=2, is_probe=True)
        send(ours, 0.0)
        ours.forget_in_flight()
        asked = ours.ask(1.0, PERSON)
        assert (asked.flying, asked.unspent, asked.lost, asked.landed) == (0, 0, 1, True)


class TestAlone:
    def known(self, **told):
        ours, news = lease()
        exchange(ours, waiting=POLL, **({"processes": 4, "even": 60.0, "limit": 600} | told))
        return ours, news

    def test_it_goes_on_with_its_part(self):
        """60 requests/s among four: people and polls alike, one every 67 ms."""
        ours, _ = self.known()
        silence(ours, 1.0)
        assert ours.is_alone
        moments, now = [], 1.0
        while len(moments) < 16:
            now = max(now, ours.next_at(now, DIRECT))
            send(ours, now, DIRECT if len(moments) % 2 else PACED)
            moments.append(now)
        assert moments[-1] - moments[0] == pytest.approx(14 * 4 / 60.0)  # the first two may go together
        assert ours.supply(now).rate == pytest.approx(15.0)

    def test_it_asks_again_every_second(self):
        """For as long as anybody has use for it."""
        ours, _ = self.known()
        silence(ours, 1.0)
        assert ours.next_ask(1.0, PERSON) == pytest.approx(2.0)

    def test_it_asks_again_also_where_nobody_ever_waits(self):
        """A direct call that finds its slot free needs no queue; what it sends is what wakes the asker."""
        ours, news = self.known()
        silence(ours, 1.0, NOBODY)
        assert ours.next_ask(5.0, NOBODY) == math.inf
        del news[:]
        send(ours, 5.0)
        assert news
        assert ours.next_ask(5.0, NOBODY) == pytest.approx(2.0)

    def test_it_was_not_the_probe_of_all(self):
        """By the time that it is back, the others have taken that for lost: its answer is no news of theirs."""
        ours, _ = lease()
        exchange(ours, direct=1, is_probe=True)
        silence(ours)
        ours.on_answer(send(ours, 0.1), 0.2, None)
        assert not ours.ask(1.2, PERSON).landed

    def test_it_spends_what_it_holds_first(self):
        """Nobody else has that; then it has its part."""
        ours, _ = self.known(paced=3, interval=0.01, part=60.0, ends_in=9.03)
        silence(ours, 0.5)
        assert ours.ask(0.5, POLL).unspent == 3
        for moment in (0.5, 0.5, 0.51):
            assert ours.next_at(moment, PACED) <= moment
            send(ours, moment, PACED)
        assert ours.next_at(0.6, PACED) == pytest.approx(0.51 + 0.15)

    def test_what_it_holds_lapses_all_the_same(self):
        """The others take it for spent by then."""
        ours, _ = self.known(paced=9, interval=0.01)
        silence(ours, 0.5)
        assert ours.ask(1.5, PERSON).unspent == 0

    def test_it_says_that_it_is_back_and_who_was_there(self):
        """So that nobody takes the first to come back for the only one."""
        ours, _ = self.known()
        silence(ours, 1.0)
        asked = exchange(ours, 2.0, direct=1)
        assert (asked.is_back, asked.processes) == (True, 4)
        assert not ours.is_alone
        assert not ours.ask(2.1, PERSON).is_back

    def test_a_ceiling_holds_without_the_others(self):
        """Its part of that, where it is the smaller; and all of it where nobody was ever heard of."""
        ours, _ = lease(ceiling=8.0)
        silence(ours, 0.0)
        assert ours.supply(0.0).rate == pytest.approx(8.0)
        exchange(ours, 1.0, processes=4, even=60.0)
        silence(ours, 2.0)
        assert ours.supply(2.0).rate == pytest.approx(2.0)

    def test_the_window_of_its_own_answers_rules_meanwhile(self):
        """And only then: with the others there it knows too little."""
        ours, _ = lease()
        gate = Gate((), ours)
        exchange(ours, direct=2)
        gate.on_answer(gate.on_sent(0.0, DIRECT), 0.1, figures(remaining=0, resets_in=30.0))
        assert gate.next_at(0.1, DIRECT) <= 0.1
        send(ours, 0.1)
        silence(ours, 0.1)
        assert gate.next_at(0.1, DIRECT) > 30.0

    def test_its_window_keeps_no_second_pace(self):
        """The others take of it what they were given, and are no strangers; what it does not cover may still not go."""
        ours, _ = self.known()
        gate = Gate((), ours)
        gate.on_answer(gate.on_sent(0.0, PACED), 0.0, figures(limit=600, remaining=20, resets_in=10.0))
        silence(ours, 1.0)
        gate.on_sent(1.0, PACED)
        assert gate.next_at(1.0, PACED) == pytest.approx(1.0)
        gate.on_sent(1.0, PACED)
        assert gate.next_at(1.0, PACED) == pytest.approx(1.0 + 4 / 60)

    def test_its_window_keeps_the_pace_where_nobody_was_ever_heard_of(self):
        """Then it is a process by itself."""
        ours, _ = lease()
        gate = Gate((), ours)
        silence(ours, 0.0)
        for _ in range(2):
            gate.on_answer(gate.on_sent(0.0, PACED), 0.0, figures(limit=600, remaining=20, resets_in=10.0))
        assert gate.next_at(0.0, PACED) > 0.5


class TestSupply:
    def test_it_is_this_process_share(self):
        """A scheduler of polls plans with what it can have."""
        ours, _ = lease()
        exchange(
            ours, waiting=POLL, paced=2, interval=0.1, sharers=4, limit=600, available=200.0, ends_in=5.0, rate=40.0
        )
        supply = ours.supply(1.0)
        assert supply == type(supply)(rate=10.0, remaining=52.0, resets_in=4.0)
        assert ours.supply(6.0).resets_in == 0.0

    def test_what_has_lapsed_is_not_planned_with(self):
        """Neither slots for people nor paced ones: the others have them by then."""
        ours, _ = lease()
        told = {"limit": 600, "available": 0.0, "ends_in": 60.0, "rate": 10.0}
        exchange(ours, waiting=(1, 0, 1), direct=2, paced=3, interval=0.1, **told)
        assert [ours.supply(now).remaining for now in (0.4, 1.2, 1.3)] == [5, 3, 0]

    def test_where_nothing_is_announced_there_is_nothing_to_plan_with(self):
        """As without the others; and before they have answered."""
        ours, _ = lease()
        assert ours.supply(0.0).rate == math.inf
        exchange(ours)
        assert ours.supply(0.0).rate == math.inf

    def test_of_a_ceiling_it_is_this_process_part(self):
        """Each of those with polls has as much, where the server announces nothing."""
        ours, _ = lease(ceiling=8.0)
        exchange(ours, waiting=POLL, sharers=4)
        assert ours.supply(0.0).rate == pytest.approx(2.0)


class Table(RuleBasedStateMachine):
    """Several leases around a table that counts what it gives: whatever is lost on the way, nobody sends more."""

    tickets = Bundle("tickets")

    @initialize()
    def start(self):
        self.now = 0.0
        self.leases = [Lease(1.0, lambda: None) for _ in range(3)]
        self.granted = self.sent = 0

    @rule(place=st.integers(0, 2), direct=st.integers(0, 4), paced=st.integers(0, 4), is_heard=st.booleans())
    def ask(self, place, direct, paced, is_heard):
        lease = self.leases[place]
        asked = lease.ask(self.now, (direct, 0, int(paced > 0)))
        assert asked.flying >= 0
        assert asked.unspent >= 0
        if is_heard:
            paced = min(paced, asked.polls)
            self.granted += direct + paced
            lease.on_reply(asked, Reply(direct=direct, paced=paced, interval=0.1), self.now, self.now)
        else:
            lease.on_silence(asked, self.now)

    @rule(target=tickets, place=st.integers(0, 2), urgency=urgencies)
    def go(self, place, urgency):
        lease = self.leases[place]
        if lease.next_at(self.now, urgency) > self.now or lease.is_alone:
            return None
        self.sent += 1
        return place, send(lease, self.now, urgency)

    @rule(ticket=st.one_of(tickets), end=st.sampled_from(["answer", "loss", "unsent"]))
    def land(self, ticket, end):
        if ticket is None or ticket[1].epoch:
            return
        place, known = ticket
        known.epoch = 1  # ended: once is enough
        match end:
            case "answer":
                self.leases[place].on_answer(known, self.now, figures())
            case "loss":
                self.leases[place].on_lost(known, self.now)
            case "unsent":
                self.sent -= 1
                self.leases[place].on_unsent(known)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3, 1.0, 5.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(place=st.integers(0, 2), waiting=st.tuples(*[st.integers(0, 2)] * 3))
    def look(self, place, waiting):
        """Who waits is never left without a moment at which something happens."""
        lease = self.leases[place]
        turn = min(
            (lease.next_at(self.now, urgency) for urgency in (DIRECT, AHEAD, PACED) if waiting[urgency]),
            default=-math.inf,
        )
        assert min(turn, lease.next_ask(self.now, waiting)) < math.inf

    @invariant()
    def nobody_sends_what_was_not_granted(self):
        assert self.sent <= self.granted


TestTable = Table.TestCase
