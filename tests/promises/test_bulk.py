"""The invariants in bulk: a hundred thousand waits under random faults, and thirty thousand cancellations."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Any

import pytest
from support.virtual import CANCELLERS, cancelled_by, leaving_nothing, run, turns

from kallglot_async import KallglotClient, KallglotError, RateLimit
from kallglot_async._core.api.analyses import check_analysis_id

pytestmark = pytest.mark.slow

WAITS = 100_000
CANCELLATIONS = 30_000
SHARE = 0.2  # of the requests meet a fault


class Responder(asyncio.Protocol):
    """Answers a request at once, and every fifth one badly; the emulator would take minutes for so many."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.open.discard(self)

    def data_received(self, data: bytes) -> None:
        method, path, _ = data.split(b" ", 2)  # one request fits one segment here
        id = path.rsplit(b"/", 1)[1] if method == b"GET" else b"ana_created"
        self.server.requests += 1
        if self.server.random() < self.server.share:
            self._spoil(id)
        else:
            self._answer(id)

    def _answer(self, id: bytes, status: bytes = b"complete", head: bytes = b"200 OK", missing: int = 0) -> None:
        body = b'{"id":"' + id + b'","object":"analysis","status":"' + status + b'","results":{}}'
        length = str(len(body) + missing).encode()
        self.transport.write(b"HTTP/1.1 " + head + b"\r\nContent-Length: " + length + b"\r\n\r\n" + body)  # type: ignore[attr-defined]  # a TCP transport writes

    def _spoil(self, id: bytes) -> None:
        kind = self.server.choose(("lost", "reset", "503", "cut", "page", "other", "pending", "pending", "silent"))
        self.server.faults[kind] += 1
        if kind == "lost":
            self.transport.close()
        elif kind == "reset":
            self.transport.abort()  # type: ignore[attr-defined]
        elif kind == "503":
            self._answer(id, head=b"503 Sorry")
        elif kind == "cut":
            self._answer(id, missing=9)
            self.transport.close()
        elif kind == "page":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")  # type: ignore[attr-defined]
        elif kind == "other":
            self._answer(b"ana_another")
        elif kind == "pending":
            self._answer(id, status=b"processing")


class Server:
    """Where all of them are answered, on 127.0.0.1."""

    def __init__(self, seed: int, share: float = SHARE) -> None:
        source = random.Random(seed)
        self.random, self.choose, self.share = source.random, source.choice, share
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.open: set[Responder] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.get_running_loop().create_server(lambda: Responder(self), "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for responder in list(self.open):
            responder.transport.abort()  # type: ignore[attr-defined]
        await turns(5)
        await self._server.wait_closed()


def open_sockets() -> int:
    return sum(
        os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        for name in os.listdir("/proc/self/fd")
        if os.path.islink(f"/proc/self/fd/{name}")
    )


@pytest.mark.timeout(300)
def test_a_hundred_thousand_waits_lose_no_id_and_report_none_twice() -> None:
    """A fifth of all answers is bad: each id is reported once, and the most of them with its analysis."""

    async def main() -> None:
        async with (
            Server(seed=1) as server,
            KallglotClient(
                "sk_test_many", base_url=server.base_url, timeout=1.0, max_attempts=6, random=random.Random(2).random
            ) as client,
        ):
            ids = (f"{'ana' if number % 2 else 'anl'}_{number}" for number in range(WAITS))
            seen: Counter[str] = Counter()
            good = 0
            async with leaving_nothing(client), client.as_completed(ids, timeout=300.0) as finished:
                async for outcome in finished:
                    seen[outcome.id] += 1
                    good += outcome.ok
                    assert outcome.ok or isinstance(outcome.error, KallglotError)
            assert len(seen) == WAITS
            assert set(seen.values()) == {1}
            assert all(check_analysis_id(id) for id in seen)
            assert good >= 0.9 * WAITS  # the rest ended with the error that the empty retry budget left
            assert sum(server.faults.values()) >= 0.19 * server.requests

    run(main)


def call_of(client: KallglotClient, number: int) -> Any:
    """A call of each kind in turn, each for ids of its own."""
    ids = [f"ana_{number}_{place}" for place in range(3)]

    async def completed() -> None:
        async with client.as_completed(iter(ids), timeout=20.0) as finished:
            async for _ in finished:
                pass

    kinds = (
        lambda: client.wait(ids[0], timeout=20.0),
        lambda: client.wait_many(ids, timeout=20.0),
        completed,
        lambda: client.analyses.retrieve(ids[0]),
        lambda: client.analyses.retrieve_many(ids),
        lambda: client.analyses.create("sess_1", analyses=["summary"]),
    )
    return kinds[number % len(kinds)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("canceller", CANCELLERS)
def test_thousands_of_cancellations_leave_nothing(canceller: str) -> None:
    """At a random turn of the loop or second: no task, no socket, no slot stays, and the client is usable."""
    source = random.Random(canceller)

    async def main() -> None:
        before = open_sockets()
        async with (
            Server(seed=3, share=0.4) as server,
            KallglotClient(
                "sk_test_many",
                base_url=server.base_url,
                timeout=5.0,
                max_connections=8,
                rate_limit=RateLimit(50, 0.5),
                random=source.random,
            ) as client,
        ):
            ends: Counter[str] = Counter()
            wanted = CANCELLATIONS // len(CANCELLERS)
            made = 0
            async with leaving_nothing(client):
                while ends["cancelled"] < wanted:
                    batch = source.randint(1, 12)
                    made += batch

                    async def moment() -> None:
                        if source.random() < 0.8:
                            await turns(source.randrange(20))
                        else:
                            await asyncio.sleep(source.random() * 2.0)

                    calls = [call_of(client, made + place) for place in range(batch)]
                    for end in await asyncio.gather(*(cancelled_by(canceller, call, moment) for call in calls)):
                        ends[end] += 1
                    state = client.rate_limit
                    assert (state.in_flight, state.waiting, client.stats.waiting_for) == (0, 0, 0)
                    if made % 50 < batch:
                        server.share = 0.0
                        assert (await client.analyses.retrieve("ana_usable", timeout=60.0)).id == "ana_usable"
                        assert len(server.open) <= 8
                        server.share = 0.4
            assert ends["returned"] + ends["raised"] >= 0.1 * wanted  # some moments are past the end
        await turns(3)
        assert open_sockets() <= before + 1  # the loop's own pair is there already

    run(main)
