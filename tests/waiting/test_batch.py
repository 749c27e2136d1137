"""What every call for many ids does alike: outcomes are told as they are known, to who takes them."""

import asyncio
from functools import partial

import pytest
from support.clients import client_of, unlimited

from kallglot_async import ConfigurationError, KallglotClient, Outcome
from kallglot_async.emulator import Latency

A = {"analyses": ["summary"]}
virtual = pytest.mark.looptime


async def _all(client, kind, count, **callbacks):
    ids = [f"ana_{number}" for number in range(count)]
    if kind == "wait_many":
        return await client.wait_many(ids, **callbacks)
    if kind == "retrieve_many":
        return await client.analyses.retrieve_many(ids, **callbacks)
    return await client.analyze_many([f"sess_{number}" for number in range(count)], **A, **callbacks)


KINDS = ["wait_many", "retrieve_many", "analyze_many"]


@virtual
class TestOnOutcome:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_coroutine_function_is_awaited_one_outcome_at_a_time(self, kind):
        """In the order in which they are known; no two of its calls overlap."""
        told, running_now = [], 0

        async def on_outcome(outcome: Outcome) -> None:
            nonlocal running_now
            running_now += 1
            assert running_now == 1
            await asyncio.sleep(0.001)
            running_now -= 1
            told.append(outcome.id)

        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            outcomes = await _all(client, kind, 20, on_outcome=on_outcome)
        assert len(told) == 20
        assert {outcome.id for outcome in outcomes} == set(told)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("error", [ValueError("full"), asyncio.CancelledError()], ids=repr)
    async def test_what_a_coroutine_function_raises_is_the_callers_own(self, kind, error):
        """It ends the call, as it was raised and in no group."""

        async def on_outcome(outcome: Outcome) -> None:
            await asyncio.sleep(0)
            raise error

        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            with pytest.raises(type(error)):
                await _all(client, kind, 3, on_outcome=on_outcome)

    @pytest.mark.untraced
    async def test_a_slow_sink_holds_the_requests_back(self):
        """No worker goes on before its outcome was taken."""
        gate = asyncio.Event()

        async def on_outcome(outcome: Outcome) -> None:
            await gate.wait()

        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            call = asyncio.create_task(_all(client, "retrieve_many", 200, on_outcome=on_outcome, max_in_flight=4))
            await asyncio.sleep(1.0)
            assert emulator.journal.total <= 30
            gate.set()
            assert len(await call) == 200


@virtual
class TestCallbacksThatNobodyAwaits:
    async def test_a_coroutine_function_is_refused_before_any_request(self):
        """It would never run, and nobody would hear of that."""

        async def lost(*_: object) -> None: ...

        class Lost:
            async def __call__(self, *_: object) -> None: ...

        async with unlimited(adopt_unknown=True) as (emulator, client):
            for callback in (lost, Lost()):
                with pytest.raises(ConfigurationError, match="on_progress is a plain function"):
                    await client.wait_many(["ana_1"], on_progress=callback)
                with pytest.raises(ConfigurationError, match="on_progress is a plain function"):
                    await client.analyze_many(["sess_1"], on_progress=callback, **A)
                with pytest.raises(ConfigurationError, match="on_event is a plain function"):
                    KallglotClient("sk_test_1", on_event=callback)
            assert emulator.journal.total == 0

    @pytest.mark.parametrize("call", ["wait_many", "analyze_many", "on_event"])
    @pytest.mark.parametrize("how", ["a lambda", "a partial", "an awaitable", "a generator"])
    async def test_what_returns_a_coroutine_is_told_once_and_costs_nothing(self, call, how, caplog):
        """The body of it would never run: one line says so, and nothing warns of it at some later moment."""

        async def lost(*_: object) -> None: ...

        class Bound:
            async def method(self, *_: object) -> None: ...

            def __await__(self):
                yield

        callback = {
            "a lambda": lambda fact: lost(fact),
            "a partial": partial(lambda method, fact: method(fact), Bound().method),
            "an awaitable": lambda fact: Bound(),
            "a generator": lambda fact: (part for part in [fact]),
        }[how]
        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            if call == "on_event":
                async with client_of(emulator, on_event=callback) as other:
                    outcomes = await other.wait_many(["ana_1", "ana_2"])
            else:
                outcomes = await _all(client, call, 3, on_progress=callback)
        assert all(outcome.ok for outcome in outcomes)
        name = "on_event" if call == "on_event" else "on_progress"
        [record] = [record for record in caplog.records if record.name.startswith("kallglot_async")]
        assert f"{name} raised and is not called again" in record.getMessage()
        assert "which nobody runs" in str(record.exc_info[1])

    async def test_what_starts_a_task_is_fine(self):
        """A task runs by itself."""
        told = []

        async def note(progress):
            told.append(progress)

        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            await client.wait_many(["ana_1", "ana_2"], on_progress=lambda it: asyncio.ensure_future(note(it)))
            await asyncio.sleep(0)
        assert len(told) == 2

    async def test_a_function_that_yields_is_refused_before_any_request(self):
        """Its body would never run, whichever callback it is."""

        def generator(*_: object):
            yield

        async def asynchronous(*_: object):
            yield

        class Yielding:
            def __call__(self, *_: object):
                yield

        calls = [("wait_many", "on_progress"), ("wait_many", "on_outcome"), ("retrieve_many", "on_outcome")]
        calls += [("analyze_many", name) for name in ("on_progress", "on_outcome", "on_created")]
        async with unlimited(adopt_unknown=True) as (emulator, client):
            for callback in (generator, asynchronous, Yielding(), partial(generator, 1)):
                for call, name in calls:
                    with pytest.raises(ConfigurationError, match=f"{name} is a function that yields"):
                        await _all(client, call, 1, **{name: callback})
                with pytest.raises(ConfigurationError, match="on_event is a function that yields"):
                    KallglotClient("sk_test_1", on_event=callback)
            assert emulator.journal.total == 0

    @pytest.mark.parametrize("kind", KINDS)
    async def test_an_outcome_that_is_told_to_nobody_ends_the_call(self, kind):
        """A lambda that returns a generator: what came of it is the caller's own mistake, said at once."""
        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            with pytest.raises(TypeError, match="on_outcome returned generator"):
                await _all(client, kind, 1, on_outcome=lambda outcome: (part for part in [outcome]))


@virtual
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, "on_outcome") for kind in KINDS] + [("analyze_many", "on_created"), ("analyze_many", "on_progress")],
)
async def test_a_callback_that_cancels_its_own_task_cancels_the_call(kind, name):
    """Whichever task that is: no call returns as if the ids of that task had never been asked for."""

    def cancel(*_: object) -> None:
        asyncio.current_task().cancel()

    async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
        call = asyncio.create_task(_all(client, kind, 6, **{name: cancel}))
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.analyses.retrieve("ana_1")).is_complete
        assert client.stats.in_flight == 0
