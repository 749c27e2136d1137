"""The limit of which no figure tells, asked and told at literal times."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.limits import DIRECT, Server, kinds, offsets, send

from kallglot_async._core.api.answers import parse_retry_after
from kallglot_async._core.limit.ticket import Supply
from kallglot_async._core.limit.unannounced import (
    CLEAN,
    CUT,
    CUT_AGAIN,
    FALL,
    GROWTH,
    MOST_SLACK,
    RESTART,
    SLACK,
    Unannounced,
)


def accept(limit, now, number=1):
    """So many requests go out and are accepted at once."""
    for _ in range(number):
        limit.on_answer(send(limit, now), now, None)


def refuse(limit, now, pause):
    """One request goes out and is refused at once; returns when its pause is over."""
    limit.on_refused(send(limit, now), now, None, now + pause)
    return now + pause


def learned(rate=10):
    """Return a limit that has refused after accepting so many a second for six seconds; its pause ends at 7.0."""
    limit = Unannounced()
    for step in range(6 * rate):
        accept(limit, step / rate)
    refuse(limit, 6.0, 1.0)
    return limit


def test_unannounced_limits_are_unrestricted_until_refused():
    """A server without headers that never refuses is never slowed down."""
    limit = Unannounced()
    for _ in range(1000):
        send(limit, 1.0)
    assert limit.next_at(32.0, DIRECT) == -math.inf
    assert limit.supply(32.0) == Supply()


def test_a_refusal_sets_the_rate_to_most_of_what_was_accepted_just_before():
    """Of the last five seconds, however long it had gone well."""
    assert learned().rate == pytest.approx(CUT * 10.0, rel=0.03)


def test_a_found_rate_is_kept_between_any_two_requests():
    """After a rest, too: the two at once of another pace would be one too many for a limit of a second."""
    limit = learned()
    before = limit.rate
    now, sent = 20.0, []
    while len(sent) < 5:
        now = max(now, limit.next_at(now, DIRECT))
        accept(limit, now)
        sent.append(now)
    shortest = min(later - earlier for earlier, later in itertools.pairwise(sent))
    assert shortest == pytest.approx((1 - min(SLACK, MOST_SLACK * before)) / before, rel=0.01)


def test_a_slot_given_back_leaves_no_mark_on_the_pace():
    """Nor does one that was granted before there was any."""
    limit = Unannounced()
    limit.on_unsent(send(limit, 0.0))
    assert limit.next_at(0.0, DIRECT) == -math.inf
    limit = learned()
    accept(limit, 20.0)
    before = limit.next_at(20.0, DIRECT)
    limit.on_unsent(send(limit, 20.0))
    assert limit.next_at(20.0, DIRECT) == before > 20.0


def test_what_was_accepted_in_one_go_was_accepted_for_the_time_of_the_pause():
    """Five at once and then a second's pause: five a second."""
    limit = Unannounced()
    accept(limit, 0.0, 5)
    refuse(limit, 0.0, 1.0)
    assert limit.rate == pytest.approx(CUT * 5)


def test_a_rest_shows_nothing_of_a_rate():
    """Of a client that had nothing to ask for: five at once and then a second's pause are five a second."""
    limit = Unannounced()
    accept(limit, 0.0)
    accept(limit, 100.0, 5)
    refuse(limit, 100.0, 1.0)
    assert limit.rate == pytest.approx(CUT * 5)
    found_late = Unannounced([0.0, *[100.0] * 5], since=0.0)
    refuse(found_late, 100.0, 1.0)
    assert found_late.rate == pytest.approx(CUT * 5)


def test_pauses_are_not_time_in_which_nothing_was_accepted():
    """Ten a second, a pause of two seconds, and ten a second again: that is ten a second."""
    limit = Unannounced()
    for step in range(60):
        accept(limit, step / 10)
    until = refuse(limit, 6.0, 2.0)
    for step in range(30):
        accept(limit, until + step / 10)
    refuse(limit, until + 3.0, 2.0)
    assert limit.rate == pytest.approx(CUT * 10.0, rel=0.04)


@pytest.mark.parametrize(("seconds", "cut"), [(1, CUT_AGAIN), (6, CUT)])
def test_what_is_refused_again_at_once_is_doubted_where_it_was_seen_for_a_moment_only(seconds, cut):
    """Of a longer window than the pause, its first second shows too much; what held for long had bad luck."""
    limit = Unannounced()
    for step in range(10 * seconds):
        accept(limit, step / 10)
    until = refuse(limit, float(seconds), 1.0)
    for step in range(20):
        accept(limit, until + step / 10)
    refuse(limit, until + 2.0, 1.0)
    assert limit.rate == pytest.approx(cut * 10.0, rel=0.06)


def test_answers_that_were_under_way_complete_what_was_measured():
    """Ten went out at once; the refusal of an eleventh overtook most of their answers."""
    limit = Unannounced()
    tickets = [send(limit, 0.0) for _ in range(11)]
    for ticket in tickets[:4]:
        limit.on_answer(ticket, 0.1, None)
    limit.on_refused(tickets[10], 0.1, None, 1.1)
    for ticket in tickets[4:10]:
        limit.on_answer(ticket, 0.2, None)
    assert limit.rate == pytest.approx(CUT * 10)


def test_a_few_requests_refused_for_reasons_of_their_own_show_no_rate():
    """Each is asked again after its pause, and whoever comes after them is let go quickly, not all at once."""
    limit, now = Unannounced(), 0.0
    for _ in range(4):
        now = refuse(limit, now, 1.0)
        now = refuse(limit, now, 1.0)
        accept(limit, now)
    assert limit.rate == 25.0


def test_a_slow_limit_is_seen_however_few_it_accepts_between_two_refusals():
    """Two a second, and then a second's pause, again and again."""
    limit, now = Unannounced(), 0.0
    for _ in range(5):
        accept(limit, now, 2)
        now = refuse(limit, now, 1.0)
    assert limit.rate == pytest.approx(2.0, rel=0.21)


def test_after_a_refusal_one_request_goes_alone_then_twice_as_many():
    """As many as were accepted since, and one more, may be in flight."""
    limit = Unannounced()
    now = refuse(limit, 0.0, 30.0)
    for width in (1, 2, 4, 8):
        tickets = []
        while (at := limit.next_at(now, DIRECT)) < math.inf:
            now = max(now, at)
            tickets.append(send(limit, now))
        assert len(tickets) == width
        assert limit.next_at(now, DIRECT) == math.inf
        for ticket in tickets:
            limit.on_answer(ticket, now, None)


@pytest.mark.parametrize("end", ["lost", "given back"])
def test_a_test_of_the_water_that_ends_without_an_answer_blocks_nobody(end):
    """The next one may go in its place."""
    limit = Unannounced()
    until = refuse(limit, 0.0, 5.0)
    test = send(limit, until)
    limit.on_lost(test, until) if end == "lost" else limit.on_unsent(test)
    assert limit.next_at(until, DIRECT) < until + 1.0 / RESTART


def test_refusals_of_one_burst_count_once():
    """Requests that were under way when the first of them was refused say nothing new."""
    limit = Unannounced()
    accept(limit, 9.0, 100)
    tickets = [send(limit, 9.5) for _ in range(2)]
    limit.on_refused(tickets[0], 10.0, None, 40.0)
    rate = limit.rate
    limit.on_refused(tickets[1], 10.1, None, 40.1)
    assert limit.rate == rate


def test_a_refusal_with_nothing_accepted_in_between_is_the_same_one_still():
    """A server that is shut for an hour does not make the rate that of an hour without answers."""
    limit = learned()
    rate, now = limit.rate, 7.0
    for _ in range(100):
        now = refuse(limit, now, 30.0)
    assert limit.rate == rate


def test_no_rate_falls_below_one_request_per_pause():
    """Whatever is refused, and however often."""
    limit, now = learned(), 7.0
    for _ in range(50):
        accept(limit, now)
        now = refuse(limit, now, 2.0)
    assert limit.rate == pytest.approx(1 / 2.0)


def test_a_rate_does_not_fall_all_at_once_for_a_second_refusal():
    """By chance, as of an overload, one comes after one request, and names a long pause: that shows no rate."""
    limit = learned()
    for now in (100.0, 200.0, 300.0):
        before = limit.rate
        accept(limit, now)
        refuse(limit, now + 0.5, 30.0)
        assert limit.rate == pytest.approx(max(FALL * before, 1 / 30), rel=0.05)


def test_a_rate_grows_with_each_clean_period():
    """So many seconds of requests at that rate, and not one less."""
    limit = learned()
    found = limit.rate
    needed = math.ceil(CLEAN * found)
    for step in range(1, needed):
        accept(limit, 7.0 + step / found)
    assert limit.rate == found
    accept(limit, 7.0 + needed / found)
    assert limit.rate == pytest.approx(GROWTH * found)


def test_a_limit_that_is_gone_is_left_behind_within_a_minute():
    """It recovers by a factor that squares itself: not a tenth in ten seconds, tenfold in a minute."""
    limit, now = learned(), 7.0
    start = limit.rate
    rates = {}
    while now < 67.0:
        now = max(now, limit.next_at(now, DIRECT))
        accept(limit, now)
        rates[int(now - 7.0)] = limit.rate
    assert rates[10] < 1.1 * start
    assert rates[max(rates)] > 10 * start


def test_a_limit_that_has_not_spoken_for_long_is_forgotten():
    """Ten minutes without a refusal, and there is no rate any more."""
    limit = learned()
    accept(limit, 600.0)
    assert limit.rate is not None
    accept(limit, 606.1)
    assert limit.rate is None


def test_a_rate_falls_once_for_a_refusal_whatever_was_under_way():
    """What is accepted late completes what was measured: it is no refusal of its own."""
    limit = learned()
    accept(limit, 200.0)
    before, under_way = limit.rate, send(limit, 201.0)
    refuse(limit, 201.1, 30.0)
    limit.on_answer(under_way, 201.5, None)
    assert limit.rate == pytest.approx(FALL * before)


def test_a_slow_answer_makes_no_rest_of_what_went_on_meanwhile():
    """Ten a second, and one of them is answered nine seconds late: they are ten a second all the same."""
    limit = Unannounced()
    slow = send(limit, 0.0)
    for step in range(1, 90):
        accept(limit, step / 10)
    limit.on_answer(slow, 9.0, None)
    accept(limit, 9.0)
    refuse(limit, 9.05, 1.0)
    assert limit.rate == pytest.approx(CUT * 10, rel=0.05)


@pytest.mark.parametrize("limit", [2, 3, 5, 8])
def test_few_requests_a_second_are_used_too(limit):
    """What goes early, to make up for what went late, must not be one too many of a second, time and again."""
    server, rule, now, paused_until = Server("sliding", (limit, 1.0), has_headers=False), Unannounced(), 0.0, 0.0
    while server.accepted < 100 * limit:
        now = max(now + 1e-3, rule.next_at(now, DIRECT), paused_until)
        ticket = send(rule, now)
        is_accepted, _ = server.ask(now)
        if is_accepted:
            rule.on_answer(ticket, now, None)
        else:
            paused_until = now + 1.0
            rule.on_refused(ticket, now, None, paused_until)
    assert now <= 120.0
    assert server.refused <= 0.05 * server.accepted


@given(
    rate=st.integers(2, 10),
    period=st.sampled_from([1.0, 10.0, 60.0]),
    kind=kinds,
    offset=offsets,
)
@pytest.mark.slow
def test_it_stays_around_what_the_server_allows(rate, period, kind, offset):
    """Without headers at most 3 % are refused in the long run; one below a request per pause refuses more."""
    limit = max(20, int(rate * period))
    server = Server(kind, (limit, period), offset=offset, has_headers=False)
    rule, now, paused_until = Unannounced(), 0.0, 0.0
    sent = refused = 0
    while sent < 30 * limit:
        now = max(now + 1e-3, rule.next_at(now, DIRECT), paused_until)
        ticket = send(rule, now)
        is_accepted, headers = server.ask(now)
        is_late = sent > 15 * limit
        sent += 1
        if is_accepted:
            rule.on_answer(ticket, now, None)
        else:
            refused += is_late
            paused_until = now + parse_retry_after(headers, wall_now=now)
            rule.on_refused(ticket, now, None, paused_until)
    assert refused <= 0.03 * 15 * limit
