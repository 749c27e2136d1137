"""What the emulated API promises of sessions, transcripts and recordings, seen by a bare HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kallglot_async.emulator import Emulator, Fault, Latency, SessionRecord
from kallglot_async.emulator.calls.audio import audio
from kallglot_async.emulator.calls.recordings import part
from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.calls.transcripts import utterances

pytestmark = pytest.mark.looptime

EPOCH = 1_800_000_000.0  # 2027-01-15T08:00:00Z, a multiple of a minute
REVISIONS = pytest.mark.parametrize("revision", ["a", "b"])


class Client:
    """A bare HTTP client: every call gives (status, headers, decoded body)."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session = session
        self.emulator = emulator

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Any]:
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {self.emulator.api_key}"} | options.pop("headers", {})
        async with self.session.request(
            method, self.emulator.base_url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            is_json = response.content_type == "application/json"
            return response.status, response.headers, await (response.json() if is_json else response.read())

    async def fetch(self, url: str, **headers: str) -> tuple[int, Any, bytes]:
        async with self.session.get(url, headers=headers) as response:
            return response.status, response.headers, await response.read()


@contextlib.asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Client]:
    options: Any = {"epoch": EPOCH, "latency": Latency.immediate(), "plan": "unlimited"} | changes
    async with Emulator(**options) as emulator, aiohttp.ClientSession() as session:
        yield Client(session, emulator)


# Sessions


async def test_a_session_of_revision_a_has_the_documented_fields() -> None:
    """While it goes on: a stream, no end; afterwards: no stream, a reason, a recording."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1, status="active")
        await asyncio.sleep(20)
        _, _, live = await client.get(f"/sessions/{id}")
        assert {name: live[name] for name in ("id", "object", "status", "duration", "recording", "metadata")} == {
            "id": id,
            "object": "session",
            "status": "active",
            "duration": 20.0,
            "recording": {"enabled": True},
            "metadata": {},
        }
        assert live["provider"].keys() == {"type", "phone_number", "status", "call_sid"}
        assert live["stream"]["token"].startswith("kst_test_")
        assert live["stream"]["expires_at"] == "2027-01-15T09:00:00Z"
        assert (live["started_at"], live["ended_at"]) == ("2027-01-15T08:00:00Z", None)
        assert live["transcript"]["available"]
        status, _, ended = await client.request("POST", f"/sessions/{id}/end", json={"reason": "customer_hangup"})
        assert status == 200
        assert (ended["status"], ended["end_reason"], ended["duration"]) == ("ended", "customer_hangup", 20.0)
        assert ended["recording"] == {
            "enabled": True,
            "id": client.emulator.sessions[id].recordings[0],
            "duration": 20.0,
        }
        assert "stream" not in ended
        assert ended["provider"]["status"] == "disconnected"


async def test_a_session_of_revision_b_has_the_documented_fields() -> None:
    """Exactly those of the sample, and an end that is a summary."""
    async with serving(revision="b") as client:
        [id] = client.emulator.sessions.seed(1, status="created")
        _, _, body = await client.get(f"/sessions/{id}")
        assert body == {
            "id": id,
            "object": "session",
            "status": "created",
            "mode": "bidirectional_translation",
            "provider": "twilio",
            "phone_number": body["phone_number"],
            "source_language": None,
            "target_language": None,
            "stream": body["stream"],
            "recording": {"enabled": True},
            "metadata": None,
            "created_at": "2027-01-15T08:00:00Z",
            "started_at": None,
            "ended_at": None,
        }
        assert body["stream"]["expires_at"] == "2027-01-15T08:05:00Z"
        await asyncio.sleep(5)
        _, _, ended = await client.request("POST", f"/sessions/{id}/end")
        assert ended == {
            "id": id,
            "object": "session",
            "status": "ended",
            "duration_seconds": 0.0,
            "ended_at": "2027-01-15T08:00:05Z",
        }
        await asyncio.sleep(5)
        assert (await client.request("POST", f"/sessions/{id}/end"))[2] == ended


@REVISIONS
async def test_every_session_that_an_analysis_refers_to_exists(revision: Any) -> None:
    """Seeded, created or adopted; it is over, and began before it ended."""
    async with serving(revision=revision, adopt_unknown=True) as client:
        emulator = client.emulator
        emulator.seed_analyses(3, revision="a")
        emulator.seed_analyses(2, revision="b")
        await client.request("POST", "/sessions/sess_made/analysis", json={"analyses": ["summary"]})
        await client.get("/analysis/ana_adopted")
        ids = {record.session_id for record in emulator.analyses()}
        assert len(ids) == 7
        for id in ids:
            assert (await client.get(f"/sessions/{id}"))[2]["status"] == "ended"
            record = emulator.sessions[id]
            assert record.started_at is not None
            assert record.ended_at is not None
            assert record.created_at < record.started_at < record.ended_at <= emulator.now


async def test_unknown_sessions_are_404_unless_adopted() -> None:
    """As unknown analyses are; what is no id is never adopted."""
    async with serving() as client:
        status, _, body = await client.get("/sessions/sess_nobody")
        assert (status, body["error"]["code"]) == (404, "session_not_found")
        for path in ("/sessions/sess_x/transcript", "/sessions/sess_x/recordings", "/recordings/rec_x"):
            assert (await client.get(path))[0] == 404
        with pytest.raises(KeyError):
            client.emulator.sessions["sess_nobody"]
    async with serving(adopt_unknown=True) as client:
        assert (await client.get("/sessions/sess_nobody"))[0] == 200
        assert (await client.get("/sessions/ana_1"))[0] == 404
        assert (await client.request("POST", "/sessions/sess_other/end"))[0] == 200


async def test_the_same_seed_makes_the_same_sessions() -> None:
    """Ids, contents and audio; another seed makes others; `reset` forgets them."""

    async def picture(seed: int) -> list[Any]:
        async with serving(seed=seed) as client:
            ids = client.emulator.sessions.seed(2)
            recording = client.emulator.sessions[ids[0]].recordings[0]
            found = [ids, (await client.get(f"/sessions/{ids[0]}/transcript"))[2], list(client.emulator.sessions)]
            url = (await client.get(f"/recordings/{recording}"))[2]["download_url"]
            found.append((await client.fetch(url))[2])
            assert len(client.emulator.sessions) == 2
            assert all(isinstance(record, SessionRecord) for record in client.emulator.sessions)
            client.emulator.reset()
            assert len(client.emulator.sessions) == 0
            return found

    assert await picture(1) == await picture(1)
    assert (await picture(1))[3] != (await picture(2))[3]


async def test_a_reason_is_checked_in_revision_a_only() -> None:
    """422 names the parameter; B documents no body, and ignores it."""
    for revision, status in (("a", 422), ("b", 200)):
        async with serving(revision=revision) as client:
            [id] = client.emulator.sessions.seed(1, status="active")
            code, _, body = await client.request("POST", f"/sessions/{id}/end", json={"reason": "bored"})
            assert code == status
            assert code == 200 or body["error"]["param"] == "reason"


async def test_an_idempotency_key_replays_an_end() -> None:
    """The same answer later, and a mismatch for another session."""
    async with serving() as client:
        one, other = client.emulator.sessions.seed(2, status="active")
        headers = {"Idempotency-Key": "k"}
        _, _, first = await client.request("POST", f"/sessions/{one}/end", headers=headers)
        await asyncio.sleep(60)
        assert (await client.request("POST", f"/sessions/{one}/end", headers=headers))[2] == first
        status, _, body = await client.request("POST", f"/sessions/{other}/end", headers=headers)
        assert (status, body["error"]["code"]) == (400, "idempotency_mismatch")
        assert [entry.is_replay for entry in client.emulator.journal] == [False, True, False]


async def test_groups_have_budgets_of_their_own() -> None:
    """Reading, ending and recordings do not use up each other's limit."""
    async with serving(plan="starter") as client:
        [id] = client.emulator.sessions.seed(1)
        limits = {}
        for path in (f"/sessions/{id}", f"/sessions/{id}/transcript", f"/sessions/{id}/recordings"):
            limits[path] = (await client.get(path))[1]["X-RateLimit-Limit"]
        limits["end"] = (await client.request("POST", f"/sessions/{id}/end"))[1]["X-RateLimit-Limit"]
        assert list(limits.values()) == ["120", "120", "60", "60"]
        assert [entry.group for entry in client.emulator.journal] == [
            "sessions.read",
            "sessions.read",
            "recordings",
            "sessions.write",
        ]


# Transcripts


def test_a_conversation_is_plausible() -> None:
    """Agent first and in turn with the customer, times that grow and never overlap, one segment for each score."""
    for number in range(50):
        story = Story(0, f"ana_{number}", datetime.date(2026, 3, 26))
        said = utterances(story, 0, f"sess_{number}")
        assert len(said) == len(story.course)
        assert [utterance.number for utterance in said] == list(range(1, len(said) + 1))
        assert [utterance.speaker for utterance in said[:2]] == ["agent", "customer"]
        moments = [moment for utterance in said for moment in (utterance.start, utterance.end)]
        assert moments == sorted(moments)
        assert all("{" not in utterance.text for utterance in said)


async def test_transcripts_have_the_documented_shape() -> None:
    """A's segments and B's turns, field by field."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, body = await client.get(f"/sessions/{id}/transcript")
        assert set(body) == {"object", "session_id", "status", "language", "segments", "duration", "word_count"}
        assert set(body["segments"][1]) == {
            "id", "speaker", "language", "text", "translation", "start_time", "end_time", "confidence",
        }  # fmt: skip
        assert body["status"] == "complete"
        assert body["duration"] == (await client.get(f"/sessions/{id}"))[2]["duration"]
    async with serving(revision="b") as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, body = await client.get(f"/sessions/{id}/transcript?format=srt")
        assert set(body) == {"id", "object", "session_id", "status", "turns", "metadata"}
        assert set(body["turns"][1]) == {"sequence", "speaker", "language", "text", "translation", "timestamp"}
        assert body["metadata"]["total_turns"] == len(body["turns"])
        assert body["metadata"]["languages_detected"] == ["de", "en"]


@pytest.mark.parametrize("query", ["format=pdf", "include_translations=maybe"])
async def test_wrong_parameters_are_422(query: str) -> None:
    """And name the parameter."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        status, _, body = await client.get(f"/sessions/{id}/transcript?{query}")
        assert (status, body["error"]["param"]) == (422, query.partition("=")[0])


# Recordings


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


@pytest.mark.parametrize("rate", [8000, 44100])
async def test_a_wav_is_one(rate: int) -> None:
    """Its header says what was asked for, and how much follows."""
    async with serving() as client:
        [session] = client.emulator.sessions.seed(1)
        id = client.emulator.sessions[session].recordings[0]
        _, headers, _ = await client.get(f"/recordings/{id}/download?format=wav&sample_rate={rate}")
        _, headers, body = await client.fetch(headers["Location"])
        assert headers["Content-Type"] == "audio/wav"
        assert (body[:4], body[8:16]) == (b"RIFF", b"WAVEfmt ")
        assert struct.unpack("<I", body[4:8])[0] == len(body) - 8
        assert struct.unpack("<I", body[24:28])[0] == rate


def test_an_mp3_is_made_of_whole_frames() -> None:
    """72 bytes for 72 ms each, with a sync word in front of each and none inside."""
    body = audio("mp3", 0, "rec_1", 10.0)
    assert len(body) % 72 == 0
    assert len(body) // 72 == round(10.0 / 0.072)
    places = [place for place in range(len(body) - 1) if body[place] == 0xFF and body[place + 1] >= 0xE0]
    assert places == list(range(0, len(body), 72))
    assert body == audio("mp3", 0, "rec_1", 10.0) != audio("mp3", 0, "rec_2", 10.0)


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


# Faults


async def test_faults_select_by_operation_and_by_recording() -> None:
    """A link's requests are selected by their recording; audio is left alone by faults that change JSON."""
    faults = [
        Fault(kind="status", status=503, operation="sessions.transcript"),
        Fault(kind="wrong_id", operation="storage.fetch"),
    ]
    async with serving(faults=faults) as client:
        [session] = client.emulator.sessions.seed(1)
        one, other, *_ = client.emulator.sessions[session].recordings
        client.emulator.add_fault(Fault(kind="status", status=500, id=one, operation="storage.fetch"))
        assert (await client.get(f"/sessions/{session}"))[0] == 200
        assert (await client.get(f"/sessions/{session}/transcript"))[0] == 503
        url = (await client.get(f"/recordings/{other}"))[2]["download_url"]
        status, headers, body = await client.fetch(url)
        assert (status, headers["Content-Type"], body[:1]) == (200, "audio/mpeg", b"\xff")
        client.emulator.clear_faults()
        client.emulator.add_fault(Fault(kind="status", status=500, id=one))
        url = (await client.get(f"/recordings/{other}"))[2]["download_url"]
        assert (await client.fetch(url))[0] == 200
        assert (await client.get(f"/recordings/{one}"))[0] == 500


@pytest.mark.parametrize("path", ["/sessions/{}", "/sessions/{}/transcript", "/sessions/{}/recordings"])
async def test_wrong_id_answers_about_another(path: str) -> None:
    """The identity is another's, the shape is the right one."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, genuine = await client.get(path.format(id))
        client.emulator.add_fault(Fault(kind="wrong_id"))
        _, _, body = await client.get(path.format(id))
        assert body["object"] == genuine["object"]
        assert id not in (body.get("id"), body.get("session_id"))
