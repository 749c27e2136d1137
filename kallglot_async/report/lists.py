"""What is read and not seen at a glance: what is to be done, what was not delivered, and the calls themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby

from kallglot_async.report.calls import Call, Reason
from kallglot_async.report.element import Child, Markup, el, isolated
from kallglot_async.report.figures import ToDo
from kallglot_async.report.words import card, counted, number, signed

__all__ = ["calls_table", "failures", "shown_lines", "stories", "to_do"]

_MOST_LINES = 100  # to do; the rest is folded
_MOST_NAMED = 3  # calls named at a line that many calls ask for
_MOST_IDS = 10


def shown_lines(to_do: Mapping[str, Sequence[ToDo]]) -> dict[str, Sequence[ToDo]]:
    """Return the lines of each assignee that are not folded, a hundred in all."""
    each = max(1, _MOST_LINES // (len(to_do) or 1))
    return {name: lines[:each] for name, lines in to_do.items()}


def to_do(to_do: Mapping[str, Sequence[ToDo]], today: date) -> list[Markup]:
    """Everything that is to be done, by assignee and due date."""
    shown = shown_lines(to_do)
    return [_assignee(name, shown[name], lines[len(shown[name]) :], today) for name, lines in to_do.items()]


def _assignee(name: str, shown: Sequence[ToDo], folded: Sequence[ToDo], today: date) -> Markup:
    lines = [*shown, *folded]
    total = sum(len(line.calls) for line in lines)
    overdue = sum(len(line.calls) for line in lines if line.is_overdue(today))
    who = name.replace("_", " ").capitalize() or "Nobody named"
    title = f"{who}: {number(total)}{f', {number(overdue)} overdue' if overdue else ''}"
    more = el("details", el("summary", f"{number(len(folded))} more"), _dated(folded, today, linked=False))
    return card(title, _dated(shown, today, linked=True), more if folded else None)


def _dated(lines: Sequence[ToDo], today: date, *, linked: bool) -> Markup:
    parts: list[Markup] = []
    for due, group in groupby(lines, key=lambda line: line.due):
        late = el("b", "overdue") if due is not None and due < today else None
        parts.append(el("dt", "no due date" if due is None else f"due {due}", " " if late else None, late))
        parts += [el("dd", *_line(line, linked=linked)) for line in group]
    return el("dl", *parts)


def _line(line: ToDo, *, linked: bool) -> Iterable[Child]:
    """The thing itself, and which calls ask for it; only where that is not folded, they have rows to link to."""
    yield isolated(line.description or "(no description)")
    if line.priority == "high":
        yield el("b", " high")
    for call in line.calls[:_MOST_NAMED]:
        yield " "
        yield _link(call) if linked else isolated(call.id)
    if len(line.calls) > _MOST_NAMED:
        yield f" and {number(len(line.calls) - _MOST_NAMED)} more"


def _link(call: Call) -> Markup:
    return el("a", call.id, href=f"#{call.number}")


def failures(found: Sequence[tuple[Reason, Sequence[Call]]]) -> Markup:
    """What was not delivered, by reason, with the ids."""
    if not found:
        return Markup()
    total = sum(len(group) for _, group in found)
    parts = [
        part for reason, group in found for part in (el("dt", _reason(reason, len(group))), el("dd", *_ids(group)))
    ]
    return card(f"{counted(total, 'id')} without an analysis", el("dl", *parts, class_="why"), wide=True)


def _reason(reason: Reason, count: int) -> str:
    return ": ".join(
        part for part in (f"{number(count)} \N{MULTIPLICATION SIGN} {reason.kind}", reason.message) if part
    )


def _ids(group: Sequence[Call]) -> Iterable[Child]:
    ids = [part for call in group for part in (isolated(call.id), " ")]
    first, rest = ids[: 2 * _MOST_IDS], ids[2 * _MOST_IDS :]
    yield from first
    if rest:
        yield el("details", el("summary", f"{number(len(group) - _MOST_IDS)} more"), *rest)


def stories(title: str, calls: Sequence[Call]) -> Markup:
    """Calls with their figures and summaries, each with a link to its row."""
    return card(title, el("ol", *map(_story, calls))) if calls else Markup()


def _story(call: Call) -> Markup:
    facts = [f"{name.lower()} {tell(call)}" for name, has, tell in _COLUMNS[2:] if has(call)]
    return el(
        "li",
        el("p", _link(call), f" {', '.join(facts)}"),
        el("p", call.summary, class_="said") if call.summary else None,
    )


# A heading, whether a call has something to say under it, and what.
_COLUMNS: tuple[tuple[str, Callable[[Call], bool], Callable[[Call], str]], ...] = (
    ("Session", lambda call: call.session_id is not None, lambda call: call.session_id or ""),
    ("Day", lambda call: call.day is not None, lambda call: str(call.day or "")),
    ("Sentiment", lambda call: call.sentiment is not None, lambda call: signed(call.sentiment)),
    ("Quality", lambda call: call.score is not None, lambda call: number(call.score)),
    ("Outcome", lambda call: call.outcome is not None, lambda call: call.outcome or ""),
)


def calls_table(calls: Sequence[Call]) -> Markup:
    """A row for each call, which links lead to; what none of the calls has is no column."""
    if not calls:
        return Markup()
    columns = [(name, tell) for name, has, tell in _COLUMNS if any(map(has, calls))]
    head = el("tr", *(el("th", name, scope="col") for name in ("Analysis", *(name for name, _ in columns))))
    rows = [
        el("tr", el("th", call.id, scope="row"), *(el("td", tell(call)) for _, tell in columns), id=str(call.number))
        for call in calls
    ]
    title = f"The {counted(len(rows), 'call')} that the links lead to"
    return el(
        "details",
        el("summary", title),
        el("table", el("thead", head), el("tbody", *rows), class_="calls"),
        class_="card wide",
    )
