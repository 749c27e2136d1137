"""The gate, asked and told at literal times: which rule is in force, how long a pause is, whose turn it is."""

import math

import pytest
from support.limits import AHEAD, DIRECT, EPOCH, PACED, figures, send

from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.gate import SERVED_BEFORE, Gate
from kallglot_async._core.limit.ticket import Supply, Urgency
from kallglot_async._core.limit.unannounced import Unannounced
from kallglot_async.models import RateLimit


def answer(gate, now, told=None, urgency=DIRECT):
    """A request goes out and is answered at once."""
    gate.on_answer(gate.on_sent(now, urgency), now, told)


def refuse(gate, now, told=None, retry_after=None):
    """A request goes out and is refused at once; returns when the pause is over."""
    ticket, until = gate.on_sent(now, DIRECT), now + gate.next_pause(told, retry_after)
    gate.on_refused(ticket, now, told, until)
    return until


def announced(now=0.0, *, beside=(), **told):
    """Return a gate that one answer at `now` has described."""
    gate = Gate(beside)
    answer(gate, now, figures(**told))
    return gate


def unannounced():
    """Return a gate whose server has answered without a word of a limit."""
    gate = Gate()
    answer(gate, 0.0)
    return gate


class Shut:
    """A rule beside the others: nothing before a moment. It notes what it is told."""

    def __init__(self, until):
        self.until = until
        self.told = []

    def next_at(self, now, urgency):
        return self.until

    def supply(self, now):
        return Supply(rate=0.5, remaining=1.0, resets_in=self.until - now)

    def __getattr__(self, name):
        return lambda *args: self.told.append(name)


class TestWhatIsInForce:
    def test_before_the_first_answer_one_request_goes_alone(self):
        """Nothing is known, and the answer may say that nothing else may follow."""
        gate = Gate()
        assert gate.next_at(0.0, DIRECT) <= 0.0
        gate.on_sent(0.0, DIRECT)
        assert gate.next_at(9.0, DIRECT) == math.inf

    def test_an_announced_window_rules(self):
        """Its figure says how many may go."""
        gate = announced(remaining=2)
        gate.on_sent(1.0, DIRECT)
        assert gate.next_at(1.0, DIRECT) <= 1.0
        gate.on_sent(1.0, DIRECT)
        assert gate.next_at(1.0, DIRECT) > 60.0

    def test_where_nothing_is_announced_refusals_do(self):
        """Anybody may go at once until the first of them."""
        gate = unannounced()
        for _ in range(100):
            answer(gate, 1.0)
        assert gate.next_at(1.0, PACED) <= 1.0
        until = refuse(gate, 1.0, retry_after=5.0)
        assert gate.next_at(1.0, DIRECT) == until == 6.0
        for _ in range(3):
            answer(gate, 6.0)
        assert gate.next_at(6.0, DIRECT) > 6.0

    @pytest.mark.parametrize(
        "told",
        [figures(remaining=40), figures(limit=5, remaining=0, resets_in=50.0), None],
        ids=["something is left", "another limit", "no figures"],
    )
    def test_a_refusal_that_the_announced_figures_do_not_cover_is_another_limits(self, told):
        """It pauses for what it says itself, and leaves the announced window as it was."""
        gate = announced(remaining=41, resets_in=50.0)
        until = refuse(gate, 1.0, told, retry_after=2.0)
        assert until == gate.next_at(1.0, DIRECT) == 3.0
        assert gate.window.limit == 60
        assert gate.supply(3.0).remaining >= 40

    def test_an_announced_and_an_unannounced_limit_hold_together(self):
        """The pace is the slower one's, what is left is the window's."""
        gate = announced(limit=1500, remaining=1499)
        for count in range(10):
            answer(gate, 0.1 * count, figures(limit=1500, remaining=1498 - count))
        refuse(gate, 1.0, figures(limit=1500, remaining=1488), retry_after=1.0)
        supply = gate.supply(2.0)
        assert (supply.rate, supply.remaining) == (pytest.approx(0.97 * 10, rel=0.11), 1488.0)

    def test_what_was_under_way_as_a_limit_showed_itself_ends_before_the_next_goes(self):
        """All of it: each may be refused too, for the same reason."""
        gate = unannounced()
        refused, *others = [gate.on_sent(1.0, DIRECT) for _ in range(3)]
        gate.on_refused(refused, 2.0, None, 7.0)
        for ticket in others:
            assert gate.next_at(7.0, DIRECT) == math.inf
            gate.on_answer(ticket, 7.0, None)
        assert gate.next_at(7.0, DIRECT) < math.inf

    def test_a_windows_refusal_slows_nobody_once_the_server_announces_none(self):
        """It belonged to a limit that was known."""
        gate = announced(remaining=59)
        refuse(gate, 1.0, figures(remaining=0), 59.0)
        for now in (100.0, 200.0, 300.0):
            answer(gate, now)
        assert gate.supply(300.0) == Supply()

    def test_what_went_before_headers_came_is_no_probe_of_the_window(self):
        """However many such answers follow without headers, they do not end the announcing."""
        gate = unannounced()
        under_way = [gate.on_sent(1.0, DIRECT) for _ in range(5)]
        answer(gate, 1.0, figures(remaining=50))
        for ticket in under_way:
            gate.on_answer(ticket, 2.0, None)
        assert gate.window.limit == 60

    @pytest.mark.parametrize("end", ["given back", "lost", "answered", "refused"])
    def test_a_test_of_the_water_that_ends_after_headers_came_blocks_nobody(self, end):
        """Headers come and go: however it ends, the next one may be asked for."""
        gate = unannounced()
        under_way = gate.on_sent(0.5, DIRECT)
        until = refuse(gate, 1.0, retry_after=5.0)
        test = gate.on_sent(until, DIRECT)
        assert gate.next_at(until, DIRECT) == math.inf
        gate.on_answer(under_way, until, figures(remaining=59))
        match end:
            case "given back":
                gate.on_unsent(test)
            case "lost":
                gate.on_lost(test, until)
            case "answered":
                gate.on_answer(test, until, None)
            case "refused":
                gate.on_refused(test, until, figures(remaining=0), until + 1.0)
        for now in (100.0, 200.0, 300.0):
            answer(gate, now)
            answer(gate, now, figures(remaining=0, reset=EPOCH + now, resets_in=0.0))
        for now in (400.0, 500.0, 600.0):
            answer(gate, now)
        assert gate.window.limit is None
        assert gate.next_at(601.0, DIRECT) < math.inf


class TestBeside:
    def test_the_latest_moment_that_any_rule_names_counts(self):
        """A ceiling holds beside an announced window, and a third rule beside both."""
        gate = announced(beside=[Ceiling(RateLimit(2, per=10.0)), Shut(4.0)], remaining=50)
        assert gate.next_at(0.0, DIRECT) == 4.0
        gate.on_sent(4.0, DIRECT)
        assert gate.next_at(4.0, DIRECT) == 10.0

    def test_a_scheduler_may_count_on_the_least_of_all(self):
        """No more than each rule gives; and when there is more, says the one that is spent first."""
        gate = announced(beside=[Ceiling(RateLimit(3, per=10.0)), Shut(4.0)], limit=60, remaining=50)
        assert gate.supply(0.0) == Supply(rate=0.3, remaining=1.0, resets_in=4.0, can_run_low=True)
        gate = announced(beside=[Ceiling(RateLimit(3, per=10.0))], limit=60, remaining=50)
        assert gate.supply(0.0) == Supply(rate=0.3, remaining=2.0, resets_in=10.0, can_run_low=True)
        gate = announced(beside=[Ceiling(RateLimit(99, per=10.0))], limit=60, remaining=50)
        assert (gate.supply(0.0).remaining, gate.supply(0.0).resets_in) == (50.0, 60.0)

    def test_what_is_to_be_had_for_long_is_no_less_where_a_window_is_spent(self):
        """But no more than a ceiling lets through; and while nothing is known, none."""
        assert Gate().lasting_rate(0.0) == 0.0
        assert unannounced().lasting_rate(0.0) == math.inf
        assert announced(limit=60, remaining=2).lasting_rate(0.0) == 1.0
        assert announced(limit=60, remaining=60, resets_in=30.0).lasting_rate(0.0) > 1.9
        ceiling = Ceiling(RateLimit(3, per=10.0))
        assert announced(beside=[ceiling], limit=60, remaining=50).lasting_rate(0.0) == pytest.approx(0.3)

    @pytest.mark.parametrize(("ours", "others", "share"), [(5, 0, 60.0), (60, 0, 60.0), (5, 20, 40.0), (15, 45, 15.0)])
    def test_for_long_there_is_what_others_leave(self, ours, others, share):
        """Of windows that are over: what we had, and what was left. Of the present one, nobody knows who will come."""
        gate = Gate()
        for window in range(3):
            for number in range(1, ours + 1):
                gone = number + others * number // ours
                answer(gate, 60.0 * window + 1, figures(60, 60 - gone, EPOCH + 60.0 * (window + 1), 59.0))
        answer(gate, 181.0, figures(60, 59, EPOCH + 240.0, 59.0))
        assert gate.lasting_rate(181.0) == pytest.approx(share / 60.0, rel=0.03)

    def test_who_has_gone_is_forgotten_with_the_window(self):
        """One of which others took two thirds, and then one of which they took nothing."""
        gate = Gate()
        for window, (remaining, rate) in enumerate([(19, 1.0), (59, 20 / 60), (59, 1.0)]):
            answer(gate, 60.0 * window + 1, figures(60, remaining, EPOCH + 60.0 * (window + 1), 59.0))
            assert gate.lasting_rate(60.0 * window + 1) == pytest.approx(rate, rel=0.02)

    def test_what_is_told_without_figures_was_had_as_well(self):
        """Alone, with every second answer without: nobody else has taken what those took."""
        gate = Gate()
        for window in range(3):
            for number in range(10):
                told = figures(60, 60 - 2 * number - 1, EPOCH + 60.0 * (window + 1), 59.0)
                answer(gate, 60.0 * window + number, told)
                answer(gate, 60.0 * window + number)
        answer(gate, 180.0, figures(60, 59, EPOCH + 240.0, 60.0))
        assert gate.lasting_rate(180.0) == pytest.approx(1.0, rel=0.02)

    @pytest.mark.parametrize("strange", [figures(60, 59, EPOCH + 86_400.0, 86_400.0), figures(7, 3, EPOCH + 30, 30)])
    def test_what_another_limit_has_told_holds_no_longer_than_the_window(self, strange):
        """Or a clock that was set, or a plan that has changed: of others that have gone nothing is left then."""
        gate = Gate()
        answer(gate, 1.0, figures(60, 19, EPOCH + 60.0, 59.0))
        answer(gate, 61.0, figures(60, 59, EPOCH + 120.0, 59.0))
        answer(gate, 62.0, strange)
        for window in range(2, 4):
            answer(gate, 60.0 * window + 1, figures(60, 59, EPOCH + 60.0 * (window + 1), 59.0))
        assert gate.lasting_rate(181.0) == pytest.approx(1.0, rel=0.02)

    def test_what_is_refused_was_not_had(self):
        """The others took the rest of a window: of ten, two were ours."""
        gate = Gate()
        answer(gate, 0.0, figures(10, 8, EPOCH + 60.0, 60.0))
        answer(gate, 1.0, figures(10, 5, EPOCH + 60.0, 59.0))
        refuse(gate, 2.0, figures(10, 0, EPOCH + 60.0, 58.0))
        answer(gate, 61.0, figures(10, 9, EPOCH + 120.0, 59.0))
        assert gate.lasting_rate(61.0) == pytest.approx(2 / 60, rel=0.02)

    def test_a_rule_beside_hears_all_that_happens(self):
        """So that another kind of limit can be put there."""
        shut = Shut(0.0)
        gate = Gate([shut])
        answer(gate, 0.0, figures())
        gate.on_unsent(gate.on_sent(1.0, PACED))
        gate.on_lost(gate.on_sent(1.0, PACED), 1.0)
        refuse(gate, 1.0)
        gate.forget_in_flight()
        sent = "on_sent"
        assert shut.told == [
            sent,
            "on_answer",
            sent,
            "on_unsent",
            sent,
            "on_lost",
            sent,
            "on_refused",
            "forget_in_flight",
        ]

    def test_a_slot_given_back_is_given_back_to_every_rule(self):
        """Window, pace and ceiling are as if it had never been granted."""
        gate = announced(beside=[Ceiling(RateLimit(6, per=60.0))], remaining=50)
        gate.on_sent(0.0, PACED)
        before = gate.next_at(0.0, PACED), gate.supply(0.0), gate.in_flight
        gate.on_unsent(gate.on_sent(0.0, PACED))
        assert (gate.next_at(0.0, PACED), gate.supply(0.0), gate.in_flight) == before


class TestPauses:
    @pytest.mark.parametrize(
        ("told", "retry_after", "pause"),
        [
            (None, None, 30.0),
            (None, 7.0, 7.0),
            (None, 0.0, 1.0),
            (figures(remaining=0, resets_in=20.0), None, 21.2),
            (figures(remaining=0, resets_in=20.0), 5.0, 21.2),
            (figures(remaining=0, resets_in=20.0), 50.0, 50.0),
        ],
        ids=["no advice", "advice", "none at all", "reset", "reset after advice", "advice after reset"],
    )
    def test_a_refusal_pauses_for_what_the_server_says(self, told, retry_after, pause):
        """The later of its advice and the announced reset; half a minute where it says nothing."""
        assert Gate().next_pause(told, retry_after) == pytest.approx(pause)

    @pytest.mark.parametrize(("retry_after", "longest"), [(10.0, 11.0), (60.0, 63.0)])
    def test_pauses_of_strangers_come_apart(self, retry_after, longest):
        """Up to a tenth is added by luck, and three seconds at most."""
        gate = Gate()
        assert gate.next_pause(None, retry_after, luck=0.0) == retry_after
        assert gate.next_pause(None, retry_after, luck=0.5) == pytest.approx((retry_after + longest) / 2)
        assert gate.next_pause(None, retry_after, luck=1.0) == pytest.approx(longest)

    def test_a_refusal_by_a_short_window_pauses_to_its_reset_and_no_longer(self):
        """A fifth of such a window is its guard, and half a second of it left no whole second."""
        gate = announced(limit=3, remaining=2, resets_in=1.0)
        gate.on_sent(0.5, DIRECT)
        assert gate.next_pause(figures(limit=3, remaining=0, resets_in=0.5), None) == pytest.approx(0.7)

    def test_a_pause_began_with_the_first_of_its_refusals(self):
        """One that is made longer goes on; one that is over leaves the next refusal a pause of its own."""
        gate = unannounced()
        tickets = [gate.on_sent(1.0, DIRECT) for _ in range(3)]
        gate.on_refused(tickets[0], 2.0, None, 30.0)
        gate.on_refused(tickets[1], 29.0, None, 40.0)
        assert gate.paused_at == 2.0
        gate.on_refused(tickets[2], 40.0, None, 50.0)
        assert gate.paused_at == 40.0

    def test_a_shorter_pause_does_not_end_a_longer_one(self):
        """Each of two refusals asks for its own."""
        gate = unannounced()
        tickets = [gate.on_sent(1.0, DIRECT) for _ in range(2)]
        gate.on_refused(tickets[0], 2.0, None, 30.0)
        gate.on_refused(tickets[1], 2.0, None, 10.0)
        assert gate.next_at(3.0, DIRECT) == 30.0
        assert gate.paused_for(20.0) == 10.0
        assert gate.paused_for(31.0) == 0.0


class TestTurns:
    def test_a_direct_request_goes_before_polls_that_came_earlier(self):
        """A person who comes last is served first."""
        assert announced().next_turn(1.0, [9, 1, 2])[0] is DIRECT

    @pytest.mark.parametrize(("places", "turn"), [([None, 1, 2], AHEAD), ([None, 2, 1], PACED)])
    def test_of_the_polls_the_one_that_has_waited_longest_goes(self, places, turn):
        """Whether it keeps the pace or not, as long as both may go."""
        assert announced().next_turn(1.0, places)[0] is turn

    def test_a_poll_held_back_by_the_pace_keeps_nobody_waiting(self):
        """The one behind it that need not keep the pace goes now."""
        gate = announced(remaining=30)
        for _ in range(2):
            gate.on_sent(1.0, PACED)
        assert gate.next_turn(1.0, [None, None, 1]) == (None, gate.next_at(1.0, PACED))
        assert gate.next_turn(1.0, [None, 2, 1])[0] is AHEAD

    def test_where_nobody_may_go_it_says_when_to_ask_again(self):
        """When the first of those who wait may go; never for nobody."""
        gate = announced(remaining=0, resets_in=10.0)
        assert gate.next_turn(0.0, [1, None, 2]) == (None, pytest.approx(11.2))
        assert gate.next_turn(0.0, [None, None, None]) == (None, math.inf)

    def test_a_newcomer_waits_for_those_of_its_kind_and_for_direct_requests(self):
        """A direct request for direct ones alone; a paced poll for everybody."""
        assert SERVED_BEFORE[DIRECT] == (DIRECT,)
        assert SERVED_BEFORE[AHEAD] == (DIRECT, AHEAD)
        assert SERVED_BEFORE[PACED] == tuple(Urgency)


def test_only_an_announced_window_says_when_it_renews():
    """What errors tell of the reset is the server's word, never a guess."""
    assert announced(resets_in=30.0).resets_in(10.0) == 20.0
    assert unannounced().resets_in(10.0) is None


class TestSupply:
    def test_what_is_not_known_is_not_limited(self):
        """Before the first answer, and where a server announces and refuses nothing."""
        assert Gate().supply(0.0) == Supply()
        assert unannounced().supply(0.0) == Supply()

    def test_an_announced_window_is_what_is_left_and_for_how_long(self):
        """Less what is in flight, at the pace that it can sustain."""
        gate = announced(limit=60, remaining=31, resets_in=60.0)
        gate.on_sent(0.0, DIRECT)
        assert gate.supply(30.0) == Supply(
            rate=pytest.approx(29 / 30), remaining=30.0, resets_in=30.0, can_run_low=True
        )

    def test_a_window_that_has_renewed_is_full(self):
        """No answer has described it yet: its limit less what is in flight, for a whole period."""
        gate = announced(limit=60, remaining=1, resets_in=30.0)
        gate.on_sent(0.0, DIRECT)
        supply = gate.supply(31.0)
        assert (supply.remaining, supply.resets_in, supply.can_run_low) == (59.0, 30.0, False)


def test_what_a_lost_event_loop_had_in_flight_is_forgotten_and_stays_spent():
    """No answer will come, so the next may go; the server may have counted them, so they are not sent again."""
    gate = announced(remaining=3)
    old = [gate.on_sent(1.0, DIRECT) for _ in range(2)]
    gate.forget_in_flight()
    assert (gate.in_flight, gate.supply(1.0).remaining) == (0, 1.0)
    assert gate.on_sent(1.0, DIRECT).epoch != old[0].epoch


def test_a_lost_event_loop_takes_its_test_of_the_water_along():
    """Another request may find out whether the server still refuses."""
    gate = unannounced()
    until = refuse(gate, 1.0, retry_after=5.0)
    gate.on_sent(until, DIRECT)
    gate.forget_in_flight()
    assert gate.next_at(until + 1.0, DIRECT) <= until + 1.0


def test_a_pause_that_is_prolonged_began_when_it_began():
    """Whoever waits for a first request is told since when it cannot go."""
    gate = Gate()
    for now, until in ((1.0, 50.0), (5.0, 100.0), (200.0, 230.0)):
        gate.on_refused(gate.on_sent(now, Urgency.PACED), now, None, until)
        assert gate.paused_at == (200.0 if now == 200.0 else 1.0)


@pytest.mark.parametrize("rate", [2, 10, 40])
def test_a_limit_is_measured_by_what_was_accepted_before_anybody_looked_for_it(rate):
    """What requests did before the first refusal that no figure explains counts as if it had been watched for."""
    gate, limit, now = Gate(), Unannounced(), 100.0
    for _ in range(6 * rate):
        now += 1.0 / rate
        answer(gate, now)
        limit.on_answer(send(limit, now), now, None)
    under_way, ticket = gate.on_sent(now, DIRECT), send(limit, now)
    now += 0.01
    until = refuse(gate, now, retry_after=1.0)
    limit.on_refused(send(limit, now), now, None, until)
    assert gate.supply(until).rate == limit.rate
    gate.on_answer(under_way, until, None)
    limit.on_answer(ticket, until, None)
    assert gate.supply(until).rate == limit.rate
    assert gate.next_at(until, DIRECT) == max(until, limit.next_at(until, DIRECT))
