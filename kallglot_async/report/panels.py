"""Charts, each with its figures as a table beside it. A panel is there only where there is something to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kallglot_async.report import figures
from kallglot_async.report.calls import Call
from kallglot_async.report.charts import Column, Point, balance, bar, columns_chart, line_chart, tone
from kallglot_async.report.element import Child, Markup, el
from kallglot_async.report.words import MINUS, card, counted, number, percent, signed, table

__all__ = ["by_day", "quality", "sentiment", "talk", "topics", "words"]

_MOST_SHOWN = 12  # rows of a table beside a chart; the rest is folded


def sentiment(calls: Sequence[Call]) -> list[Markup]:
    """The distribution of the sentiment, and its course over the call."""
    bins = figures.histogram((call.sentiment for call in calls), -1.0, 1.0)
    panels = []
    if bins:
        panels.append(
            _distribution(
                "How calls felt",
                bins,
                ticks=[(0.0, f"{MINUS}1 negative"), (0.5, "0"), (1.0, "positive +1")],
                edge=_tenth,
                tones=[tone(edge.low + edge.high) for edge in bins],
            )
        )
    if stretches := figures.course(calls):
        panels.append(_course(stretches, sum(1 for call in calls if call.course)))
    return panels


def _tenth(figure: float) -> str:
    # The edge in the middle is 0 but for rounding.
    return f"{figure:+.1f}".replace("-", MINUS) if abs(figure) > 0.05 else "0"


def _course(stretches: Sequence[figures.Stretch], count: int) -> Markup:
    size = len(stretches)
    points = [
        Point((place + 0.5) / size, stretch.mean, stretch.low, stretch.high) for place, stretch in enumerate(stretches)
    ]
    first, last = stretches[0].mean, stretches[-1].mean
    chart = line_chart(
        points,
        ticks=[(0.0, "start"), (0.5, "middle"), (1.0, "end")],
        label=f"Mean sentiment over the call, from {signed(first)} in the first tenth to {signed(last)} in the last",
    )
    rows = [
        (f"{100 * place // size} to {100 * (place + 1) // size} %", signed(stretch.mean), _span(stretch))
        for place, stretch in enumerate(stretches)
    ]
    note = f"Means of {number(count)} calls, each of which weighs the same; the band has the middle half of them."
    return _figure("Over the call", chart, table(("Part", "Mean", "Middle half"), rows), note if count > 1 else None)


def _span(stretch: figures.Stretch) -> str:
    return f"{signed(stretch.low)} to {signed(stretch.high)}"


def quality(calls: Sequence[Call]) -> list[Markup]:
    """The distributions of revision A's quality and of revision B's performance."""
    kinds = {
        "Quality of the conversation": [call.quality for call in calls],
        "Performance of the agent": [call.performance for call in calls],
    }
    return [_scores(title, known) for title, known in kinds.items()]


def talk(calls: Sequence[Call]) -> Markup:
    """How much of the talking the agent did."""
    return _scores("The agent's share of the talk", [call.agent_share for call in calls], unit=" %")


def _scores(title: str, known: Sequence[float | None], unit: str = "") -> Markup:
    bins = figures.histogram(known, 0.0, 100.0)
    ticks = [(0.0, "0"), (0.5, "50"), (1.0, f"100{unit}")]
    return _distribution(title, bins, ticks=ticks, edge=lambda figure: f"{figure:.0f}", unit=unit) if bins else Markup()


def _distribution(
    title: str,
    bins: Sequence[figures.Bin],
    *,
    ticks: Sequence[tuple[float, str]],
    edge: Callable[[float], str],
    unit: str = "",
    tones: Sequence[str] | None = None,
) -> Markup:
    size = len(bins)
    total = sum(each.count for each in bins)
    columns = [
        Column(place / size, (place + 1) / size, each.count, tones[place] if tones else "any")
        for place, each in enumerate(bins)
    ]
    spans = [f"{edge(each.low)} to {edge(each.high)}{unit}" for each in bins]
    most = max(range(size), key=lambda place: bins[place].count)
    label = f"{title}: {counted(total, 'call')}, most of them from {spans[most]}"
    rows = [
        (span, number(each.count), percent(100.0 * each.count / total)) for span, each in zip(spans, bins, strict=True)
    ]
    return _figure(title, columns_chart(columns, ticks=ticks, label=label), table(("From", "Calls", "Share"), rows))


def words(title: str, said: Iterable[str | None], *, moods: bool = False) -> Markup:
    """How often each word was said, as a table with a bar in each row."""
    found = figures.shares(said)
    if not found:
        return Markup()
    total = sum(count for _, count in found)
    rows: list[tuple[Child, ...]] = [
        (word, bar(count / found[0][1], _mood(word) if moods else "any"), number(count), percent(100.0 * count / total))
        for word, count in found
    ]
    return card(title, *_folded(("", "", "Calls", "Share"), rows))


def _mood(word: str) -> str:
    return {"positive": "pos", "improving": "pos", "negative": "neg", "declining": "neg"}.get(word, "mid")


def topics(calls: Sequence[Call]) -> Markup:
    """Each topic, in how many calls it was, and how those felt."""
    found = figures.topics(calls)
    if not found:
        return Markup()
    rows: list[tuple[Child, ...]] = [
        (
            topic.name.replace("_", " "),
            bar(topic.count / found[0].count),
            number(topic.count),
            None if topic.sentiment is None else balance(topic.sentiment),
            signed(topic.sentiment),
        )
        for topic in found
    ]
    return card("What calls were about", *_folded(("Topic", "", "Calls", "", "Sentiment"), rows), wide=True)


def by_day(calls: Sequence[Call]) -> list[Markup]:
    """How many calls there were on each day and how they felt, where there is more than one day."""
    found = figures.days(calls)
    if len(found) < 2:
        return []
    first, last = found[0].day, found[-1].day
    span = (last - first).days + 1
    ticks = [(0.0, first.isoformat()), (1.0, last.isoformat())]
    places = [((each.day - first).days / span, each) for each in found]
    columns = [Column(place, place + 1 / span, each.count) for place, each in places]
    points = [Point(place + 0.5 / span, each.sentiment) for place, each in places if each.sentiment is not None]
    label = f"Calls by day, from {first} to {last}"
    rows: list[tuple[Child, ...]] = [(each.day.isoformat(), number(each.count)) for each in found]
    panels = [
        _figure("Calls by day", columns_chart(columns, ticks=ticks, label=label), *_folded(("Day", "Calls"), rows))
    ]
    if points:
        moods: list[tuple[Child, ...]] = [
            (each.day.isoformat(), signed(each.sentiment), number(each.quality)) for each in found
        ]
        chart = line_chart(points, ticks=ticks, label=f"Mean sentiment by day, from {first} to {last}")
        panels.append(_figure("Mean sentiment by day", chart, *_folded(("Day", "Sentiment", "Quality"), moods)))
    return panels


def _folded(head: Sequence[str], rows: Sequence[Sequence[Child]]) -> list[Markup]:
    """Return the table, in two parts where it is long, the second folded."""
    if len(rows) <= _MOST_SHOWN + 1:
        return [table(head, rows)]
    rest = rows[_MOST_SHOWN:]
    more = el("details", el("summary", f"{number(len(rest))} more"), table(head, rest))
    return [el("div", table(head, rows[:_MOST_SHOWN]), more)]


def _figure(title: str, chart: Markup, figures: Markup, note: str | None = None) -> Markup:
    pair = el("div", el("div", chart), el("div", figures), class_="pair")
    return card(title, pair, el("p", note, class_="dim") if note else None, wide=True)
