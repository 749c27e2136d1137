"""The whole life of a batch over real sockets: requested, told or polled, out of credits, started again, read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kallglot_async import (
    InsufficientCreditsError,
    KallglotClient,
    NotAttemptedError,
    Outcomes,
    RateLimiter,
    WebhookInbox,
)
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.receivers import aiohttp_handler

pytestmark = pytest.mark.looptime
SECRET = "whsec_life"
EPOCH = 1_800_000_000.0
REQUESTS: dict[str, dict[str, Any]] = {"a": {"analyses": ["summary", "sentiment"]}, "b": {"include": ["summary"]}}
SESSIONS = [f"sess_life{number}" for number in range(50)]
TOLD, POLLED = SESSIONS[:25], SESSIONS[25:]
NO_CREDITS = Fault(kind="status", status=402, operation="analyses.create", after=30)


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_the_life_of_a_batch(revision: Any, tmp_path: Path) -> None:
    """Fifty sessions, half told by webhook; a 402 in the middle; a second start; each created once, all read."""
    inbox, clock, request = WebhookInbox(), [], REQUESTS[revision]
    limiter = RateLimiter()  # one key, one limit
    app = web.Application()
    app.router.add_post("/hook", aiohttp_handler(inbox, SECRET, clock=lambda: EPOCH + clock[0].now))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with (
        Emulator(
            revision=revision,
            latency=Latency.uniform(22.0, 30.0),
            seed=7,
            epoch=EPOCH,
            faults=[NO_CREDITS],
            webhook_url=f"http://127.0.0.1:{runner.addresses[0][1]}/hook",
            webhook_secret=SECRET,
        ) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, rate_limit=limiter, inbox=inbox) as told,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, rate_limit=limiter) as polled,
    ):
        clock.append(emulator)

        async def start() -> tuple[Outcomes, Outcomes]:
            return await asyncio.gather(
                told.analyze_many(TOLD, batch="life", **request), polled.analyze_many(POLLED, batch="life", **request)
            )

        first = await start()
        assert [outcome.id for part in first for outcome in part] == SESSIONS
        assert sum(len(part.analyses) for part in first) == 30 == len(emulator.analyses())
        unpaid = {type(error) for part in first for error in part.errors.values()}
        assert InsufficientCreditsError in unpaid
        assert unpaid <= {InsufficientCreditsError, NotAttemptedError}

        emulator.clear_faults()  # credits were bought
        second = await start()
        assert [outcome.unwrap().session_id for part in second for outcome in part] == SESSIONS

        # One creation for each session, whatever was repeated.
        assert len(emulator.analyses()) == 50
        made = [
            entry for entry in emulator.journal if entry.operation == "analyses.create" and entry.status in {201, 202}
        ]
        assert len({entry.id for entry in made if not entry.is_replay}) == 50
        assert sum(not entry.is_replay for entry in made) == 50

        # What was told cost one request once the first event was heard, in the first run; until then it was polled for.
        # The second asked once more for what it had not heard of.
        ids = {analysis.id for analysis in second[0].analyses}
        polls = [entry for entry in emulator.journal if entry.operation == "analyses.retrieve" and entry.id in ids]
        again = sum(outcome.ok for outcome in first[0])
        assert len(polls) - again <= 2 * 25
        assert emulator.journal.refused == 0

        # And what the analyses are about can be read.
        for session in SESSIONS[:3]:
            transcript = await polled.sessions.transcript(session)
            assert [line.text for line in transcript.lines]
            recordings = [recording async for recording in polled.sessions.recordings(session)]
            assert recordings
            got = await polled.recordings.download(recordings[0], tmp_path / f"{session}.mp3")
            assert got.bytes_written == (tmp_path / f"{session}.mp3").stat().st_size > 0
    await runner.cleanup()
