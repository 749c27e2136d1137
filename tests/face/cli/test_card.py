"""The readable analysis."""

import datetime
import io
import json

import msgspec
import pytest
from rich.console import Console
from support.payloads import PAYLOADS

from kallglot_async import KallglotClient
from kallglot_async.cli.card import analysis_card
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import (
    ActionItem,
    Analysis,
    AnalysisStatus,
    KeyMoment,
    Quality,
    Report,
    Results,
    Sentiment,
    SentimentSegment,
    Speaker,
    Summary,
    TalkRatio,
    Topic,
)


def fast(**options):
    return Emulator(**{"plan": "unlimited", "latency": Latency.immediate()} | options)


def print_card(analysis, *, encoding="utf-8", **options):
    """Return what a terminal of 100 columns would be sent, with colours where `options` ask for them."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=100, highlight=False, markup=False, emoji=False, legacy_windows=False, **options)
    console.print(analysis_card(analysis, console))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_a_card_shows_what_the_emulator_delivers(revision):
    """In both revisions; nothing but text where there is no terminal."""
    async with fast(seed=3) as emulator, KallglotClient(emulator.api_key, base_url=emulator.base_url) as client:
        analysis = await client.wait(emulator.seed_analyses(1, revision=revision)[0])
    shown = print_card(analysis)
    assert analysis.id in shown
    assert analysis.summary_text.split(".")[0][:40] in shown
    assert shown.isprintable() or "\n" in shown
    assert "\x1b" not in shown
    names = {"a": ["Key points", "Sentiment", "To do", "Talk ratio"], "b": ["Customer", "Agent", "Performance"]}
    for name in names[revision]:
        assert f"\n{name}" in shown


def complete(**results):
    return Analysis(id="ana_1", object="analysis", status=AnalysisStatus.COMPLETE, results=Results(**results))


def test_a_card_tells_the_story_of_the_sample():
    """Course, moments in their place, due dates, shares, confidences."""
    segments = tuple(SentimentSegment(id=f"seg_{n}", score=s) for n, s in enumerate([-1.0, 0.0, 1.0]))
    moments = (KeyMoment(segment_id="seg_2", type="positive_peak", description="Solved"),)
    items = (
        ActionItem(description="Call back", assignee=Speaker.AGENT, due_date=datetime.date(2026, 3, 28)),
        ActionItem(),
    )
    shown = print_card(
        complete(
            summary=Summary(brief="All is well.", key_points=("one", "two"), outcome="resolved"),
            sentiment=Sentiment(overall=0.725, segments=segments, key_moments=moments),
            action_items=items,
            quality=Quality(score=85.0, talk_ratio=TalkRatio(agent=55.0, customer=45.0), hold_time=0.0),
            topics=(Topic(name="order_status", confidence=0.95), Topic(name="other")),
        )
    )
    assert [line.rstrip() for line in shown.splitlines()] == [
        "Analysis     ana_1 (complete)",
        "Summary      All is well.",
        "Key points   • one",
        "             • two",
        "Outcome      resolved",
        "Sentiment    ▁▅█  +0.72",
        "Key moments  • 3/3 positive peak: Solved",
        "To do        • Call back (agent, due 2026-03-28)",
        "             • (no description) (no due date)",
        "Talk ratio   ████████████████░░░░░░░░░░░░░░  agent 55 %, customer 45 %",
        "Quality      score 85, on hold 0 s",
        "Topics       order status 95%, other",
    ]


def test_a_card_of_empty_parts_shows_none_of_them():
    """Every part and every field may be missing."""
    empty = [Results(), Results(sentiment=Sentiment(), summary=Summary(), quality=Quality(talk_ratio=TalkRatio()))]
    for results in empty:
        analysis = Analysis(id="ana_1", object="analysis", status=AnalysisStatus.COMPLETE, results=results)
        assert print_card(analysis).split() == ["Analysis", "ana_1", "(complete)"]
    bare = Analysis(id="anl_1", object="analysis", status=AnalysisStatus.COMPLETED, report=Report())
    assert print_card(bare).split() == ["Analysis", "anl_1", "(completed)"]
    odd = complete(sentiment=Sentiment(key_moments=(KeyMoment(), KeyMoment(segment_id="seg_9"))))
    assert "seg_9" in print_card(odd)


def test_a_card_of_a_failed_analysis_says_why():
    """In the words of the API."""
    failed = Analysis(id="anl_1", object="analysis", status=AnalysisStatus.FAILED, error="no audio")
    assert "Error     no audio" in print_card(failed)


def _poisoned(value):
    """The same JSON with an escape sequence, markup and a direction mark around every text that is free."""
    if isinstance(value, dict):
        fixed = {"id", "object", "status", "due_date", "created_at", "completed_at"}
        return {key: item if key in fixed else _poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_poisoned(item) for item in value]
    return f"\x1b[2J\x1b]0;owned\x07[blink]{value}[/blink]\u202e\n" if isinstance(value, str) else value


@pytest.mark.parametrize("colours", [True, False])
def test_nothing_of_the_servers_text_reaches_the_terminal_as_a_command(colours, request):
    """Every field of the documented sample is poisoned; what is printed has only the escapes of our own colours."""
    sample = (PAYLOADS / "analysis_complete.a.json").read_bytes()
    analysis = msgspec.json.decode(json.dumps(_poisoned(json.loads(sample))), type=Analysis)
    options = {"force_terminal": True, "color_system": "standard"} if colours else {}
    shown = print_card(analysis, **options)
    assert "[blink]" in shown  # markup is text
    for command in ("\x1b[2J", "\x1b]0;", "owned", "\u202e", "\x1b[5m"):
        assert command not in shown
    assert ("\x1b[" in shown) == colours


def test_a_card_needs_no_unicode():
    """A terminal without block characters gets the same figures in ASCII."""
    sentiment = Sentiment(segments=tuple(SentimentSegment(score=score) for score in (-1.0, 1.0)))
    shown = print_card(
        complete(sentiment=sentiment, quality=Quality(talk_ratio=TalkRatio(agent=1.0, customer=2.0))), encoding="ascii"
    )
    assert "Sentiment   _#" in shown
    assert "##########...................." in shown
