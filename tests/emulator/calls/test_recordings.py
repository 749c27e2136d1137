"""Recordings: pages, links, and audio in whole or in part."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.emulated import REVISIONS, serving

from kallglot_async.emulator.calls.recordings import part

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "starting_after=rec_x", "ending_before=rec_x", "channel=x"]
)
async def test_wrong_pages_are_422(query: str) -> None:
    """And name the parameter."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        status, _, body = await client.get(f"/sessions/{id}/recordings?{query}")
        assert (status, body["error"]["param"]) == (422, query.partition("=")[0])


async def test_lists_have_the_documented_shape() -> None:
    """A's with session, more and channel; B's short one as in the sample."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, body = await client.get(f"/sessions/{id}/recordings")
        assert (body["session_id"], body["has_more"], body["url"]) == (id, False, f"/v1/sessions/{id}/recordings")
        assert [item["channel"] for item in body["data"]] == ["mixed", "agent", "customer"]
        assert {"size", "expires_at"} <= set(body["data"][0])
        assert "download_url" not in body["data"][0]
    async with serving(revision="b") as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, body = await client.get(f"/sessions/{id}/recordings")
        assert set(body) == {"object", "data"}
        assert set(body["data"][0]) == {"id", "object", "session_id", "duration", "format", "status", "created_at"}


@REVISIONS
async def test_a_recording_is_ready_soon_after_its_call(revision: Any) -> None:
    """Nothing while it goes on, processing right after it, ready two seconds later."""
    async with serving(revision=revision) as client:
        [session] = client.emulator.sessions.seed(1, status="active")
        id = client.emulator.sessions[session].recordings[0]
        await asyncio.sleep(10)
        assert (await client.get(f"/recordings/{id}"))[0] == 404
        await client.request("POST", f"/sessions/{session}/end")
        _, _, body = await client.get(f"/recordings/{id}")
        assert (body["status"], "download_url" in body) == ("processing", False)
        path = "download" if revision == "a" else "audio"
        assert (await client.get(f"/recordings/{id}/{path}"))[0] == 404
        await asyncio.sleep(2)
        _, _, body = await client.get(f"/recordings/{id}")
        assert (body["status"], body["duration"]) == ("ready", 10.0)
        assert body["download_url"]


async def test_audio_of_revision_b_needs_the_key() -> None:
    """It is an MP3 of the announced size, with a name."""
    async with serving(revision="b") as client:
        [session] = client.emulator.sessions.seed(1)
        id = client.emulator.sessions[session].recordings[0]
        _, _, about = await client.get(f"/recordings/{id}")
        assert about["download_url"] == f"/v1/recordings/{id}/audio"
        status, headers, body = await client.get(f"/recordings/{id}/audio")
        assert (status, headers["Content-Type"], len(body)) == (200, "audio/mpeg", about["size"])
        assert headers["Content-Disposition"] == f'attachment; filename="{id}.mp3"'
        assert body[:2] == b"\xff\xe3"
        assert (await client.get(f"/recordings/{id}/audio", headers={"Authorization": "Bearer no"}))[0] == 401
        assert (await client.get(f"/recordings/{id}/download"))[0] == 404


async def test_a_link_of_revision_a_works_for_an_hour_and_takes_no_key() -> None:
    """Without a key it gives the audio; with any credential 400; after an hour, or made up, 403."""
    async with serving() as client:
        [session] = client.emulator.sessions.seed(1)
        id = client.emulator.sessions[session].recordings[0]
        status, headers, _ = await client.get(f"/recordings/{id}/download")
        url = headers["Location"]
        assert (status, url.startswith(client.emulator.origin + "/storage/")) == (302, True)
        assert (await client.fetch(url))[0] == 200
        for name in ("Authorization", "X-API-Key", "Cookie"):
            assert (await client.fetch(url, **{name: "x"}))[0] == 400
        assert (await client.fetch(url[:-1] + "?"))[0] == 403
        await asyncio.sleep(3599)
        assert (await client.fetch(url))[0] == 200
        await asyncio.sleep(1)
        assert (await client.fetch(url))[0] == 403
        assert (await client.get(f"/recordings/{id}/audio"))[0] == 404
        entries = client.emulator.journal.requests(operation="storage.fetch", id=id)
        assert [entry.status for entry in entries] == [200, 400, 400, 400, 200, 403]
        assert {(entry.group, entry.accepted) for entry in entries} == {(None, False)}


async def test_links_differ_and_no_seed_tells_them() -> None:
    """Two emulators with the same seed make different links."""
    urls = set()
    for _ in range(2):
        async with serving(seed=7, port=0) as client:
            [session] = client.emulator.sessions.seed(1)
            id = client.emulator.sessions[session].recordings[0]
            for _ in range(2):
                urls.add((await client.get(f"/recordings/{id}"))[2]["download_url"].rpartition("/")[2])
    assert len(urls) == 4
    assert min(map(len, urls)) >= 32


@pytest.mark.parametrize("query", ["format=ogg", "format=flac", "sample_rate=11025"])
async def test_formats_that_cannot_be_had_are_422(query: str) -> None:
    """`ogg` is documented, and this emulator says that it cannot make it."""
    async with serving() as client:
        [session] = client.emulator.sessions.seed(1)
        id = client.emulator.sessions[session].recordings[0]
        status, _, body = await client.get(f"/recordings/{id}/download?{query}")
        assert (status, body["error"]["param"]) == (422, query.partition("=")[0])


@pytest.mark.parametrize(
    ("headers", "status", "expected", "content_range"),
    [
        ({}, 200, b"0123456789", None),
        ({"Range": "bytes=4-"}, 206, b"456789", "bytes 4-9/10"),
        ({"Range": "bytes=4-6"}, 206, b"456", "bytes 4-6/10"),
        ({"Range": "bytes=4-99"}, 206, b"456789", "bytes 4-9/10"),
        ({"Range": "bytes=10-"}, 416, None, "bytes */10"),
        ({"Range": "bytes=-3"}, 200, b"0123456789", None),
        ({"Range": "items=4-"}, 200, b"0123456789", None),
        ({"Range": "bytes=4-", "If-Range": "Thu, 26 Mar 2026 11:04:20 GMT"}, 206, b"456789", "bytes 4-9/10"),
        ({"Range": "bytes=4-", "If-Range": '"another"'}, 200, b"0123456789", None),
    ],
)
def test_parts_are_what_was_asked_for(
    headers: dict[str, str], status: int, expected: bytes | None, content_range: str | None
) -> None:
    """One range from a first byte; anything else, or another version, is the whole (RFC 9110, 14.2)."""
    answer = part(b"0123456789", headers, media_type="audio/mpeg", modified="Thu, 26 Mar 2026 11:04:20 GMT")
    assert (answer.status, answer.headers.get("Content-Range")) == (status, content_range)
    assert expected is None or answer.body == expected


def test_a_part_is_given_for_the_version_that_was_named() -> None:
    """The tag of the whole answer is good for a part; that of other bytes is not."""
    tag = part(b"0123456789", {}, media_type="x", modified="x").headers["ETag"]
    headers = {"Range": "bytes=4-", "If-Range": tag}
    assert part(b"0123456789", headers, media_type="x", modified="x").status == 206
    assert part(b"0123456780", headers, media_type="x", modified="x").status == 200
