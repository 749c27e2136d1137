"""The whole page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime

from kallglot_async.models.outcome import Outcome
from kallglot_async.report import figures, lists, panels
from kallglot_async.report.calls import Call, read_calls
from kallglot_async.report.element import Child, Markup, el
from kallglot_async.report.style import STYLE, STYLE_HASH
from kallglot_async.report.words import counted, number, percent, signed

__all__ = ["report_html"]

# Should a text ever get out of its element, a browser still loads nothing and runs nothing.
_POLICY = f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'"


def report_html(outcomes: Iterable[Outcome], *, title: str = "Call analyses", today: date | None = None) -> str:
    """Return a self-contained page about the outcomes: nothing is loaded, and no script is in it.

    It shows what was analysed and what was not, sentiment, quality, talk share, topics, what is to be done, and the
    worst and best calls. Figures are over the calls that have them. The whole batch is held in memory; ten thousand
    analyses take about a second, and a page of a thousand has some 150 kB.

    Args:
        outcomes: What a batch returned, in either revision or both; read to its end.
        title: The page's heading.
        today: An action item is overdue that was due before that day. Default: today, where this machine is.
    """
    calls = read_calls(outcomes)
    # By way of UTC, for the date of this machine's own zone.
    today = datetime.now(UTC).astimezone().date() if today is None else today
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", Markup(STYLE)),
    )
    body = el(
        "body",
        el("header", el("h1", title), el("p", _about(calls, today), class_="dim")),
        el("main", _tiles(calls, today), *_sections(calls, today)),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _about(calls: Sequence[Call], today: date) -> str:
    known = sorted(call.day for call in calls if call.day is not None)
    spans = f"{known[0]} to {known[-1]}" if known and known[0] != known[-1] else f"{known[0]}" if known else ""
    return ", ".join(part for part in (counted(len(calls), "call"), spans, f"as seen on {today}") if part)


def _tiles(calls: Sequence[Call], today: date) -> Markup:
    done = [call for call in calls if call.reason is None]
    lost = len(calls) - len(done)
    lines = [line for group in figures.lines(calls).values() for line in group]
    late = sum(len(line.calls) for line in lines if line.is_overdue(today))
    qualities = [call.quality for call in done]
    performances = [call.performance for call in done]
    tiles = [
        ("Analysed", number(len(done)), f"of {number(len(calls))}"),
        ("Not delivered", number(lost), percent(100.0 * lost / len(calls)) if calls else None),
        ("Mean sentiment", *_mean([call.sentiment for call in done], signed)),
        ("Quality", *_mean(qualities, number)) if any(map(_is_known, qualities)) else None,
        ("Performance", *_mean(performances, number)) if any(map(_is_known, performances)) else None,
        ("Talk share", *_mean([call.agent_share for call in done], percent, "the agent's, ")),
        ("To do", number(sum(len(line.calls) for line in lines)), None),
        ("Overdue", number(late), f"on {today}"),
    ]
    return el(
        "dl",
        *(
            el("div", el("dt", tile[0]), el("dd", tile[1], el("small", tile[2]) if tile[2] else None))
            for tile in tiles
            if tile is not None
        ),
        class_="tiles",
    )


def _is_known(figure: float | None) -> bool:
    return figure is not None


def _mean(known: Sequence[float | None], tell: Callable[[float | None], str], whose: str = "") -> tuple[str, str]:
    """The mean, and over how many calls it is."""
    return tell(figures.mean(known)), f"{whose}in {counted(sum(map(_is_known, known)), 'call')}"


def _sections(calls: Sequence[Call], today: date) -> list[Markup]:
    if not calls:
        return [el("p", "There is nothing in this batch.")]
    done = [call for call in calls if call.reason is None]
    to_do = figures.lines(done)
    worst, best = figures.extremes(done)
    # Whatever a link leads to has a row; of each line those that `lists` names.
    named = {
        call.number: call for lines in lists.shown_lines(to_do).values() for line in lines for call in line.calls[:3]
    }
    named |= {call.number: call for call in (*worst, *best)}
    labels, trends = (call.label for call in done), (call.trend for call in done)
    endings, compliance = (call.outcome for call in done), (call.compliance for call in done)
    sections = {
        "Not delivered": [lists.failures(figures.failures(calls))],
        "Sentiment and outcome": [
            *panels.sentiment(done),
            panels.words("The call as a whole", labels, moods=True),
            panels.words("Where it went", trends, moods=True),
            panels.words("How calls ended", endings),
            panels.words("Compliance", compliance),
        ],
        "Topics": [panels.topics(done)],
        "Quality and talk": [*panels.quality(done), panels.talk(done)],
        "By day": panels.by_day(done),
        "To do": lists.to_do(to_do, today),
        "Calls": [
            lists.stories("Worst calls", worst),
            lists.stories("Best calls" if worst else "The call", best),
            lists.calls_table([call for _, call in sorted(named.items())]),
        ],
    }
    return [_section(name, parts) for name, parts in sections.items() if any(parts)]


def _section(name: str, parts: Sequence[Child]) -> Markup:
    return el("section", el("h2", name), el("div", *parts, class_="cards"))
