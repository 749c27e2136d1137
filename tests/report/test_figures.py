"""What many calls come to."""

import datetime

import pytest

from kallglot_async.models import ActionItem, Priority, Speaker
from kallglot_async.report import figures
from kallglot_async.report.calls import Call, Reason
from kallglot_async.report.figures import Bin, DayFigures, TopicFigure

FIRST, SECOND = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)


def call(number=1, **facts):
    return Call(number=number, id=f"ana_{number}", **facts)


def test_a_mean_is_over_what_is_there():
    """What is missing is no zero; where nothing is, there is no mean."""
    assert figures.mean([1.0, None, 2.0]) == 1.5
    assert figures.mean([None]) is None
    assert figures.mean([]) is None


def test_a_histogram_counts_each_figure_once():
    """An edge belongs to the bin that begins there; what is out of range is in the nearest bin."""
    counts = [each.count for each in figures.histogram([-1.0, -0.4, 0.0, 0.2, 0.2, 1.0, 7.0, -7.0, None], -1.0, 1.0)]
    assert counts == [2, 0, 0, 1, 0, 1, 2, 0, 0, 2]
    assert figures.histogram([50.0], 0.0, 100.0)[4:6] == [Bin(40.0, 50.0, 0), Bin(50.0, 60.0, 1)]
    assert figures.histogram([None], 0.0, 1.0) == []


@pytest.mark.parametrize("place", range(-10, 10))
def test_every_edge_is_where_it_is_written(place):
    """0.3 is in the bin from 0.2 whatever a float makes of it, and 0.2 is too."""
    bins = figures.histogram([place / 10], -1.0, 1.0)
    (found,) = [n for n, each in enumerate(bins) if each.count]
    assert found == (place + 10) // 2


def test_each_call_weighs_the_same_in_the_course():
    """A call of a hundred segments is one call, and a call of one segment is one too."""
    long, short = call(course=(1.0,) * 100), call(course=(-1.0,))
    assert [stretch.mean for stretch in figures.course([long, short, call()])] == pytest.approx([0.0] * 10)
    assert figures.course([call()]) == []


def test_a_course_takes_each_segment_for_its_part_of_the_call():
    """Three segments over ten tenths: the fourth tenth has a third of the first and two thirds of the second."""
    means = [stretch.mean for stretch in figures.course([call(course=(0.0, 0.6, 0.9))])]
    assert means == pytest.approx([0.0, 0.0, 0.0, 0.4, 0.6, 0.6, 0.7, 0.9, 0.9, 0.9])
    for count in (1, 7, 10, 13, 64):
        whole = figures.course([call(course=tuple(n / count for n in range(count)))])
        assert figures.mean(stretch.mean for stretch in whole) == pytest.approx((count - 1) / 2 / count)


def test_the_band_has_the_middle_half():
    """Of four calls the outer two are left out."""
    (first, *_) = figures.course([call(course=(score,)) for score in (-1.0, 0.1, 0.2, 1.0)])
    assert (first.low, first.high) == (0.1, 0.2)


def test_words_and_topics_are_counted_the_most_frequent_first():
    """Equal counts stand in the order of the alphabet; a topic's mood is that of the calls that have one."""
    assert figures.shares(["b", None, "a", "c", "c", ""]) == [("c", 2), ("a", 1), ("b", 1)]
    calls = [call(topics=("x", "y"), sentiment=0.5), call(topics=("x",)), call(topics=("x",), sentiment=0.0)]
    assert figures.topics(calls) == [TopicFigure("x", 3, 0.25), TopicFigure("y", 1, 0.5)]


def test_days_are_in_order_and_hold_what_was_analysed():
    """What failed has no day."""
    calls = [
        call(day=SECOND, sentiment=1.0, quality=80.0),
        call(day=FIRST),
        call(day=SECOND, sentiment=0.0),
        call(day=FIRST, reason=Reason("failed", "")),
        call(),
    ]
    assert figures.days(calls) == [DayFigures(FIRST, 1, None, None), DayFigures(SECOND, 2, 0.5, 80.0)]


def test_what_is_to_be_done_is_by_assignee_due_date_and_urgency():
    """No due date is last, nobody is last, and the same thing asked for twice is one line."""
    agent = {"assignee": Speaker.AGENT}
    late = ActionItem(description="late", due_date=SECOND, **agent)
    soon = ActionItem(description="soon", due_date=FIRST, priority=Priority.LOW, **agent)
    first = ActionItem(description="then", due_date=FIRST, priority=Priority.HIGH, **agent)
    once = ActionItem(description="once", **agent)
    one = call(1, items=(ActionItem(), late, once, soon))
    two = call(2, items=(first, late))
    found = figures.lines([one, two])
    assert list(found) == ["agent", ""]
    assert [(line.description, line.due) for line in found["agent"]] == [
        ("then", FIRST),
        ("soon", FIRST),
        ("late", SECOND),
        ("once", None),
    ]
    assert [line.calls for line in found["agent"]] == [(two,), (one,), (one, two), (one,)]


def test_overdue_is_what_was_due_before_today():
    """Not what is due today, nor what has no day."""
    (due, undated) = figures.lines([call(items=(ActionItem(due_date=FIRST), ActionItem()))])[""]
    assert due.is_overdue(SECOND)
    assert not due.is_overdue(FIRST)
    assert not undated.is_overdue(SECOND)


def test_the_worst_and_the_best_are_never_the_same_call():
    """Sentiment decides, then quality; who has neither is not ranked."""
    calls = [call(n, sentiment=n / 10, quality=50.0) for n in range(3)]
    worst, best = figures.extremes([*calls, call(9), call(4, sentiment=0.2, quality=60.0)])
    assert [one.number for one in worst] == [0, 1]
    assert [one.number for one in best] == [4, 2]
    assert figures.extremes([calls[0]]) == ([], [calls[0]])
    assert figures.extremes([]) == ([], [])


def test_failures_are_by_reason_the_most_frequent_first():
    """And each id is under one of them."""
    rare, common = Reason("failed", "no audio"), Reason("NotFoundError", "…")
    calls = [call(1, reason=rare), call(2, reason=common), call(3), call(4, reason=common)]
    assert figures.failures(calls) == [(common, [calls[1], calls[3]]), (rare, [calls[0]])]
