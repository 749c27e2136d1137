"""What figures say of how a server counts, and what others take of it, told at literal times."""

import math
from collections import deque

import pytest
from support.limits import EPOCH, figures

from kallglot_async._core.limit.explanations import Drift, Explanations, Log, Way

PERIOD = 60.0


def follow(explanations, seconds, remaining, reset, *, limit=60, every=1.0):
    """One accepted request each second, with the figures that a server of some kind answers."""
    for number in range(1, int(seconds / every) + 1):
        now = number * every
        left, resets_at = remaining(now), reset(now)
        told = figures(limit, left, EPOCH + resets_at, max(0.0, resets_at - now))
        explanations.on_accepted(now - 0.1, now)
        found = limit - left - 1
        explanations.on_figure(now - 0.1, now, told, found=found, flying=0, period=PERIOD, is_rolling=True)


def test_a_window_that_renews_is_fixed():
    """Nothing comes free before the reset, and then all of it."""
    explanations = Explanations()
    follow(explanations, 200, lambda now: 60 - int(now % 60) - 1, lambda now: (now // 60 + 1) * 60)
    assert explanations.way is Way.FIXED
    assert not explanations.moves
    assert explanations.came_free(300.0) == 0
    assert explanations.comes_free_at(1) == math.inf


def test_a_log_is_told_by_what_leaves_it():
    """Each request leaves a minute after it arrived, and so does the moment that is announced."""
    explanations, log = Explanations(), deque()

    def remaining(now):
        while log and log[0] <= now - 60.0:
            log.popleft()
        log.append(now)
        return 100 - len(log)

    follow(explanations, 150, remaining, lambda now: log[0] + 60.0, limit=100)
    assert explanations.way is Way.LOG
    assert explanations.log.period == pytest.approx(60.1, abs=1.1)
    assert explanations.came_free(150.0) == 0
    assert explanations.came_free(155.0) in (4, 5)
    assert explanations.comes_free_at(1) == pytest.approx(151.0, abs=1.2)
    assert explanations.others <= 1


def test_what_fills_evenly_is_counted_by_its_rate():
    """A bucket of ten that gets one a second: it never has less, whatever its reset says."""
    explanations = Explanations()
    follow(explanations, 60, lambda now: 5, lambda now: now + 5.0)
    assert explanations.way is Way.REFILL
    assert explanations.moves, "by less than a period"
    assert explanations.refill() == pytest.approx(0.98, rel=0.01)
    assert explanations.comes_free_at(1) == pytest.approx(60.0 + 1 / 0.98, abs=0.05)
    assert explanations.came_free(70.0) == 0


def test_of_a_full_bucket_nothing_shows_what_it_fills_by():
    """No more comes free than was taken of it: until it is used faster than that, its rate is the documented one."""
    explanations, seconds = Explanations(), 0
    while explanations.way is not Way.REFILL:
        seconds += 1
        assert seconds < 60
        now = float(seconds)
        explanations.on_accepted(now - 0.1, now)
        told = figures(150, 149, EPOCH + now + 0.4, 0.4)
        explanations.on_figure(now - 0.1, now, told, found=0, flying=0, period=PERIOD, is_rolling=True)
    assert explanations.refill() == pytest.approx(0.98 * 2.5)


def test_what_fills_slowly_is_told_by_its_rate_too():
    """A bucket that gets one in five seconds."""
    explanations = Explanations()
    follow(explanations, 300, lambda now: 6, lambda now: now + 30.0, limit=12, every=5.0)
    assert explanations.way is Way.REFILL
    assert explanations.refill() == pytest.approx(0.98 / 5, rel=0.01)


class SmallBucket:
    """A bucket of a few that gets so many a second and announces that many a minute, with a reset in whole seconds."""

    def __init__(self, burst, rate):
        self.burst, self.rate, self.tokens, self.at = burst, rate, burst, 0.0

    def remaining(self, now):
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate) - 1.0
        self.at = now
        return max(0, int(self.tokens))

    def reset(self, now):
        return math.ceil(now + (self.burst - self.tokens) / self.rate) + 1.0

    def followed(self, limit, every, seconds=20.0):
        explanations = Explanations()
        for number in range(1, int(seconds / every) + 1):
            now = number * every
            left, resets_at = self.remaining(now), self.reset(now)
            explanations.on_accepted(now - 0.05, now)
            told = figures(limit, left, EPOCH + resets_at, resets_at - now)
            found = limit - left - 1
            explanations.on_figure(now - 0.05, now, told, found=found, flying=0, period=2.0, is_rolling=False)
        return explanations


@pytest.mark.parametrize("burst", [1, 2, 5])
def test_a_limit_of_which_hardly_anything_is_ever_left_is_a_rate(burst):
    """Each reset is seconds away, and brings a handful of 150: that is as much as it holds."""
    explanations = SmallBucket(burst, 2.5).followed(150, 0.5)
    assert (explanations.is_small, explanations.way, explanations.moves) == (True, Way.REFILL, True)
    assert explanations.refill() == pytest.approx(0.98 * 2.5)
    assert explanations.comes_free_at(1) == pytest.approx(20.0 + 1 / 2.45)


@pytest.mark.parametrize(
    ("burst", "rate", "limit", "every", "why"),
    [
        (10, 2.5, 150, 0.5, "ten of 150 are enough to see it fill"),
        (2, 10.0, 10, 0.5, "it fills ten a second: what comes free says so"),
        (1, 2.0, 20, 3.0, "its reset is nearer than a place takes at twenty a minute"),
    ],
)
def test_what_is_no_rate_of_a_minute_is_not_taken_for_one(burst, rate, limit, every, why):
    """At such a rate it would be used for a part only, and a bucket that is always empty shows no better one."""
    bucket = SmallBucket(burst, rate)
    if rate == 2.0:
        bucket.reset = lambda now: now + 0.5  # told to the fraction
    assert not bucket.followed(limit, every, 30.0).is_small, why


def test_a_bucket_that_announces_what_it_holds_is_told_by_what_came_free():
    """It fills by 2.5 a second: what came while it was taken for a window is its rate, and not five a minute."""
    bucket, explanations, now = SmallBucket(5, 2.5), Explanations(), 0.0
    while explanations.way is not Way.REFILL:
        now += 0.4
        assert now < 60.0
        left, resets_at = bucket.remaining(now), bucket.reset(now)
        explanations.on_accepted(now - 0.01, now)
        told = figures(5, left, EPOCH + resets_at, resets_at - now)
        explanations.on_figure(now - 0.01, now, told, found=4 - left, flying=0, period=2.0, is_rolling=False)
    assert explanations.refill() > 1.5


def test_a_window_that_others_have_used_up_is_no_small_bucket():
    """Its reset is near, and nearly nothing is left: but then it renews, and brings all."""
    explanations = Explanations()
    for now, left, resets_at in ((1.0, 3, 5.0), (3.0, 1, 5.0), (5.5, 140, 65.0), (7.0, 120, 65.0)):
        explanations.on_accepted(now - 0.1, now)
        told = figures(150, left, EPOCH + resets_at, resets_at - now)
        explanations.on_figure(now - 0.1, now, told, found=150 - left - 1, flying=0, period=4.0, is_rolling=False)
        assert not explanations.is_small


def test_a_refusal_halves_what_is_counted_on():
    """And acceptance brings it back, step by step."""
    explanations = Explanations()
    follow(explanations, 60, lambda now: 5, lambda now: now + 5.0)
    before = explanations.refill()
    explanations.on_refused()
    assert explanations.refill() == pytest.approx(before / 2)
    explanations.on_accepted(60.9, 61.0)
    assert explanations.refill() == pytest.approx(before / 2 * 1.1)
    for _ in range(3):
        explanations.on_refused()
    assert not explanations.is_trusted


def test_a_refusal_shows_that_the_period_of_a_log_may_be_no_whole_number_of_seconds():
    """Of two and a half, two were counted on: one came too early."""
    explanations = Explanations()
    for second in (0.0, 0.5, 1.0):
        explanations.on_accepted(second, second + 0.1)
    explanations.log.on_figure(2.6, 2.7, 2, 4, 2.0)
    assert explanations.log.period == 2.0
    explanations.on_refused()
    assert explanations.log.period == pytest.approx(2.6)


def test_of_a_request_it_is_not_known_when_it_arrived():
    """It took as long as the quickest at least: what is more may have been on its way to the server, or back."""
    log = Log()
    log.on_trip(0.5)
    log.inside.append((0.0, 2.0))
    assert log.returns_at(1) == pytest.approx(61.52)
    assert log.returned(61.51) == 0
    assert log.returned(61.53) == 1
    assert log.returns_at(2) == math.inf


def test_a_trip_may_yet_be_quicker():
    """Then all have arrived later than was thought."""
    log = Log()
    log.on_trip(0.5)
    log.inside.append((0.0, 2.0))
    log.on_trip(0.4)
    assert log.returns_at(1) == pytest.approx(61.62)


def test_the_quickest_trip_is_the_one_that_counts_whenever_it_was_made():
    """One that was slow at first and one that is slow again change nothing."""
    explanations = Explanations()
    for sent_at, took in ((0.0, 0.5), (100.0, 0.1), (200.0, 0.3)):
        explanations.on_accepted(sent_at, sent_at + took)
    assert explanations.log.trip == pytest.approx(0.1)


def test_what_has_surely_left_is_no_doubt_of_what_comes_after():
    """One that was sent at 0.5 s may have left before 60.4 s or not; at the next figure it is long gone."""
    log = Log()
    log.on_trip(0.1)
    for sent_at, answered_at in ((0.5, 0.9), (10.0, 10.1)):
        log.inside.append((sent_at, answered_at))
    assert (log.on_figure(60.5, 60.6, 2, 100, 1.0), log.doubt) == (1, 1)
    assert (log.on_figure(65.0, 65.1, 2, 100, 1.0), log.doubt) == (0, 0)


def test_what_may_have_left_hides_what_has_come():
    """By the time that another request arrived: of three that were sent a second apart, one, then two."""
    log = Log()
    log.on_trip(0.1)
    for second in (0.0, 1.0, 2.0):
        log.inside.append((second, second + 0.1))
    assert not log.may_have_left(59.7, 1)
    assert log.may_have_left(60.0, 1)
    assert not log.may_have_left(60.0, 2)
    assert log.may_have_left(61.0, 2)
    assert not log.may_have_left(90.0, 0)
    assert not log.may_have_left(90.0, 4)


def test_what_is_out_shows_a_period_at_most():
    """Of three requests two are in: the oldest has left, no later than now; a period is of whole seconds."""
    log = Log()
    log.on_trip(0.1)
    for second in (0.0, 1.0, 2.0):
        log.inside.append((second, second + 0.1))
    log.on_figure(11.7, 11.8, 2, 4, 10.0)
    assert log.period == 11.0
    log.on_refused()
    assert log.period == pytest.approx(11.7)
    log.learn_anew()
    assert log.period == 60.0


def test_what_is_out_of_no_log_shows_no_period():
    """Of a bucket less is missing than was sent, however long it remembers."""
    log = Log()
    for second in (0.0, 1.0, 2.0):
        log.inside.append((second, second + 0.1))
    log.on_trip(0.1)
    log.denied_at = 5.0
    log.on_figure(11.0, 11.1, 2, 4, 10.0)
    assert log.period == 60.0
    assert log.is_denied(185.0)
    assert not log.is_denied(185.1)


def test_a_request_that_is_answered_in_no_time_does_not_count_itself_out():
    """By a clock that stands still it is as old as its own figure, which tells of those before it only."""
    log = Log()
    log.on_trip(0.0)
    for second in (0.0, 1.0, 2.0):
        log.inside.append((second, second))
    log.inside.append((10.5, 10.5))
    log.on_figure(10.5, 10.5, 3, 4, 1.5)
    assert log.period == 60.0


def test_a_log_whose_reset_lies_beyond_its_oldest_request_is_none():
    """The oldest of ours has to leave before."""
    log = Log()
    log.inside.append((0.0, 0.1))
    log.on_figure(1.0, 1.1, 1, 100, 59.0)
    assert log.fits(50.0, 10.0, 0.0)
    assert not log.fits(50.0, 30.0, 0.0)


def test_what_is_out_within_a_second_is_out_of_no_log():
    """No limit is of less: it is a counter or a bucket that gives so much back so soon."""
    log = Log()
    log.on_trip(0.1)
    for second in (0.0, 0.1, 0.2):
        log.inside.append((second, second + 0.1))
    log.on_figure(0.8, 0.9, 2, 4, 1.0)
    assert not log.fits(0.9, 1.0, 0.0)
    assert log.period == 60.0


def test_what_may_only_just_not_have_left_is_no_error():
    """Twenty at once leave at once, when a request may have come a moment too early or not."""
    explanations = Explanations()
    explanations.way = Way.LOG
    for number in range(20):
        explanations.on_accepted(0.0, 0.1)
        told = figures(40, 39 - number, EPOCH + 60.0, 60.0)
        explanations.on_figure(0.0, 0.1, told, found=number, flying=0, period=PERIOD, is_rolling=True)
    for sent_at, remaining, found in ((59.8, 19, 20), (63.0, 38, 1)):
        explanations.on_accepted(sent_at, sent_at + 0.1)
        told = figures(40, remaining, EPOCH + 60.0, 1.0)
        explanations.on_figure(sent_at, sent_at + 0.1, told, found=found, flying=0, period=PERIOD, is_rolling=True)
    assert explanations.way is Way.LOG


def test_a_request_that_may_have_left_denies_no_log():
    """Its period may be overstated by the seconds that a reset is told in: then another one is the oldest."""
    log = Log()
    log.inside.append((0.0, 0.1))
    log.on_figure(1.0, 1.1, 1, 100, 61.0)
    assert log.fits(59.5, 45.0, 45.0)


def test_a_rest_longer_than_the_period_by_more_than_rounding_denies_the_period():
    """The oldest leaves by then. Whole-second headers overstate its rest by up to two."""
    for rest, is_log in ((61.0, True), (62.0, False)):
        log = Log()
        log.on_trip(0.1)
        for second in (0.0, 1.0, 2.0):
            log.inside.append((second, second + 0.1))
        log.on_figure(59.4, 59.5, 2, 4, rest)
        assert log.period == 59.0
        assert log.fits(59.5, 1.0, 0.0) is is_log


def test_a_log_is_as_long_as_a_rest_beyond_the_documented_minute():
    """Of two minutes a request stays as long; a second or two beyond one are rounding."""
    for rest, period in ((62.0, 60.0), (120.0, 120.0)):
        log = Log()
        log.on_figure(1.0, 1.1, 1, 100, rest)
        assert log.period == period


def test_the_reset_of_a_log_moves_on_when_it_is_over():
    """A bucket's does so with every request."""
    log = Log()
    assert log.fits(50.0, 1.0, 1.0)
    assert not log.fits(50.0, 5.0, 1.0)


def shared_log(explanations, begins, ends, others, *, rest=1.0, is_rolling=True):
    """Figures of a log of a hundred that we fill with a request a second, while so many of it are held by others."""
    for second in range(begins, ends):
        now, found = float(second), len(explanations.log.inside) + others
        told = figures(100, 99 - found, EPOCH + now + rest, rest)
        explanations.on_accepted(now - 0.1, now)
        explanations.on_figure(now - 0.1, now, told, found=found, flying=0, period=PERIOD, is_rolling=is_rolling)


def test_a_log_that_others_use_is_told_by_its_reset():
    """What comes free beside others fits no prediction; but the reset moves on by less than a period."""
    explanations = Explanations()
    shared_log(explanations, 1, 20, 30, is_rolling=False)
    assert not explanations.is_shared
    shared_log(explanations, 20, 21, 30)
    assert explanations.is_shared
    assert explanations.way is Way.LOG


def test_a_log_that_is_ours_alone_is_not_shared():
    """Nor is one of which others were not seen to hold any for two periods."""
    explanations = Explanations()
    shared_log(explanations, 1, 40, 0)
    assert not explanations.is_shared
    shared_log(explanations, 40, 50, 30)
    shared_log(explanations, 50, 169, 0)
    assert explanations.is_shared
    shared_log(explanations, 169, 170, 0)
    assert not explanations.is_shared


def test_ours_that_have_just_left_are_not_taken_for_those_of_others():
    """A server may have them a little longer than we think. What it has for seconds longer is not ours."""
    explanations = Explanations()

    def look(now, rest):
        told = figures(100, 70, EPOCH + now + rest, rest)
        explanations.on_figure(now - 0.1, now, told, found=30, flying=0, period=PERIOD, is_rolling=True)

    for _ in range(30):
        explanations.on_accepted(0.0, 0.1)
    look(1.0, 59.0)
    look(61.0, 1.0)
    assert (len(explanations.log.inside), explanations.others, explanations.sees_others) == (0, 30, False)
    look(66.0, 1.0)
    assert explanations.sees_others


def test_what_was_seen_to_be_no_log_is_none_for_three_periods():
    """A bucket's reset moves on with every request, long before it is over."""
    explanations = Explanations()
    shared_log(explanations, 1, 10, 30)
    shared_log(explanations, 10, 12, 30, rest=20.0)
    assert not explanations.is_shared
    shared_log(explanations, 12, 192, 30)
    assert not explanations.is_shared
    shared_log(explanations, 192, 193, 30)
    assert explanations.is_shared


def follow_drift(drift, seconds, *, ours=0, others=0, freed=0, start=1000):
    """A figure each second, which so many of ours and of others' have lowered, and so many places that came free."""
    left = start
    drift.on_renewed(0.0, left, PERIOD, in_flight=0, gone=0)
    for second in range(1, seconds + 1):
        left += freed - ours - others
        drift.sent += ours
        drift.accepted += ours
        drift.on_figure(float(second), left, PERIOD)


def test_our_own_requests_are_no_drift():
    """Alone in a fixed window: nobody takes anything, and nothing comes free."""
    drift = Drift()
    follow_drift(drift, 30, ours=3)
    assert (drift.freed(PERIOD), drift.taken(31.0, PERIOD)) == (0.0, 0.0)


def test_what_falls_beyond_our_own_requests_is_the_neighbours():
    """Two a second: three seconds after the newest figure six are gone, and half a deviation more, out of many."""
    drift = Drift()
    follow_drift(drift, 30, ours=1, others=2)
    assert drift.taken(33.0, PERIOD) == pytest.approx(6.0 + 0.5 * 6.0**0.5, rel=0.05)
    assert drift.freed(PERIOD) == 0.0


def test_neighbours_take_less_the_less_there_is():
    """Nobody can have taken more than all that was left."""
    drift = Drift()
    follow_drift(drift, 30, others=2, start=65)
    assert 4.0 < drift.taken(130.0, PERIOD) <= 5.0 + 5.0**0.5


def test_what_comes_free_is_seen_beside_our_own_requests():
    """Of a sliding counter, whose figure rises while its reset stands still."""
    drift = Drift()
    follow_drift(drift, 30, ours=2, freed=2)
    assert drift.freed(PERIOD) == pytest.approx(2.0)
    assert drift.taken(33.0, PERIOD) == 0.0


def test_requests_in_flight_pass_for_nobody_elses():
    """The figure that comes first may hold all of them already, or none."""
    drift = Drift()
    drift.on_renewed(0.0, 100, PERIOD, in_flight=0, gone=0)
    drift.sent += 50
    for second in range(1, 9):
        drift.on_figure(float(second), 50, PERIOD)
    assert drift.taken(9.0, PERIOD) == 0.0
    assert drift.freed(PERIOD) == 0.0


def test_a_slot_given_back_was_never_sent():
    """What it would have taken is not taken for ours."""
    drift = Drift()
    follow_drift(drift, 30, others=2)
    before = drift.taken(33.0, PERIOD)
    drift.sent += 1
    drift.sent -= 1
    assert drift.taken(33.0, PERIOD) == before


def test_a_new_window_tells_nothing_of_the_old_one():
    """All of it coming back is no place that came free."""
    drift = Drift()
    follow_drift(drift, 30, ours=1)
    drift.on_renewed(60.0, 1000, PERIOD, in_flight=0, gone=0)
    assert drift.freed(PERIOD) == 0.0


@pytest.mark.parametrize(("seconds", "others"), [(3, 3), (30, 0)])
def test_a_little_is_no_drift(seconds, others):
    """Neither a few seconds nor a request or two, which the order of answers can make."""
    drift = Drift()
    follow_drift(drift, seconds, ours=1, others=others)
    drift.on_figure(seconds + 0.1, 1000 - seconds * (1 + others) - 1, PERIOD)
    assert drift.taken(seconds + 5.0, PERIOD) == 0.0


def test_of_a_short_window_two_thirds_of_a_second_have_to_be_seen():
    """However short: a burst of our own takes as long."""
    for seconds, is_known in ((0.6, False), (0.7, True)):
        drift = Drift()
        drift.on_renewed(0.0, 100, 6.0, in_flight=0, gone=0)
        drift.on_figure(seconds, 90, 6.0)
        assert drift.sees_neighbours(6.0) is is_known


def test_who_has_taken_of_a_window_before_its_first_figure_is_a_neighbour():
    """A window of which more is gone than we have asked for: it is known at once, and nobody spends it ahead."""
    drift = Drift()
    drift.on_renewed(0.0, 140, PERIOD, in_flight=0, gone=9)
    assert drift.sees_neighbours(PERIOD)
    assert drift.taken(1.0, PERIOD) > 1.0


def test_one_or_two_that_are_missing_from_a_window_are_no_neighbours():
    """They may be our own, of which no answer came."""
    drift = Drift()
    drift.on_renewed(0.0, 147, PERIOD, in_flight=0, gone=2)
    assert not drift.sees_neighbours(PERIOD)
    assert drift.taken(1.0, PERIOD) == 0.0


def test_a_burst_that_was_sent_before_a_window_renewed_is_no_neighbour():
    """The first of 60 answers is that window's first figure; each of the others falls by one, within half a second."""
    drift = Drift()
    follow_drift(drift, 30, ours=1)
    drift.sent += 60
    drift.on_renewed(31.0, 149, PERIOD, in_flight=59, gone=1)
    for number in range(1, 60):
        drift.on_figure(31.0 + number / 120, 149 - number, PERIOD)
    assert not drift.sees_neighbours(PERIOD)
