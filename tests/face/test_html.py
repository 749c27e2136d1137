"""What a notebook shows of an analysis, and what a repr does not."""

import datetime
import html.parser

import msgspec
import pytest
from rich.pretty import pretty_repr
from support.payloads import PAYLOADS

from kallglot_async.errors import NotFoundError, ServerError
from kallglot_async.models import (
    ActionItem,
    Analysis,
    AnalysisStatus,
    Compliance,
    KeyMoment,
    Outcome,
    Outcomes,
    PartySentiment,
    Performance,
    Priority,
    Quality,
    Report,
    Results,
    Sentiment,
    SentimentLabel,
    Speaker,
    Summary,
    TalkRatio,
    Topic,
    Trend,
)

PAYLOADS = sorted(PAYLOADS.glob("analysis_*.json"))
HOSTILE = """</td><script>alert("&amp;")</script><img src=x onerror='a()'>"""


class Reader(html.parser.HTMLParser):
    """Reads the tags of a page, its attributes, and its text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], set(), [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def everything(text):
    """An analysis in both revisions at once, with `text` wherever a server could send one."""
    return Analysis(
        id=text,
        object="analysis",
        status=AnalysisStatus(text),
        session_id=text,
        error=text,
        language=text,
        analyses=(text,),
        results=Results(
            sentiment=Sentiment(
                overall=-0.456,
                label=SentimentLabel(text),
                trend=Trend(text),
                key_moments=(KeyMoment(segment_id="seg_1", type="turn", description=text),),
            ),
            summary=Summary(brief=text, key_points=(text, text), outcome=text),
            action_items=(
                ActionItem(
                    description=text,
                    assignee=Speaker(text),
                    due_date=datetime.date(2026, 12, 1),
                    priority=Priority(text),
                ),
            ),
            quality=Quality(score=87.5, talk_ratio=TalkRatio(agent=45.0, customer=55.0), hold_time=3.0),
            topics=(Topic(name=text, confidence=0.5),),
            compliance={text: text},
        ),
        report=Report(
            summary=text,
            sentiment=PartySentiment(customer=text, agent=text),
            compliance=Compliance(status=text, flags=(text, text)),
            performance=Performance(score=0.86),
            keywords=[text],
        ),
    )


def test_hostile_text_is_inert():
    """Nothing from the server becomes a tag or an attribute; all of it can be read as it is."""
    page = Reader(everything(HOSTILE)._repr_html_())
    assert page.open == []
    assert set(page.tags) == {"table", "tr", "th", "td", "ul", "li"}
    assert page.attributes == {"scope", "style"}
    assert "".join(page.text).count(HOSTILE) == 18


def test_shows_every_part():
    """Status, summary, sentiment, what is to be done, quality and topics, in either revision."""
    shown = "\n".join(Reader(everything("word")._repr_html_()).text)
    for part in ("word (word)", "Error", "Key points", "-0.46, word, word", "word (word, due 2026-12-01, word)"):
        assert part in shown
    assert "seg_1 turn: word" in shown
    assert "agent 45 %, customer 55 %\nQuality\nscore 87.5, on hold 3 s" in shown
    assert "word 50%" in shown
    assert "Customer\nword\nAgent\nword" in shown
    assert "word (2 flags)" in shown
    assert "86%" in shown


def test_a_notebook_and_a_terminal_are_told_the_same():
    """Both show every fact there is, in one order."""
    from rich.console import Console

    from kallglot_async.cli.card import analysis_card
    from kallglot_async.models.facts import facts_of

    analysis = everything("word")
    names = [fact.name for fact in facts_of(analysis)]
    page = Reader(analysis._repr_html_())
    assert [text for text in page.text if text in names] == names
    console = Console(width=200)
    with console.capture() as captured:
        console.print(analysis_card(analysis, console))
    shown = captured.get()
    places = [f"\n{shown}".index(f"\n{name}  ") for name in names]
    assert places == sorted(places)
    for fact in facts_of(analysis):
        for text in (fact.text, *(item.text for item in fact.items)):
            assert text in page.text or not text
            assert text in shown


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.name)
def test_every_sample_is_shown(path):
    """Each documented answer of both revisions."""
    analysis = msgspec.json.decode(path.read_bytes(), type=Analysis)
    if path.name.endswith("b.json"):
        analysis = msgspec.structs.replace(analysis, report=msgspec.json.decode(path.read_bytes(), type=Report))
    page = Reader(analysis._repr_html_())
    assert page.open == []
    assert page.text[1] == f"{analysis.id} ({analysis.status})"
    assert (analysis.summary_text in page.text) == analysis.is_complete
    assert "None" not in " ".join(page.text)


def test_outcomes_are_counted_and_the_first_are_shown():
    """How many, what the failures are, a row for each of the first ten; hostile text is inert."""
    good = [Outcome(id=f"ana_{n}", analysis=everything(HOSTILE), polls=n, elapsed=1.25) for n in range(9)]
    bad = [Outcome(id=HOSTILE, error=NotFoundError(HOSTILE)), Outcome(id="ana_x", error=ServerError("CANARY" * 99))]
    page = Reader(Outcomes([*good, *bad, bad[0]])._repr_html_())
    assert page.open == []
    assert set(page.tags) == {"p", "ul", "li", "table", "tr", "th", "td"}
    assert page.attributes == {"scope", "style"}
    shown = "\n".join(page.text)
    assert shown.startswith("12 ids: 9 with an analysis, 3 without\n2 NotFoundError\n1 ServerError\n")
    assert page.tags.count("tr") == 11
    assert shown.endswith(f"NotFoundError\n{HOSTILE}\n0\n0.0\nand 2 more")
    assert "".join(page.text).count(HOSTILE) == 9 * 2 + 2
    long = Reader(Outcomes(bad[1:])._repr_html_()).text
    assert [text for text in long if text.startswith("CANARY")] == [("CANARY" * 99)[:199] + "…"]
    assert Reader(Outcomes()._repr_html_()).text == ["0 ids: 0 with an analysis, 0 without"]


def test_what_is_not_there_has_no_row():
    """Neither None nor an empty heading."""
    bare = Analysis(id="ana_1", object="analysis", status=AnalysisStatus.QUEUED)
    assert Reader(bare._repr_html_()).text == ["Analysis", "ana_1 (queued)"]
    hollow = msgspec.structs.replace(
        bare,
        results=Results(
            sentiment=Sentiment(), summary=Summary(), action_items=(ActionItem(),), quality=Quality(), topics=(Topic(),)
        ),
        report=Report(sentiment=PartySentiment(), performance=Performance(), compliance=Compliance()),
    )
    shown = Reader(hollow._repr_html_()).text[2:]
    assert shown == ["To do", "(no description) (no due date)", "Topics", "?", "Compliance", "?"]


def test_no_repr_shows_call_text():
    """Neither Python's nor rich's, of an analysis or of those of its parts that hold call text."""
    value = everything("CANARY")
    value = msgspec.structs.replace(value, id="ana_1", session_id="sess_1", status=AnalysisStatus.COMPLETE)
    assert pretty_repr(value) == "Analysis(id='ana_1', status='complete', session_id='sess_1')"
    results, report = value.results, value.report
    discreet = [value, Outcome(id="ana_1", analysis=value), results, results.summary, *results.sentiment.key_moments]
    discreet += [report, report.sentiment]
    for part in discreet:
        assert "CANARY" not in repr(part)
        assert "CANARY" not in pretty_repr(part)
    assert repr(results) == "<Results sentiment, summary, action_items, quality, topics, compliance>"
    assert repr(report) == "<Report summary, sentiment, compliance, performance, keywords>"
    assert repr(Report()) == "<Report empty>"
    assert repr(results.summary) == "<Summary of 6 characters, 2 key points>"
    item = ActionItem(description="CANARY", assignee=Speaker.AGENT)
    assert "CANARY" not in repr(item) + pretty_repr(item)
    assert repr(item) == "<ActionItem for agent due None priority None>"
    assert repr(PartySentiment(customer="CANARY")) == "<PartySentiment of customer>"
    assert repr(Compliance(status="ok")) == "<Compliance ok, 0 flags>"
