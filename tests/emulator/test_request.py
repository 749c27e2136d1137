"""Bodies that cannot be read."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from support.emulated import CREATE, serving

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 400),
        ({"data": io.BytesIO(b" " * 1_100_000), "headers": {"Content-Type": "application/json"}}, 413),
        ({"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
    ],
)
async def test_unreadable_bodies_are_refused(options: Any, status: int) -> None:
    """What is no JSON object sent as JSON never reaches the operation."""
    async with serving() as client:
        answered, _, body = await client.request("POST", CREATE, **options)
        assert (answered, body["error"]["code"]) == (status, "invalid_request")


async def test_a_body_that_cannot_be_decoded_is_refused_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """A body that is not in its announced encoding gets 400, and aiohttp's own logger stays silent."""
    async with serving() as client:
        port = int(client.emulator.origin.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/sessions/sess_1/analysis HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_emulator\r\n"
            b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nzzzzz"
        )
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"invalid_request" in answer
        assert {record.name for record in caplog.records} <= {"kallglot_async.emulator"}
