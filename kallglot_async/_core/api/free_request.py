"""Requests for which there is no operation: checked, and with the limit that they most likely count against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from json import dumps
from typing import Any

import msgspec
from multidict import CIMultiDict

from kallglot_async._checks import check_text, is_finite, shown
from kallglot_async._core.api.operation import Operation, Response, with_query
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import RawResponse

__all__ = ["free_request"]

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Neither an escape nor a scheme, a query or a fragment: what is sent is what stands there.
_SEGMENT = re.compile(r"[A-Za-z0-9_.~-]{1,256}", re.ASCII)


def free_request(
    method: str,
    path: str,
    *,
    json: Any = None,
    params: Mapping[str, str | float | bool] | None = None,
    idempotency_key: str | None = None,
) -> Operation[RawResponse]:
    """Return a request of any kind below the base URL.

    Raises:
        ConfigurationError: It cannot be sent like that.
    """
    if not isinstance(method, str) or (verb := method.upper()) not in _METHODS:
        raise ConfigurationError(f"method is one of {', '.join(_METHODS)}, not {shown(method, 40)}")
    if json is not None and verb == "GET":
        raise ConfigurationError("a GET has no body: leave json= out, or give params=")
    if idempotency_key is not None:
        idempotency_key = check_text("idempotency_key", idempotency_key)
    path = _check_path(path)
    return Operation(
        name="client.request",
        method=verb,
        path=with_query(path, _check_params(params)),
        group=_group(verb, path),
        read=_raw,
        body=None if json is None else _encode(json),
        idempotency_key=idempotency_key,
    )


def _raw(response: Response) -> RawResponse:
    return RawResponse(response.status, CIMultiDict(response.headers), response.body)


def _check_path(path: str) -> str:
    segments = path.removeprefix("/").split("/") if isinstance(path, str) else [""]
    # None of dots alone, too: "." and ".." would lead to another path than the one that is shown.
    if not all(_SEGMENT.fullmatch(segment) and segment.strip(".") for segment in segments):
        raise ConfigurationError(
            "path is one below the base URL such as 'agents/agt_1', of letters, digits and -._~, not "
            f"{shown(path, 200)}; the query goes into params="
        )
    return "/".join(segments)


def _check_params(params: Mapping[str, str | float | bool] | None) -> dict[str, str]:
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise ConfigurationError(f"params maps names to values, it is not {type(params).__name__}")
    return {check_text("params", name): _parameter(name, value) for name, value in params.items()}


def _parameter(name: str, value: object) -> str:
    # Before the numbers, of which a truth value is one to Python.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return check_text(f"params: {name}", value) if value else ""
    if isinstance(value, int | float) and is_finite(value):
        return str(value)
    raise ConfigurationError(f"params: {name} is a text, a number or a truth value, not {type(value).__name__}")


def _encode(json: Any) -> bytes:
    try:
        # The standard library's is the one that can refuse NaN and infinity, which JSON has no words for.
        # Not escaped, so that half a character ends here, as in any other argument, and not at the server.
        return dumps(msgspec.to_builtins(json), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        # Its kind alone, and raised outside the handler: what was to be sent may be in its text.
        kind = type(error).__name__
    raise ConfigurationError(
        f"json= cannot be sent as JSON ({kind}): give dictionaries, lists, texts and finite numbers"
    )


def _group(method: str, path: str) -> str:
    """Return the endpoint group: of what is documented, else one of the path's own."""
    first, last = path.partition("/")[0], path.rpartition("/")[2]
    if first in {"analysis", "analyses"} or (first == "sessions" and last in {"analysis", "analyses"}):
        return "analysis"
    if first == "recordings" or last == "recordings":
        return "recordings"
    if first == "sessions":
        return "sessions.read" if method == "GET" else "sessions.write"
    return first
