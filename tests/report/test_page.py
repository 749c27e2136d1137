"""The page as a text: what is on it, how large it is, and what its policy lets in."""

import base64
import datetime
import hashlib
import html
import re

import pytest
from support import batches
from support.batches import TODAY, page
from support.oddities import odd_outcomes

from kallglot_async.errors import NotFoundError
from kallglot_async.models import Analysis, AnalysisStatus, Outcome, Outcomes


def tiles(text):
    return dict(re.findall(r"<div><dt>([^<]*)<dd>([^<]*)", text))


def test_the_policy_lets_in_its_own_style_and_nothing_else():
    """No source but the hash of the one style sheet; no script, no address, no style in an attribute."""
    text = page(batches.outcomes(50, revisions="ab"))
    (style,) = re.findall(r"<style>(.*?)</style>", text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in html.unescape(
        text
    )
    assert not re.search(r"<script|<link|<img| style=| on\w+=|url\(|@import|https?:", text)


@pytest.mark.untraced
def test_a_thousand_analyses_are_a_page_of_150_kilobytes():
    """At most; bytes as they are stored."""
    assert len(Outcomes(batches.outcomes(1000, days=10)).to_html(today=TODAY).encode()) <= 150_000


def test_the_tiles_count_what_is_there():
    """Analysed and not add up; means are over the calls that have the figure."""
    outcomes = list(batches.outcomes(100, revisions="ab"))
    found = tiles(page(outcomes))
    failed = sum(not outcome.ok for outcome in outcomes)
    items = [item for o in outcomes if o.analysis and o.analysis.results for item in o.analysis.results.action_items]
    assert found["Analysed"] == str(100 - failed)
    assert found["Not delivered"] == str(failed)
    assert found["To do"] == str(len(items))
    assert found["Overdue"] == str(sum(item.due_date is not None and item.due_date < TODAY for item in items))
    assert {"Mean sentiment", "Quality", "Performance", "Talk share"} <= set(found)


def test_the_share_of_what_was_not_delivered_is_a_percentage():
    """Of everything that was asked for."""
    outcomes = [Outcome(id="ana_1", error=NotFoundError("gone")), *batches.outcomes(3, failures=False)]
    assert "<dt>Not delivered<dd>1<small>25 %</small>" in page(outcomes)


def test_every_section_of_a_batch_is_there():
    """With a table beside each chart."""
    text = page(batches.outcomes(300, days=3))
    sections = re.findall(r"<h2>(.*?)</h2>", text)
    assert sections == [
        "Not delivered",
        "Sentiment and outcome",
        "Topics",
        "Quality and talk",
        "By day",
        "To do",
        "Calls",
    ]
    charts = text.count("<svg class=chart")
    assert charts == len(re.findall(r"<div class=pair><div><svg class=chart.*?<table>", text)) == 6
    for part in ("Worst calls", "Best calls", "still processing after 120 s", "What calls were about", "Over the call"):
        assert part in text


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [Outcome(id="ana_1")],
        [Outcome(id="ana_1", analysis=Analysis(id="ana_1", object="analysis", status=AnalysisStatus.COMPLETE))],
        [outcome for outcome in batches.outcomes(500) if not outcome.ok],
        list(batches.outcomes(1)),
        list(batches.outcomes(1, revisions="b")),
        odd_outcomes(),
    ],
    ids=["empty", "nothing", "bare", "failed", "one a", "one b", "odd"],
)
def test_every_batch_has_a_page(outcomes):
    """Whatever is missing or odd; and no figure on it is made up."""
    text = page(outcomes)
    assert text.startswith("<!doctype html>\n<html lang=en>")
    assert text.encode()
    assert tiles(text)["Analysed"] == str(sum(outcome.ok and outcome.analysis is not None for outcome in outcomes))
    assert not re.search(r"\bnan\b|\binf\b|None", text)


def test_an_empty_batch_says_so():
    """In a sentence."""
    assert "There is nothing in this batch." in page([])


def test_the_title_is_a_text():
    """Also where somebody else chose it."""
    text = page([], title="</title><script>1</script>")
    assert "<script>" not in text
    assert "<title>&lt;/title&gt;&lt;script&gt;1&lt;/script&gt;</title>" in text


def test_overdue_is_counted_from_today_unless_told():
    """The default is the day of this machine."""
    assert f"as seen on {datetime.datetime.now(datetime.UTC).astimezone().date()}" in Outcomes().to_html()
