"""The exact request of every operation, and the class of every status, with aioresponses in place of a network."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import aioresponses.core
import pytest
from yarl import URL

from kallglot_async import (
    APIError,
    AuthenticationError,
    ConflictError,
    InsufficientCreditsError,
    InvalidRequestError,
    KallglotClient,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    __version__,
)

BASE = "https://api.kallglot.com/v1"
KEY = "sk_live_abc123"
A, B = "ana_01HDEF456789012", "anl_01HDEF456789012"


def client_of(**options: Any) -> KallglotClient:
    return KallglotClient(KEY, **({"max_attempts": 1, "timeout": 5.0} | options))


def pending(id: str) -> dict[str, Any]:
    return {"id": id, "object": "analysis", "session_id": "sess_1", "status": "processing"}


def only_request(mocked: Any) -> tuple[str, str, dict[str, str], bytes | None]:
    """Method, URL, headers and body of the one request that was made."""
    [((method, url), [call])] = mocked.requests.items()
    return method, str(url), dict(call.kwargs["headers"]), call.kwargs["data"]


COMMON = {
    "Authorization": f"Bearer {KEY}",
    "Accept": "application/json",
    "User-Agent": f"kallglot-async/{__version__}",
}


@pytest.mark.parametrize(("id", "path"), [(A, f"/analysis/{A}"), (B, f"/analyses/{B}")])
async def test_retrieve_is_a_get_without_a_body(mocked: Any, id: str, path: str) -> None:
    """GET of the revision's path, with exactly these headers."""
    mocked.get(BASE + path, payload=pending(id))
    async with client_of() as client:
        assert (await client.analyses.retrieve(id)).id == id
    assert only_request(mocked) == ("GET", BASE + path, COMMON | {"Cache-Control": "no-cache"}, None)


CREATES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"analyses": ["summary"]}, {"analyses": ["summary"]}),
    (
        {
            "analyses": ("sentiment", "quality"),
            "language": "de",
            "webhook_url": "https://example.org/hook",
            "custom_prompts": {"summary": "Kurz, bitte: äöü"},
        },
        {
            "analyses": ["sentiment", "quality"],
            "language": "de",
            "webhook_url": "https://example.org/hook",
            "custom_prompts": {"summary": "Kurz, bitte: äöü"},
        },
    ),
    ({}, {}),
    ({"profile": "sales"}, {"profile": "sales"}),
    ({"include": ["summary", "keywords"]}, {"include": ["summary", "keywords"]}),
    ({"profile": "sales", "include": ["summary"]}, {"profile": "sales", "include": ["summary"]}),
]


@pytest.mark.parametrize(("fields", "body"), CREATES)
async def test_create_is_a_post_of_json_with_a_key(mocked: Any, fields: dict[str, Any], body: dict[str, Any]) -> None:
    """POST with the given fields and no others, and an idempotency key."""
    url = f"{BASE}/sessions/sess_1/analysis"
    mocked.post(url, status=202, payload=pending(A if "analyses" in fields else B))
    async with client_of() as client:
        await client.analyses.create("sess_1", **fields)
    method, requested, headers, data = only_request(mocked)
    assert (method, requested) == ("POST", url)
    assert data is not None
    assert json.loads(data) == body
    key = headers.pop("Idempotency-Key")
    assert len(key) == 36
    assert headers == COMMON | {"Content-Type": "application/json"}


async def test_a_key_of_ones_own_is_sent_as_it_is(mocked: Any) -> None:
    """The caller's idempotency key is the one on the wire."""
    mocked.post(f"{BASE}/sessions/sess_1/analysis", status=201, payload=pending(B))
    async with client_of() as client:
        await client.analyses.create("sess_1", idempotency_key="order-7")
    assert only_request(mocked)[2]["Idempotency-Key"] == "order-7"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://eu.example.org",
        "https://eu.example.org/",
        "https://eu.example.org/api/v1",
        "https://eu.example.org:8443/v1/",
    ],
)
async def test_paths_are_appended_to_the_base_url(mocked: Any, base_url: str) -> None:
    """Whatever path the base URL has is kept, with one slash between."""
    url = f"{base_url.rstrip('/')}/analysis/{A}"
    mocked.get(url, payload=pending(A))
    async with client_of(base_url=base_url) as client:
        await client.analyses.retrieve(A)
    assert only_request(mocked)[:2] == ("GET", url)


async def test_redirects_are_not_asked_for(mocked: Any) -> None:
    """Every request forbids aiohttp to follow redirects, and leaves deadlines to the caller's scope."""
    mocked.get(f"{BASE}/analysis/{A}", payload=pending(A))
    async with client_of() as client:
        await client.analyses.retrieve(A)
    [[call]] = mocked.requests.values()
    assert call.kwargs["allow_redirects"] is False
    assert call.kwargs["timeout"].total is None


STATUSES: dict[int, type[APIError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    418: APIError,
    422: InvalidRequestError,
    429: RateLimitedError,
    500: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
}
ENVELOPES: dict[str, dict[str, Any]] = {
    "a": {
        "code": "some_code",
        "message": "Something is wrong.",
        "type": "some_type",
        "param": "mode",
        "doc_url": "https://developer.kallglot.com/errors#some_code",
    },
    "b": {
        "type": "some_type",
        "code": "some_code",
        "message": "Something is wrong.",
        "param": "mode",
        "request_id": "req_123",
        "retry_after": 77,
    },
}


async def refusal(mocked: Any, status: int, **answer: Any) -> APIError:
    """The error of a retrieve that was answered so."""
    mocked.get(f"{BASE}/analysis/{A}", status=status, **answer)
    async with client_of() as client:
        with pytest.raises(APIError) as caught:
            await client.analyses.retrieve(A)
    return caught.value


@pytest.mark.parametrize("revision", ENVELOPES)
@pytest.mark.parametrize("status", STATUSES)
async def test_every_status_has_its_class(mocked: Any, status: int, revision: str) -> None:
    """Status decides the class, and the envelope's fields are on the error."""
    headers = {"X-Request-ID": "req_header", "Retry-After": "60"}
    error = await refusal(mocked, status, payload={"error": ENVELOPES[revision]}, headers=headers)
    assert type(error) is STATUSES[status]
    assert (error.status, error.code, error.type, error.param) == (status, "some_code", "some_type", "mode")
    assert error.message.startswith("Something is wrong")
    assert error.request_id == ("req_123" if revision == "b" else "req_header")
    assert error.retry_after == ENVELOPES[revision].get("retry_after", 60.0)
    assert error.operation == "analyses.retrieve"


@pytest.mark.untraced
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>busy</html>", b"null", b"[]", b'{"error":null}', b'{"error":{"code":7,"message":["x"]}}', b"\xff{"],
    ids=repr,
)
async def test_a_status_needs_no_envelope(mocked: Any, status: int, body: bytes) -> None:
    """Any body at all gives the same class, with a message of our own."""
    error = await refusal(mocked, status, body=body, headers={"Retry-After": "60"})
    assert type(error) is STATUSES[status]
    assert error.status == status
    assert error.message
    assert (error.code, error.type, error.param) == (None, None, None)


async def test_an_error_that_is_a_text_is_its_message(mocked: Any) -> None:
    """`{"error": "..."}` is read too."""
    error = await refusal(mocked, 400, payload={"error": "no such mode"})
    assert error.message == "no such mode"


@pytest.mark.parametrize("where", ["header", "body", "both"])
async def test_retry_after_is_read_from_header_and_body(mocked: Any, where: str) -> None:
    """Of the two the larger counts, as a header of 0 is no invitation where the body names a time."""
    headers = {"Retry-After": "60"} if where != "body" else {}
    fields = {"message": "slow down"} | ({"retry_after": 77} if where != "header" else {})
    error = await refusal(mocked, 429, payload={"error": fields}, headers=headers)
    assert error.retry_after == (60.0 if where == "header" else 77.0)


@pytest.mark.parametrize("value", ["60", True, -3, 1e999, None, [], {}], ids=repr)
async def test_an_impossible_retry_after_in_the_body_does_no_harm(mocked: Any, value: Any) -> None:
    """What is no number of seconds from 0 to a day is clamped or ignored."""
    body = json.dumps({"error": {"message": "x", "retry_after": value}}).encode()
    error = await refusal(mocked, 400, body=body)
    assert error.retry_after is None or 0.0 <= error.retry_after <= 86_400.0


async def test_a_servers_text_is_one_short_printable_line(mocked: Any) -> None:
    """No server can write several lines, control characters or a novel into a log."""
    error = await refusal(mocked, 400, payload={"error": {"message": "a\n\x1b[31m" + "b" * 5000, "code": "c\r\nd"}})
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 1000


async def test_the_shim_in_conftest_is_still_needed(mocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it aioresponses cannot build a response for this aiohttp; once it can, delete the shim."""
    monkeypatch.setattr(aioresponses.core, "ClientResponse", aiohttp.ClientResponse)
    mocked.get(f"{BASE}/analysis/{A}", payload=pending(A))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TypeError, match="stream_writer"):
            await session.get(URL(f"{BASE}/analysis/{A}"))
