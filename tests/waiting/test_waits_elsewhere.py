"""Where callers call from: other threads, other loops, trio, and contexts of their own."""

import asyncio
import collections
import contextvars
import io
import json
import threading
from collections.abc import Callable

import pytest
from support.clients import client_of
from support.slow import beyond

from kallglot_async import ConfigurationError, KallglotClient, KallglotError, RateLimiter, WebhookInbox
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import ClientEvent, SettledEvent
from kallglot_async.webhooks import parse_event

A = {"analyses": ["summary"]}
virtual = pytest.mark.looptime


class _Elsewhere:
    """An emulator in a thread of its own, so that no client's loop is its."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        latency = Latency.uniform(0.5, 0.5)
        async with Emulator(adopt_unknown=True, latency=latency) as self.emulator:
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Emulator:
        self._thread.start()
        assert self._ready.wait(20.0)
        return self.emulator

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20.0)


def _beside(first: Callable[[asyncio.Event], object], second: Callable[[], object]) -> tuple[object, object]:
    """Run `first` in a thread of its own, `second` here once the first is under way, and return what each gave."""
    under_way, found = threading.Event(), []

    async def run() -> object:
        task = asyncio.ensure_future(first())
        await asyncio.sleep(0.2)
        under_way.set()
        return await task

    thread = threading.Thread(target=lambda: found.append(asyncio.run(run())))
    thread.start()
    assert under_way.wait(20.0)

    async def here() -> object:
        try:
            return await asyncio.wait_for(second(), 10.0)
        except KallglotError as error:
            return error

    other = asyncio.run(here())
    thread.join(20.0)
    return found[0], other


@pytest.mark.parametrize("theirs", beyond(1, [[f"ana_{number}" for number in range(30)], ["ana_1"], ["ana_2"]]))
def test_a_second_thread_is_told_and_the_first_goes_on(theirs):
    """One client serves one event loop at a time; whoever comes second hears so at once, for whichever id."""
    with _Elsewhere() as server:
        client = client_of(server)
        found, other = _beside(lambda: client.wait_many(["ana_1"]), lambda: client.wait_many(theirs))
    assert found[0].ok
    assert isinstance(other, ConfigurationError)
    assert "another thread" in str(other)


def test_clients_of_their_own_do_not_disturb_each_other():
    """Two threads, two clients, two limiters: both are served."""
    with _Elsewhere() as server:
        one, two = client_of(server, rate_limit=RateLimiter()), client_of(server, rate_limit=RateLimiter())
        found, other = _beside(lambda: one.wait_many(["ana_1"]), lambda: two.wait_many(["ana_1"]))
    assert found[0].ok
    assert other[0].ok


@pytest.mark.parametrize("turns", beyond(1, [20, 0, None, 1, 5, 10, 40]))
@pytest.mark.parametrize("how", ["goes on", "is cancelled"])
def test_a_wait_on_a_loop_that_stands_still_is_not_followed(turns, how):
    """Nobody would ever answer: whoever waits for the same id on a loop that runs polls it.

    Wherever the first stood as its loop stopped: before its request, while that was out, between two polls.
    """
    with _Elsewhere() as server:
        client = client_of(server)
        still = asyncio.new_event_loop()
        tasks = [still.create_task(client.wait_many(["ana_1", "ana_3"])) for _ in range(2)]
        tasks.append(still.create_task(client.analyses.retrieve("ana_3")))

        still.run_until_complete(asyncio.sleep(0.2) if turns is None else _turns(turns))

        async def other():
            return await asyncio.wait_for(client.wait_many(["ana_1", "ana_2"]), 10.0)

        assert all(outcome.ok for outcome in asyncio.run(other()))
        if how == "is cancelled":
            for task in tasks:
                task.cancel()
        still.run_until_complete(asyncio.wait(tasks, timeout=10.0))
        assert all(task.done() for task in tasks)
        if how == "goes on":
            assert all(outcome.ok for task in tasks[:2] for outcome in task.result())
            assert tasks[2].result().id == "ana_3"
        still.run_until_complete(client.aclose())
        still.close()
        assert (client.rate_limit.in_flight, client.rate_limit.waiting) == (0, 0)


def test_between_two_requests_a_second_thread_is_told_before_anything_is_paid_for():
    """Also where the two share a limiter and nothing else, and where the first does not wait for anything just then."""
    with _Elsewhere() as server:
        limiter = RateLimiter()
        clients = {name: client_of(server, rate_limit=limiter) for name in ("one", "two")}
        view = clients["one"].with_options(timeout=5.0)
        calls = [
            lambda: clients["one"].analyses.retrieve("ana_1"),
            lambda: clients["two"].analyze("sess_1", **A),
            lambda: clients["one"].analyze("sess_1", **A),
            lambda: clients["two"].analyze_many(["sess_1", "sess_2"], **A),
            lambda: clients["two"].sessions.retrieve("sess_1"),
            lambda: clients["two"].wait_many(["ana_1"]),
            lambda: clients["two"].analyses.retrieve_many(["ana_1"]),
            lambda: view.analyses.create("sess_1", **A),
        ]

        async def first(call):
            await clients["one"].analyses.retrieve("ana_1")
            loop = asyncio.get_running_loop()
            told = await loop.run_in_executor(None, lambda: asyncio.run(_error_of(call)))
            await clients["one"].analyses.retrieve("ana_1")  # and it goes on
            return told

        for call in calls:
            told = asyncio.run(first(call))
            assert isinstance(told, ConfigurationError)
            assert "another thread" in str(told)
        assert not [entry for entry in server.journal if entry.method == "POST"]


def test_a_client_that_was_closed_in_one_thread_may_be_used_in_the_next():
    """While the first thread's loop runs on: it has no more use for it."""
    with _Elsewhere() as server:
        client = client_of(server)

        async def first():
            async with client:
                await client.analyses.retrieve("ana_1")
            return await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(second()))

        async def second():
            async with client:
                return await client.wait("ana_1")

        assert asyncio.run(first()).is_settled


def test_an_event_from_another_thread_is_refused_and_not_lost():
    """The wait would not have been woken; handed over to its loop, it is."""
    with _Elsewhere() as server:
        client = client_of(server, inbox=WebhookInbox())

        event = parse_event(json.dumps({"id": "evt_1", "type": "analysis.complete", "data": {"id": "ana_1"}}).encode())

        async def main():
            wait = asyncio.create_task(client.wait("ana_1"))
            await asyncio.sleep(0.2)
            loop = asyncio.get_running_loop()
            with pytest.raises(ConfigurationError, match="call_soon_threadsafe"):
                await loop.run_in_executor(None, lambda: client.settle(event))
            assert client.settle(event)
            await wait
            await client.aclose()

        asyncio.run(main())


def test_outcomes_are_taken_on_the_loop_of_their_block():
    """Another loop would never be woken."""
    with _Elsewhere() as server:
        client = client_of(server)

        async def main():
            async with client.as_completed(["ana_1"]) as finished:
                loop = asyncio.get_running_loop()
                told = await loop.run_in_executor(None, lambda: asyncio.run(_error_of(finished.__anext__)))
                assert isinstance(told, ConfigurationError)
                assert [outcome.ok async for outcome in finished] == [True]
            await client.aclose()

        asyncio.run(main())


async def _turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def _error_of(call):
    try:
        return await asyncio.wait_for(call(), 10.0)
    except KallglotError as error:
        return error


@pytest.mark.parametrize(
    "call",
    [
        "wait",
        "retrieve",
        "wait_many",
        "retrieve_many",
        "enter",
        "analyze",
        "analyze_many",
        "create",
        "as_completed",
        "sessions",
        "recordings",
        "download",
        "close",
    ],
)
def test_under_trio_an_error_names_asyncio(call):
    """It is ours, and says what to do; nothing hangs."""
    trio = pytest.importorskip("trio")

    async def main():
        client = KallglotClient("sk_test_1", base_url="http://127.0.0.1:9")
        calls = {
            "wait": lambda: client.wait("ana_1"),
            "retrieve": lambda: client.analyses.retrieve("ana_1"),
            "wait_many": lambda: client.wait_many(["ana_1"]),
            "retrieve_many": lambda: client.analyses.retrieve_many(["ana_1"]),
            "enter": client.__aenter__,
            "analyze": lambda: client.analyze("sess_1", **A),
            "analyze_many": lambda: client.analyze_many(["sess_1"], **A),
            "create": lambda: client.analyses.create("sess_1", **A),
            "as_completed": client.as_completed(["ana_1"]).__aenter__,
            "sessions": lambda: client.sessions.retrieve("sess_1"),
            "recordings": lambda: client.recordings.retrieve("rec_1"),
            "download": lambda: client.recordings.download("rec_1", io.BytesIO()),
            "close": client.aclose,
        }
        await calls[call]()

    with pytest.raises(KallglotError, match="asyncio"):
        trio.run(main)


@virtual
async def test_each_callers_callbacks_have_that_callers_context():
    """Also where another call polls what it waits for, or a timer ends it: spans have their own parents."""
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
    settled, progressed = collections.Counter(), []

    async def wait(client: KallglotClient, name: str, ids: list[str], **options: float) -> None:
        caller.set(name)
        await client.wait_many(ids, on_progress=lambda _: progressed.append((name, caller.get())), **options)

    def on_event(event: ClientEvent) -> None:
        settled[caller.get()] += isinstance(event, SettledEvent)

    async with (
        Emulator(plan="unlimited", latency=Latency.uniform(2.0, 3.0)) as emulator,
        client_of(emulator, on_event=on_event) as client,
    ):
        ids = emulator.seed_analyses(3)
        await asyncio.gather(
            wait(client, "polls two", ids[:2]),
            wait(client, "polls one, follows two", ids),
            wait(client, "follows one", ids[:1]),
            wait(client, "ends early", ids[:2], timeout=1.0),
        )
    assert settled == {"polls two": 2, "polls one, follows two": 3, "follows one": 1, "ends early": 2}
    assert {name for name, _ in progressed} == {"polls two", "polls one, follows two", "follows one"}
    assert [(name, seen) for name, seen in progressed if name != seen] == []


@virtual
async def test_a_caller_who_is_told_that_nobody_is_there_is_told_in_its_own_context():
    """One asks for all, before the API was ever heard."""
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
    settled = []

    async def wait(name: str) -> None:
        caller.set(name)
        await client.wait_many([f"ana_{name}", f"ana_{name}2"])

    def on_event(event: ClientEvent) -> None:
        if isinstance(event, SettledEvent):
            settled.append((event.id.removeprefix("ana_").removesuffix("2"), caller.get()))

    async with KallglotClient("sk_test_1", base_url="http://127.0.0.1:9", on_event=on_event) as client:
        await asyncio.gather(wait("a"), wait("b"))
    assert sorted(settled) == [("a", "a"), ("a", "a"), ("b", "b"), ("b", "b")]
