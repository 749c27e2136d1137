"""At which pace one of several goes on by itself, at literal times."""

import math

import pytest
from support.limits import AHEAD, DIRECT, PACED, figures

from kallglot_async._core.limit.exchange import Alone, Reply


def alone(ceiling=math.inf, **told):
    """Return one of four that was told, at 0.0, of 600 requests in 10 s, of which 5 s and 60 of its part are left."""
    found = Alone(ceiling)
    told = {"processes": 4, "limit": 600, "even": 60.0, "period": 10.0, "ends_in": 5.0, "part": 60.0} | told
    found.on_reply(Reply(**told), 0.0)
    return found


class TestThisWindow:
    @pytest.mark.parametrize("urgency", [AHEAD, PACED])
    def test_polls_have_what_is_left_of_their_part(self, urgency):
        """60 in 5 s, not the 75 that would be even: more of it was spent before."""
        assert alone().interval(1.0, urgency) == pytest.approx(5.0 / 60)

    def test_what_was_granted_with_it_comes_first(self):
        """Of the 5 s, ten slots fill one: the rest of the part is for four."""
        assert alone(paced=10, interval=0.1).interval(1.0, PACED) == pytest.approx(4.0 / 60)

    def test_what_no_time_is_left_for_keeps_no_pace(self):
        """Twelve slots, half a second apart, reach beyond the window."""
        assert alone(paced=12, interval=0.5).interval(1.0, PACED) == 0.0

    def test_people_have_the_even_pace(self):
        """Nobody knows how many there will be, and a web backend has no part of polls."""
        assert alone(part=0.0).interval(1.0, DIRECT) == pytest.approx(4 / 60)

    def test_a_part_that_is_spent_waits_for_the_next_window(self):
        """And goes at once then, where it has waited for longer than the even pace asks for."""
        assert alone(part=0.0).next_at(1.0, PACED, last=1.0) == pytest.approx(5.0)
        assert alone(part=0.0).next_at(4.99, PACED, last=4.99) == pytest.approx(4.99 + 4 / 60)


class TestTheNextWindow:
    def test_it_is_spent_evenly(self):
        """Divided by those who were there, and no longer by what was left of the last."""
        assert alone().interval(5.0, PACED) == pytest.approx(4 / 60)
        assert alone().next_at(5.0, PACED, last=4.99) == pytest.approx(4.99 + 4 / 60)

    def test_a_first_window_that_was_nearly_over_does_not_pass_for_a_short_one(self):
        """Of 4 s that were left, 150/s would be even; its own answers then tell of 10 s."""
        found = alone(even=150.0, period=4.0, ends_in=1.0)
        assert found.interval(1.0, PACED) == pytest.approx(4 / 150)
        found.on_figures(figures(limit=600, resets_in=10.0))
        assert found.interval(1.0, PACED) == pytest.approx(4 / 60)

    def test_a_ceiling_holds_where_it_is_lower(self):
        """One of 20/s, of which a quarter is its own."""
        assert alone(ceiling=20.0).interval(5.0, PACED) == pytest.approx(4 / 20)


class TestWhatNobodyTold:
    def test_without_any_answer_there_is_the_ceiling_alone(self):
        """All of it, as nobody else is known; and no end of a window."""
        assert Alone(8.0).next_at(3.0, PACED, last=3.0) == pytest.approx(3.125)
        assert Alone(math.inf).interval(3.0, PACED) == 0.0
        assert not Alone(8.0).is_told

    def test_a_server_that_announces_nothing_is_asked_at_will(self):
        """By each of them."""
        found = alone(limit=None, even=math.inf, ends_in=math.inf, period=0.0)
        assert found.interval(1.0, PACED) == 0.0
        assert not found.is_told
