"""Requests for which there is no method: what can be sent, under whose limit, and what comes back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from support.wire_faults import RawServer, answer, closing

from kallglot_async import (
    ConfigurationError,
    ConnectionLostError,
    KallglotClient,
    NotFoundError,
    RateLimitedError,
    ServerError,
)
from kallglot_async._core.api.free_request import free_request
from kallglot_async.emulator import Emulator, Latency

CANARY = "CANARY"


def client_of(server: RawServer, **options: Any) -> KallglotClient:
    return KallglotClient("sk_test_x", **({"base_url": server.base_url, "random": lambda: 0.0} | options))


async def test_status_headers_and_body_come_back() -> None:
    """As they came; what is sent is what was asked for."""
    async with RawServer(answer(b'{"object":"list"}', "X-Request-ID: req_1", status="201 Made")) as server:
        async with client_of(server) as client:
            response = await client.request(
                "post", "/agents/agt_1", json={"name": "a"}, params={"limit": 10, "all": True, "q": "a b&c"},
                idempotency_key="k1", extra_headers={"X-Trace": "t"},
            )  # fmt: skip
        status, headers, body = response
        assert (status, headers["x-request-id"], body) == (201, "req_1", b'{"object":"list"}')
        assert response.json() == {"object": "list"}
        [request] = server.requests
        head, _, sent = request.decode().partition("\r\n\r\n")
        assert head.startswith("POST /v1/agents/agt_1?limit=10&all=true&q=a+b%26c HTTP/1.1\r\n")
        assert json.loads(sent) == {"name": "a"}
        for line in ("Authorization: Bearer sk_test_x", "Idempotency-Key: k1", "X-Trace: t"):
            assert line in head


@pytest.mark.parametrize(("method", "key", "requests"), [
    ("GET", None, 3), ("POST", None, 1), ("PUT", None, 1), ("PATCH", None, 1), ("DELETE", None, 1),
    ("POST", "k1", 3), ("DELETE", "k1", 3),
])  # fmt: skip
async def test_only_what_may_be_repeated_is(method: str, key: str | None, requests: int) -> None:
    """GET, and what carries a key; after a lost connection, too."""
    for script, error in ((answer(b"{}", status="503 No"), ServerError), (closing(), ConnectionLostError)):
        async with RawServer(script) as server, client_of(server, max_attempts=3) as client:
            with pytest.raises(error):
                await client.request(method, "agents", idempotency_key=key)
            assert len(server.requests) == requests


async def test_errors_are_those_of_any_call() -> None:
    """By the status, with the API's explanation."""
    body = b'{"error": {"type": "x", "code": "agent_not_found", "message": "no such agent"}}'
    async with RawServer(answer(body, status="404 No")) as server, client_of(server) as client:
        with pytest.raises(NotFoundError, match="no such agent") as caught:
            await client.request("GET", "agents/agt_1")
        assert (caught.value.code, caught.value.operation) == ("agent_not_found", "client.request")


@pytest.mark.looptime
async def test_it_counts_against_the_limit() -> None:
    """A request of one's own takes its turn as the API's own operations do, and waits a refusal out."""
    async with (
        Emulator(plan="starter", latency=Latency.immediate(), epoch=1_800_000_000.0) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, max_rate_wait=0) as client,
    ):
        [id] = emulator.seed_analyses(1)
        for _ in range(30):
            status, _, _ = await client.request("GET", f"analysis/{id}")
            assert status == 200
        assert client.rate_limit.remaining == 0
        with pytest.raises(RateLimitedError):
            await client.request("GET", f"analysis/{id}")
        with pytest.raises(RateLimitedError):
            await client.analyses.retrieve(id)


@pytest.mark.parametrize(("method", "path", "group"), [
    ("GET", "analysis/ana_1", "analysis"), ("GET", "/analyses/anl_1", "analysis"),
    ("POST", "sessions/sess_1/analysis", "analysis"), ("GET", "sessions/sess_1", "sessions.read"),
    ("POST", "sessions", "sessions.write"), ("POST", "sessions/sess_1/dial", "sessions.write"),
    ("GET", "sessions/sess_1/recordings", "recordings"), ("GET", "recordings/rec_1", "recordings"),
    ("GET", "agents", "agents"), ("POST", "agents/agt_1/x", "agents"),
])  # fmt: skip
def test_the_group_is_that_of_the_documentation(method: str, path: str, group: str) -> None:
    """So that what the client has learned of a limit holds for these requests, too."""
    assert free_request(method, path).group == group


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

BAD: dict[str, dict[str, Any]] = {
    "no method": {"method": "FETCH"},
    "method without a body": {"method": "HEAD"},
    "method of two lines": {"method": "GET\r\n"},
    "method that is no text": {"method": None},
    "other host": {"path": f"https://{CANARY}.example/x"},
    "other host without a scheme": {"path": "//example.org/x"},
    "above": {"path": "../admin"},
    "above in the middle": {"path": "agents/../../admin"},
    "here": {"path": "agents/./x"},
    "escape": {"path": "agents/%2e%2e/x"},
    "query": {"path": "agents?x=1"},
    "fragment": {"path": "agents#x"},
    "empty": {"path": ""},
    "slash": {"path": "/"},
    "slash at the end": {"path": "agents/"},
    "blank": {"path": "agents x"},
    "line end": {"path": "agents\r\nX: y"},
    "back slash": {"path": "agents\\..\\x"},
    "other letters": {"path": "ägents"},
    "surrogate": {"path": "\ud800"},
    "path that is no text": {"path": 5},
    "body of a GET": {"method": "GET", "json": {}},
    "body that is no JSON": {"json": object()},
    "body with a number that is none": {"json": {"score": [float("nan")]}},
    "body with a number without end": {"json": float("inf")},
    "body with half a character": {"json": "\ud800"},
    "body without end": {"json": DEEP},
    "params that are a text": {"params": "a=1"},
    "params that are pairs": {"params": [("a", 1)]},
    "parameter without a name": {"params": {"": 1}},
    "name that is no text": {"params": {5: 1}},
    "parameter that is none": {"params": {"a": None}},
    "parameter that is a list": {"params": {"a": [1]}},
    "parameter that is not finite": {"params": {"a": math.inf}},
    "parameter with half a character": {"params": {"a": "\ud800"}},
    "key of two lines": {"idempotency_key": "a\r\nb"},
    "key that is empty": {"idempotency_key": ""},
    "header": {"extra_headers": {"Host": "x"}},
    "timeout": {"timeout": -1},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
async def test_what_cannot_be_sent_is_refused(change: dict[str, Any]) -> None:
    """Before a connection is made, and in one line."""
    async with RawServer() as server, client_of(server) as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.request(**({"method": "POST", "path": "agents"} | change))
        assert str(caught.value).isprintable()
        assert caught.value.__cause__ is None
        assert server.connections == 0
