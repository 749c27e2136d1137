"""Rate-limit headers that are not the documented ones, but say the same."""

import pytest
from multidict import CIMultiDict

from kallglot_async._config import Secret
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async._core.api.answers import interpret, named_wait, parse_credits, parse_rate_figures, parse_retry_after
from kallglot_async._core.api.operation import Response
from kallglot_async.errors import RateLimitedError

DATE = "Thu, 26 Mar 2026 11:10:00 GMT"
MOMENT = 1_774_523_400.0  # the same in Unix seconds


def figures_of(*lines):
    headers = CIMultiDict([("Date", DATE), *(line.split(": ", 1) for line in lines)])
    return parse_rate_figures(headers, wall_now=0.0)


@pytest.mark.parametrize(
    "lines",
    [
        ("RateLimit-Limit: 150", "RateLimit-Remaining: 149", "RateLimit-Reset: 42"),
        ("X-RateLimit-Limit: 150", "RateLimit-Limit: 150", "RateLimit-Remaining: 149", "RateLimit-Reset: 42"),
        ("X-RateLimit-Limit: 9", "X-RateLimit-Remaining: 8", "RateLimit: limit=150, remaining=149, reset=42"),
        ("ratelimit-limit: 150, 150;w=60, 5000;w=3600", "ratelimit-remaining: 149", "ratelimit-reset: 42"),
        ("RateLimit: limit=150, remaining=149, reset=42", "RateLimit-Policy: 150;w=60"),
        ("RateLimit: limit=150,remaining=149,reset=42",),
        ('RateLimit: "default";r=149;t=42', 'RateLimit-Policy: "default";q=150;w=60'),
        ('RateLimit: "a"; r=149; t=42, "b"; r=4000; t=9', 'RateLimit-Policy: "a"; q=150; w=60, "b"; q=5000; w=3600'),
        ('RateLimit: "a"; r=149; t=42, "b"; r=4000; t=9', 'RateLimit-Policy: "b"; q=5000; w=3600, "a"; q=150; w=60'),
        ('RateLimit: "a";r=149;t=42', 'RateLimit-Policy: "b";q=10;w=1, "a";q=150;w=60'),  # the other's ten are nobody's
        ('RateLimit: "a";r=149;t=42, "b";r=1', 'RateLimit-Policy: "b";q=10;w=1, "a";q=150;w=60'),
    ],
)
def test_the_headers_that_are_to_become_the_standard(lines):
    """All generations of its drafts; of several policies the strictest counts."""
    told = figures_of(*lines)
    assert (told.limit, told.remaining, told.resets_in) == (150, 149, 42.0)


@pytest.mark.parametrize(
    ("limits", "remaining", "resets", "figures"),
    [
        ("10,000", "9,999", "42", (10_000, 9_999)),
        ("10,000", "999", "42", (10_000, 999)),
        ("1,000,000", "0", "42", (1_000_000, 0)),
        ("10,000, 150", "9,999, 149", "42, 42", (150, 149)),
        ("10,000, 20,000", "9,999, 19,999", "42, 42", (10_000, 9_999)),
        ("150,500", "149,499", "42,3000", (150, 149)),  # joined without blanks: a list, as the resets are one
        ("150,500;w=60", "149", "42", (150, 149)),
        ("10, 10;w=60", "9", "42", (10, 9)),
    ],
)
def test_thousands_that_are_set_apart(limits, remaining, resets, figures):
    """They are told from the values of a list, of which the strictest counts."""
    told = figures_of(
        f"X-RateLimit-Limit: {limits}", f"X-RateLimit-Remaining: {remaining}", f"X-RateLimit-Reset: {resets}"
    )
    assert (told.limit, told.remaining, told.resets_in) == (*figures, 42.0)


def test_thousands_are_set_apart_in_other_headers():
    """In those that are to become the standard, and of credits."""
    told = figures_of("RateLimit-Limit: 10,000", "RateLimit-Remaining: 9,999", "RateLimit-Reset: 42")
    assert (told.limit, told.remaining) == (10_000, 9_999)
    assert parse_credits({"X-API-Credits-Remaining": "12,345", "X-API-Credits-Used": "1,000,000"}) == (
        12_345,
        1_000_000,
    )


@pytest.mark.parametrize(
    ("told", "policies"),
    [
        ('"hour";r=900;t=3000', '"burst";q=10;w=1, "hour";q=1000;w=3600'),
        ('"hour";r=900;t=3000', '"at once";q=10;qu="concurrent-requests", "hour";q=1000;w=3600;qu="requests"'),
        ('"hour";r=900;t=3000, "bytes";r=7;t=3', '"hour";q=1000;w=3600, "bytes";q=65535;qu="content-bytes";w=10'),
        ('"burst";r=900;t=1, "hour";r=900;t=3000', '"burst";q=1000;w=1, "hour";q=1000;w=3600'),
        ('"hour";r=900;t=3000, "day";r=901;t=4000', '"day";q=950;w=86400, "hour";q=1000;w=3600'),
    ],
)
def test_each_figure_is_of_the_policy_that_it_names(told, policies):
    """A second that allows ten and an hour that leaves 900 are no ten an hour; and bytes are no requests."""
    figures = figures_of(f"RateLimit: {told}", f"RateLimit-Policy: {policies}")
    assert (figures.limit, figures.remaining, figures.resets_in) == (1000, 900, 3000.0)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("strict", "wide"),
    [
        (["RateLimit: limit=150, remaining=3, reset=42"], ["RateLimit: limit=5000, remaining=4000, reset=900"]),
        (
            ['RateLimit: "a";r=3;t=42', 'RateLimit-Policy: "a";q=150;w=60'],
            ['RateLimit: "b";r=4000;t=900', 'RateLimit-Policy: "b";q=5000;w=3600'],
        ),
        (
            ["RateLimit-Limit: 150, 150;w=60", "RateLimit-Remaining: 3", "RateLimit-Reset: 42"],
            ["RateLimit-Limit: 5000", "RateLimit-Remaining: 4000", "RateLimit-Reset: 900"],
        ),
    ],
)
def test_of_several_lines_the_strictest_counts(strict, wide, is_first):
    """A gateway's and the API's, in whichever order they come."""
    told = figures_of(*strict, *wide) if is_first else figures_of(*wide, *strict)
    assert (told.limit, told.remaining, told.resets_in) == (150, 3, 42.0)


def test_a_long_reset_is_not_read():
    """One of 8,000 blanks took half a second of everybody's, with each answer; blanks around it are fine."""
    assert with_reset(f"{' ' * 8000}42s") is None
    assert with_reset("  42s ").resets_in == 42.0


@pytest.mark.parametrize(
    "lines",
    [
        ("RateLimit-Limit: 150",),
        ("RateLimit-Limit: 150", "RateLimit-Remaining: 149"),
        ("RateLimit-Remaining: 149", "RateLimit-Reset: 42"),
        ("RateLimit: soon",),
        ('RateLimit: "default";r=149;t=42',),
        ('RateLimit: "a";r=149;t=42', 'RateLimit-Policy: "b";q=150;w=60'),
        ("RateLimit: limit=150, reset=42",),
        ("RateLimit-Limit: many", "RateLimit-Remaining: 149", "RateLimit-Reset: 42"),
        ("RateLimit-Policy: 150;w=60",),
    ],
)
def test_half_of_it_is_nothing(lines):
    """As with the documented headers."""
    assert figures_of(*lines) is None


def test_the_documented_headers_come_first():
    """Where both are there."""
    lines = ("X-RateLimit-Limit: 60", "X-RateLimit-Remaining: 9", "X-RateLimit-Reset: 30", "RateLimit-Limit: 150")
    assert figures_of(*lines).limit == 60


def with_reset(reset, limit="150"):
    return figures_of(f"X-RateLimit-Limit: {limit}", "X-RateLimit-Remaining: 149", f"X-RateLimit-Reset: {reset}")


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("42s", 42.0),
        ("1m30s", 90.0),
        ("1h2m", 3720.0),
        ("6m0s", 360.0),
        ("500ms", 0.5),
        ("59.75s", 59.75),
        ("2026-03-26T11:10:42Z", 42.0),
        ("2026-03-26T13:10:42+02:00", 42.0),
        ("2026-03-26T11:10:42", 42.0),
        ("2026-03-26T11:10:42.500Z", 42.5),
    ],
)
def test_a_reset_as_a_duration_or_a_date(reset, seconds):
    """The moment, or the seconds until then."""
    assert with_reset(reset).resets_in == seconds


@pytest.mark.parametrize("reset", ["s", "m", "1x", "1s2m", "-5s", "1 m", "2026-03-26", "0001-01-01T00:00:00Z", "soon"])
def test_a_reset_that_is_neither(reset):
    """It is absent, and so are the figures."""
    assert with_reset(reset) is None


def test_a_limit_with_its_window():
    """What stands behind a semicolon says whose it is."""
    assert with_reset("42", limit="150;w=60").limit == 150
    assert with_reset("42", limit='5000;w=3600;name="a", 150;w=60').limit == 150


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_retry_after_that_names_the_moment(unit):
    """In Unix seconds or milliseconds: taken for seconds from now, everybody would pause for a day."""
    headers = {"Retry-After": str(int((MOMENT + 42) * unit)), "Date": DATE}
    assert parse_retry_after(headers, wall_now=0.0) == 42.0
    assert parse_retry_after({"Retry-After": headers["Retry-After"]}, wall_now=MOMENT + 2.0) == 40.0
    assert parse_retry_after(headers | {"Retry-After": str(int(MOMENT) - 5)}, wall_now=0.0) == 0.0


@pytest.mark.parametrize("remaining", [{}, {"X-RateLimit-Remaining": "0"}])
def test_a_refusal_that_names_a_reset_alone(remaining):
    """No limit stands beside it; it says when to come back all the same."""
    headers = CIMultiDict({"X-RateLimit-Reset": str(int(MOMENT) + 42), "Date": DATE, **remaining})
    assert named_wait(Response(429, headers, b""), 0.0) == 42.0
    with pytest.raises(RateLimitedError) as caught:
        interpret(retrieve_analysis("ana_1"), Response(429, headers, b""), key=Secret("sk_test_x"), wall_now=0.0)
    assert caught.value.retry_after == 42.0
    assert named_wait(Response(429, CIMultiDict(headers, **{"Retry-After": "7"}), b""), 0.0) == 7.0
    assert named_wait(Response(503, headers, b""), 0.0) is None
    assert named_wait(Response(429, {"X-RateLimit-Reset": "later"}, b""), 0.0) is None
