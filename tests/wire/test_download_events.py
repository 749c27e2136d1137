"""What `on_event` hears of a download: a pair of records for each request for audio, whoever answers it."""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import Any

import pytest
from support.audio import AUDIO, ID, KEY, OFFERED, client_of, cut, known, of_b, part, redirect
from support.wire_faults import RawServer, answer, closing, silent

from kallglot_async import KallglotError, Recording
from kallglot_async.models import ClientEvent, RequestEvent, ResponseEvent, RetryEvent, ThrottledEvent

pytestmark = pytest.mark.looptime

PATH = f"recordings/{ID}/audio"


class Ear:
    """Hears everything, and tells the ends of requests."""

    def __init__(self) -> None:
        self.events: list[ClientEvent] = []

    def __call__(self, event: ClientEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ends(self) -> list[tuple[str, int | None, str | None, int]]:
        begins = [(event.path, event.url, event.attempt) for event in self.of(RequestEvent)]
        ends = self.of(ResponseEvent)
        assert begins == [(event.path, event.url, event.attempt) for event in ends]
        assert {event.operation for event in ends} == {"recordings.download"}
        return [(event.path, event.status, event.error, event.attempt) for event in ends]


async def heard(server: RawServer, recording: Recording, *, format: str | None = None, **options: Any) -> Ear:
    ear = Ear()
    async with client_of(server, on_event=ear, **options) as client:
        with contextlib.suppress(KallglotError):
            await client.recordings.download(recording, io.BytesIO(), format=format)
    return ear


async def test_audio_of_the_api_is_heard_of() -> None:
    """Revision B: the path as of every request, the address, the server's id of it, the time to the last byte."""

    async def slow(connection: Any) -> None:
        await connection.send(answer(AUDIO[:9], "X-Request-ID: req_7", length=10))
        await asyncio.sleep(30 - 1)
        await connection.send(AUDIO[9:10])

    async with RawServer(slow) as server:
        ear = await heard(server, of_b())
        [end] = ear.of(ResponseEvent)
        assert ear.ends == [(PATH, 200, None, 1)]
        assert (end.url, end.request_id) == (f"{server.base_url}/{PATH}", "req_7")
        assert end.elapsed == pytest.approx(29, abs=0.1)


async def test_audio_of_a_storage_is_heard_of_without_its_query() -> None:
    """Which is what makes a link a credential; a redirect is a request of its own, in either place."""
    async with RawServer() as storage, RawServer(redirect(f"{storage.origin}/a/b?sig=CANARY#CANARY")) as api:
        storage.script(redirect(f"{storage.origin}/c?sig=CANARY"), answer(AUDIO))
        ear = await heard(api, known("https://storage.example/CANARY", format="mp3"), format="wav")
        assert ear.ends == [
            (f"recordings/{ID}/download", 302, None, 1),
            ("/a/b", 302, None, 1),
            ("/c", 200, None, 1),
        ]
        urls = [event.url for event in ear.of(ResponseEvent)]
        assert urls == [
            f"{api.base_url}/recordings/{ID}/download",
            f"{storage.origin}/a/b",
            f"{storage.origin}/c",
        ]
        assert "CANARY" not in repr(ear.events)
        assert KEY not in repr(ear.events)


async def test_attempts_and_retries_are_heard_of() -> None:
    """With the class of the error, and with the count that begins anew where bytes came."""
    reset = closing(reset=True)
    async with RawServer(reset, reset, cut(1000, *OFFERED), reset, part(1000)) as server:
        ear = await heard(server, of_b())
        lost = "ConnectionLostError"
        assert ear.ends == [
            (PATH, None, lost, 1),
            (PATH, None, lost, 2),
            (PATH, 200, lost, 3),
            (PATH, None, lost, 2),
            (PATH, 206, None, 3),
        ]
        assert [(event.error, event.attempt) for event in ear.of(RetryEvent)] == [(lost, n) for n in (1, 2, 3, 2)]


async def test_refusals_are_heard_of() -> None:
    """The API's for rate as everywhere; a storage's is an answer, and the next attempt has its delay."""
    too_many = answer(b"", "Retry-After: 4", status="429 Too Many Requests")
    async with RawServer(too_many, answer(AUDIO)) as server:
        ear = await heard(server, of_b())
        assert ear.ends == [(PATH, 429, "RateLimitedError", 1), (PATH, 200, None, 1)]
        [throttled] = ear.of(ThrottledEvent)
        assert (throttled.operation, throttled.group) == ("recordings.download", "recordings")
        assert throttled.pause >= 4
    async with RawServer(too_many, answer(AUDIO)) as storage, RawServer() as api:
        ear = await heard(api, known(f"{storage.origin}/x"))
        assert ear.ends == [("/x", 429, "RateLimitedError", 1), ("/x", 200, None, 1)]
        assert ear.of(ThrottledEvent) == []
        assert [event.delay for event in ear.of(RetryEvent)] == [4.0]


@pytest.mark.parametrize("status", ["403 Forbidden", "503 Service Unavailable", "429 Too Many Requests"])
async def test_a_refusal_of_the_apis_for_rate_holds_the_next_request_under_whichever_status(status: str) -> None:
    """Not counted, and waited out by the limiter: that has to hear of it too, or one request follows another."""
    body = b'{"error": {"code": "rate_limit_exceeded", "message": "x", "type": "rate_limit_error", "retry_after": 8}}'
    async with RawServer(answer(body, status=status), answer(AUDIO)) as server:
        began = asyncio.get_running_loop().time()
        ear = await heard(server, of_b())
        assert ear.ends == [(PATH, int(status[:3]), "RateLimitedError", 1), (PATH, 200, None, 1)]
        assert [event.pause >= 8 for event in ear.of(ThrottledEvent)] == [True]
        assert asyncio.get_running_loop().time() - began >= 8


async def test_a_download_that_is_given_up_has_its_end() -> None:
    """The record of the request is made, too, where the caller cancels or what came is no audio."""
    ear = Ear()
    async with RawServer(silent) as server, client_of(server, on_event=ear) as client:
        task = asyncio.ensure_future(client.recordings.download(of_b(), io.BytesIO()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ear.ends == [(PATH, None, "CancelledError", 1)]
    async with RawServer(answer(b"<html>", "Content-Type: text/html")) as server:
        assert (await heard(server, of_b(), max_attempts=1)).ends == [(PATH, 200, "ResponseBodyError", 1)]
