"""Faults that change what is answered."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest
from support.emulated import faulty

from kallglot_async.emulator import Fault, Latency
from kallglot_async.emulator.faults.bodies import gzip_bomb

pytestmark = pytest.mark.looptime


REPLACED = {
    "html": (b"<!DOCTYPE html>", "text/html"),
    "empty": (b"", "application/json"),
    "null": (b"null", "application/json"),
    "deep_json": (b'{"extra":[[[[', "application/json"),
}


@pytest.mark.parametrize("kind", REPLACED)
async def test_replaced_bodies_come_with_status_200(kind: Any) -> None:
    """A page, nothing, null and deep nesting are whole answers that say 200, unless told otherwise."""
    start, content_type = REPLACED[kind]
    async with faulty(Fault(kind=kind, times=1), Fault(kind=kind, status=502, size=3)) as (_, session, url):
        async with session.get(url) as response:
            body = await response.read()
            assert (response.status, response.content_type) == (200, content_type)
            assert body.startswith(start)
            assert start or not body
        async with session.get(url) as response:
            assert response.status == 502
            if kind == "deep_json":
                assert await response.read() == b'{"extra":[[[]]]}'


SPOILED = ("broken_json", "bad_utf8", "wrong_id", "unknown_status", "missing_field")


@pytest.mark.parametrize("kind", SPOILED)
async def test_spoiled_bodies_are_nearly_right(kind: Any) -> None:
    """The answer is the genuine one but for the one thing that the kind names."""
    async with faulty(Fault(kind=kind)) as (_, session, url), session.get(url) as response:
        assert response.status == 200
        body = await response.read()
        assert response.content_length == len(body)
        if kind == "broken_json":
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(body)
            return
        if kind == "bad_utf8":
            with pytest.raises(UnicodeDecodeError):
                body.decode()
            return
        fields = msgspec.json.decode(body)
        asked = url.rpartition("/")[2]
        assert (fields["id"] == asked) == (kind != "wrong_id")
        expected = {"unknown_status": "archiving", "missing_field": None}.get(kind, "complete")
        assert fields.get("status") == expected
        assert fields["object"] == "analysis"


@pytest.mark.parametrize("kind", ["wrong_id", "unknown_status", "missing_field"])
async def test_spoilers_leave_error_envelopes_alone(kind: Any) -> None:
    """An answer that is an error already stays what it is."""
    async with faulty(Fault(kind=kind)) as (emulator, session, url):
        for wrong in (url + "x", emulator.base_url + "/nothing"):
            async with session.get(wrong) as response:
                assert response.status == 404
                assert set(await response.json()) == {"error"}


async def test_wrong_id_looks_settled_even_while_the_right_one_is_pending() -> None:
    """The other analysis is complete: a client that does not compare ids takes it for the result."""
    async with faulty(Fault(kind="wrong_id"), latency=Latency.uniform(99, 99)) as (emulator, session, url):
        async with session.get(url) as response:
            assert (await response.json())["status"] == "complete"
        path = "/sessions/sess_1/analysis"
        async with session.post(emulator.base_url + path, json={"analyses": ["summary"]}) as response:
            created = await response.json()
            assert (response.status, created["status"]) == (202, "queued")
            assert created["session_id"] != "sess_1"
        with pytest.raises(KeyError):
            emulator.analysis(created["id"])


async def test_status_sends_an_envelope_or_what_it_is_told() -> None:
    """Any status can be sent, with a plausible envelope or with own headers and body."""
    faults = [
        Fault(kind="status", times=1),
        Fault(kind="status", status=599, times=1),
        Fault(kind="status", status=402, headers={"Retry-After": "soon", "x-request-id": None}, body="nope"),
    ]
    async with faulty(*faults) as (emulator, session, url):
        async with session.get(url) as response:
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "service_unavailable"
        async with session.get(url) as response:
            assert (response.status, response.reason) == (599, "Unknown")
            assert (await response.json())["error"]["type"] == "api_error"
        async with session.get(url) as response:
            assert (response.status, await response.text()) == (402, "nope")
            assert response.headers["Retry-After"] == "soon"
            assert "X-Request-ID" not in response.headers
        assert emulator.journal.statuses() == {503: 1, 599: 1, 402: 1}
        assert emulator.journal.faults() == {"status": 3}


async def test_a_redirect_points_elsewhere() -> None:
    """The target is in `Location`; nothing is served there."""
    fault = Fault(kind="redirect", location="https://elsewhere.example/")
    async with faulty(fault) as (_, session, url), session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "https://elsewhere.example/")


async def test_a_gzip_bomb_unpacks_to_its_size() -> None:
    """A few kilobytes on the wire are a valid gzip stream of many megabytes."""
    fault = Fault(kind="gzip_bomb", size=8 * 1024 * 1024)
    async with faulty(fault) as (_, session, url), session.get(url) as response:
        total = 0
        async for chunk in response.content.iter_any():
            total += len(chunk)
        assert int(response.headers["Content-Length"]) < 20_000
        assert total == 8 * 1024 * 1024
    assert gzip.decompress(gzip_bomb(3 * 1024 * 1024)) == b" " * (3 * 1024 * 1024)


async def test_a_field_can_be_left_out() -> None:
    """`body` names the field that `missing_field` takes away."""
    async with faulty(Fault(kind="missing_field", body="id")) as (_, session, url), session.get(url) as response:
        fields = await response.json()
        assert "id" not in fields
        assert fields["status"] == "complete"
