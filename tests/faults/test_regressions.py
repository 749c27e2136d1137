"""Faults that once cost a verdict, an analysis or a key: each stays mended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from support.fault_bench import Bench, BenchOf, Case, Matrix, create, retrieve, wait
from support.wire_faults import Connection, Script, analysis, answer, closing

from kallglot_async import AuthenticationError, NotFoundError, ProxyError
from kallglot_async.emulator import Fault

REGRESSIONS = Matrix()
case, transient, lasting = REGRESSIONS.case, REGRESSIONS.transient, REGRESSIONS.lasting
harmless = REGRESSIONS.harmless
BODY = analysis()
OK = answer(BODY)


def now() -> float:
    return asyncio.get_running_loop().time()


# A verdict whose explanation is lost is still a verdict, though it may be a gateway's, and is asked for again


def cut(status: str, *, reset: bool = False) -> Script:
    """A status with `Retry-After: 5` and a body that ends too early."""
    return closing(answer(b'{"err', "Retry-After: 5", status=f"{status} X", length=99), reset=reset)


CUTS: dict[str, Callable[[str], Script]] = {
    "cut": cut,
    "reset": lambda status: cut(status, reset=True),
    "badly compressed": lambda status: answer(b"xx", "Retry-After: 5", "Content-Encoding: gzip", status=f"{status} X"),
}


def _pauses(script: Script) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        client = await bench.client(await bench.server(script, OK))
        started = now()
        await bench.succeeds(retrieve(client, "ana_1"))
        assert 5.0 <= now() - started <= 7.0
        assert bench.requests == 2

    return run


for _name, _cut in CUTS.items():
    for _status in ("429", "503"):
        case("regressions", f"{_status} whose body is {_name}: its pause is kept")(_pauses(_cut(_status)))
    transient("regressions", f"401 whose body is {_name}", AuthenticationError, _cut("401"), status=401)
    transient("regressions", f"404 whose body is {_name}", NotFoundError, _cut("404"), status=404)


# Bytes that nobody asked for are nobody's answer


def _late(data: bytes) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        async def answer_twice(connection: Connection) -> None:
            await connection.send(OK)
            await asyncio.sleep(0.5)
            await connection.send(data)

        server = await bench.server(answer_twice, OK)
        client = await bench.client(server)
        await retrieve(client, "ana_1")
        await asyncio.sleep(1.0)
        assert (await bench.succeeds(retrieve(client, "ana_1"))).is_complete
        assert server.on_connection == [0, 1]

    return run


for _name, _data in {
    "404": answer(b"{}", status="404 Not Found"),
    "401": answer(b"{}", status="401 No"),
    "408": answer(b"", status="408 Timeout"),
    "an older state of the same analysis": answer(analysis(status="queued")),
}.items():
    case("regressions", f"unsolicited {_name}")(_late(_data))


@case("regressions", "unsolicited answer of an earlier create")
async def _(bench: Bench) -> None:
    async def answer_twice(connection: Connection) -> None:
        await connection.send(answer(analysis("ana_1")))
        await asyncio.sleep(0.5)
        await connection.send(answer(analysis("ana_1")))

    client = await bench.client(await bench.server(answer_twice, answer(analysis("ana_2"))))
    assert (await create(client, "")).id == "ana_1"
    await asyncio.sleep(1.0)
    assert (await bench.succeeds(create(client, ""))).id == "ana_2"


# What careless generators of JSON write costs a field at most


for _name, _body in {
    "half an emoji in the summary": analysis(results={"summary": {"text": "cut \ud83d"}}),
    "half an emoji in an unknown field": BODY[:-1] + b', "more": "\\ud83d"}',
    "NaN": BODY[:-1] + b', "more": NaN}',
    "a score of NaN": analysis(results={"quality": {"overall_score": float("nan")}}),
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "a raw line break in a text": BODY[:-1] + b', "more": "a\nb"}',
}.items():
    harmless("regressions", _name, answer(_body))
for _name, _body in {
    "an integer of 5,000 digits": BODY[:-1] + b', "more": 1' + b"0" * 5000 + b"}",
    "a float beyond the range": BODY[:-1] + b', "more": 1e400}',
    "invalid UTF-8 in a field nobody reads": BODY[:-1] + b', "more": "\xfc"}',
}.items():
    harmless("regressions", f"{_name}, in the answer to a create", answer(_body), calls=("create",))


# Proxies


@case("regressions", "407 on CONNECT names the proxy")
async def _(bench: Bench) -> None:
    proxy = await bench.server(answer(b"", status="407 Authentication Required"))
    bench.environment.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{proxy.port}")
    client = await bench.client("https://api.kallglot.invalid/v1", trust_env=True)
    error = await bench.fails(ProxyError, retrieve(client, "ana_1"), attempts=1, proxy=f"127.0.0.1:{proxy.port}")
    assert error.proxy in str(error)
    assert "hunter2" not in f"{error}{error!r}{vars(error)}"


# The herd


def _spread(call: Any) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(Fault(kind="throttle", retry_after=30, times=20))
        luck = iter(range(10**6))
        clients = [
            await bench.client(emulator, timeout=100.0, random=lambda: next(luck) * 0.618 % 1.0) for _ in range(20)
        ]
        await bench.succeeds(asyncio.gather(*(call(client, bench.id) for client in clients)))
        woken_at = sorted(entry.at for entry in list(emulator.journal)[20:])
        assert woken_at[0] >= 30.0
        assert len({round(at, 1) for at in woken_at}) >= 10

    return run


case("regressions", "20 clients refused at once wake apart", call="retrieve")(_spread(retrieve))
case("regressions", "20 clients refused at once wake apart", call="wait")(_spread(wait))


# What a gateway or a queue says in words of its own is no verdict of the API's


def _outlasted(script: Script) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        client = await bench.client(await bench.server(OK, *[script] * 3, OK))
        await retrieve(client, "ana_1")
        assert (await bench.succeeds(wait(client, "ana_1"))).is_complete
        assert bench.requests == 5

    return run


for _status in ("400 No", "401 No", "403 Forbidden", "404 Not Found"):
    _text = answer(b'{"timestamp":1,"status":403,"error":"Forbidden","path":"/v1"}', status=_status)
    case("regressions", f"{_status[:3]} with an error in words, three times in a wait")(_outlasted(_text))
for _body in (b"{}", b"null", b'{"status":"processing"}', b'{"message":"Accepted"}'):
    _accepted = answer(_body, "Retry-After: 1", status="202 Accepted")
    case("regressions", f"202 with {_body.decode()}, three times in a wait")(_outlasted(_accepted))


@REGRESSIONS.of("regressions")
async def test_regressions(case: Case, bench_of: BenchOf) -> None:
    """Each of them was a defect."""
    await bench_of("regressions", case)
