"""Sessions: the whole way to the emulator and back."""

from __future__ import annotations

from typing import Any

import pytest
from support.wire_faults import RawServer, closing

from kallglot_async import ConfigurationError, InvalidIdError, KallglotClient, NotFoundError, ServerError
from kallglot_async.emulator import Emulator, Fault
from kallglot_async.models import EndReason, SessionStatus

ID = "sess_01HXYZ123456789"


@pytest.mark.looptime
@pytest.mark.parametrize("revision", ["a", "b"])
async def test_sessions_of_analyses_exist(revision: Any) -> None:
    """The session of every analysis, seeded or created, can be retrieved and is over."""
    async with (
        Emulator(revision=revision) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.seed_analyses(1, revision=revision)
        seeded = emulator.analysis(id).session_id
        created = "sess_made"
        await client.analyses.create(created, **({"analyses": ["summary"]} if revision == "a" else {}))
        for session_id in (seeded, created):
            session = await client.sessions.retrieve(session_id)
            assert (session.id, session.is_ended, session.stream) == (session_id, True, None)
            assert session.started_at is not None
            assert session.ended_at is not None
            assert session.started_at < session.ended_at
            assert session.provider is not None
            assert session.provider.type == "twilio"
            assert session.phone_number
            assert (session.duration is None) == (revision == "b")
        with pytest.raises(NotFoundError, match="sess_nobody"):
            await client.sessions.retrieve("sess_nobody")


@pytest.mark.looptime
@pytest.mark.parametrize("revision", ["a", "b"])
async def test_end_ends_an_active_session_once(revision: Any) -> None:
    """The session is over, its duration is known in both revisions, and a second end changes nothing."""
    async with (
        Emulator(revision=revision) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.sessions.seed(1, status="active")
        live = await client.sessions.retrieve(id)
        assert (live.status, live.is_ended) == (SessionStatus.ACTIVE, False)
        assert live.stream is not None
        assert live.stream.token is not None
        ended = await client.sessions.end(id, reason="agent_hangup" if revision == "a" else None)
        assert (ended.id, ended.is_ended) == (id, True)
        assert ended.duration is not None
        assert ended.ended_at is not None
        again = await client.sessions.end(id)
        assert (again.ended_at, again.duration) == (ended.ended_at, ended.duration)
        if revision == "a":
            assert again.end_reason == EndReason.AGENT_HANGUP
        keys = [entry.idempotency_key for entry in emulator.journal.requests(operation="sessions.end")]
        assert len(set(keys)) == 2
        assert None not in keys


@pytest.mark.looptime
async def test_end_is_retried_under_one_key() -> None:
    """An answer that was lost is asked for again with the same key, so nothing happens twice."""
    async with (
        Emulator(faults=[Fault(kind="close", operation="sessions.end", times=1, takes_effect=True)]) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, random=lambda: 0.0) as client,
    ):
        [id] = emulator.sessions.seed(1, status="active")
        assert (await client.sessions.end(id)).is_ended
        first, second = emulator.journal.requests(operation="sessions.end")
        assert first.idempotency_key == second.idempotency_key is not None
        assert second.is_replay


@pytest.mark.looptime
async def test_an_uncertain_end_tells_its_key() -> None:
    """Where every answer is lost, the error carries the key with which to end it again."""
    async with (
        Emulator(faults=[Fault(kind="status", status=503)]) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, random=lambda: 0.0) as client,
    ):
        [id] = emulator.sessions.seed(1, status="active")
        with pytest.raises(ServerError) as caught:
            await client.sessions.end(id, idempotency_key="k-7")
        assert (caught.value.idempotency_key, caught.value.attempts) == ("k-7", 3)


@pytest.mark.looptime
async def test_a_late_answer_of_another_is_asked_for_again() -> None:
    """A session that was not asked for is not returned; the next connection gives the right one."""
    async with (
        Emulator(faults=[Fault(kind="wrong_id", times=1)]) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, random=lambda: 0.0) as client,
    ):
        [id] = emulator.sessions.seed(1)
        assert (await client.sessions.retrieve(id)).id == id
        assert emulator.journal.total == 2


@pytest.mark.looptime
async def test_timeouts_and_ids_are_checked_before_any_io() -> None:
    """Nothing is sent."""
    async with (
        RawServer(closing()) as server,
        KallglotClient("sk_test_x", base_url=server.base_url) as client,
    ):
        with pytest.raises(ConfigurationError):
            await client.sessions.retrieve(ID, timeout=-1)
        with pytest.raises(InvalidIdError):
            await client.sessions.end("rec_1")
        assert server.connections == 0
