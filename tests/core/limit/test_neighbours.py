"""What others take of a limit, and what is ours of a log beside them, told at literal times and in their company."""

import pytest

from benchmarks._limits_world import Calls, Client, Server, World
from benchmarks.limits import among, limits
from kallglot_async._core.limit.neighbours import LEFT, RUSH, Drift, Part
from kallglot_async._core.limit.ticket import Urgency

PERIOD = 60.0
LIMIT = 100
INTERVAL = 0.6  # seconds, of a hundred a minute


def look(part, now, own, left, *, gone=0):
    part.on_figure(now, own, LIMIT, left=left, gone=gone)


def test_a_place_that_leaves_is_taken_again():
    """It is known when, so nobody has to race for it."""
    part = Part()
    look(part, 0.0, 20, LEFT + 1)
    assert part.needed() == 1
    look(part, 1.0, 20, LEFT + 1, gone=1)
    assert part.needed() == 0
    part.on_sent(0)
    assert part.needed() == 1


def test_the_pace_is_that_of_our_places_and_of_one_at_least():
    """Who has none goes on as if it had one: else it would never have any."""
    part = Part()
    for own, rate in ((0, RUSH), (1, RUSH), (2, 2 * RUSH)):
        look(part, 0.0, own, LEFT)
        assert part.rate == pytest.approx(rate)


def test_what_was_not_taken_again_for_long_is_the_others():
    """Nobody can know that it is not."""
    part = Part()
    look(part, 0.0, 20, LEFT + 1, gone=10)
    assert part.needed() == -9
    look(part, 60.0, 20, LEFT + 1)
    assert part.needed() == 1


def test_who_has_more_yields_more():
    """While no more are left than should be: of each place twice the part of the limit that one has."""
    small, large = Part(), Part()
    for second in range(10):
        for part, own in ((small, 10), (large, 30)):
            look(part, float(second), own, 0, gone=1)
            part.on_sent(0)
    assert small.needed() == 3
    assert large.needed() == 7


def test_who_has_less_gains_as_much():
    """Two places a period, whoever has few figures in it and whoever has many, and a little for what one has."""
    for own, figures_needed in ((4, 2), (8, 4), (40, 4)):
        part, number = Part(), 0
        while not part.can_gain(float(number), INTERVAL):
            number += 1
            look(part, float(number), own, LEFT + 1)
        assert number == figures_needed
        part.on_sent(0)
        assert not part.can_gain(float(number), INTERVAL)
        assert part.needed() == 1


def test_who_has_nothing_yet_begins_as_who_has_one():
    """As where its first request was refused."""
    nothing, one = Part(), Part()
    look(nothing, 0.0, 0, LEFT + 10)
    look(one, 0.0, 1, LEFT + 10)
    assert (nothing.rate, nothing.needed()) == (one.rate, one.needed())
    assert nothing.can_gain(0.0, INTERVAL) is one.can_gain(0.0, INTERVAL) is True


def test_a_figure_is_good_for_as_long_as_places_are_left():
    """Others see them as well: ten places of a hundred a minute may be gone in six seconds."""
    part = Part()
    look(part, 0.0, 1, LEFT + 10)
    assert part.can_gain(1.7, INTERVAL)
    assert not part.can_gain(1.9, INTERVAL)
    look(part, 2.0, 1, LEFT)
    assert not part.can_gain(2.0, INTERVAL)


def test_places_that_left_together_are_not_taken_again_together():
    """A rush of all is what they would remain; the more are left, the less that matters."""
    part = Part()
    look(part, 0.0, 10, LEFT)
    assert part.rate == pytest.approx(17.0)
    look(part, 0.0, 10, LEFT + 20)
    assert part.rate == pytest.approx(39.0)


def test_a_request_that_was_not_sent_costs_nothing():
    """The place may be taken again."""
    part = Part()
    look(part, 0.0, 20, LEFT + 1, gone=1)
    part.on_sent(0)
    part.on_unsent()
    assert part.needed() == 0


@pytest.mark.untraced
@pytest.mark.parametrize("urgency", [Urgency.PACED, Urgency.AHEAD])
@pytest.mark.parametrize("clients", [2, 5])
def test_clients_that_know_nothing_of_each_other_meet_at_equal_parts(clients, urgency):
    """Whoever began with nearly all of it; and nobody is refused."""
    found = among(limits(150, 60.0, window="sliding"), clients, urgency, 1)
    assert found["refused %"] < 0.5
    assert found["smallest share"] > 0.6
    assert found["use"] > 0.95


@pytest.mark.untraced
def test_who_comes_later_gets_its_part():
    """It has few figures, as it has few places; a fifth of the log is its own."""
    world, server = World(), Server(limits(150, 60.0, window="sliding"), ahead=7.3)
    for number in range(5):
        Client(world, server, Calls(), 700 + number, name=str(number), begins=0.37 * number if number < 4 else 400.0)
    world.run(1000.0)
    late = [arrival for arrival in server.record if arrival.who == "4"]
    fair = 2.5 * 300.0 / 5
    assert sum(arrival.is_accepted for arrival in late if arrival.at <= 700.0) > 0.5 * fair
    assert sum(arrival.is_accepted for arrival in late if arrival.at > 700.0) > 0.5 * fair
    assert sum(not arrival.is_accepted for arrival in late) < 0.05 * len(late)


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
