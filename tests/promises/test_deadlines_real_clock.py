"""A deadline holds on a real clock, whatever the server does: the one test here that takes real time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from support.addresses import full_backlog
from support.virtual import turns
from support.wire_faults import Connection, RawServer, analysis, answer, silent

from kallglot_async import KallglotClient, KallglotError, RateLimit
from kallglot_async._core.polling.pending import LATE, LATE_LOOK

TIMEOUT = 2.0
GRACE = 0.1
TURNS = 20  # of the loop, in which a call comes to its request, and one that is over closes what it had open

Call = Callable[[KallglotClient], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "retrieve": lambda client: client.analyses.retrieve("ana_1", timeout=TIMEOUT),
    "create": lambda client: client.analyses.create("sess_1", analyses=["summary"], timeout=TIMEOUT),
    "retrieve_many": lambda client: client.analyses.retrieve_many(["ana_1"], timeout=TIMEOUT),  # for each id
    "wait": lambda client: client.wait("ana_1", timeout=TIMEOUT),
    "wait_many": lambda client: client.wait_many(["ana_1", "ana_2"], total_timeout=TIMEOUT),
}

WAITS = CALLS["wait"], CALLS["wait_many"]


async def drip(connection: Connection, data: bytes) -> None:
    for place in range(len(data)):
        if connection.writer.is_closing():
            return
        await connection.send(data[place : place + 1])
        await asyncio.sleep(0.05)


SLOW = answer(analysis(status="processing"))
HEAD, _, BODY = answer(analysis(status="processing"), "X-Slow: " + "x" * 200).partition(b"\r\n\r\n")


async def slow_headers(connection: Connection) -> None:
    await drip(connection, HEAD)


async def slow_body(connection: Connection) -> None:
    await connection.send(HEAD + b"\r\n\r\n")
    await drip(connection, BODY)


async def after_a_while(connection: Connection) -> None:
    await asyncio.sleep(0.9)
    await connection.send(SLOW)


SERVERS: dict[str, Any] = {
    "hangs": silent,
    "slow headers": slow_headers,
    "slow body": slow_body,
    "slow and never ready": after_a_while,
    "fails": answer(b"", status="503 Sorry"),
    "fails and asks for time": answer(b"", "Retry-After: 1", status="503 Sorry"),
    "fails and asks for too much": answer(b"", "Retry-After: 600", status="503 Sorry"),
    "hangs up": lambda connection: _hang_up(connection),
}
# A batch outlasts refusals; every other call has a deadline for those too.
REFUSALS = {
    "refuses": answer(b"", "Retry-After: 1", status="429 Slow"),
    "refuses for long": answer(b"", "Retry-After: 600", status="429 Slow"),
}


async def _hang_up(connection: Connection) -> None:
    connection.close()


async def over(is_wait: bool) -> None:
    """End later than any call may: by timers of the same loop, so that what is late for one is late for the other.

    `retrieve_many` counts from each id's request: beside sixty other calls, the turns until then take a while. A wait
    whose deadline passed while its loop stood still has a last look.
    """
    await turns(TURNS)
    due = time.monotonic() + TIMEOUT
    await asyncio.sleep(TIMEOUT)
    if is_wait and time.monotonic() - due > LATE / 2:  # half of it: that wait's own timer may come later than this
        await asyncio.sleep(LATE_LOOK)
    await asyncio.sleep(GRACE)
    await turns(TURNS)


async def ended(call: Call, client: KallglotClient) -> tuple[float, bool]:
    """Return how many seconds a call takes that need not succeed, and whether it has ended by its deadline."""
    started = time.monotonic()
    running, control = asyncio.ensure_future(call(client)), asyncio.create_task(over(call in WAITS))
    await asyncio.wait([running, control], return_when=asyncio.FIRST_COMPLETED)
    in_time = running.done()
    with contextlib.suppress(KallglotError):
        await running
    control.cancel()
    return time.monotonic() - started, in_time


async def against(call: Call, base_url: str) -> tuple[float, bool]:
    """Let a client call a server that does not do what it should."""
    async with KallglotClient("sk_test_1", base_url=base_url, max_attempts=50, connect_timeout=30.0) as client:
        return await ended(call, client)


async def queued(name: str) -> tuple[float, bool]:
    """The rate limit leaves no room: the only slot of an hour is taken."""
    async with (
        RawServer(answer(analysis())) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, rate_limit=RateLimit(1, 3600.0)) as client,
    ):
        await client.analyses.retrieve("ana_1")
        return await ended(CALLS[name], client)


def beside_a_blocked_loop(call: Call) -> tuple[float, bool]:
    """Let something else block the loop across the deadline."""

    async def main() -> tuple[float, bool]:
        async with RawServer(silent) as server:
            asyncio.get_running_loop().call_later(TIMEOUT - 0.2, time.sleep, 0.2 + 2.0 * LATE)
            return await against(call, server.base_url)

    return asyncio.run(main())


async def test_every_call_ends_by_its_deadline() -> None:
    """Or a tenth of a second and a few turns of its loop after it; all of them at the same time."""
    async with contextlib.AsyncExitStack() as servers:
        running: dict[str, asyncio.Future[tuple[float, bool]]] = {}
        for name, script in (SERVERS | REFUSALS).items():
            server = await servers.enter_async_context(RawServer(script))
            for called, call in CALLS.items():
                if name in REFUSALS and called == "retrieve_many":
                    continue
                running[f"{called}, server {name}"] = asyncio.create_task(against(call, server.base_url))
        server = await servers.enter_async_context(RawServer(silent))
        full = servers.enter_context(full_backlog())
        for called, call in CALLS.items():
            tls = server.base_url.replace("http:", "https:")
            running[f"{called}, silent handshake"] = asyncio.create_task(against(call, tls))
            running[f"{called}, full backlog"] = asyncio.create_task(against(call, full))
            if called != "retrieve_many":
                running[f"{called}, in the queue"] = asyncio.create_task(queued(called))
            running[f"{called}, loop blocked"] = asyncio.create_task(asyncio.to_thread(beside_a_blocked_loop, call))
        ends = {name: await task for name, task in running.items()}
    took = {name: seconds for name, (seconds, _) in ends.items()}
    assert {name: took[name] for name, (_, in_time) in ends.items() if not in_time} == {}
    # Those that nothing but the deadline ends did wait for it.
    assert min(took[f"{called}, server hangs"] for called in CALLS) >= TIMEOUT - 0.1
    assert min(took[f"{called}, full backlog"] for called in CALLS) >= TIMEOUT - 0.1
