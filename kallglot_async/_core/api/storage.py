"""What an answer of a storage means that is no success. Never in its own words: they may quote the link."""

from __future__ import annotations

from collections.abc import Mapping

from kallglot_async import errors
from kallglot_async._core.api.answers import parse_retry_after

__all__ = ["is_expired_link", "storage_refusal"]

# How storages refuse a link that has expired: it is asked for anew.
_EXPIRED = frozenset({400, 401, 403, 404, 410})

_BY_STATUS: dict[int, tuple[type[errors.APIError], str]] = {
    401: (errors.PermissionDeniedError, "the storage does not accept the link to the audio"),
    403: (errors.PermissionDeniedError, "the storage does not accept the link to the audio"),
    404: (errors.NotFoundError, "the audio is not there any more"),
    410: (errors.NotFoundError, "the audio is not there any more"),
    429: (errors.RateLimitedError, "the storage is asked too often"),
}


def is_expired_link(error: errors.RequestError) -> bool:
    """Whether a storage may have refused a link for its age."""
    return isinstance(error, errors.APIError) and error.status in _EXPIRED


def storage_refusal(status: int, headers: Mapping[str, str], *, operation: str, wall_now: float) -> errors.APIError:
    """Return the error that an answer outside 2xx and 3xx stands for."""
    kind, what = _BY_STATUS.get(status, (errors.APIError, f"the storage answered {status}"))
    if status >= 500:
        kind, what = errors.ServerError, f"the storage failed with {status}"
    return kind(what, operation=operation, status=status, retry_after=parse_retry_after(headers, wall_now=wall_now))
