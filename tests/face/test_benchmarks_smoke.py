"""The benchmarks against peers run at their small sizes, and say so where a peer is missing."""

import asyncio

import aiohttp
import pytest

from benchmarks import _peers, documented, storm
from benchmarks._peer_server import DIALECTS, PeerServer
from benchmarks._trials import in_virtual_time, oracle_wall
from kallglot_async.emulator import Latency

MISSING = _peers.Sdk("not-a-package", "not_a_module", "wait", _peers._openai)


@pytest.fixture(autouse=True)
def _no_sdks(monkeypatch):
    """The SDKs are not dependencies of the tests."""
    monkeypatch.setattr(_peers, "SDKS", (MISSING,))


def test_the_storm_is_delivered_whole_and_names_what_is_missing():
    """Ours delivers all without a refusal, as the floor does; a missing peer has a row."""
    rows = {row["candidate"]: row for row in storm.run(quick=True)}
    for name in (*storm.OURS, "floor: told the limit"):
        assert (rows[name]["delivered"], rows[name]["refused"]) == (40, 0)
    assert rows["documented loop, 429 raises"]["delivered"] == 10
    assert rows["not-a-package"]["lost_to"] == "not installed"


def test_the_documented_scale_runs_with_and_without_history(monkeypatch):
    """One start of each situation of ours: 60 delivered, no refusal, and a lag that is never negative."""
    monkeypatch.setattr(documented, "OFFSETS", (15,))
    rows = documented.ours_rows(range(7, 8))
    assert len(rows) == 4 * 2
    for row in rows:
        assert (row["delivered_min"], row["refused_max"]) == (60, 0)
        assert row["lag_p50"] >= 0.0
    assert [row["creations"] for row in rows[::2]] == ["", 60, "", 60]


def test_every_dialect_spends_the_same_budget():
    """A poll in another service's path is journalled, limited and answered as the emulator's own."""
    paths = {
        "openai": "vector_stores/vs_1/files/{id}",
        "assemblyai": "v2/transcript/{id}",
        "replicate": "v1/predictions/{id}",
        "fal": "app/requests/{id}/status",
    }
    assert set(paths) == set(DIALECTS)

    async def main():
        async with (
            PeerServer(
                rate_limit=(4, 60.0), latency=Latency.immediate(), round_trip=0.5, epoch=1_800_000_000.0
            ) as server,
            aiohttp.ClientSession() as session,
        ):
            [id] = server.seed_analyses(1)
            statuses = []
            for service, path in [*paths.items(), *paths.items()]:
                async with session.get(f"{server.prefix(service)}/{path.format(id=id)}") as response:
                    statuses.append((response.status, (await response.json()).get("status")))
            assert asyncio.get_running_loop().time() == pytest.approx(8 * 0.5)
            return statuses, [entry.accepted for entry in server.journal]

    statuses, accepted = in_virtual_time(main)
    assert statuses[:4] == [(200, "completed"), (200, "completed"), (200, "succeeded"), (200, "COMPLETED")]
    assert statuses[4:] == [(429, None)] * 4
    assert accepted == [True] * 4 + [False] * 4


@pytest.mark.parametrize(("window", "wall"), [("fixed", 60.0), ("sliding", 61.0), ("token_bucket", 31.0)])
def test_the_oracle_waits_for_nothing_but_the_limit(window, wall):
    """Three requests ready after a second, two a minute: the third goes once the limit has room for it."""
    assert oracle_wall([1.0, 1.0, 1.0], (2, 60.0), window, start=1_790_000_040.0) == pytest.approx(wall, abs=1e-3)
