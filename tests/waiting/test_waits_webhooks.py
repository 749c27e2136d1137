"""Waits that webhooks wake: an event wakes who waits for its id, one GET confirms, polling is the safety net.

That net is wide only while events are heard: what does not come, or comes early, makes no wait longer.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from support.slow import beyond

from kallglot_async import KallglotClient, PollSchedule, WaitTimeoutError, WebhookInbox
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.receivers import aiohttp_handler
from kallglot_async.webhooks import Event, parse_event

pytestmark = pytest.mark.looptime
SECRET = "whsec_test"
EPOCH = 1_800_000_000.0
A: dict[str, Any] = {"analyses": ["summary"]}


def event(id: str, number: int = 1, kind: str = "analysis.complete") -> Event:
    return parse_event(json.dumps({"id": f"evt_{id}_{number}", "type": kind, "data": {"id": id}}).encode())


@asynccontextmanager
async def running(inbox: WebhookInbox | None = None, **settings: Any) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    options = {"plan": "unlimited", "latency": Latency.uniform(22.0, 30.0), "seed": 7, "epoch": EPOCH} | settings
    async with (
        Emulator(**options) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, inbox=inbox) as client,
    ):
        yield emulator, client
        assert (client.stats.waiting_for, client.stats.in_flight) == (0, 0)


@asynccontextmanager
async def told_by_webhook(**settings: Any) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    """An emulator whose events reach the client's inbox over HTTP."""
    inbox, clock = WebhookInbox(), []
    app = web.Application()
    app.router.add_post("/hook", aiohttp_handler(inbox, SECRET, clock=lambda: EPOCH + clock[0].now))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with running(inbox, webhook_url=url, webhook_secret=SECRET, **settings) as (emulator, client):
            clock.append(emulator)
            yield emulator, client
    finally:
        await runner.cleanup()


def polls(emulator: Emulator) -> list[Any]:
    return [entry for entry in emulator.journal if entry.operation == "analyses.retrieve"]


async def created(client: KallglotClient, number: int, **request: Any) -> list[str]:
    return [(await client.analyses.create(f"sess_{place}", **(request or A))).id for place in range(number)]


async def heard(client: KallglotClient, inbox: WebhookInbox) -> None:
    """Let an event come for something that is waited for, so that the client trusts its inbox from now on."""
    [id] = await created(client, 1)
    wait = asyncio.create_task(client.wait(id))
    await asyncio.sleep(1.0)
    inbox.put(event(id, number=0))
    await wait


async def is_slow(emulator: Emulator, client: KallglotClient, inbox: WebhookInbox) -> None:
    """Check that nothing is asked for 45 s, though it settles after 30, until its event comes."""
    [id] = await created(client, 1)
    before = len(polls(emulator))
    wait = asyncio.create_task(client.wait(id))
    await asyncio.sleep(45.0)
    assert len(polls(emulator)) == before
    inbox.put(event(id))
    await wait
    assert len(polls(emulator)) == before + 1


@pytest.mark.untraced
@pytest.mark.parametrize("request_", beyond(1, [A, {"include": ["summary"]}]), ids=["A", "B"])
async def test_with_webhooks_an_analysis_costs_one_request(request_: dict[str, Any]) -> None:
    """Told, fetched, done: once events are heard, fifty analyses, fifty polls, within a second of each event."""
    async with told_by_webhook() as (emulator, client):
        await client.wait_many(await created(client, 5, **request_))
        before = len(polls(emulator))
        ids = await created(client, 50, **request_)
        outcomes = await client.wait_many(ids)
        assert len(outcomes.analyses) == 50
        assert len(polls(emulator)) == before + 50
        for entry in polls(emulator)[before:]:
            ready_at = emulator.analysis(entry.id).ready_at
            assert ready_at is not None
            assert 0.0 <= entry.at - ready_at < 1.0


@pytest.mark.untraced
async def test_lost_events_are_made_up_for_by_slow_polling() -> None:
    """Half of them never come: everything is delivered all the same, a minute late at most."""
    async with told_by_webhook(webhook_losses=0.5) as (emulator, client):
        ids = await created(client, 40)
        outcomes = await client.wait_many(ids, timeout=300.0)
        assert len(outcomes.analyses) == 40
        assert len(polls(emulator)) <= 1.5 * 40
        assert asyncio.get_running_loop().time() < 95.0


@pytest.mark.untraced
async def test_duplicates_and_reorderings_cost_nothing() -> None:
    """An event counts once."""
    async with told_by_webhook(webhook_duplicates=1.0, webhook_reorder=True) as (emulator, client):
        assert len((await client.wait_many(await created(client, 30))).analyses) == 30
        assert len(polls(emulator)) <= 33


@pytest.mark.untraced
async def test_analyze_many_is_told_too() -> None:
    """Events may come before the answer to the create is read."""
    async with told_by_webhook(latency=Latency.immediate()) as (emulator, client):
        outcomes = await client.analyze_many([f"sess_{place}" for place in range(30)], **A)
        assert len(outcomes.analyses) == 30
        assert len(polls(emulator)) <= 33


async def test_an_early_or_forged_event_is_no_result() -> None:
    """The one GET shows it running; it is looked at again after 1, 2, 4, 8 s and so on; the same event is no other."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(100.0, 100.0)) as (emulator, client):
        [id] = await created(client, 1)
        wait = asyncio.create_task(client.wait(id, timeout=300.0, schedule=PollSchedule.behind_webhooks()))
        await asyncio.sleep(10.0)
        inbox.put(event(id))
        await asyncio.sleep(20.0)
        assert [round(entry.at) for entry in polls(emulator)] == [10, 11, 13, 17, 25]
        assert not wait.done()
        inbox.put(event(id, number=1))  # the same again
        await asyncio.sleep(5.0)
        assert len(polls(emulator)) == 5
        assert (await wait).is_complete


@pytest.mark.untraced
@pytest.mark.parametrize("early", [0.5, 3.0, 6.0, 14.0])
@pytest.mark.parametrize("is_default", [True, False], ids=["default", "behind_webhooks"])
async def test_an_event_that_comes_early_delays_nothing(early: float, is_default: bool) -> None:
    """A replica that lags, or an event before its time: found at most as late again as the event was early."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(40.0, 40.0)) as (emulator, client):
        await heard(client, inbox)
        [id] = await created(client, 1)
        ready_at = emulator.analysis(id).ready_at
        assert ready_at is not None
        schedule = None if is_default else PollSchedule.behind_webhooks()
        wait = asyncio.create_task(client.wait(id, timeout=1000.0, schedule=schedule))
        await asyncio.sleep(40.0 - early)
        before = len(polls(emulator))
        inbox.put(event(id))
        assert (await wait).is_complete
        assert polls(emulator)[-1].at - ready_at <= early + 1.1
        assert len(polls(emulator)) - before <= 6


@pytest.mark.parametrize(
    "schedule", [PollSchedule.fixed(3.0), PollSchedule.exponential(2.0, 2.0, 5.0)], ids=["fixed", "exponential"]
)
async def test_an_unconfirmed_event_makes_polls_no_rarer(schedule: PollSchedule) -> None:
    """The gaps grow up to those of the schedule, and no further."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(100.0, 100.0)) as (emulator, client):
        [id] = await created(client, 1)
        wait = asyncio.create_task(client.wait(id, schedule=schedule))
        inbox.put(event(id))
        await wait
        at = [entry.at for entry in polls(emulator)]
        gaps = [after - before for before, after in itertools.pairwise(at)]
        assert max(gaps) <= schedule.maximum + 0.1
        assert min(gaps[4:]) >= schedule.maximum - 0.1


async def settled_in(client: KallglotClient, emulator: Emulator, **options: Any) -> float:
    """Have twenty analyses made and waited for, and return the seconds from the last's end to the call's."""
    ids = await created(client, 20)
    outcomes = await client.wait_many(ids, **options)
    assert len(outcomes.analyses) == 20
    ready_at = [emulator.analysis(id).ready_at or 0.0 for id in ids]
    return max(entry.at for entry in polls(emulator)) - max(ready_at)


@pytest.mark.untraced
@pytest.mark.parametrize(
    "latency",
    beyond(1, [Latency.uniform(22.0, 30.0), Latency.uniform(1.0, 3.0), Latency.uniform(200.0, 260.0)]),
    ids=["half a minute", "seconds", "minutes"],
)
async def test_a_silent_inbox_is_as_good_as_none(latency: Latency) -> None:
    """Another worker, a wrong secret, an endpoint that is down: as soon, for as many requests, as without an inbox."""
    found: list[tuple[list[float], int]] = []
    for inbox in (None, WebhookInbox()):
        async with running(inbox, latency=latency, plan="pro") as (emulator, client):
            delays = [await settled_in(client, emulator, timeout=600.0) for _ in range(3)]
            found.append((delays, len(polls(emulator))))
    (delays, requests), (silent_delays, silent_requests) = found
    assert silent_delays == pytest.approx(delays, abs=2.0)
    assert silent_requests == pytest.approx(requests, rel=0.05)


@pytest.mark.untraced
@pytest.mark.parametrize("plan", ["pro", "unlimited"])
async def test_an_inbox_that_falls_silent_costs_one_delay(plan: str) -> None:
    """The first that is found settled without its event brings normal polling back, for all that wait and come."""
    inbox = WebhookInbox()
    async with running(inbox, plan=plan) as (emulator, client):
        await heard(client, inbox)
        assert 25.0 < await settled_in(client, emulator) < 50.0  # a minute after their creation
        assert await settled_in(client, emulator) < 10.0


@pytest.mark.untraced
async def test_other_calls_of_the_client_hear_of_the_silence() -> None:
    """What a call finds settled without its event is told to all that rely on events."""
    inbox = WebhookInbox()
    async with running(inbox, plan="pro") as (emulator, client):
        await heard(client, inbox)
        first, *others = await created(client, 31)
        wait = asyncio.create_task(client.wait_many(others, timeout=300.0))
        await asyncio.sleep(37.5)
        before = len(polls(emulator))
        await client.wait(first, timeout=0.5)
        await wait
        found, *later = polls(emulator)[before:]
        assert found.id == first
        assert {entry.id for entry in later} == set(others)
        assert later[0].at - found.at < 1.0


@pytest.mark.untraced
async def test_the_next_event_makes_polls_slow_again() -> None:
    """Trust is lost and earned as often as events fail to come and come."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(30.0, 30.0)) as (emulator, client):
        await heard(client, inbox)
        for _ in range(2):
            await client.wait(*await created(client, 1), timeout=40.0)  # its event never comes
            await heard(client, inbox)
            await is_slow(emulator, client, inbox)


async def test_an_event_that_overtakes_its_create_is_heard() -> None:
    """It came for what is waited for now; one for an id of unknown age may be as old as that."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(30.0, 30.0)) as (emulator, client):
        [old] = emulator.seed_analyses(1)
        await asyncio.sleep(31.0)
        inbox.put(event(old))
        await client.wait(old)
        before = len(polls(emulator))
        [id] = await created(client, 1)
        await client.wait(id)
        assert len(polls(emulator)) > before
        assert emulator.now - (emulator.analysis(id).ready_at or 0.0) < 10.0
        [early] = await created(client, 1)
        inbox.put(event(early))
        await client.wait(early)
        await is_slow(emulator, client, inbox)


@pytest.mark.untraced
async def test_what_settled_long_ago_says_nothing_of_the_inbox() -> None:
    """Ids of unknown age had their events before anybody listened: finding them settled is no silence."""
    inbox = WebhookInbox()
    async with running(inbox) as (emulator, client):
        await heard(client, inbox)
        old = emulator.seed_analyses(20)
        await asyncio.sleep(31.0)
        assert len((await client.wait_many(old)).analyses) == 20
        await is_slow(emulator, client, inbox)


async def test_a_schedule_that_is_named_is_kept_to() -> None:
    """Whatever is heard: who names how to poll is not made to poll slowly, nor judged by what he finds first."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(30.0, 30.0)) as (emulator, client):
        await heard(client, inbox)
        before = len(polls(emulator))
        await client.wait(*await created(client, 1), schedule=PollSchedule.fixed(2.0))
        assert 14 <= len(polls(emulator)) - before <= 17
        await is_slow(emulator, client, inbox)


async def test_an_event_of_another_analysis_wakes_nobody() -> None:
    """Exactly the waiters of that id."""
    inbox = WebhookInbox()
    async with running(inbox) as (emulator, client):
        await heard(client, inbox)
        before = len(polls(emulator))
        first, second = await created(client, 2)
        waits = [asyncio.create_task(client.wait(id)) for id in (first, second)]
        await asyncio.sleep(31.0)
        inbox.put(event(first))
        inbox.put(event("ana_unknown"))
        await asyncio.sleep(1.0)
        assert [wait.done() for wait in waits] == [True, False]
        assert [entry.id for entry in polls(emulator)[before:]] == [first]
        await asyncio.gather(*waits)


async def test_an_event_while_a_poll_is_in_flight_is_not_lost() -> None:
    """The answer on its way says "running"; it is looked at again."""
    inbox = WebhookInbox()
    async with running(inbox, faults=[Fault(kind="slow", delay=4.0, times=1)]) as (emulator, client):
        ids = emulator.seed_analyses(1)  # of unknown age: looked at once at the start
        wait = asyncio.create_task(client.wait(ids[0], timeout=None))
        await asyncio.sleep(1.0)
        inbox.put(event(ids[0]))
        await asyncio.sleep(9.0)
        assert [round(entry.at) for entry in polls(emulator)] == [0, 5, 7]
        assert (await wait).is_complete


async def test_settle_wakes_a_client_without_an_inbox() -> None:
    """For a receiver of one's own; the client goes on polling as it has learned."""
    async with running() as (emulator, client):
        [id] = await created(client, 1)
        wait = asyncio.create_task(client.wait(id, schedule=PollSchedule.behind_webhooks()))
        await asyncio.sleep(31.0)
        assert client.settle(event(id))
        assert not client.settle(event(id))
        analysis = await wait
        assert analysis.is_complete
        assert [round(entry.at) for entry in polls(emulator)] == [31]


async def test_a_failed_analysis_is_told_as_well() -> None:
    """`analysis.failed` settles it."""
    async with told_by_webhook(failure_rate=1.0) as (emulator, client):
        await client.wait_many(await created(client, 5))
        before = len(polls(emulator))
        [outcome] = await client.wait_many(await created(client, 1))
        assert type(outcome.error).__name__ == "AnalysisFailedError"
        assert len(polls(emulator)) == before + 1


async def test_two_waits_for_one_id_are_woken_by_one_request() -> None:
    """One poller, however many wait."""
    inbox = WebhookInbox()
    async with running(inbox) as (emulator, client):
        await heard(client, inbox)
        before = len(polls(emulator))
        [id] = await created(client, 1)
        waits = [asyncio.create_task(client.wait(id)) for _ in range(5)]
        await asyncio.sleep(31.0)
        inbox.put(event(id))
        await asyncio.gather(*waits)
        assert len(polls(emulator)) == before + 1


@pytest.mark.untraced
async def test_a_deadline_has_its_last_look_whatever_webhooks_do() -> None:
    """Nothing was announced, and the timeout comes before the first slow poll."""
    inbox = WebhookInbox()
    async with running(inbox, latency=Latency.uniform(100.0, 100.0)) as (emulator, client):
        await heard(client, inbox)
        before = len(polls(emulator))
        [id] = await created(client, 1)
        with pytest.raises(WaitTimeoutError) as caught:
            await client.wait(id, timeout=40.0)
        assert caught.value.polls == 1 == len(polls(emulator)) - before


async def test_an_inbox_is_let_go_of_when_nobody_waits() -> None:
    """A client that is gone is not kept alive by the inbox that outlives it."""
    inbox = WebhookInbox()
    async with running(inbox) as (_, client):
        [id] = await created(client, 1)
        await client.wait(id)
        assert repr(inbox).endswith("listeners=0>")
