"""What there is to show of an analysis to a person, wherever it is shown."""

import msgspec
from support.notebook import Reader
from support.oddities import everything

from kallglot_async.models import (
    ActionItem,
    Analysis,
    AnalysisStatus,
    Compliance,
    PartySentiment,
    Performance,
    Quality,
    Report,
    Results,
    Sentiment,
    Summary,
    Topic,
)


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
