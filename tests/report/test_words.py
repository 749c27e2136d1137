"""Figures as people read them."""

import pytest
from support import batches
from support.batches import page

from kallglot_async.errors import NotFoundError
from kallglot_async.models import Outcome
from kallglot_async.report.words import MINUS, NOTHING, counted, number, percent, signed, table


def test_a_small_share_is_not_nothing():
    """One of three hundred that is lost is not 0 %."""
    outcomes = [Outcome(id="ana_1", error=NotFoundError("gone")), *batches.outcomes(300, failures=False)]
    assert "<dt>Not delivered<dd>1<small>&lt;1 %</small>" in page(outcomes)
    assert "<dt>Not delivered<dd>0<small>0 %</small>" in page(outcomes[1:])


@pytest.mark.parametrize(
    ("figure", "text"),
    [(None, NOTHING), (0.0, "0 %"), (0.49, "<1 %"), (0.51, "1 %"), (12.6, "13 %"), (100.0, "100 %")],
)
def test_a_percentage_that_is_not_known_is_a_dash(figure, text):
    """And what is less than half of one is not said to be nothing."""
    assert percent(figure) == text


def test_figures_have_a_sign_that_is_as_wide_as_a_plus():
    """And thousands are parted, so that they line up."""
    assert [number(None), number(-1234.5), number(1e6)] == [NOTHING, f"{MINUS}1,234", "1,000,000"]
    assert [signed(None), signed(-0.456), signed(0.3), signed(0.0)] == [NOTHING, f"{MINUS}0.46", "+0.30", "+0.00"]
    assert [counted(0, "call"), counted(1, "call"), counted(1200, "call")] == ["0 calls", "1 call", "1,200 calls"]


def test_a_table_names_its_columns_and_its_rows():
    """For those who have it read to them; a column without a heading has an empty cell there."""
    text = str(table(("Day", ""), [("Monday", "<b>")]))
    assert "<th scope=col>Day" in text
    assert "<th scope=row>Monday" in text
    assert "&lt;b" in text
