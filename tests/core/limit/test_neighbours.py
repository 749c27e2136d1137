"""What part of a log is ours beside others, told at literal times, and in the company of others."""

import pytest

from benchmarks._limits_world import Calls, Client, Server, World
from benchmarks.limits import among, limits
from kallglot_async._core.limit.neighbours import LEFT, RUSH, Part
from kallglot_async._core.limit.ticket import Urgency

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
