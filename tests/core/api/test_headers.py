"""Response headers: literal tables for each parser, and that no text can make one fail."""

import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from kallglot_async._config import Secret
from kallglot_async._core.api.headers import (
    LONGEST_WAIT,
    RateFigures,
    clamp_wait,
    parse_date,
    parse_rate_figures,
    parse_retry_after,
    request_headers,
    request_id_of,
)
from kallglot_async._core.api.operation import Operation

DATE = "Thu, 26 Mar 2026 11:10:00 GMT"
MOMENT = 1_774_523_400.0  # the same in Unix seconds
RESET = str(int(MOMENT) + 42)
KEY = Secret("sk_test_canary9Zk4")


def rate(limit="120", remaining="118", reset=RESET, date=DATE):
    headers = {
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": reset,
        "Date": date,
    }
    return {name: value for name, value in headers.items() if value is not None}


@pytest.fixture
def in_tokyo(monkeypatch):
    """A machine whose local time is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_fraction_from_now_counts_by_our_clock():
    """A `Date` in whole seconds would add up to a second of error to it."""
    figures = parse_rate_figures(rate(reset="41.5"), wall_now=MOMENT + 1000.0)
    assert (figures.reset, figures.resets_in) == (MOMENT + 1041.5, 41.5)


def test_figures_of_the_documented_sample():
    """Limit, remaining and reset are read as numbers, the reset also as seconds from the answer's `Date`."""
    figures = parse_rate_figures(rate(), wall_now=MOMENT)
    assert figures == RateFigures(limit=120, remaining=118, reset=MOMENT + 42, resets_in=42.0)


@pytest.mark.parametrize(
    ("headers", "figures"),
    [
        (rate(remaining="0"), RateFigures(120, 0, MOMENT + 42, 42.0)),
        (rate(remaining="120"), RateFigures(120, 120, MOMENT + 42, 42.0)),
        (rate(limit=" 120 ", remaining="118 ", reset=f" {RESET}"), RateFigures(120, 118, MOMENT + 42, 42.0)),
        (rate(reset=RESET + ".5"), RateFigures(120, 118, MOMENT + 42.5, 42.5)),
        (rate(reset=str(int(MOMENT))), RateFigures(120, 118, MOMENT, 0.0)),
        (rate(reset=str(int(MOMENT) - 1)), RateFigures(120, 118, MOMENT - 1, 0.0)),
        (rate(reset=str(int(MOMENT) + 86_400)), RateFigures(120, 118, MOMENT + 86_400, 86_400.0)),
        (rate(reset=RESET + "250"), RateFigures(120, 118, MOMENT + 42.25, 42.25)),
        (rate(limit="1", remaining="1"), RateFigures(1, 1, MOMENT + 42, 42.0)),
        (rate(limit="1000000000"), RateFigures(10**9, 118, MOMENT + 42, 42.0)),
    ],
)
def test_figures_at_the_edge_of_what_is_possible(headers, figures):
    """Blanks, fractions, a window that just renewed and one of a day are all understood."""
    assert parse_rate_figures(headers, wall_now=MOMENT) == figures


@pytest.mark.parametrize(
    "headers",
    [
        {},
        rate(limit=None),
        rate(remaining=None),
        rate(reset=None),
        rate(limit=""),
        rate(limit="0", remaining="0"),
        rate(limit="-1"),
        rate(limit="1e3"),
        rate(limit="120.0"),
        rate(limit="1000000001"),
        rate(limit="9" * 5000),
        rate(limit="unlimited"),
        rate(limit="١٢٠", remaining="1"),  # Arabic digits, which int() accepts
        rate(remaining="121"),
        rate(remaining="-1"),
        rate(remaining="+5"),
        rate(remaining="1_0"),
        rate(reset="86401"),
        rate(reset="-60"),
        rate(reset=RESET + " .5"),
        rate(reset=RESET + ".\t5"),
        rate(reset=RESET + "."),
        rate(reset="nan"),
        rate(reset="inf"),
        rate(reset="999999999999999999"),
        rate(reset=str(int(MOMENT) - 2)),
        rate(reset=str(int(MOMENT) + 86_401)),
    ],
)
def test_figures_that_cannot_be_true_are_absent(headers):
    """Missing, unreadable, contradictory or impossible figures teach nothing rather than something wrong."""
    assert parse_rate_figures(headers, wall_now=MOMENT) is None


@pytest.mark.parametrize(
    ("reset", "date", "figures"),
    [
        ("42", DATE, RateFigures(120, 118, MOMENT + 42, 42.0, 1.0)),
        ("42", None, RateFigures(120, 118, MOMENT + 42.7, 42.0, 1.0)),
        ("41.5", DATE, RateFigures(120, 118, MOMENT + 42.2, 41.5)),
        ("0", DATE, RateFigures(120, 118, MOMENT, 0.0, 1.0)),
        ("86400", DATE, RateFigures(120, 118, MOMENT + 86_400, 86_400.0, 1.0)),
    ],
)
def test_a_reset_in_seconds_from_now(reset, date, figures):
    """Whole ones are counted from `Date`, which rounds them alike; with a fraction, or without `Date`, from now."""
    told = parse_rate_figures(rate(reset=reset, date=date), wall_now=MOMENT + 0.7)
    assert (told.resets_in, told.reset) == (figures.resets_in, pytest.approx(figures.reset))
    assert (told.limit, told.remaining, told.spread) == (figures.limit, figures.remaining, figures.spread)


LATER = str(int(MOMENT) + 50)


@pytest.mark.parametrize(
    ("limits", "remainings", "resets", "told"),
    [
        (["6000", "60"], ["5900", "7"], [RESET, LATER], (60, 7, 50.0)),
        (["60", "6000"], ["7", "5900"], [RESET, LATER], (60, 7, 42.0)),
        (["60", "60"], ["7", "7"], [RESET, LATER], (60, 7, 50.0)),
        (["5", "150"], ["4", "3"], ["1", LATER], (5, 3, 50.0)),
        (["60", "junk"], ["7", "-1"], [RESET, "soon"], (60, 7, 42.0)),
        (["60", "6000"], ["junk", "5900"], [RESET, LATER], (60, 60, 50.0)),
        (["6000", "60"], ["5900", "7"], [RESET, "junk"], (60, 7, 42.0)),
        (["6000", "60"], ["5900", "7"], [RESET], (60, 7, 42.0)),
        (["60"], ["7"], [RESET, LATER, "9" * 17], (60, 7, 50.0)),
        (["60", "6000"], ["5900"], [RESET], (60, 60, 42.0)),
        (["120", "120"], ["118"], [RESET], (120, 118, 42.0)),
        (["1000000001", "60"], ["7", "7"], [RESET, RESET], (60, 7, 42.0)),
    ],
)
@pytest.mark.parametrize("is_joined", [False, True])
def test_of_several_values_the_strictest_count(limits, remainings, resets, told, is_joined):
    """The smallest remaining with the reset beside it or the latest, and the smallest limit; junk is left out."""
    lines = CIMultiDict({"Date": DATE})
    for name, values in (("Limit", limits), ("Remaining", remainings), ("Reset", resets)):
        lines.extend((f"X-RateLimit-{name}", value) for value in ([", ".join(values)] if is_joined else values))
    figures = parse_rate_figures(CIMultiDictProxy(lines), wall_now=0.0)
    assert (figures.limit, figures.remaining, figures.resets_in) == told


@pytest.mark.parametrize(
    ("limits", "remainings", "resets"),
    [
        ("a, b", "1, 2", RESET),
        ("60, 70", "a, b", RESET),
        ("60, 70", "1, 2", "a, b"),
        ("60, 70", "", RESET),
        (",", ",", ","),
    ],
)
def test_of_several_values_one_of_each_must_be_readable(limits, remainings, resets):
    """Where all values of one header are junk there are no figures."""
    assert parse_rate_figures(rate(limits, remainings, resets), wall_now=MOMENT) is None


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0, 1e9])
def test_local_clock_does_not_matter_where_there_is_a_date(skew):
    """An hour of clock skew changes nothing: times of the server count as differences from its `Date`."""
    assert parse_rate_figures(rate(), wall_now=MOMENT + skew).resets_in == 42.0
    later = {"Retry-After": "Thu, 26 Mar 2026 11:10:30 GMT", "Date": DATE}
    assert parse_retry_after(later, wall_now=MOMENT + skew) == 30.0


@pytest.mark.parametrize("date", [None, "", "garbage"])
def test_local_clock_is_the_fallback(date):
    """Without a readable `Date` the local clock is the best there is."""
    assert parse_rate_figures(rate(date=date), wall_now=MOMENT + 2).resets_in == 40.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("999999999999999999", 86_400.0),
        ("Thu, 26 Mar 2026 11:10:30 GMT", 30.0),
        ("Thu, 26 Mar 2026 13:10:30 +0200", 30.0),
        ("Thu, 26 Mar 2026 11:09:00 GMT", 0.0),
        ("Fri, 26 Mar 2027 11:10:00 GMT", 86_400.0),
        ("", None),
        ("-30", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1 .5", None),
        ("1. 5", None),
        ("1.\v5", None),
        ("1.", None),
        (".5", None),
        ("0x10", None),
        ("٣٠", None),  # Arabic digits
        ("9" * 5000, None),
    ],
)
def test_retry_after(text, seconds):
    """Whole or fractional seconds and HTTP dates are read, clamped to a day; anything else is absent."""
    assert parse_retry_after({"Retry-After": text, "Date": DATE}, wall_now=0.0) == seconds


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["5", "30"], 30.0),
        (["30, 5"], 30.0),
        (["soon", "5"], 5.0),
        (["-30, 5"], 5.0),
        (["Thu, 26 Mar 2026 11:10:30 GMT", "5"], 30.0),
        (["99999999999", "5"], 86_400.0),
        (["soon, later"], None),
    ],
)
def test_the_longest_of_several_retry_after_counts(lines, seconds):
    """A gateway and the API may each name one; what cannot be read is left out."""
    headers = CIMultiDict([("Date", DATE), *(("Retry-After", line) for line in lines)])
    assert parse_retry_after(headers, wall_now=0.0) == seconds


def test_retry_after_is_absent_without_its_header():
    """No header is no advice, which is not the same as "at once"."""
    assert parse_retry_after({"Date": DATE}, wall_now=0.0) is None


@pytest.mark.parametrize(
    ("seconds", "clamped"),
    [(-1.0, 0.0), (0.0, 0.0), (0.5, 0.5), (86_400.0, 86_400.0), (86_400.5, 86_400.0), (math.inf, 86_400.0)],
)
def test_waits_are_clamped_to_a_day(seconds, clamped):
    """No server can make a client wait for longer than a day, or for less than nothing."""
    assert clamp_wait(seconds) == clamped


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (DATE, MOMENT),
        ("Thu, 26 Mar 2026 13:10:00 +0200", MOMENT),
        ("Thursday, 26-Mar-26 11:10:00 GMT", MOMENT),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        ("garbage", None),
        ("26 Mar", None),
        ("Thu, 99 Mar 2026 11:10:00 GMT", None),
        ("Thu, 26 Mar 2026 99:10:00 GMT", None),
    ],
)
def test_dates(text, moment):
    """The HTTP date formats that name their zone are read; anything else is None."""
    assert parse_date(text) == moment


@pytest.mark.parametrize(
    "text", ["Thu Mar 26 11:10:00 2026", "Thu, 26 Mar 2026 11:10:00 -0000", "Thu, 26 Mar 2026 11:10:00"]
)
def test_date_without_a_zone_is_utc_on_every_machine(text, in_tokyo):
    """HTTP's old asctime format names no zone and means UTC, wherever the client runs (RFC 9110, 5.6.7)."""
    assert parse_date(text) == MOMENT


def test_dates_are_not_mixed_up():
    """A date that was just parsed does not answer for another one."""
    moments = [parse_date(text) for text in (DATE, "garbage", DATE, "Thu, 26 Mar 2026 11:10:01 GMT", DATE)]
    assert moments == [MOMENT, None, MOMENT, MOMENT + 1, MOMENT]


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ("req_123", "req_123"),
        ("6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("", None),
        ("req 123", None),
        ("req_1\r\nX: y", None),
        ("req_1\n", None),
        ("req_é", None),
        ("req_\x1b[31m", None),
    ],
)
def test_request_id_is_short_visible_ascii(text, request_id):
    """A request id can be printed and logged as it is, or is None."""
    assert request_id_of({"X-Request-ID": text}, KEY) == request_id


def test_a_key_in_a_request_id_is_masked():
    """Whatever stands around it: a server, or a proxy, may repeat what it was sent."""
    assert request_id_of({"X-Request-ID": f"req_{KEY.reveal()}_1"}, KEY) == "req_sk_test_***_1"


def test_request_id_is_optional():
    """Revision A sends none."""
    assert request_id_of({}, KEY) is None


NUMBERS = (
    st.integers().map(str) | st.floats().map(str) | st.from_regex(r"[+-]?\d{0,25}\s?\.?\s?\d{0,12}", fullmatch=True)
)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Thu", "Mon", "", "x"]),
    st.integers(-1, 99),
    st.sampled_from(["Mar", "Feb", "Dec", "x"]),
    st.integers(-1, 99_999),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.sampled_from(["GMT", "-0000", "+9999", "-2400", "EST", "", "x"]),
)
VALUES = st.text() | NUMBERS | DATES
NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date", "X-Request-ID")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)), st.floats(0, 4e9))
@example({"Retry-After": "Thu, 26 Mar 9999 23:59:59 -0000"}, MOMENT)
@example({"Retry-After": "Mon, 01 Jan 0001 00:00:00 -0000", "Date": DATE}, MOMENT)
@example({"Retry-After": "1, 1, 1"}, MOMENT)
def test_no_text_makes_a_parser_fail(headers, wall_now):
    """Whatever the headers hold, the results are in range or absent, and nothing is raised."""
    figures = parse_rate_figures(headers, wall_now=wall_now)
    if figures is not None:
        assert 0 <= figures.remaining <= figures.limit
        assert figures.limit >= 1
        assert 0.0 <= figures.resets_in <= LONGEST_WAIT
    seconds = parse_retry_after(headers, wall_now=wall_now)
    assert seconds is None or 0.0 <= seconds <= LONGEST_WAIT
    moment = parse_date(headers.get("Date", ""))
    assert moment is None or math.isfinite(moment)
    request_id = request_id_of(headers, KEY)
    assert request_id is None or (request_id.isascii() and request_id.isprintable())


@given(st.integers(1, 10**9), st.data(), st.integers(0, 86_400), st.floats(0, 4e9))
def test_plausible_figures_are_read_exactly(limit, data, resets_in, wall_now):
    """Every figure a server can truthfully send arrives unchanged, whatever the local clock says."""
    remaining = data.draw(st.integers(0, limit))
    headers = rate(str(limit), str(remaining), str(int(MOMENT) + resets_in))
    assert parse_rate_figures(headers, wall_now=wall_now) == RateFigures(
        limit, remaining, MOMENT + resets_in, float(resets_in)
    )


def test_what_is_read_goes_past_every_cache():
    """A cache in between would show an analysis as it was; what is sent is stored nowhere."""
    told = {}
    for method in ("GET", "POST"):
        operation = Operation(name="analyses.retrieve", method=method, path="", group="analysis", decode=bytes)
        told[method] = request_headers(operation, KEY).get("Cache-Control")
    assert told == {"GET": "no-cache", "POST": None}
