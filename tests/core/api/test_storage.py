"""What a storage's answer means, by its status alone."""

from __future__ import annotations

import pytest

from kallglot_async import APIError, NotFoundError, PermissionDeniedError, RateLimitedError, ServerError
from kallglot_async._core.api.storage import is_expired_link, storage_refusal


@pytest.mark.parametrize(
    ("status", "kind", "is_expired"),
    [
        (400, APIError, True),
        (401, PermissionDeniedError, True),
        (403, PermissionDeniedError, True),
        (404, NotFoundError, True),
        (410, NotFoundError, True),
        (418, APIError, False),
        (429, RateLimitedError, False),
        (500, ServerError, False),
        (503, ServerError, False),
        (523, ServerError, False),
    ],
)
def test_statuses_have_their_class(status: int, kind: type[APIError], is_expired: bool) -> None:
    """And those by which storages refuse an old link are worth a new one."""
    error = storage_refusal(status, {}, operation="recordings.download", wall_now=0.0)
    assert (type(error), error.status, error.retry_after) == (kind, status, None)
    assert is_expired_link(error) is is_expired


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "-7"}, None),
        ({"Retry-After": "Thu, 26 Mar 2026 11:04:30 GMT", "Date": "Thu, 26 Mar 2026 11:04:20 GMT"}, 10.0),
        ({"Retry-After": "later"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_it_names_is_on_the_error(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """In seconds or as a date; garbage is none."""
    error = storage_refusal(status, headers, operation="recordings.download", wall_now=0.0)
    assert error.retry_after == seconds
