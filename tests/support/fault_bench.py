"""What the fault matrix is made of: cases, the bench that runs one, and the judgement that all of them share.

A case is one fault met by one client over loopback sockets. Whatever else it asserts, `Bench` demands of every
case: the key is in no error and no log, no slot, connection or task is left, and the client still works.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sized
from traceback import TracebackException
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest
from support.wire_faults import RawServer, Script

from kallglot_async import KallglotClient, KallglotError
from kallglot_async.emulator import Emulator, Fault, Latency

__all__ = ["KEY", "Bench", "BenchOf", "Case", "Matrix", "bench", "create", "retrieve", "wait"]

KEY = "sk_test_canary7Qx2"
T = TypeVar("T")
Call = Callable[[KallglotClient, str], Awaitable[Any]]


async def retrieve(client: KallglotClient, id: str) -> Any:
    """Fetch it once."""
    return await client.analyses.retrieve(id)


async def create(client: KallglotClient, id: str) -> Any:
    """Request an analysis of the session that the raw server's samples are of."""
    return await client.analyses.create("sess_1", analyses=["summary"])


async def wait(client: KallglotClient, id: str) -> Any:
    """Wait until it has settled."""
    return await client.wait(id)


async def wait_many(client: KallglotClient, id: str) -> Any:
    """Wait for a batch of one."""
    return (await client.wait_many([id]))[0].unwrap()


CALLS: dict[str, Call] = {"retrieve": retrieve, "create": create, "wait": wait, "wait_many": wait_many}


class Bench:
    """Starts the servers and the client of one case, calls the client, and judges.

    Args:
        stack: Ends what the case has started.
        caplog: Captures everything from DEBUG on.
        environment: Without proxies and netrc.
    """

    def __init__(
        self, stack: contextlib.AsyncExitStack, caplog: pytest.LogCaptureFixture, environment: pytest.MonkeyPatch
    ) -> None:
        self._stack = stack
        self._caplog = caplog
        self.environment = environment
        self._judges: list[Sized] = []
        self.servers: list[RawServer] = []
        self.did: list[str] = []
        """How each call of the case ended."""
        self.attempts = 0
        """Attempts that the last error reported."""
        self._counted = 0
        self.id = "ana_1"

    @property
    def counted(self) -> int:
        """Requests until the last call under judgement had ended."""
        return self._counted

    @property
    def requests(self) -> int:
        """Requests that the servers of the case have seen."""
        return sum(len(judge) for judge in self._judges)

    async def emulator(self, *faults: Fault, **options: Any) -> Emulator:
        """Start an emulator without limits whose analyses are ready at once; `id` becomes one of its own."""
        settings: dict[str, Any] = {"plan": "unlimited", "latency": Latency.immediate(), "api_key": KEY}
        emulator = await self._stack.enter_async_context(Emulator(faults=faults, **(settings | options)))
        self._judges.append(emulator.journal)
        self.id = emulator.seed_analyses(1)[0]
        return emulator

    async def server(self, *scripts: Script, **options: Any) -> RawServer:
        """Start a server of scripted bytes; the last one started is `servers[-1]`."""
        server = await self._stack.enter_async_context(RawServer(*scripts, **options))
        self._judges.append(server.requests)
        self.servers.append(server)
        return server

    async def client(self, server: Emulator | RawServer | str, **options: Any) -> KallglotClient:
        """Open a client without jitter, and with one connection unless asked for more."""
        base_url = server if isinstance(server, str) else server.base_url
        settings: dict[str, Any] = {"random": lambda: 0.0, "max_connections": 1}
        client = KallglotClient(KEY, base_url=base_url, **(settings | options))
        await self._stack.enter_async_context(client)
        self._stack.callback(assert_idle, client)
        return client

    async def succeeds(self, call: Awaitable[T]) -> T:
        """The call must give a value; returns it."""
        try:
            value = await call
        except KallglotError as error:
            self._note(error)
            raise
        self.did.append("success")
        self._counted = self.requests
        return value

    async def fails(
        self, kind: type[KallglotError], call: Awaitable[Any], *, attempts: int | None = None, **fields: Any
    ) -> Any:
        """The call must fail with exactly this class, these fields, and so many attempts; returns the error."""
        return await self.fails_with((kind,), call, attempts=attempts, **fields)

    async def fails_with(
        self,
        kinds: tuple[type[KallglotError], ...],
        call: Awaitable[Any],
        *,
        attempts: int | None = None,
        **fields: Any,
    ) -> Any:
        """The call must fail with exactly one of these classes."""
        with pytest.raises(KallglotError) as caught:
            self.did.append(f"returned {type(await call).__name__}")
        error = caught.value
        self._note(error)
        assert type(error) in kinds, repr(error)
        if attempts is not None:
            assert error.attempts == len(error.history) == attempts  # type: ignore[attr-defined]
        for name, expected in fields.items():
            assert getattr(error, name) == expected, name
        return error

    def _note(self, error: KallglotError) -> None:
        self.did.append(type(error).__name__)
        self.attempts = getattr(error, "attempts", 0)
        self._counted = self.requests
        self.assert_secret(error)

    def assert_secret(self, error: KallglotError) -> None:
        """The key is in no text that an error can be turned into."""
        report = TracebackException.from_exception(error, capture_locals=False)
        texts = [str(error), repr(error), repr(vars(error)), repr(error.__cause__), repr(error.__context__)]
        for text in [*texts, "".join(report.format()), repr(pickle.dumps(error))]:
            assert KEY not in text

    def judge(self) -> None:
        """What every case must fulfil once everything has ended."""
        assert KEY not in self._caplog.text
        assert self.did, "the case called nothing"


def assert_idle(client: KallglotClient) -> None:
    """No slot, no place in a queue and no connection is taken."""
    state = client.rate_limit
    assert (state.in_flight, state.waiting, client.stats.waiting_for) == (0, 0, 0)
    for lease in client._pool._sessions.values():
        assert lease.in_flight == 0
        assert not lease.session.connector._acquired  # type: ignore[union-attr]


@contextlib.asynccontextmanager
async def bench(
    caplog: pytest.LogCaptureFixture, environment: pytest.MonkeyPatch, report: Callable[[Bench], None]
) -> AsyncIterator[Bench]:
    """A bench for one case; on the way out everything is ended, reported and judged."""
    caplog.set_level("DEBUG")
    before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as stack:
        it = Bench(stack, caplog, environment)
        stack.callback(report, it)
        yield it
    for _ in range(20):  # until what was aborted has noticed
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    it.judge()


class Case(NamedTuple):
    """One fault as one client meets it."""

    fault: str
    run: Callable[[Bench], Awaitable[None]]
    call: str = ""
    """The call that meets the fault, where several calls meet the same one."""
    is_virtual: bool = True
    """Whether it runs under a virtual clock."""
    is_slow: bool = False
    """Whether only the long run has it."""

    @property
    def id(self) -> str:
        """Its name among the tests of its area."""
        return f"{self.fault}, {self.call}" if self.call else self.fault


BenchOf = Callable[[str, Case], Awaitable[None]]
"""Runs a case of an area on a bench of its own; the fixture `bench_of` gives it."""


class Matrix:
    """The cases of a table, by area."""

    def __init__(self) -> None:
        self._cases: dict[str, list[Case]] = {}
        self._turn = 0

    def case(
        self, area: str, fault: str, *, call: str = "", is_virtual: bool = True, is_slow: bool = False
    ) -> Callable[[Callable[[Bench], Awaitable[None]]], Callable[[Bench], Awaitable[None]]]:
        """Declare the decorated function as a case."""

        def declare(run: Callable[[Bench], Awaitable[None]]) -> Callable[[Bench], Awaitable[None]]:
            self._cases.setdefault(area, []).append(Case(fault, run, call, is_virtual, is_slow))
            return run

        return declare

    def of(self, area: str) -> pytest.MarkDecorator:
        """Parametrise a test with the cases of an area."""
        cases = [
            pytest.param(
                case,
                id=case.id,
                marks=[pytest.mark.looptime] * case.is_virtual + [pytest.mark.slow] * case.is_slow,
            )
            for case in self._cases.get(area, [])
        ]
        return pytest.mark.parametrize("case", cases)

    # -- faults that every call meets in the same way: all calls in the long run, and in every run one of them in turn

    def _met_by(self, calls: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
        """Each call, and whether only the long run has it."""
        self._turn += 1
        for place, name in enumerate(calls):
            yield name, place != self._turn % len(calls)

    def transient(
        self,
        area: str,
        fault: str,
        kind: type[KallglotError],
        hostile: Script | Fault,
        *,
        calls: tuple[str, ...] = ("retrieve", "create", "wait"),
        in_wait: int = 3,
        **fields: Any,
    ) -> None:
        """Declare a fault that is retried: twice, then fine, is a success; for ever, an error after three.

        `in_wait`: after how many requests a wait ends, of a client that has met nothing else.
        """
        for name, is_slow in self._met_by(calls):
            attempts = in_wait if name == "wait" else 3
            self.case(area, f"{fault}, twice", call=name, is_slow=is_slow)(_Twice(hostile, CALLS[name]))
            self.case(area, f"{fault}, for ever", call=name, is_slow=is_slow)(
                _Lasting(hostile, CALLS[name], kind, attempts, fields)
            )

    def lasting(
        self,
        area: str,
        fault: str,
        kind: type[KallglotError],
        hostile: Script | Fault,
        *,
        calls: tuple[str, ...] = ("retrieve", "create", "wait"),
        in_wait: int = 1,
        **fields: Any,
    ) -> None:
        """Declare a fault that is final: one request (`in_wait`: so many), one error."""
        for name, is_slow in self._met_by(calls):
            attempts = in_wait if name == "wait" else 1
            self.case(area, fault, call=name, is_slow=is_slow)(_Lasting(hostile, CALLS[name], kind, attempts, fields))

    def harmless(
        self,
        area: str,
        fault: str,
        hostile: Script | Fault,
        *,
        calls: tuple[str, ...] = ("retrieve", "create", "wait"),
        then: Callable[[Any], object] = lambda analysis: None,
    ) -> None:
        """Declare a fault that the caller never notices: one request, and `then` judges the analysis."""
        for name, is_slow in self._met_by(calls):
            self.case(area, fault, call=name, is_slow=is_slow)(_Harmless(hostile, CALLS[name], then))


class _Meeting:
    """A call that meets a fault of the emulator, or a server's script."""

    def __init__(self, hostile: Script | Fault, call: Call) -> None:
        self._hostile = hostile
        self._call = call

    async def _open(self, bench: Bench, times: int | None) -> tuple[KallglotClient, Callable[[], None]]:
        """A client of a server that is hostile so many times, and what makes the server well again."""
        if isinstance(self._hostile, Fault):
            emulator = await bench.emulator(msgspec.structs.replace(self._hostile, times=times))
            return await bench.client(emulator), emulator.clear_faults
        server = await bench.server(self._hostile)
        if times is not None:
            server.heal(after=times)
        return await bench.client(server), server.heal


class _Twice(_Meeting):
    async def __call__(self, bench: Bench) -> None:
        client, _ = await self._open(bench, 2)
        await bench.succeeds(self._call(client, bench.id))
        assert bench.requests == 3


class _Lasting(_Meeting):
    def __init__(
        self, hostile: Script | Fault, call: Call, kind: type[KallglotError], attempts: int, fields: dict[str, Any]
    ) -> None:
        super().__init__(hostile, call)
        self._kind = kind
        self._attempts = attempts
        self._fields = fields

    async def __call__(self, bench: Bench) -> None:
        client, heal = await self._open(bench, None)
        await bench.fails(self._kind, self._call(client, bench.id), attempts=self._attempts, **self._fields)
        assert bench.requests == self._attempts
        heal()
        await retrieve(client, bench.id)


class _Harmless(_Meeting):
    def __init__(self, hostile: Script | Fault, call: Call, then: Callable[[Any], object]) -> None:
        super().__init__(hostile, call)
        self._then = then

    async def __call__(self, bench: Bench) -> None:
        client, _ = await self._open(bench, None)
        self._then(await bench.succeeds(self._call(client, bench.id)))
        assert bench.requests == 1
