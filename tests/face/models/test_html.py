"""What a notebook shows of an analysis, and of many."""

import msgspec
import pytest
from support.notebook import Reader
from support.oddities import everything
from support.payloads import PAYLOADS

from kallglot_async.errors import NotFoundError, ServerError
from kallglot_async.models import Analysis, Outcome, Outcomes, Report

PAYLOADS = sorted(PAYLOADS.glob("analysis_*.json"))
HOSTILE = """</td><script>alert("&amp;")</script><img src=x onerror='a()'>"""


def test_hostile_text_is_inert():
    """Nothing from the server becomes a tag or an attribute; all of it can be read as it is."""
    page = Reader(everything(HOSTILE)._repr_html_())
    assert page.open == []
    assert set(page.tags) == {"table", "tr", "th", "td", "ul", "li"}
    assert page.attributes == {"scope", "style"}
    assert "".join(page.text).count(HOSTILE) == 18


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
