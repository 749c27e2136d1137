"""Every fault at once, in many mixtures: what must hold whatever a server does."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from support.fault_bench import KEY, assert_idle
from support.slow import beyond
from support.wire_faults import Fault

from kallglot_async import Analysis, KallglotClient, KallglotError
from kallglot_async.emulator import Emulator, Latency

pytestmark = pytest.mark.looptime

IDS = 60
CREATES = 25


def faults(seed: int) -> list[Fault]:
    """Each kind for a share of the requests; what the seed decides is how large a share."""
    dice = random.Random(seed)
    changes: dict[str, dict[str, Any]] = {
        "throttle": {"retry_after": 3},
        "gzip_bomb": {"size": 32 * 2**20},
        "deep_json": {"size": 3000},
        "header_flood": {"size": 3000},
        "slow": {"delay": 40.0},
        "drip": {"interval": 0.5},
        "drip_head": {"interval": 0.5},
    }
    # Without late answers: they lie on connections until after the storm, and have tests of their own.
    kinds = sorted(Fault.kinds - {"unsolicited"})
    dice.shuffle(kinds)
    share = dice.choice([0.01, 0.02, 0.05])
    return [
        Fault(kind=kind, rate=dice.uniform(0.0, share), **changes.get(kind, {}))  # type: ignore[arg-type]
        for kind in kinds
    ]


async def ends(call: Any) -> Analysis | KallglotError:
    """The value of a call, or the error it raised; anything else than a `KallglotError` passes."""
    try:
        return await call
    except KallglotError as error:
        return error


@pytest.mark.parametrize("seed", beyond(1, range(6)))
async def test_what_must_hold_in_any_storm(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Conservation, identity, no double creation, deadlines, secrecy, and nothing left behind."""
    caplog.set_level("DEBUG")
    latency = Latency.uniform(5.0, 60.0)
    async with (
        Emulator(api_key=KEY, rate_limit=(40, 10.0), latency=latency, faults=faults(seed), seed=seed) as emulator,
        KallglotClient(KEY, base_url=emulator.base_url, max_connections=10, timeout=20.0) as client,
    ):
        ids = emulator.seed_analyses(IDS)
        loop = asyncio.get_running_loop()
        started = loop.time()
        batch = asyncio.create_task(client.wait_many(ids, timeout=200.0, total_timeout=400.0))
        single = [asyncio.create_task(ends(client.analyses.retrieve(id))) for id in ids[:20]]
        created = [
            asyncio.create_task(ends(client.analyses.create(f"sess_{number}", analyses=["summary"])))
            for number in range(CREATES)
        ]
        doomed = asyncio.create_task(client.wait_many(ids[::-1], timeout=200.0))
        loop.call_later(3.0 + seed % 17, doomed.cancel)

        answers = await asyncio.gather(*single)
        for id, end in zip(ids, answers, strict=False):
            assert isinstance(end, KallglotError) or end.id == id
        assert loop.time() - started <= 21.0
        accepted = await asyncio.gather(*created)
        for number, end in enumerate(accepted):
            assert isinstance(end, KallglotError) or end.session_id == f"sess_{number}"
        errors = [end for end in (*answers, *accepted) if isinstance(end, KallglotError)]
        assert not any(KEY in f"{error}{error!r}{vars(error)}" for error in errors)
        with pytest.raises(asyncio.CancelledError):
            await doomed
        outcomes = await batch
        assert loop.time() - started <= 401.0

        assert [outcome.id for outcome in outcomes] == ids
        for outcome in outcomes:
            assert (outcome.error is None) == (outcome.analysis is not None)
            assert outcome.analysis is None or outcome.analysis.id == outcome.id
        assert len(emulator.analyses()) - IDS <= CREATES
        assert emulator.journal.max_per_window(group="analysis") <= 40
        assert len(emulator.journal.faults()) >= 3
        assert_idle(client)

        emulator.clear_faults()
        again = await client.wait_many(ids)
        assert len(again.analyses) == IDS
    assert KEY not in caplog.text
