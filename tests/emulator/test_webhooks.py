"""The emulator's webhooks: what is sent, that the client believes it, retries, and losses on demand."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.receiving import serving

from kallglot_async import KallglotClient, WebhookInbox
from kallglot_async.emulator import Delivery, Emulator, Latency
from kallglot_async.receivers import aiohttp_handler
from kallglot_async.webhooks import Event, construct_event, verify

pytestmark = pytest.mark.looptime

SECRET = "whsec_emulated"
EPOCH = 1774523060.0
SCHEDULE = [60.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0]


class Receiver:
    """A server that keeps what it is sent and answers what it is told to."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[Any, bytes]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.headers.copy(), await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else (self.statuses or [200])[0]
        if status is None:
            await asyncio.Event().wait()
            raise AssertionError
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


@contextlib.asynccontextmanager
async def listening(handler: Any) -> Any:
    app = web.Application()
    app.router.add_post("/hook", handler)
    app.router.add_get("/elsewhere", handler)
    async with serving(app) as origin:
        yield f"{origin}/hook"


@contextlib.asynccontextmanager
async def pair(*statuses: int | None, account: bool = True, **options: Any) -> Any:
    """An emulator and a receiver of its webhooks."""
    receiver = Receiver(*statuses)
    async with listening(receiver.handle) as url:
        receiver.url = url
        more = {"webhook_url": url} if account else {}
        defaults = {
            "plan": "unlimited",
            "latency": Latency.uniform(20.0, 20.0),
            "webhook_secret": SECRET,
            "epoch": EPOCH,
        }
        async with Emulator(**defaults | more | options) as emulator:
            yield emulator, receiver


async def settled(emulator: Emulator, count: int, *, step: float = 0.25) -> list[Delivery]:
    """Wait until so many deliveries have come to their end."""
    for _ in range(10_000):
        done = [delivery for delivery in emulator.deliveries if delivery.state != "pending"]
        if len(done) >= count:
            return done
        await asyncio.sleep(step)
    raise AssertionError("never came true")


# What is sent


@pytest.mark.parametrize("revision", ["a", "b"])
@pytest.mark.parametrize("fails", [False, True])
async def test_an_analysis_is_announced_when_it_settles(revision: Any, fails: bool) -> None:
    """In both revisions, at the moment it is ready, in the documented envelope and with the documented headers."""
    async with pair(failure_rate=float(fails)) as (emulator, receiver):
        [id] = emulator.seed_analyses(1, revision=revision)
        await asyncio.sleep(19.5)
        assert receiver.requests == []
        [delivery] = await settled(emulator, 1)
        async with aiohttp.ClientSession(headers={"X-API-Key": emulator.api_key}) as session:
            path = "analysis" if revision == "a" else "analyses"
            async with session.get(f"{emulator.base_url}/{path}/{id}") as response:
                shown = await response.json()
    kind = "analysis.failed" if fails else "analysis.complete"
    [(headers, body)] = receiver.requests
    event = json.loads(body)
    assert event == {
        "id": delivery.event_id,
        "type": kind,
        "api_version": "v1",
        "created_at": "2026-03-26T11:04:40Z",
        "data": shown,
    }
    assert event["id"].startswith("evt_01")
    assert headers["Content-Type"] == "application/json"
    assert headers["Kallglot-Webhook-Id"] == delivery.id
    assert delivery.id.startswith("wh_del_01")
    assert headers["Kallglot-Retry-Count"] == "0"
    assert headers["Kallglot-Original-Timestamp"] == str(int(EPOCH) + 20)
    assert (delivery.type, delivery.subject_id, delivery.url) == (kind, id, receiver.url)
    assert (delivery.state, delivery.attempts, delivery.statuses) == ("delivered", 1, (200,))
    assert delivery.times == (pytest.approx(20.0, abs=0.1),)


async def test_the_client_believes_what_the_emulator_signs() -> None:
    """Two implementations that share no line agree; the skew of the server's clock is in the stamp."""
    async with pair(clock_skew=290.0) as (emulator, receiver):
        [id] = emulator.seed_analyses(1)
        await settled(emulator, 1)
    [(headers, body)] = receiver.requests
    event = construct_event(body, headers["Kallglot-Signature"], SECRET, now=EPOCH + 20)
    assert (event.analysis_id, event.is_analysis_settled) == (id, True)
    assert headers["Kallglot-Signature"].startswith(f"t={int(EPOCH) + 310},v1=")


async def test_a_request_may_name_an_address_of_its_own() -> None:
    """Revision A's `webhook_url` gets the same event beside the account's address, or alone."""
    async with pair() as (emulator, receiver), KallglotClient(emulator.api_key, base_url=emulator.base_url) as client:
        await client.analyses.create("sess_1", analyses=["summary"], webhook_url=receiver.url)
        both = await settled(emulator, 2)
    assert both[0].event_id == both[1].event_id
    assert both[0].id != both[1].id
    async with (
        pair(account=False) as (emulator, receiver),
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        created = await client.analyses.create("sess_1", analyses=["summary"], webhook_url=receiver.url)
        await client.analyses.create("sess_2", analyses=["summary"])
        emulator.seed_analyses(1, revision="b")
        await asyncio.sleep(30)
        assert [delivery.subject_id for delivery in emulator.deliveries] == [created.id]


async def test_an_address_elsewhere_is_never_sent_to() -> None:
    """The create is answered as the API would; the delivery says that it was refused."""
    async with (
        pair(account=False) as (emulator, _),
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        await client.analyses.create("sess_1", analyses=["summary"], webhook_url="https://example.org/hook")
        [delivery] = await settled(emulator, 1)
    assert (delivery.state, delivery.attempts) == ("refused", 0)


async def test_an_analysis_that_waits_for_polls_is_announced_after_the_last() -> None:
    """Where polls make it ready, they make the event too; once, however often it is polled after that."""
    async with (
        pair(latency=Latency.after_polls(2)) as (emulator, receiver),
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.seed_analyses(1)
        while not (await client.analyses.retrieve(id)).is_settled:
            assert receiver.requests == []
            await asyncio.sleep(1)
        await client.analyses.retrieve(id)
        await asyncio.sleep(1)
        assert len(receiver.requests) == 1


async def test_nobody_is_told_where_nobody_asked() -> None:
    """Without an address there are no deliveries."""
    async with pair(account=False) as (emulator, _):
        emulator.seed_analyses(3)
        await asyncio.sleep(60)
        assert list(emulator.deliveries) == []
        assert repr(emulator.deliveries) == "<DeliveryLog empty>"


# Retries


@pytest.mark.untraced
async def test_a_delivery_is_tried_eight_times_on_the_documented_schedule() -> None:
    """With jitter, a new stamp and signature and a count each time; then it has failed for good."""
    async with pair(500) as (emulator, receiver):
        emulator.seed_analyses(1)
        [delivery] = await settled(emulator, 1, step=600.0)
        await asyncio.sleep(200_000)
        assert len(receiver.requests) == 8
    assert (delivery.state, delivery.attempts, delivery.statuses) == ("failed", 8, (500,) * 8)
    gaps = [later - sooner for sooner, later in zip(delivery.times, delivery.times[1:], strict=False)]
    assert gaps == [pytest.approx(expected, rel=0.11) for expected in SCHEDULE]
    assert len({round(gap / expected, 3) for gap, expected in zip(gaps, SCHEDULE, strict=True)}) == 7  # jitter
    assert [headers["Kallglot-Retry-Count"] for headers, _ in receiver.requests] == list("01234567")
    assert {headers["Kallglot-Webhook-Id"] for headers, _ in receiver.requests} == {delivery.id}
    assert {headers["Kallglot-Original-Timestamp"] for headers, _ in receiver.requests} == {str(int(EPOCH) + 20)}
    assert len({body for _, body in receiver.requests}) == 1
    for at, (headers, body) in zip(delivery.times, receiver.requests, strict=True):
        verify(body, headers["Kallglot-Signature"], SECRET, now=EPOCH + at, tolerance=2)


@pytest.mark.parametrize("status", [302, 400, 410, 429, 503])
async def test_whatever_is_not_2xx_is_tried_again(status: int) -> None:
    """A redirect is not followed, and no status means "stop"; 2xx ends it."""
    async with pair(status, 204, speed=10.0) as (emulator, receiver):
        emulator.seed_analyses(1)
        [delivery] = await settled(emulator, 1)
    assert delivery.statuses == (status, 204)
    assert delivery.state == "delivered"
    assert delivery.times[1] - delivery.times[0] == pytest.approx(6.0, rel=0.11)
    assert len(receiver.requests) == 2


async def test_a_receiver_that_takes_longer_than_half_a_minute_has_failed() -> None:
    """Its connection is given up, and the delivery is tried again."""
    async with pair(None, 200) as (emulator, receiver):
        emulator.seed_analyses(1)
        [delivery] = await settled(emulator, 1)
    assert delivery.statuses == (None, 200)
    assert delivery.times[0] == pytest.approx(50.0, abs=1)
    assert len(receiver.requests) == 2


async def test_a_receiver_that_is_not_there_has_failed() -> None:
    """Refused connections and TLS to a plain port are attempts like others."""
    async with pair(account=False) as (_, receiver):
        gone = receiver.url
        tls = receiver.url.replace("http:", "https:")
        async with Emulator(webhook_url=tls, latency=Latency.immediate(), speed=1e6) as emulator:
            emulator.seed_analyses(1)
            [delivery] = await settled(emulator, 1)
            assert (delivery.state, set(delivery.statuses)) == ("failed", {None})
    async with Emulator(webhook_url=gone, latency=Latency.immediate(), speed=1e6) as emulator:
        emulator.seed_analyses(1)
        [delivery] = await settled(emulator, 1)
        assert (delivery.state, delivery.attempts) == ("failed", 8)


# On demand


@pytest.mark.untraced
@pytest.mark.slow
async def test_duplicates_losses_and_disorder_follow_from_the_seed() -> None:
    """The same in every run; a duplicate is the same event under another delivery id."""

    async def run(**options: Any) -> tuple[list[Any], list[str]]:
        async with pair(**options) as (emulator, receiver):
            ids = emulator.seed_analyses(100)
            await asyncio.sleep(60)
            assert [delivery for delivery in emulator.deliveries if delivery.state == "pending"] == []
            rows = [(d.id, d.event_id, d.subject_id, d.state, d.attempts) for d in emulator.deliveries]
            assert {row[2] for row in rows} == set(ids)
            return rows, [body["data"]["id"] for body in receiver.bodies]

    rows, received = await run(webhook_duplicates=0.3, seed=4)
    assert (await run(webhook_duplicates=0.3, seed=4))[0] == rows
    assert 110 < len(rows) < 150
    assert (len({row[0] for row in rows}), len({row[1] for row in rows})) == (len(rows), 100)
    assert sorted(received) == sorted(row[2] for row in rows)

    rows, received = await run(webhook_losses=0.3, seed=4)
    lost = [row for row in rows if row[3] == "lost"]
    assert 10 < len(lost) < 50
    assert {row[4] for row in lost} == {0}
    assert sorted(received) == sorted(row[2] for row in rows if row[3] == "delivered")
    assert len(received) == 100 - len(lost)

    rows, received = await run(webhook_reorder=True, seed=4)
    assert received != [row[2] for row in rows]
    assert sorted(received) == sorted(row[2] for row in rows)
    assert received == (await run(webhook_reorder=True, seed=4))[1]


# Lifetime


def own_tasks() -> set[Any]:
    """All tasks but those of the receiver, which never answers."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)}


async def test_closing_ends_what_is_under_way_and_leaves_no_task() -> None:
    """A receiver that never answers, retries to come and events to come hold nothing up."""
    before = own_tasks()
    receiver = Receiver(None)
    async with listening(receiver.handle) as url:
        async with Emulator(plan="unlimited", webhook_url=url, latency=Latency.immediate()) as emulator:
            emulator.seed_analyses(100)
            while not receiver.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 2
        assert {delivery.state for delivery in emulator.deliveries} == {"pending"}
        assert repr(emulator.deliveries) == "<DeliveryLog 100 pending>"
    assert own_tasks() == before
    gc.collect()  # an unclosed session would warn now, and warnings are errors


async def test_a_reset_forgets_deliveries() -> None:
    """What is on its way is recorded nowhere, and the same ids can be made again."""
    async with pair(None, 200, latency=Latency.immediate()) as (emulator, receiver):
        first = emulator.seed_analyses(1)
        while not receiver.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        emulator.reset()
        assert len(emulator.deliveries) == 0
        assert emulator.seed_analyses(1) == first
        await asyncio.sleep(100)
        [delivery] = emulator.deliveries
        assert (delivery.state, delivery.statuses) == ("delivered", (200,))
        assert len(receiver.requests) == 2
        assert emulator.deliveries[0] is delivery
        assert emulator.deliveries[:] == [delivery]
        assert emulator.deliveries.find(delivery.id) is delivery


# With the library's own receiver


@pytest.mark.untraced
async def test_the_receiver_takes_each_event_once_whatever_the_sender_does() -> None:
    """Duplicates, disorder and failing handlers: everything that is not lost arrives exactly once."""
    events: list[Event] = []
    failed: set[str] = set()

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        if len(failed) < 30 and event.id not in failed:
            failed.add(event.id)
            raise RuntimeError("the database is away")
        events.append(event)

    clock: list[Any] = []
    handler = aiohttp_handler(handle, SECRET, clock=lambda: EPOCH + clock[0].now)
    async with listening(handler) as url:
        options = {"webhook_url": url, "webhook_secret": SECRET, "epoch": EPOCH, "webhook_duplicates": 1.0}
        async with Emulator(
            plan="unlimited", webhook_reorder=True, latency=Latency.uniform(5.0, 5.0), **options
        ) as emulator:
            clock.append(emulator)
            ids = emulator.seed_analyses(50) + emulator.seed_analyses(50, revision="b")
            await settled(emulator, 200)
            assert {status for delivery in emulator.deliveries for status in delivery.statuses} == {200, 500}
            assert {delivery.state for delivery in emulator.deliveries} == {"delivered"}
    assert sorted(event.analysis_id or "" for event in events) == sorted(ids)


async def test_an_inbox_hears_of_every_analysis() -> None:
    """From the emulator through the receiver to whoever listens."""
    inbox, heard, clock = WebhookInbox(), [], []
    handler = aiohttp_handler(inbox, ["old", SECRET], clock=lambda: EPOCH + clock[0].now)
    async with listening(handler) as url, Emulator(webhook_url=url, webhook_secret=SECRET, epoch=EPOCH) as emulator:
        clock.append(emulator)
        ids = emulator.seed_analyses(20)
        inbox.listen(heard.append)
        await settled(emulator, 20)
    assert sorted(heard) == sorted(ids)
