"""The window, asked and told at literal times."""

import math

import pytest
from support.limits import AHEAD, DIRECT, EPOCH, PACED, figures, send

from benchmarks.limits import beside, calls_done, limits, steady
from kallglot_async._core.limit.neighbours import RUSH
from kallglot_async._core.limit.ticket import Supply
from kallglot_async._core.limit.window import APART, GUARD, Renewal, Window


def described(now=0.0, **kwargs):
    """Return a window that one answer at `now` has described."""
    window = Window()
    window.on_answer(send(window, now), now, figures(**kwargs))
    return window


def test_before_the_first_answer_one_request_goes_out_alone():
    """Nothing is known, so the second request waits for the answer to the first."""
    window = Window()
    assert window.next_at(0.0, DIRECT) <= 0.0
    send(window, 0.0)
    assert window.next_at(0.0, DIRECT) == math.inf
    assert window.next_at(100.0, PACED) == math.inf


def test_a_lost_first_request_lets_the_next_one_try():
    """A request without an answer teaches nothing, and blocks nobody."""
    window = Window()
    window.on_lost(send(window, 0.0), 0.5)
    assert window.next_at(1.0, DIRECT) <= 1.0


def test_direct_requests_spend_what_remains_at_once():
    """The server's figure less what is in flight goes out without pause, and not one request more."""
    window = described(remaining=3)
    for _ in range(3):
        assert window.next_at(1.0, DIRECT) <= 1.0
        send(window, 1.0)
    assert window.next_at(1.0, DIRECT) > 1.0


def test_paced_polls_spread_what_remains_over_the_time_left():
    """30 requests, one of them spare, for 61 s: one every 2 s, after a burst of two."""
    window = described(remaining=30, resets_in=61.0)
    send(window, 0.0, PACED)
    assert window.next_at(0.0, PACED) == pytest.approx(-61.0 / 29 + 61.0 / 28)
    send(window, 0.1, PACED)
    assert window.next_at(0.1, PACED) == pytest.approx(2.3, abs=0.1)


def test_what_comes_free_before_the_reset_is_paced_too():
    """Four are left each second, as one comes free for each that goes: not four for all of the 53 s."""
    window = Window()
    for second in range(8):
        now = float(second)
        window.on_answer(send(window, now), now, figures(limit=60, remaining=4, resets_in=60.0 - now))
    assert window.interval(7.0) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("period", [3600.0, 86_000.0])
def test_polls_ahead_leave_less_of_a_quota_of_hours(period):
    """Its last tenth, paced, would hold a batch up for hours; but who comes later finds some of it too."""
    window = described(limit=10_000, remaining=1000, resets_in=period)
    while window.next_at(1.0, AHEAD) <= 1.0:
        send(window, 1.0, AHEAD)
    assert 57 <= window.available <= 60


def test_polls_ahead_leave_the_last_tenth_to_who_comes_later():
    """They go at once down to it, and keep the pace of the others within it; a person may have all."""
    window = described(limit=60, remaining=8, resets_in=60.0)
    for _ in range(2):
        assert window.next_at(1.0, AHEAD) == 1.0
        send(window, 1.0, AHEAD)
    assert window.available == 6
    send(window, 1.0, AHEAD)
    assert window.next_at(1.0, AHEAD) == window.next_at(1.0, PACED) == pytest.approx(1.0 - 59.0 / 5 + 59.0 / 4)
    assert window.next_at(1.0, DIRECT) == 1.0


def test_of_several_estimates_of_one_reset_the_earliest_counts():
    """`Date` is rounded down, so that each is late by up to a second, and none is early."""
    window = described(resets_in=60.0)
    window.on_answer(send(window, 10.0), 10.0, figures(remaining=58, resets_in=49.3))
    window.on_answer(send(window, 20.0), 20.0, figures(remaining=57, resets_in=40.0))
    assert window.renewal.resets_in(20.0) == pytest.approx(39.3)


@pytest.mark.parametrize(("resets_in", "counted"), [(5.0, 4.0), (9.0, 8.0), (10.0, 10.0), (60.0, 60.0)])
def test_a_short_rest_is_spread_without_the_second_that_rounding_adds(resets_in, counted):
    """Of a window below ten seconds that second is much; of a longer one it is left as a margin."""
    assert described(limit=49, remaining=20, resets_in=resets_in).interval(0.0) == pytest.approx(counted / 20)


def test_the_pace_stays_two_percent_below_the_limit():
    """With a whole window ahead, 150 a minute are paced as 147, and two may go back to back."""
    window = described(limit=150, remaining=149, resets_in=60.0)
    assert window.interval(2.0) == pytest.approx(58.0 / 146)


def test_a_spent_window_is_opened_by_one_probe_after_it_renews():
    """Nothing goes out before the reset and its guard, then one request, then what its answer allows."""
    window = described(remaining=0, resets_in=30.0)
    reopens_at = window.next_at(0.0, DIRECT)
    assert reopens_at == pytest.approx(31.2)
    probe = send(window, reopens_at)
    assert window.next_at(reopens_at, DIRECT) == math.inf
    window.on_answer(probe, reopens_at + 0.1, figures(reset=1_800_000_120.0))
    assert window.next_at(reopens_at + 0.1, DIRECT) <= reopens_at + 0.1


def test_an_answer_of_the_same_window_never_raises_the_figure():
    """Answers that overtook each other are applied as the lowest of them."""
    window = Window()
    first = send(window, 0.0)
    window.on_answer(first, 0.1, figures(remaining=59))
    early, late = send(window, 0.2), send(window, 0.2)
    window.on_answer(late, 0.3, figures(remaining=57))
    window.on_answer(early, 0.4, figures(remaining=58))
    assert window.available == 57


def test_an_answer_to_a_later_request_may_raise_the_figure():
    """A request sent after the newest figure arrived knows better: sliding windows free slots without a reset."""
    window = described(remaining=10)
    window.on_answer(send(window, 5.0), 5.1, figures(remaining=14))
    assert window.available == 14


def test_an_answer_of_an_older_window_is_ignored():
    """What was left of the window before says nothing about this one."""
    window = described(remaining=59)
    old, new = send(window, 59.0), send(window, 59.9)
    window.on_answer(new, 60.1, figures(remaining=59, reset=1_800_000_120.0, resets_in=60.0))
    window.on_answer(old, 60.2, figures(remaining=0, reset=1_800_000_060.0, resets_in=0.0))
    assert window.available == 59


def test_requests_without_an_answer_are_counted_as_spent():
    """The server may have counted what was lost, so it is not sent again on its account."""
    window = described(remaining=2)
    window.on_lost(send(window, 1.0), 1.5)
    assert window.available == 1


def test_a_slot_given_back_is_as_if_never_granted():
    """Figure, flight and pace are what they were."""
    window = described(remaining=30)
    before = (window.available, window.next_at(1.0, PACED), window.in_flight)
    send(window, 1.0, PACED)
    pace = window.next_at(1.0, PACED)
    ticket = send(window, 1.0, PACED)
    window.on_unsent(ticket)
    assert window.next_at(1.0, PACED) == pytest.approx(pace)
    assert window.available == before[0] - 1


def test_a_refusal_closes_the_window_until_the_time_the_server_named():
    """Nothing goes out before it, then one probe."""
    window = described(remaining=5)
    window.on_refused(send(window, 1.0), 1.1, None, until=31.1)
    assert window.next_at(2.0, DIRECT) >= 31.1
    send(window, 31.1)
    assert window.next_at(31.1, DIRECT) == math.inf


def test_what_was_sent_before_a_refusal_opens_nothing():
    """Its answer comes after that, and tells of what was left before."""
    window = described(limit=10, remaining=5, resets_in=30.0)
    before = send(window, 1.0)
    window.on_refused(send(window, 1.1), 1.2, None, until=31.2)
    window.on_answer(before, 1.3, figures(limit=10, remaining=4, resets_in=28.7))
    assert window.next_at(2.0, DIRECT) >= 31.2


def test_successive_resets_teach_the_length_of_a_window():
    """Two resets a second apart between which the figure recovered: windows of one second."""
    window = described(limit=50, remaining=40, reset=1_800_000_001.0, resets_in=1.0)
    window.on_answer(send(window, 0.5), 0.6, figures(50, 49, reset=1_800_000_002.0, resets_in=1.0))
    assert window.renewal.period == 1.0
    assert window.interval(0.7) == pytest.approx(1.0 / 49)
    assert window.renewal.has_renewed(figures(50, 49, reset=1_800_000_003.0, resets_in=1.0))


def test_so_do_those_of_a_window_of_one_request():
    """Nothing is ever left of it: that it was accepted says that the window is a new one."""
    window = described(limit=1, remaining=0, reset=EPOCH + 4.0, resets_in=4.0)
    window.on_answer(send(window, 5.0), 5.0, figures(limit=1, remaining=0, reset=EPOCH + 14.0, resets_in=9.0))
    assert window.renewal.period == 10.0


def test_a_window_is_at_least_as_long_as_its_longest_rest():
    """A sliding window's reset moves by fractions of a second; that does not make it short."""
    window = described(limit=150, remaining=149, reset=1_800_000_060.0, resets_in=60.0)
    window.on_answer(send(window, 1.0), 1.1, figures(150, 149, reset=1_800_000_061.0, resets_in=60.0))
    assert window.renewal.period >= 58.0


def test_one_rest_that_is_another_limits_is_no_length_of_the_window():
    """A gateway's page names its quota of a day, once: the pace stays that of a minute."""
    window = described(limit=150, remaining=149, resets_in=60.0)
    window.on_answer(send(window, 1.0), 1.1, figures(10_000, 9_999, reset=EPOCH + 86_400.0, resets_in=86_399.0))
    window.on_answer(send(window, 2.0), 2.1, figures(150, 147, resets_in=58.0))
    assert window.renewal.period == 60.0
    assert window.interval(2.2) <= 60.0 / 147


def test_two_rests_in_a_row_are_a_length_of_the_window():
    """The plan has changed from a minute to an hour: the second figure of the first hour shows it."""
    window = described(limit=150, remaining=149, resets_in=60.0)
    for number in range(2):
        now = 60.0 + number
        answer = figures(10_000, 9_999 - number, reset=EPOCH + 3660.0, resets_in=3600.0 - number)
        window.on_answer(send(window, now), now + 0.1, answer)
    assert window.renewal.at_least == 3597.0


@pytest.mark.parametrize(("period", "limit"), [(1.0, 150), (6.0, 15), (60.0, 150)])
def test_renewals_that_come_too_soon_show_a_shorter_window(period, limit):
    """A plan of 10,000 an hour has changed: three windows later the pace is the new one, not that of an hour."""
    window = described(limit=10_000, remaining=9_000, reset=EPOCH + 3600.0, resets_in=3600.0)
    for number in range(6):
        now = 3600.0 + number * period
        window.on_answer(
            send(window, now), now, figures(limit, limit - 1, reset=EPOCH + now + period, resets_in=period)
        )
    assert window.renewal.period == period
    assert not window.renewal.is_rolling
    assert window.interval(now) <= 1.1 * period / (limit - 3)


def test_a_step_that_a_rest_denies_is_forgotten():
    """Another server's reset was 17 s before: a minute is not taken for 58 s, at whose end it would be refused."""
    window = described(42.0, limit=600, remaining=500, reset=EPOCH + 43.0, resets_in=1.0)
    for number, left in ((0, 12.0), (1, 60.0)):
        at, reset = 48.0 + 12.0 * number, EPOCH + 60.0 * (number + 1)
        window.on_answer(send(window, at), at, figures(600, 599, reset=reset, resets_in=left))
    assert window.renewal.period == 60.0
    assert window.renewal.resets_at == 120.0


def test_a_reset_that_moves_on_while_much_is_taken_shows_no_shorter_window():
    """A log's reset moves on with each request that leaves it: it is as long as before."""
    window = described(limit=150, remaining=100, resets_in=60.0)
    for number in range(10):
        now = 1.0 + number
        window.on_answer(
            send(window, now), now, figures(150, 100, reset=EPOCH + 61.0 + number, resets_in=60.0 - number / 10)
        )
    assert window.renewal.period >= 58.0
    assert window.renewal.is_rolling


def test_a_reset_that_moves_by_less_than_a_rest_shows_a_rolling_window():
    """A fixed window's reset moves by its whole length; a bucket's or a sliding window's creeps."""
    fixed = described(resets_in=60.0)
    fixed.on_answer(send(fixed, 61.0), 61.1, figures(reset=1_800_000_120.0, resets_in=60.0))
    assert not fixed.renewal.is_rolling
    rolling = described(resets_in=60.0)
    rolling.on_answer(send(rolling, 1.0), 1.1, figures(remaining=58, reset=1_800_000_061.0, resets_in=60.0))
    assert rolling.renewal.is_rolling


@pytest.mark.parametrize(
    ("remaining", "resets_in", "can"),
    [(59, 60.0, True), (16, 60.0, True), (15, 60.0, False), (59, 5.0, True), (59, 4.9, False)],
)
def test_a_window_may_run_low_but_not_out(remaining, resets_in, can):
    """The last quarter is for who comes later, and a renewal must be known to better than its own rounding."""
    assert described(remaining=remaining, resets_in=resets_in).supply(0.0).can_run_low is can


def test_a_rolling_window_never_runs_low():
    """There is no moment at which all of it is new."""
    window = described(resets_in=60.0)
    window.renewal.is_rolling = True
    assert not window.supply(0.0).can_run_low


def test_a_probe_that_is_told_nothing_ends_the_announcing_until_the_next_figure():
    """A page without headers within a window does not: only who opens a new one knows nothing of it."""
    window = described(remaining=1, resets_in=1.0)
    window.on_answer(send(window, 0.5), 0.6, None)
    assert window.limit == 60
    window.on_answer(send(window, 10.0), 10.1, None)
    assert window.limit is None
    window.on_answer(send(window, 11.0), 11.1, figures(remaining=59))
    assert window.limit == 60


def test_an_answer_overtaken_by_a_later_one_does_not_raise_the_figure():
    """The server served `first` and then `second`; that `first` was sent last makes its answer no newer."""
    window = described()
    second, early = send(window, 0.2), send(window, 0.2)
    window.on_answer(early, 0.3, figures(remaining=58))
    first = send(window, 0.4)
    window.on_answer(second, 0.5, figures(remaining=56))
    window.on_answer(first, 0.6, figures(remaining=57))
    assert window.available == 56


def test_answers_of_one_instant_are_not_taken_for_later_ones():
    """A clock that stands still, as coarse and virtual ones do, does not make a request newer than the figure."""
    window = Window()
    window.on_answer(send(window, 0.0), 0.0, figures(remaining=4, limit=5))
    first, second, third = (send(window, 0.0) for _ in range(3))
    window.on_answer(second, 0.0, figures(remaining=2, limit=5))
    window.on_answer(third, 0.0, figures(remaining=1, limit=5))
    window.on_answer(first, 0.0, figures(remaining=3, limit=5))
    assert window.available == 1


def test_what_was_lost_before_a_request_went_out_is_in_its_figure():
    """The server has counted it by then, or never will."""
    window = described()
    window.on_lost(send(window, 0.2), 0.4)
    window.on_answer(send(window, 0.4), 0.5, figures(remaining=57))
    assert window.available == 57


@pytest.mark.parametrize("lost_sent_at", [0.2, 0.4], ids=["sent first", "sent last"])
def test_a_request_lost_while_an_answer_was_under_way_stays_counted(lost_sent_at):
    """The answer may have been made before the lost request came in, whichever was sent first."""
    window = described()
    if lost_sent_at < 0.3:
        lost = send(window, lost_sent_at)
        answered = send(window, 0.3)
    else:
        answered = send(window, 0.3)
        lost = send(window, lost_sent_at)
    window.on_lost(lost, 0.4)
    window.on_answer(answered, 0.5, figures(remaining=58))
    assert window.available == 57


def test_a_slot_given_back_leaves_no_mark_on_the_pace():
    """Also where the pace slows down afterwards."""
    used, unused = described(), described()
    used.on_unsent(send(used, 10.0, PACED))
    for window in (used, unused):
        window.on_answer(send(window, 10.1), 10.2, figures(remaining=4, resets_in=50.0))
    assert max(10.3, used.next_at(10.3, PACED)) == max(10.3, unused.next_at(10.3, PACED))


@pytest.mark.parametrize(("limit", "period"), [(150, 60.0), (50, 1.0)])
def test_an_idle_hour_does_not_pass_for_a_long_window(limit, period):
    """Two resets an hour apart, with a window or more unseen between them, say nothing of its length."""
    window = described(limit=limit, resets_in=period)
    window.on_answer(
        send(window, 3600.0), 3600.1, figures(limit=limit, remaining=limit - 1, reset=EPOCH + 3660.0, resets_in=period)
    )
    assert window.renewal.period <= 60.0
    assert window.interval(3600.2) <= 1.2 * max(period, 1.0) / limit


def test_a_window_of_unknown_length_lasts_a_minute():
    """As every table of the documentation says: until a rest shows another length, its pace and its end are that."""
    window = described(limit=60, remaining=59, resets_in=0.0)
    for now in (0.0, 1.0):
        assert window.supply(now) == Supply(rate=1.0, remaining=60.0, resets_in=60.0)


@pytest.mark.parametrize(("limit", "interval"), [(60, 58.0 / 59), (1, 58.0)])
def test_the_pace_is_that_of_the_shortest_window_that_headers_can_mean(limit, interval):
    """A rest of a minute may be overstated by two seconds: 58 s for all but 2 %, also where little time is left."""
    assert described(limit=limit, remaining=limit, resets_in=60.0).interval(55.0) == pytest.approx(interval)


def test_the_last_request_of_a_window_has_all_the_time_that_is_left():
    """Also where it is the one that paced polls would leave unused."""
    assert described(limit=60, remaining=1, resets_in=50.0).interval(0.0) == pytest.approx(50.0)


def test_a_rest_that_may_be_rounding_alone_tells_no_length():
    """What is left is spread over the time left, and nothing is taken off that."""
    window = described(limit=10, remaining=9, resets_in=1.5)
    assert window.interval(0.0) == pytest.approx(1.5 / 9)
    assert window.interval(1.0) == pytest.approx(0.5 / 9)


def test_a_reset_that_is_over_is_not_in_the_past():
    """Seconds until it, never below none."""
    renewal = described(resets_in=30.0).renewal
    assert (renewal.resets_in(10.0), renewal.resets_in(30.0), renewal.resets_in(99.0)) == (20.0, 0.0, 0.0)


def test_without_an_announced_limit_there_is_no_pace():
    """Nothing is known that it could be derived from."""
    assert Window().interval(0.0) == 0.0


def test_a_paced_poll_that_neighbours_have_probably_left_nothing_waits_for_the_reset():
    """They took two a second of a fixed window: of the six that the newest figure had, nothing is left after 3 s."""
    window = described(limit=60, remaining=46, resets_in=60.0)
    for second in range(1, 21):
        window.on_answer(send(window, second - 0.1), float(second), figures(remaining=46 - 2 * second))
    assert window.available == 6
    assert window.next_at(20.5, PACED) < 60.0
    assert window.next_at(30.0, PACED) == pytest.approx(61.2)
    assert window.next_at(30.0, DIRECT) == 30.0


def test_no_poll_goes_ahead_of_the_pace_while_others_take_of_the_window():
    """What nobody else takes may be spent at once; what others are about to take is left to them."""
    alone, shared = described(limit=60, remaining=59, resets_in=60.0), described(limit=60, remaining=59, resets_in=60.0)
    for second in range(1, 11):
        alone.on_answer(send(alone, second - 0.1), float(second), figures(remaining=59 - second))
        shared.on_answer(send(shared, second - 0.1), float(second), figures(remaining=59 - 3 * second))
    for window in (alone, shared):
        send(window, 10.0, AHEAD), send(window, 10.0, AHEAD)
    assert alone.next_at(10.0, AHEAD) == 10.0
    assert shared.next_at(10.0, AHEAD) > 10.5


def test_a_window_of_which_others_have_taken_before_its_first_answer_is_not_spent_ahead():
    """It renewed a second ago, and ten requests of it are gone that are not ours."""
    window = described(remaining=0)
    window.on_answer(send(window, 61.2), 61.3, figures(remaining=49, reset=EPOCH + 120.0, resets_in=58.7))
    for _ in range(2):
        send(window, 61.3, AHEAD)
    assert window.next_at(61.3, AHEAD) > 61.5


def test_what_comes_free_before_a_reset_that_stands_still_is_paced_too():
    """A sliding counter's figure stays where it is although a request goes each second: one comes free as often."""
    window = described(limit=120, remaining=10, resets_in=60.0)
    lone = window.interval(20.0)
    for second in range(1, 21):
        window.on_answer(send(window, second - 0.1), float(second), figures(limit=120, remaining=10))
    assert lone == pytest.approx(40.0 / 8)
    assert window.interval(20.0) == pytest.approx(60.0 / 118)


def test_a_bucket_gives_no_more_than_it_fills_by_however_near_the_moment_it_names():
    """Its reset is the next token, in 0.4 s; a scheduler may count on 2.5 requests/s."""
    window = Window()
    for number in range(150):
        now = 0.4 * number
        window.on_answer(send(window, now), now, figures(limit=150, remaining=1, resets_in=0.4, reset=EPOCH + now))
    assert window.supply(60.0).rate == pytest.approx(0.98 * 2.5, rel=0.01)


def test_of_a_spent_bucket_that_others_use_the_reset_is_awaited():
    """They take nearly all that comes free, so that no place can be counted on: there is no other moment to name."""
    window = Window()
    for number in range(110):
        now, left = (0.4 * number, 10) if number < 100 else (45.0 + 5.0 * (number - 100), 0)
        rest = 0.4 * (150 - left)
        told = figures(limit=150, remaining=left, resets_in=rest, reset=EPOCH + now + rest)
        window.on_answer(send(window, now), now, told)
    assert window.supply(90.0).remaining == 0.0
    assert window.next_at(90.0, DIRECT) == pytest.approx(90.0 + 60.0 + GUARD)


def test_a_reset_comes_within_one_period():
    """Windows of a second, told in whole ones: what was counted now has left in a second."""
    window = described(limit=50, remaining=0, reset=EPOCH + 1.0, resets_in=1.0)
    window.on_answer(send(window, 1.2), 1.3, figures(50, 49, reset=EPOCH + 2.0, resets_in=1.0))
    assert window.renewal.period == 1.0
    window.on_answer(send(window, 2.2), 2.3, figures(50, 49, reset=EPOCH + 4.0, resets_in=2.0))
    assert window.renewal.resets_in(2.3) == pytest.approx(1.0)


def test_a_spent_window_is_probed_by_the_best_that_was_heard_of_the_servers_clock():
    """The first answer came with a `Date` of just then, the next with one of almost a second before."""
    window = described(limit=50, remaining=0, reset=EPOCH + 1.0, resets_in=1.0)
    window.on_answer(send(window, 1.9), 1.95, figures(50, 0, reset=EPOCH + 2.0, resets_in=1.0))
    assert window.next_at(1.95, DIRECT) == pytest.approx(2.2, abs=0.01)


def test_a_refusal_shows_that_a_clock_was_set():
    """Then the newest answer counts alone."""
    window = described(limit=50, remaining=0, reset=EPOCH + 1.0, resets_in=1.0)
    window.on_refused(send(window, 1.2), 1.3, figures(50, 0, reset=EPOCH + 2.0, resets_in=0.9), 2.4)
    window.on_answer(send(window, 2.5), 2.6, figures(50, 0, reset=EPOCH + 4.0, resets_in=1.0))
    assert window.renewal.resets_in(2.6) == pytest.approx(1.0)


def test_of_a_reset_that_moves_each_answer_tells_its_own():
    """What a log announces is when its oldest request leaves, as rounded: not one moment by two clocks."""
    window = described(resets_in=60.0)
    window.on_answer(send(window, 1.0), 1.0, figures(remaining=58, reset=EPOCH + 61.0, resets_in=60.0))
    assert window.renewal.is_rolling
    window.on_answer(send(window, 2.9), 2.9, figures(remaining=57, reset=EPOCH + 62.0, resets_in=60.0))
    assert window.renewal.resets_in(2.9) == pytest.approx(60.0)


def bucket(others):
    """A bucket of a hundred a minute of which so many are gone that we have not taken; it was asked twice."""
    window = Window()
    for now in (0.0, 1.0):
        rest = 0.6 * (others + 1)
        told = figures(limit=100, remaining=99 - others, resets_in=rest, reset=EPOCH + now + rest)
        window.on_answer(send(window, now), now, told)
    assert window.renewal.is_rolling
    return window


def test_of_a_bucket_that_others_use_no_poll_goes_ahead_of_the_pace():
    """All keep to what is left over the time that it takes to fill: by the same figure each has the same pace."""
    window = bucket(others=39)
    assert window.interval(1.0) == pytest.approx(24.0 / 60)
    for _ in range(3):
        send(window, 1.0, AHEAD)
    assert window.next_at(1.0, AHEAD) > 1.2


@pytest.mark.parametrize(("others", "rest"), [(98, 59.4), (99, 60.0)])
def test_of_a_bucket_that_others_use_the_last_place_is_for_all_of_its_rest(others, rest):
    """And so is none."""
    assert bucket(others).interval(1.0) == pytest.approx(rest)


def test_of_a_bucket_that_is_ours_polls_go_ahead():
    """What is missing of it is no more than we have sent."""
    window = Window()
    for number in range(20):
        now, rest = 0.1 * number, 0.6 * number
        told = figures(limit=100, remaining=99 - number, resets_in=rest, reset=EPOCH + now + rest)
        window.on_answer(send(window, now, AHEAD), now, told)
    assert window.renewal.is_rolling
    assert window.next_at(2.0, AHEAD) == 2.0


@pytest.mark.parametrize("urgency", [PACED, AHEAD])
def test_of_a_counter_with_nothing_left_polls_wait_for_one_place_and_not_for_two(urgency):
    """What others took is not given to them again; of a last place that is there, polls leave that one."""
    waits = []
    for remaining in (0, 1):
        window = Window()
        for now in range(0, 50, 2):  # what each takes has come free before the next, though no reset has come
            told = figures(limit=30, remaining=1 if now < 48 else remaining, resets_in=60.0 - now)
            window.on_answer(send(window, float(now)), float(now), told)
        waits.append((window.next_at(48.0, urgency), window.next_at(48.0, DIRECT)))
    (poll_of_none, direct_of_none), (poll_of_one, direct_of_one) = waits
    assert poll_of_none == direct_of_none == pytest.approx(50.3, abs=0.1)
    assert poll_of_one == pytest.approx(50.0, abs=0.1)
    assert direct_of_one == 48.0


def log_of_others(remaining):
    """A log of a hundred in which so many places are left beside ours and those of others."""
    window = described(limit=100, remaining=40, reset=EPOCH + 60.0, resets_in=60.0)
    told = figures(limit=100, remaining=remaining, resets_in=1.0, reset=EPOCH + 61.0)
    window.on_answer(send(window, 50.0), 50.0, told)
    return window


@pytest.mark.parametrize(("remaining", "at"), [(1, 110.02), (5, 50.0)])
def test_of_a_log_that_others_use_polls_keep_to_their_part(remaining, at):
    """They wait for places of their own to leave, not for the reset; while some are left, they gain one."""
    window = log_of_others(remaining)
    for urgency in (PACED, AHEAD):
        assert max(50.0, window.next_at(50.0, urgency)) == pytest.approx(at)
    assert window.next_at(50.0, DIRECT) == 50.0
    assert window.supply(50.0).rate == pytest.approx(2 / 60)


def test_of_a_log_that_others_use_polls_wait_for_no_more_of_theirs_than_they_need():
    """Of six the first two: one that is taken again, and one that is left to the others."""
    window = described(limit=100, remaining=40, reset=EPOCH + 60.0, resets_in=60.0)
    for now in (10.0, 20.0, 30.0, 40.0):
        told = figures(limit=100, remaining=40, resets_in=60.0 - now)
        window.on_answer(send(window, now), now, told)
    window.on_answer(send(window, 50.0), 50.0, figures(limit=100, remaining=1, resets_in=1.0, reset=EPOCH + 61.0))
    assert window.next_at(50.0, PACED) == pytest.approx(70.02)


def test_of_a_log_that_others_use_who_has_few_places_looks_again_where_some_were_left():
    """Once it has taken what it gained: ten seconds after the figure, and not when its own leave."""
    window = log_of_others(5)
    send(window, 50.0, PACED)
    assert window.next_at(50.0, PACED) == pytest.approx(60.0)


def test_of_a_log_that_others_use_nobody_looks_again_before_the_oldest_has_left():
    """Twelve seconds after the figure, whosever that is; ours stay for another half a minute."""
    window = described(30.0, limit=100, remaining=40, reset=EPOCH + 50.0, resets_in=20.0)
    told = figures(limit=100, remaining=5, resets_in=12.0, reset=EPOCH + 62.0)
    window.on_answer(send(window, 50.0), 50.0, told)
    send(window, 50.0, PACED)
    assert 62.0 <= window.next_at(50.0, PACED) < 90.0


def test_of_a_log_that_others_use_what_is_under_way_is_ours_as_well():
    """Two are inside when a figure comes, and two more are on their way: that is the pace of four."""
    window = described(limit=100, remaining=40, reset=EPOCH + 60.0, resets_in=60.0)
    for _ in range(2):
        send(window, 49.9, PACED)
    told = figures(limit=100, remaining=1, resets_in=1.0, reset=EPOCH + 61.0)
    window.on_answer(send(window, 49.9), 50.0, told)
    assert window.interval(50.0) == pytest.approx(60.0 / (4 * RUSH))


def test_of_a_log_that_others_use_a_slot_given_back_is_ours_again():
    """Its place was not taken, and may be."""
    used, unused = log_of_others(5), log_of_others(5)
    for _ in range(3):
        used.on_unsent(send(used, 50.0, PACED))
    assert used.next_at(50.0, PACED) == unused.next_at(50.0, PACED) < math.inf


@pytest.mark.untraced
@pytest.mark.parametrize("urgency", [PACED, AHEAD])
@pytest.mark.parametrize("seed", [7, 9])
def test_of_a_counter_one_place_is_left_to_what_its_rate_is_wrong_by(urgency, seed):
    """It changes with each bucket, and is seen in whole places only."""
    found = steady(limits(30, 60.0, window="sliding_counter"), urgency, seed)
    assert found["refused %"] == 0.0
    assert found["use"] > 0.95


@pytest.mark.untraced
@pytest.mark.parametrize("seed", [34, 38])
def test_of_a_counter_first_used_as_its_bucket_ends_every_bucket_is_used(seed):
    """A bucket frees what was used of the one before: who waits out a slow one leaves each second one unused."""
    assert steady(limits(30, 60.0, window="sliding_counter"), PACED, seed)["use"] > 0.93


@pytest.mark.untraced
def test_of_a_counter_that_others_use_as_well_no_place_waits_for_ever():
    """Where others take what comes free, no rate can be counted on, and none is left."""
    found = beside(limits(150, 60.0, window="sliding_counter"), 0.3, 7)
    assert found["use"] > 0.65


@pytest.mark.untraced
@pytest.mark.parametrize("urgency", [PACED, AHEAD])
def test_a_small_bucket_is_paced_by_its_limit_as_a_rate(urgency):
    """It holds two of 150, and gets 2.5 a second: a faster pace is refused, a slower one leaves places unused."""
    found = steady(limits(150, 60.0, window="token_bucket", burst=2), urgency, 7)
    assert found["use"] > 0.95
    assert found["refused %"] == 0.0


@pytest.mark.untraced
def test_what_is_under_way_when_a_figure_is_made_does_not_pass_for_what_a_server_does():
    """It is in the figure or not. Else a bucket is taken for a window that renews with each place, and asked so."""
    found = steady(limits(150, 60.0, window="token_bucket", bucket_reset="next"), AHEAD, 7)
    assert found["refused %"] == 0.0
    assert calls_done(limits(5, 2.0, window="token_bucket"), 300, 7)["seconds"] < 126.0


@pytest.mark.untraced
def test_a_log_is_paced_by_its_own_period():
    """It is told a second too long, in whole seconds: a pace by that would leave one place in sixty unused."""
    found = steady(limits(150, 60.0, window="sliding"), PACED, 7)
    assert found["use"] > 0.975
    assert found["refused %"] == 0.0


@pytest.mark.untraced
def test_places_of_a_short_log_are_taken_again_as_they_leave():
    """A trip is a twentieth of it: what that takes, and what arrives in another order, costs next to nothing."""
    found = steady(limits(50, 1.0, window="sliding"), PACED, 7)
    assert found["use"] > 0.93
    assert found["refused %"] == 0.0


@pytest.mark.untraced
@pytest.mark.parametrize(("window", "least"), [("sliding", 0.93), ("fixed", 0.95)])
def test_a_short_window_that_may_be_a_log_is_probed_when_ours_have_left_it(window, least):
    """Where all is spent at once, all comes back at once in both; whole seconds tell it up to a second too late."""
    found = steady(limits(50, 1.0, window=window), AHEAD, 7)
    assert found["use"] > least
    assert found["refused %"] == 0.0


def dated(clock, now, *, date, reset=EPOCH + 60.0):
    """Return when the reset comes by an answer with that `Date`."""
    return clock.moment(figures(reset=reset, resets_in=reset - date), now, does_move=False)


def test_the_answer_that_came_soonest_after_its_date_tells_best():
    """The server is 100 s ahead of us; a `Date` is up to a second older than its answer."""
    clock = Renewal()
    reset = EPOCH + 160.0
    assert dated(clock, EPOCH + 0.9, date=EPOCH + 100.0, reset=reset) == EPOCH + 60.9
    assert dated(clock, EPOCH + 1.1, date=EPOCH + 101.0, reset=reset) == pytest.approx(EPOCH + 60.1, abs=0.001)
    assert dated(clock, EPOCH + 1.8, date=EPOCH + 101.0, reset=reset) == pytest.approx(EPOCH + 60.1, abs=0.01)


def test_that_holds_for_the_windows_after_it_too():
    """Clocks come apart by a thousandth at most."""
    clock = Renewal()
    assert dated(clock, EPOCH + 0.1, date=EPOCH) == pytest.approx(EPOCH + 60.1, abs=0.001)
    later = dated(clock, EPOCH + 100.9, date=EPOCH + 100.0, reset=EPOCH + 120.0)
    assert later == pytest.approx(EPOCH + 120.1 + 100.8 * APART, abs=0.001)


def test_what_is_forgotten_is_learned_anew():
    """A clock was set: the answer alone counts."""
    clock = Renewal()
    dated(clock, EPOCH + 0.1, date=EPOCH)
    clock.forget_date()
    assert dated(clock, EPOCH + 1.9, date=EPOCH + 1.0) == pytest.approx(EPOCH + 60.9, abs=0.001)


def test_what_tells_no_moment_of_the_clock_changes_nothing():
    """Seconds from now in whole ones, and a reset that is over."""
    clock = Renewal()
    assert dated(clock, EPOCH + 0.9, date=EPOCH) == EPOCH + 60.9
    rounded = figures(reset=EPOCH + 10.0, resets_in=10.0)
    rounded = type(rounded)(rounded.limit, rounded.remaining, rounded.reset, rounded.resets_in, 1.0)
    assert clock.moment(rounded, EPOCH + 5.0, does_move=False) == EPOCH + 15.0
    assert clock.moment(figures(reset=EPOCH, resets_in=0.0), EPOCH + 5.0, does_move=False) == EPOCH + 5.0
    assert dated(clock, EPOCH + 0.95, date=EPOCH) == pytest.approx(EPOCH + 60.9, abs=0.001)
