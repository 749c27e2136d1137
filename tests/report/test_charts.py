"""Figures drawn as SVG: where things stand, and what there is no room for."""

import re

import pytest

from kallglot_async.report.charts import Column, Point, balance, bar, columns_chart, line_chart, tone


def heights(chart):
    return [float(height) for height in re.findall(r"<rect[^>]* height=([\d.]+)", str(chart))]


@pytest.mark.parametrize(
    ("sentiment", "name"), [(None, "mid"), (0.0, "mid"), (-0.004, "mid"), (0.005, "pos"), (-0.005, "neg"), (9.0, "pos")]
)
def test_a_sentiment_has_a_colour(sentiment, name):
    """What would be read as 0.00 is neither good nor bad."""
    assert tone(sentiment) == name


@pytest.mark.parametrize(
    ("share", "width"), [(0.5, "50%"), (1.0, "100%"), (7.0, "100%"), (-1.0, "0%"), (1 / 3, "33.3%")]
)
def test_a_bar_stays_within_its_cell(share, width):
    """Whatever the figure is; the cell says it itself, so that nobody is read the bar."""
    drawn = str(bar(share))
    assert f'width="{width}"' in drawn or f"width={width}" in drawn
    assert "aria-hidden=true" in drawn


@pytest.mark.parametrize(
    ("figure", "start", "length"), [(0.5, "50%", "25%"), (-0.5, "25%", "25%"), (0.0, "50%", "0%"), (-3.0, "0%", "50%")]
)
def test_a_balance_leans_from_the_middle(figure, start, length):
    """To the left below zero, to the right above, and never out of its cell."""
    assert re.search(rf"<rect x={start} width={length} ", str(balance(figure)))


def test_the_tallest_column_fills_the_chart():
    """The others are in proportion; where nothing was counted, nothing is divided by it."""
    columns = [Column(place / 4, (place + 1) / 4, count) for place, count in enumerate((0, 5, 10, 20))]
    drawn = heights(columns_chart(columns, ticks=[], label="x"))
    assert [height / drawn[-1] for height in drawn] == [0.0, 0.25, 0.5, 1.0]
    assert heights(columns_chart([Column(0.0, 1.0, 0)], ticks=[], label="x")) == [0.0]
    assert "role=img aria-label=nothing" in str(columns_chart([], ticks=[], label="nothing"))


@pytest.mark.parametrize(("size", "shown"), [(16, 16), (17, 0)])
def test_counts_stand_above_columns_that_have_room_for_them(size, shown):
    """On a phone too."""
    columns = [Column(place / size, (place + 1) / size, 7) for place in range(size)]
    assert str(columns_chart(columns, ticks=[], label="x")).count(">7<") == shown


def test_a_line_goes_through_its_points_with_a_band_around_it():
    """From -1 at the bottom to +1 at the top; without bounds there is no band, and many points have no dots."""
    chart = str(line_chart([Point(0.0, -1.0, -1.0, 0.0), Point(1.0, 1.0, 0.0, 5.0)], ticks=[(0.0, "start")], label="x"))
    assert re.search(r"d=\"M0 100L100 0\" class=course", chart)
    assert re.search(r"d=\"M0 50L100 0L100 50L0 100\" class=band", chart)
    assert chart.count("<circle") == 2
    many = str(line_chart([Point(place / 41, 0.0) for place in range(41)], ticks=[], label="x"))
    assert "<circle" not in many
    assert "class=band" not in many
