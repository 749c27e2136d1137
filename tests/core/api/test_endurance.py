"""How long a download goes on: attempts and pauses since the last byte that stayed. Pure, with literal values."""

from __future__ import annotations

from typing import Any

import pytest

from kallglot_async import errors
from kallglot_async._core.api.endurance import Endurance

LOST = errors.ConnectionLostError("cut", operation="recordings.download")
BROKEN = errors.ServerError("failed", operation="recordings.download", status=502)


def never(failures: int) -> float | None:
    raise AssertionError(f"failure {failures} was handed on")


def step(endurance: Endurance, error: errors.RequestError, **changes: Any) -> float | None:
    fields: dict[str, Any] = {"has_advanced": False, "within": 1000.0, "otherwise": never}
    return endurance.next_delay(error, **(fields | changes))


def refused(status: int, retry_after: float | None) -> errors.APIError:
    kind = errors.RateLimitedError if status == 429 else errors.ServerError
    return kind("refused", operation="recordings.download", status=status, retry_after=retry_after)


def test_attempts_that_bring_bytes_never_add_up() -> None:
    """A hundred interruptions, and each is the first one; the pause before the next is full jitter within a second."""
    endurance = Endurance(3, lambda: 0.25)
    for _ in range(100):
        assert step(endurance, LOST, has_advanced=True) == 0.25
        assert endurance.history == ["cut"]


def test_attempts_that_bring_nothing_add_up() -> None:
    """They are handed on with their number in the row, until it is the last."""
    endurance, seen = Endurance(3, lambda: 0.0), []

    def otherwise(failures: int) -> float:
        seen.append(failures)
        return 0.5

    assert step(endurance, LOST, otherwise=otherwise) == 0.5
    assert step(endurance, BROKEN, otherwise=otherwise) == 0.5
    assert step(endurance, LOST, otherwise=otherwise) is None
    assert seen == [1, 2]
    assert len(endurance.history) == 3


def test_bytes_in_between_start_the_count_anew() -> None:
    """Two failures, one attempt that brings something, two failures: no three in a row but the last."""
    endurance = Endurance(3, lambda: 0.0)
    for has_advanced in (False, False, True, False):
        assert step(endurance, LOST, has_advanced=has_advanced, otherwise=lambda _: 0.0) == 0.0
    assert step(endurance, LOST, otherwise=lambda _: 0.0) is None


@pytest.mark.parametrize(
    "error",
    [errors.ResponseTooLargeError("large", operation="x"), errors.TLSError("x"), errors.ResponseBodyError("html")],
)
def test_what_is_no_interruption_is_judged_by_the_policy(error: errors.RequestError) -> None:
    """Bytes that came do not turn a final error into one that passes."""
    assert step(Endurance(3, lambda: 0.0), error, has_advanced=True, otherwise=lambda _: None) is None


def test_one_attempt_is_one_attempt() -> None:
    """With `max_attempts=1` an interruption ends it, whatever it brought."""
    assert step(Endurance(1, lambda: 0.0), LOST, has_advanced=True) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_named_pause_is_waited_out_and_not_counted(status: int) -> None:
    """As long as it says and up to a tenth more, more often than there are attempts, and with one attempt alone."""
    for luck, expected in ((0.0, 20.0), (0.5, 21.0)):
        endurance = Endurance(1, lambda luck=luck: luck)
        for _ in range(10):
            assert step(endurance, refused(status, 20.0)) == expected
        assert endurance.history == []


def test_a_pause_that_comes_with_another_status_names_none() -> None:
    """A failure is judged by the policy, whatever it says of a time."""
    failed = errors.ServerError("failed", operation="recordings.download", status=500, retry_after=20.0)
    assert step(Endurance(3, lambda: 0.0), failed, otherwise=lambda failures: 0.25 * failures) == 0.25


def test_a_pause_of_nothing_is_a_second() -> None:
    """`Retry-After: 0` for ever is no loop without a pause."""
    assert step(Endurance(3, lambda: 0.0), refused(503, 0.0)) == 1.0


def test_a_pause_beyond_the_deadline_ends_it_now() -> None:
    """Up to it, it is kept to, and the spread does not make it too long."""
    endurance = Endurance(3, lambda: 1.0)
    assert step(endurance, refused(429, 30.0), within=29.0) is None
    assert step(endurance, refused(429, 30.0), within=30.5) == 30.5


def test_an_hour_of_pauses_is_the_end_unless_bytes_come() -> None:
    """A storage that says "later" for ever ends a download without a timeout, too."""
    endurance = Endurance(3, lambda: 0.0)
    assert step(endurance, refused(503, 3601.0), within=1e9) is None
    endurance = Endurance(3, lambda: 0.0)
    assert step(endurance, refused(503, 2000.0), within=1e9) == 2000.0
    assert step(endurance, LOST, has_advanced=True) == 0.0
    assert step(endurance, refused(429, 2000.0), within=1e9) == 2000.0
    assert step(endurance, refused(429, 2000.0), within=1e9) is None


def test_a_refusal_without_a_time_is_an_attempt() -> None:
    """429: one, two, four seconds, and never more than eight; 503 is the policy's."""
    endurance = Endurance(6, lambda: 0.0)
    assert [step(endurance, refused(429, None)) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, None]
    assert step(Endurance(5, lambda: 0.0), refused(503, None), otherwise=lambda failures: failures / 4) == 0.25
    assert step(Endurance(5, lambda: 0.0), refused(429, None), within=0.5) is None
