"""What many calls come to: means, distributions, the course over a call, topics, days, what is to be done.

Pure arithmetic over `Call`s. A mean is over the calls that have the figure, and says over how many.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise

import msgspec

from kallglot_async.report.calls import Call, Reason

__all__ = [
    "TENTHS", "Bin", "DayFigures", "Stretch", "ToDo", "TopicFigure", "course", "days", "extremes",
    "failures", "histogram", "lines", "mean", "shares", "topics",
]  # fmt: skip

TENTHS = 10
MOST = 5  # calls among the worst, and among the best


class Bin(msgspec.Struct, frozen=True):
    """How many figures lie from `low` to below `high`; what lies outside of all bins is in the nearest."""

    low: float
    high: float
    count: int


class Stretch(msgspec.Struct, frozen=True):
    """A tenth of the call: the mean over all calls, and between what the middle half of them lies."""

    mean: float
    low: float
    high: float


class TopicFigure(msgspec.Struct, frozen=True):
    """A topic, in how many calls it was, and the mean sentiment of those that have one."""

    name: str
    count: int
    sentiment: float | None


class DayFigures(msgspec.Struct, frozen=True):
    """A day's finished analyses, and their mean sentiment and quality."""

    day: date
    count: int
    sentiment: float | None
    quality: float | None


class ToDo(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be done, and the calls that ask for it in the same words."""

    description: str
    assignee: str
    due: date | None
    priority: str
    calls: tuple[Call, ...]

    def is_overdue(self, today: date) -> bool:
        """Whether its day has passed."""
        return self.due is not None and self.due < today


def mean(figures: Iterable[float | None]) -> float | None:
    """Return the mean of those that are there, or None where none is."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known) if known else None


def histogram(figures: Iterable[float | None], low: float, high: float) -> list[Bin]:
    """Return how many figures lie in each of ten equal bins; empty where there is no figure."""
    known = [figure for figure in figures if figure is not None]
    edges = [low + (high - low) * place / TENTHS for place in range(TENTHS + 1)]
    # A hair above: what is written as an edge, 0.2 for example, belongs to the bin that begins with it.
    found = Counter(bisect_right(edges, figure + 1e-9, 1, TENTHS) - 1 for figure in known)
    return [Bin(start, end, found[place]) for place, (start, end) in enumerate(pairwise(edges))] if known else []


def shares(words: Iterable[str | None]) -> list[tuple[str, int]]:
    """Return each word and how often it is there, the most frequent first."""
    return sorted(Counter(word for word in words if word).items(), key=lambda pair: (-pair[1], pair[0]))


def course(calls: Iterable[Call]) -> list[Stretch]:
    """Return the sentiment over the tenths of the call. Each call weighs the same, however many segments it has."""
    rows = [_tenths(call.course) for call in calls if call.course]
    return [_stretch(sorted(column)) for column in zip(*rows, strict=True)]


def _tenths(scores: Sequence[float]) -> list[float]:
    """The mean of each tenth, where every segment lasts as long as every other and its score holds throughout."""
    size = len(scores) / TENTHS  # segments in a tenth
    found = []
    for place in range(TENTHS):
        start, end = place * size, (place + 1) * size
        first, last = int(start), min(int(end), len(scores) - 1)
        if first >= last:
            found.append(scores[last])
            continue
        whole = scores[first] * (first + 1 - start) + sum(scores[first + 1 : last]) + scores[last] * (end - last)
        found.append(whole / size)
    return found


def _stretch(ordered: Sequence[float]) -> Stretch:
    quarter = len(ordered) // 4
    return Stretch(sum(ordered) / len(ordered), ordered[quarter], ordered[-1 - quarter])


def topics(calls: Iterable[Call]) -> list[TopicFigure]:
    """Return every topic, the most frequent first."""
    found: defaultdict[str, list[float | None]] = defaultdict(list)
    for call in calls:
        for name in call.topics:
            found[name].append(call.sentiment)
    every = [TopicFigure(name, len(moods), mean(moods)) for name, moods in found.items()]
    return sorted(every, key=lambda topic: (-topic.count, topic.name))


def days(calls: Iterable[Call]) -> list[DayFigures]:
    """Return the days on which there was anything, in order."""
    found: defaultdict[date, list[Call]] = defaultdict(list)
    for call in calls:
        if call.day is not None and call.reason is None:
            found[call.day].append(call)
    return [
        DayFigures(day, len(group), mean(call.sentiment for call in group), mean(call.quality for call in group))
        for day, group in sorted(found.items())
    ]


def lines(calls: Iterable[Call]) -> dict[str, list[ToDo]]:
    """Return what is to be done by each assignee, by due date; what has none is last, and so is who is not named."""
    found: defaultdict[tuple[str, date | None, str, str], list[Call]] = defaultdict(list)
    for call in calls:
        for item in call.items:
            key = (str(item.assignee or ""), item.due_date, str(item.priority or ""), item.description or "")
            found[key].append(call)
    by_assignee: defaultdict[str, list[ToDo]] = defaultdict(list)
    for key in sorted(found, key=_by_assignee_and_due_date):
        assignee, due, priority, description = key
        by_assignee[assignee].append(
            ToDo(description=description, assignee=assignee, due=due, priority=priority, calls=tuple(found[key]))
        )
    return dict(by_assignee)


def _by_assignee_and_due_date(key: tuple[str, date | None, str, str]) -> tuple[object, ...]:
    assignee, due, priority, description = key
    return (not assignee, assignee, due is None, due or date.min, _urgency(priority), description)


def _urgency(priority: str) -> int:
    order = ("high", "medium", "low")
    return order.index(priority) if priority in order else len(order)


def failures(calls: Iterable[Call]) -> list[tuple[Reason, list[Call]]]:
    """Return each reason and the calls that have it, the most frequent first."""
    found: defaultdict[Reason, list[Call]] = defaultdict(list)
    for call in calls:
        if call.reason is not None:
            found[call.reason].append(call)
    return sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def extremes(calls: Iterable[Call]) -> tuple[list[Call], list[Call]]:
    """Return the worst calls and the best, each from its end; no call is among both."""
    ranked = [(rank, call.number, call) for call in calls if (rank := call.rank) is not None]
    # Not by the call, which has no order.
    ranked.sort(key=lambda entry: entry[:2])
    ordered = [call for _, _, call in ranked]
    # At most half of them, as no call is to be among both.
    some = min(MOST, len(ordered) // 2)
    return ordered[:some], ordered[::-1][: min(MOST, len(ordered) - some)]
