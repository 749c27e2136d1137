"""The page as a text: what is on it, how large it is, and what its policy lets in."""

import base64
import datetime
import hashlib
import html
import re

import pytest
from support import batches
from support.oddities import odd_outcomes

from kallglot_async.errors import NotFoundError
from kallglot_async.models import ActionItem, Analysis, AnalysisStatus, Outcome, Outcomes, Results
from kallglot_async.report import report_html

TODAY = datetime.date(2026, 3, 20)


def page(outcomes, **options):
    return report_html(outcomes, **{"today": TODAY} | options)


def tiles(text):
    return dict(re.findall(r"<div><dt>([^<]*)<dd>([^<]*)", text))


def to_do(count):
    items = tuple(ActionItem(description=f"thing {n}") for n in range(count))
    analysis = Analysis(
        id="ana_1", object="analysis", status=AnalysisStatus.COMPLETE, results=Results(action_items=items)
    )
    return [Outcome(id="ana_1", analysis=analysis)]


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


def test_a_small_share_is_not_nothing():
    """One of three hundred that is lost is not 0 %."""
    outcomes = [Outcome(id="ana_1", error=NotFoundError("gone")), *batches.outcomes(300, failures=False)]
    assert "<dt>Not delivered<dd>1<small>&lt;1 %</small>" in page(outcomes)
    assert "<dt>Not delivered<dd>0<small>0 %</small>" in page(outcomes[1:])


def test_many_days_are_folded_and_all_there():
    """Twelve are seen beside the chart."""
    text = page(batches.outcomes(300, days=30, failures=False))
    section = text[text.index("<h2>By day") : text.index("<h2>To do")]
    assert section.count("<summary>18 more</summary>") == 2
    seen = section[: section.index("<details>")]
    assert seen.count("<th scope=row>2026-03-") == 12
    assert section.count("<th scope=row>2026-03-") == 60


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


def test_a_single_day_has_no_trend():
    """A trend needs two."""
    assert "By day" not in page(batches.outcomes(50, days=1))


def test_days_without_a_sentiment_have_no_line():
    """Revision B tells it in words; how many calls there were is known all the same."""
    text = page(batches.outcomes(50, days=3, revisions="b"))
    assert "Calls by day" in text
    assert "Mean sentiment by day" not in text


def test_everything_to_do_is_there_and_a_hundred_lines_are_seen():
    """The rest is folded, none is left out."""
    text = page(to_do(250))
    seen, _, folded = text[text.index("<h2>To do") :].partition("<details>")
    assert seen.count("<dd>") == 100
    assert folded.startswith("<summary>150 more</summary>")
    assert all(f"thing {n} " in text for n in range(250))
    assert "<details>" not in page(to_do(100))[text.index("<h2>To do") :].partition("<h2>Calls")[0]


def test_links_lead_to_rows_of_this_page():
    """Each to one."""
    text = page(batches.outcomes(300))
    links, rows = set(re.findall(r"href=#(\d+)", text)), re.findall(r"<tr id=(\d+)", text)
    assert len(links) > 10
    assert links == set(rows)
    assert len(rows) == len(set(rows))


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
