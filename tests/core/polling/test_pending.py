"""What is known of a pending analysis: what an answer says of its time, and when that is over, at literal moments."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kallglot_async._core.polling.pending import FIRM, FLYING, LATE, LATE_LOOK, Creates, Entry, Sight
from kallglot_async.models import Analysis, AnalysisStatus

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)


def analysis(**fields):
    return Analysis(id="ana_1", object="analysis", status=AnalysisStatus.PROCESSING, **fields)


def seconds(number):
    return timedelta(seconds=number)


def window(rest, **more):
    """The headers of a limited answer whose window renews after `rest` seconds."""
    figures = {"X-RateLimit-Limit": "150", "X-RateLimit-Remaining": "140", "X-RateLimit-Reset": f"{NOW + rest:.0f}"}
    return figures | more


def test_an_answer_that_tells_nothing_says_nothing():
    assert Sight.of(analysis(), {}, server_now=NOW) == Sight()


def test_age_and_duration_are_differences_of_the_servers_own_moments():
    """A creation in the future is an age of zero: clocks of servers differ."""
    done = analysis(created_at=AT - seconds(40), completed_at=AT - seconds(15))
    assert Sight.of(done, {}, server_now=NOW) == Sight(age=40.0, took=25.0)
    assert Sight.of(analysis(created_at=AT + seconds(5)), {}, server_now=NOW).age == 0.0
    assert Sight.of(analysis(created_at=AT, completed_at=AT - seconds(1)), {}, server_now=NOW).took == 0.0
    assert Sight.of(analysis(completed_at=AT), {}, server_now=NOW).took is None


def test_the_estimate_is_a_hint_while_it_lies_ahead():
    assert Sight.of(analysis(estimated_completion=AT + seconds(12)), {}, server_now=NOW).hint_in == 12.0
    assert Sight.of(analysis(estimated_completion=AT - seconds(1)), {}, server_now=NOW).hint_in is None


def test_retry_after_comes_before_the_estimate():
    known = analysis(estimated_completion=AT + seconds(12))
    assert Sight.of(known, {"Retry-After": "3"}, server_now=NOW).hint_in == 3.0
    assert Sight.of(known, {"Retry-After": "soon"}, server_now=NOW).hint_in == 12.0


@pytest.mark.parametrize(
    ("retry_after", "hint"), [(58, None), (56, None), (60, None), (55, 55.0), (61, 61.0), (3, 3.0)]
)
def test_what_names_the_rest_of_the_window_is_decoration(retry_after, hint):
    """Within two seconds, as each of the figures is rounded."""
    headers = window(58.0, **{"Retry-After": str(retry_after)})
    assert Sight.of(analysis(), headers, server_now=NOW).hint_in == hint


def test_decoration_leaves_the_estimate_in_force():
    headers = window(58.0, **{"Retry-After": "58"})
    assert Sight.of(analysis(estimated_completion=AT + seconds(9)), headers, server_now=NOW).hint_in == 9.0


@pytest.mark.parametrize(
    ("ago", "age"), [(0.0, 0.0), (0.9, 0.0), (-3.0, 0.0), (30.0, 29.0)], ids=["now", "rounded", "skewed", "repeated"]
)
def test_a_timestamp_of_whole_seconds_makes_nothing_that_was_created_older_than_it_is(ago, age):
    """What has just been created is new, whenever in its second that was; a repeated create names an earlier one."""
    creates = Creates()
    creates.on_created(analysis(created_at=AT), 50.0, server_now=NOW + ago)
    assert creates.times_of("ana_1", 50.0) == (age, None)
    assert creates.times_of("ana_1", 55.0) == (age + 5.0, None)
    assert "ana_1" in creates
    assert "ana_2" not in creates


@pytest.mark.parametrize("ago", [0.0, 30.0], ids=["now", "repeated"])
def test_the_estimate_of_what_was_created_stays_at_its_moment(ago):
    """Whatever is asked of it later, and however old it was: it names a moment of the server's, forty seconds ahead."""
    creates = Creates()
    created = analysis(created_at=AT, estimated_completion=AT + seconds(ago + 40))
    creates.on_created(created, 50.0, server_now=NOW + ago)
    assert creates.times_of("ana_1", 50.0)[1] == 40.0
    assert creates.times_of("ana_1", 60.0)[1] == 30.0
    assert creates.times_of("ana_2", 60.0) == (None, None)


def test_the_time_of_an_id_runs_from_its_first_poll():
    """There is none before that, and a clock that was set back takes nothing off."""
    entry = Entry("ana_1", "a", 0.0, 0.0, None, 10.0, FIRM)
    assert entry.elapsed(7.0) == 0.0
    entry.begin(5.0)
    assert [entry.elapsed(now) for now in (4.0, 5.0, 7.0)] == [0.0, 0.0, 2.0]


def entry(id: str = "ana_1", *, timeout: float | None = 30.0, **fields: Any) -> Entry:
    it = Entry(id, "a", 0.0, 0.0, None, timeout, FIRM, **fields)
    it.begin(0.0)
    return it


def test_entries_are_equal_only_to_themselves() -> None:
    one, other = entry(), entry()
    assert one != other
    assert len({one, other}) == 2


def test_a_deadline_that_was_missed_by_far_is_followed_by_one_late_look() -> None:
    """A little is what any loop is late; a late look has a second, and there is none after it."""
    it = entry()
    assert not it.is_late(30.0 + LATE)
    assert it.is_late(40.0)
    it.grant_late_look(40.0)
    assert it.deadline == 40.0 + LATE_LOOK
    assert not it.is_owed_a_look(90.0)
    assert not entry(timeout=None).is_late(1e9)


def test_an_answer_from_before_does_not_stand_for_the_late_look() -> None:
    """Its poll was out as the look was granted."""
    it = entry()
    it.state = FLYING
    it.grant_late_look(40.0)
    assert it.is_owed_a_look(40.1)


def test_another_queue_takes_it_as_it_was_with_a_time_of_its_own() -> None:
    """What was seen of it goes along; that its time was over elsewhere does not."""
    it = entry(polls=3, last_status="queued")
    it.grant_late_look(40.0)
    other = it.for_another(120.0, 5.0)
    assert (other.polls, other.last_status, other.is_last) == (3, "queued", False)
    assert (other.deadline, it.deadline) == (125.0, 41.0)
    assert it.for_another(None, 5.0).deadline is None


def test_an_age_that_is_told_counts_from_the_creation() -> None:
    """It has been running from then on, where nobody has seen it since."""
    it = entry()
    it.date(100.0, None)
    assert (it.born_at, it.seen_at) == (0.0, None)
    it.date(100.0, 40.0)
    assert (it.born_at, it.seen_at) == (60.0, 60.0)
    it.seen_at = 90.0
    it.date(100.0, 30.0)
    assert (it.born_at, it.seen_at) == (70.0, 90.0)
