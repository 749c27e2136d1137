"""What one answer told besides its value."""

import copy
import pickle

import msgspec
import pytest
from support.clients import running

from kallglot_async import KallglotClient
from kallglot_async.emulator import Fault
from kallglot_async.models import Analysis, ResponseMeta

pytestmark = pytest.mark.looptime


async def test_a_value_knows_the_answer_it_came_from() -> None:
    """Each its own, whatever came after it."""
    async with running() as (emulator, client):
        first, second = [await client.analyses.retrieve(id) for id in emulator.seed_analyses(2)]
        assert first.meta is not None
        assert second.meta is not None
        assert (first.meta.status, first.meta.attempts, first.meta.limit) == (200, 1, 150)
        assert (first.meta.remaining, second.meta.remaining) == (149, 148)
        assert first.meta.request_id != second.meta.request_id
        assert first.meta.resets_in is not None
        assert first.meta.elapsed >= 0.0


async def test_attempts_and_credits_are_told() -> None:
    """A create that was retried, in the revision that costs credits."""
    async with running(Fault(kind="status", times=2), revision="b", credits=10) as (_, client):
        created = await client.analyses.create("sess_1", include=["summary"])
        assert created.meta is not None
        assert created.meta.attempts == 3
        assert (created.meta.credits_remaining, created.meta.credits_used) == (9, 1)


async def test_neighbours_and_waits_carry_it_too() -> None:
    """Sessions, transcripts, recordings, and the analyses of waits."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        analysis = await client.wait(id)
        assert analysis.session_id is not None
        values = [analysis, await client.sessions.retrieve(analysis.session_id)]
        values.append(await client.sessions.transcript(analysis.session_id))
        for value in values:
            assert isinstance(value.meta, ResponseMeta)


async def test_meta_is_no_part_of_the_value() -> None:
    """Equality, encoding, copies and pickles know nothing of it."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        first, second = [await client.analyses.retrieve(id) for _ in range(2)]
        assert first == second
        assert b"meta" not in msgspec.json.encode(first)
        assert copy.copy(first).meta is None
        assert pickle.loads(pickle.dumps(first)).meta is None  # noqa: S301
        assert msgspec.json.decode(msgspec.json.encode(first), type=Analysis) == first


async def test_a_client_keeps_bodies_unless_told_otherwise() -> None:
    """`raw` is what came, in a wait too; with `keep_raw=False` there is none, and the rest is as it was."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        analysis = await client.wait(id)
        assert analysis.raw is not None
        assert msgspec.json.decode(analysis.raw, type=Analysis) == analysis
        async with KallglotClient(emulator.api_key, base_url=emulator.base_url, keep_raw=False) as other:
            slim = await other.analyses.retrieve(id)
            assert (slim.raw, slim.extra, slim) == (None, {}, analysis)
            assert slim.meta is not None
            session = await client.sessions.retrieve(str(analysis.session_id))
            assert session.raw is not None
