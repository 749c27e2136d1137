"""Lists in pages: every item once, in order, in both directions, and never for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.wire_faults import RawServer, answer

from kallglot_async import (
    ConfigurationError,
    InvalidIdError,
    InvalidResponseError,
    KallglotClient,
    NotFoundError,
    Recording,
    ResponseMismatchError,
)
from kallglot_async.emulator import Emulator, Fault
from kallglot_async.models import Channel

pytestmark = pytest.mark.looptime

ID = "sess_01HXYZ123456789"


def page(*ids: str, **changes: Any) -> bytes:
    items = [{"id": id, "object": "recording", "status": "ready"} for id in ids]
    return answer(json.dumps({"object": "list", "data": items} | changes).encode())


def client_of(server: RawServer | Emulator, **options: Any) -> KallglotClient:
    key = server.api_key if isinstance(server, Emulator) else "sk_test_x"
    return KallglotClient(key, base_url=server.base_url, **({"random": lambda: 0.0} | options))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"limit": 0}, ConfigurationError),
        ({"limit": 101}, ConfigurationError),
        ({"limit": True}, ConfigurationError),
        ({"limit": 1.5}, ConfigurationError),
        ({"channel": "a&b"}, ConfigurationError),
        ({"starting_after": "rec_1", "ending_before": "rec_2"}, ConfigurationError),
        ({"starting_after": "sess_1"}, InvalidIdError),
        ({"ending_before": "rec_1&limit=1"}, InvalidIdError),
    ],
)
async def test_impossible_parameters_are_refused_at_once(change: dict[str, Any], error: type[Exception]) -> None:
    """Where the list is asked for, not at its first item; nothing is sent."""
    async with RawServer(page()) as server, client_of(server) as client:
        with pytest.raises(error):
            client.sessions.recordings(ID, **change)
        assert server.connections == 0


@pytest.mark.parametrize("revision", ["a", "b"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100, None])
async def test_every_recording_comes_once_and_in_order(revision: Any, limit: int | None) -> None:
    """Forwards and backwards, whatever the size of a page, in as few requests as that takes."""
    async with Emulator(revision=revision, plan="unlimited") as emulator, client_of(emulator) as client:
        [id] = emulator.sessions.seed(1, recordings=7)
        expected = list(emulator.sessions[id].recordings)
        found = [recording.id async for recording in client.sessions.recordings(id, limit=limit)]
        assert found == expected
        assert emulator.journal.total == -(-7 // (limit or 20))
        after = client.sessions.recordings(id, limit=limit, starting_after=expected[2])
        assert [recording.id async for recording in after] == expected[3:]
        before = client.sessions.recordings(id, limit=limit, ending_before=expected[4])
        assert [recording.id async for recording in before] == expected[3::-1]


async def test_pages_are_the_servers_own() -> None:
    """One request for each, only when it is asked for; the list may be gone through again."""
    async with Emulator(plan="unlimited") as emulator, client_of(emulator) as client:
        [id] = emulator.sessions.seed(1, recordings=5)
        recordings = client.sessions.recordings(id, limit=2)
        assert emulator.journal.total == 0
        sizes = [(len(page.data), page.has_more) async for page in recordings.pages()]
        assert sizes == [(2, True), (2, True), (1, False)]
        async for recording in recordings:
            assert isinstance(recording, Recording)
            break
        assert emulator.journal.total == 4
        assert repr(recordings) == f"<RecordingList of {id}>"


async def test_channel_selects_in_revision_a() -> None:
    """The server filters."""
    async with Emulator() as emulator, client_of(emulator) as client:
        [id] = emulator.sessions.seed(1, recordings=6)
        found = [recording async for recording in client.sessions.recordings(id, channel="customer")]
        assert [recording.channel for recording in found] == [Channel.CUSTOMER] * 2


async def test_an_empty_list_is_empty() -> None:
    """Also for a call that goes on, and where the server says that there is more of nothing."""
    async with Emulator() as emulator, client_of(emulator) as client:
        [id] = emulator.sessions.seed(1, status="active")
        assert [recording async for recording in client.sessions.recordings(id)] == []
        with pytest.raises(NotFoundError):
            await anext(aiter(client.sessions.recordings("sess_nobody")))
    async with RawServer(page(has_more=True)) as server, client_of(server) as client:
        assert [recording async for recording in client.sessions.recordings(ID)] == []


@pytest.mark.parametrize("ids", [["rec_1"], ["rec_2", "rec_1"]])
async def test_a_server_that_ignores_cursors_does_not_hold_us_for_ever(ids: list[str]) -> None:
    """The same page again is an error, not an endless list."""
    async with RawServer(page(*ids, has_more=True)) as server, client_of(server) as client:
        found = []
        with pytest.raises(InvalidResponseError, match="same page again"):
            async for recording in client.sessions.recordings(ID):
                found.append(recording.id)  # noqa: PERF401  # what came before the error is the point
        assert found == ids
        assert len(server.requests) == 2
        assert b"starting_after=rec_1" in server.requests[1]


async def test_an_item_whose_id_cannot_be_a_cursor_ends_the_list() -> None:
    """What would break out of the query is not sent."""
    async with RawServer(page("x&limit=1", has_more=True)) as server, client_of(server) as client:
        with pytest.raises(InvalidResponseError, match="no id that could ask"):
            [recording async for recording in client.sessions.recordings(ID)]
        assert len(server.requests) == 1


async def test_another_sessions_list_is_never_returned() -> None:
    """The list itself or any of its items may tell; it is asked for again."""
    foreign = {"id": "rec_1", "object": "recording", "status": "ready", "session_id": "sess_other"}
    scripts = (page(session_id="sess_other"), page(data=[foreign]), page("rec_1", session_id=ID))
    async with RawServer(*scripts) as server, client_of(server) as client:
        assert [recording.id async for recording in client.sessions.recordings(ID)] == ["rec_1"]
        assert len(server.requests) == 3
    async with RawServer(scripts[0]) as server, client_of(server) as client:
        with pytest.raises(ResponseMismatchError):
            [recording async for recording in client.sessions.recordings(ID)]


async def test_a_page_is_retried_by_itself() -> None:
    """A failure in the middle repeats that page, and no item comes twice."""
    fault = Fault(kind="close", operation="sessions.recordings", after=1, times=1)
    async with Emulator(faults=[fault]) as emulator, client_of(emulator) as client:
        [id] = emulator.sessions.seed(1, recordings=3)
        found = [recording.id async for recording in client.sessions.recordings(id, limit=1)]
        assert found == list(emulator.sessions[id].recordings)
        assert emulator.journal.total == 4


async def test_pages_that_overlap_bring_nothing_twice() -> None:
    """A list grows in front meanwhile, or a cursor is sent with its own item; the pages stay as they are."""
    scripts = [page("rec_1", "rec_2", has_more=True), page("rec_2", "rec_1", "rec_3", has_more=True), page("rec_3")]
    async with RawServer(*scripts, *scripts) as server, client_of(server) as client:
        recordings = client.sessions.recordings(ID)
        assert [recording.id async for recording in recordings] == ["rec_1", "rec_2", "rec_3"]
        assert [len(page.data) async for page in recordings.pages()] == [2, 3, 1]
