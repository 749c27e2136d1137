"""What answers tell of a limit, in every form."""

from __future__ import annotations

from typing import Any

import pytest

from kallglot_async.emulator.limits.announcing import Announcing
from kallglot_async.emulator.limits.budget import Figures, Verdict
from kallglot_async.emulator.limits.plans import LimitSettings

NOW = 1_800_000_000.25
FIGURES = Figures(150, 149, NOW + 30.5)
OVERALL = Figures(600, 580, NOW + 30.5)
SECOND = Figures(5, 4, NOW + 0.75)
ACCEPTED = Verdict(accepted=True, figures=(FIGURES, OVERALL), second=SECOND)
REFUSED = Verdict(accepted=False, figures=(FIGURES,), second=SECOND, retry_in=0.75)
LIMIT, REMAINING, RESET = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def told(verdict: Verdict, **options: Any) -> list[tuple[str, str]]:
    return Announcing(LimitSettings(**options)).headers(verdict, NOW)


@pytest.mark.parametrize(
    ("form", "reset"),
    [
        (True, "1800000031"),
        ("whole", "1800000031"),
        ("floor", "1800000030"),
        ("fractional", "1800000030.750"),
        ("milliseconds", "1800000030750"),
        ("delta", "31"),
        ("delta_fractional", "30.500"),
    ],
)
def test_a_reset_is_told_in_the_chosen_form(form: str | bool, reset: str) -> None:
    """As a moment or as seconds from now, whole or not; limit and remaining are the same in all."""
    assert told(ACCEPTED, rate_headers=form) == [(LIMIT, "150"), (REMAINING, "149"), (RESET, reset)]


def test_forms_that_leave_out() -> None:
    """Without `Remaining`, or nothing at all."""
    assert told(ACCEPTED, rate_headers="no_remaining") == [(LIMIT, "150"), (RESET, "1800000031")]
    assert told(ACCEPTED, rate_headers=False) == told(ACCEPTED, rate_headers="none") == []


def test_forms_that_tell_of_every_limit() -> None:
    """In repeated lines or joined in one, the figures of all limits in the same order."""
    assert told(ACCEPTED, rate_headers="repeated") == [
        (LIMIT, "150"),
        (LIMIT, "600"),
        (LIMIT, "5"),
        (REMAINING, "149"),
        (REMAINING, "580"),
        (REMAINING, "4"),
        *[(RESET, "1800000031")] * 2,
        (RESET, "1800000001"),
    ]
    assert told(ACCEPTED, rate_headers="joined") == [
        (LIMIT, "150, 600, 5"),
        (REMAINING, "149, 580, 4"),
        (RESET, "1800000031, 1800000031, 1800000001"),
    ]


@pytest.mark.parametrize(
    ("retry_after", "text"),
    [
        ("auto", "1"),
        ("fractional", "0.750"),
        ("date", "Fri, 15 Jan 2027 08:00:01 GMT"),
        ("soon", "soon"),
        (0, "0"),
        (-1.5, "-1.5"),
    ],
)
def test_a_refusal_says_when_to_come_back_in_the_chosen_form(retry_after: float | str, text: str) -> None:
    """Whole seconds, fractions, an HTTP date, or whatever was given."""
    assert told(REFUSED, retry_after=retry_after, rate_headers=False) == [("Retry-After", text)]


def test_a_refusal_can_say_nothing() -> None:
    """None leaves the header out."""
    assert told(REFUSED, retry_after=None, rate_headers=False) == []


@pytest.mark.parametrize(("option", "field"), [(None, None), ("auto", 1), (45, 45), (1.5, 1.5)])
def test_the_body_can_say_it_too(option: Any, field: float | None) -> None:
    """Not by default, since the sample has no such field; else what the header would say, or a number given."""
    assert Announcing(LimitSettings(body_retry_after=option)).body_retry_after(REFUSED) == field
