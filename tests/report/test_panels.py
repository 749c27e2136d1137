"""Charts with their tables: what is folded, and what is not there."""

from support import batches
from support.batches import page


def test_many_days_are_folded_and_all_there():
    """Twelve are seen beside the chart."""
    text = page(batches.outcomes(300, days=30, failures=False))
    section = text[text.index("<h2>By day") : text.index("<h2>To do")]
    assert section.count("<summary>18 more</summary>") == 2
    seen = section[: section.index("<details>")]
    assert seen.count("<th scope=row>2026-03-") == 12
    assert section.count("<th scope=row>2026-03-") == 60


def test_a_single_day_has_no_trend():
    """A trend needs two."""
    assert "By day" not in page(batches.outcomes(50, days=1))


def test_days_without_a_sentiment_have_no_line():
    """Revision B tells it in words; how many calls there were is known all the same."""
    text = page(batches.outcomes(50, days=3, revisions="b"))
    assert "Calls by day" in text
    assert "Mean sentiment by day" not in text
