"""The values around a poll queue: schedules that cannot poll never or without a pause, and what a limiter gives."""

import math

import pytest

from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async.errors import ConfigurationError


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_schedule_without_a_sensible_interval_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"interval is .* seconds"):
        PollSchedule.fixed(value)
    with pytest.raises(ValueError, match="first is"):
        PollSchedule.exponential(first=value)
    with pytest.raises(ValueError, match="maximum"):
        PollSchedule.exponential(maximum=value)


@pytest.mark.parametrize("interval", [True, "2", None, 10**400, [2.0]])
def test_what_is_no_number_of_seconds_is_a_configuration_error(interval: object) -> None:
    with pytest.raises(ConfigurationError, match="interval"):
        PollSchedule.fixed(interval)


@pytest.mark.parametrize("factor", [0.99, 0.0, -2.0, math.nan, math.inf])
def test_a_factor_that_shrinks_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        PollSchedule.exponential(factor=factor)


def test_a_maximum_below_the_first_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="give a larger maximum"):
        PollSchedule.exponential(first=5.0, maximum=4.0)


def test_fixed_is_the_documented_two_seconds() -> None:
    assert [PollSchedule.fixed().interval(polls) for polls in (1, 2, 50)] == [2.0, 2.0, 2.0]


def test_an_interval_may_be_as_short_as_one_likes() -> None:
    """The caller's server may allow it; where nothing is hinted, nothing is made longer."""
    assert PollSchedule.fixed(0.2).interval(1) == 0.2
    assert PollSchedule.exponential(first=0.1, factor=2.0).interval(2) == 0.2


def test_exponential_grows_to_its_maximum_and_no_further() -> None:
    schedule = PollSchedule.exponential(first=1.0, factor=1.5, maximum=3.0)
    assert [schedule.interval(polls) for polls in (0, 1, 2, 3, 4, 5)] == [1.0, 1.0, 1.5, 2.25, 3.0, 3.0]
    assert PollSchedule.exponential(factor=10.0).interval(100_000) == 10.0


def test_what_is_not_given_is_as_documented() -> None:
    """`learned` falls back to nothing of its own; the others poll at the pace that their docstrings name."""
    assert [PollSchedule(policy="fixed").interval(polls) for polls in (0, 1, 9)] == [2.0, 2.0, 2.0]
    assert PollSchedule(policy="exponential", maximum=9.0).interval(9) == 2.0
    assert [PollSchedule.exponential().interval(polls) for polls in (1, 2, 3, 9)] == [1.0, 1.5, 2.25, 10.0]
    slow = PollSchedule.behind_webhooks()
    assert (slow.delay, [slow.interval(polls) for polls in (1, 2, 3, 4)]) == (60.0, [60.0, 120.0, 240.0, 300.0])


def test_schedules_are_values() -> None:
    assert PollSchedule.learned() == PollSchedule()
    assert PollSchedule.fixed(2.0) == PollSchedule.fixed()
    assert len({PollSchedule.learned(), PollSchedule.fixed(), PollSchedule.exponential()}) == 3
