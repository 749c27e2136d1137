"""Worse than the table: what servers, balancers and generators of JSON have been seen to send.

The same bench as in `test_fault_matrix.py`: one call, exactly counted requests, a typed end, nothing left.
"""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import aiohttp
from support.fault_bench import Bench, BenchOf, Case, Matrix, create, retrieve
from support.wire_faults import Connection, Fault, Script, analysis, answer, closing

from kallglot_async import (
    AnalysisFailedError,
    APIError,
    ConnectionLostError,
    InvalidRequestError,
    ProtocolError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseBodyError,
    ResponseMismatchError,
    ResponseSchemaError,
    ResponseTooLargeError,
    ServerError,
    UnexpectedRedirectError,
    WaitTimeoutError,
)
from kallglot_async.emulator import Latency

ODDITIES = Matrix()
case, transient, lasting, harmless = ODDITIES.case, ODDITIES.transient, ODDITIES.lasting, ODDITIES.harmless
BODY = analysis()
OK = answer(BODY)
PACKED = gzip.compress(BODY)


def with_more(more: bytes) -> bytes:
    """The body with one more member at its end."""
    return BODY[:-1] + b', "more": ' + more + b"}"


def with_head(*lines: bytes, body: bytes = b"") -> bytes:
    """An answer whose head is written by hand."""
    return b"\r\n".join([*lines, b"", b""]) + body


def chunked(body: bytes, *, size: bytes | None = None, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked answer in one chunk."""
    start = b"%x" % len(body) if size is None else size
    return with_head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=start + b"\r\n" + body + b"\r\n" + end)


# framing: well-formed, if unusual


LENGTH = b"Content-Length: %d" % len(BODY)
for _name, _answer in {
    "100 Continue before the answer": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "102 and 103 before the answer": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    + OK,
    "206 for 200": answer(BODY, status="206 Partial Content"),
    "no reason phrase": answer(BODY, status="200"),
    "a lying reason phrase": answer(BODY, status="200 Internal Server Error"),
    "bare line feeds": OK.replace(b"\r\n", b"\n"),
    "a folded header": answer(BODY, "X-Fold: a\r\n b"),
    "a header in Latin-1": with_head(b"HTTP/1.1 200 OK", b"X-Name: M\xfcller", LENGTH, body=BODY),
    "a header of 64 kB": answer(BODY, "Content-Security-Policy: " + "y" * 64_000),
    "two hundred cookies": answer(BODY, *["Set-Cookie: a=b"] * 200),
    "a reason phrase of 64 kB": answer(BODY, status="200 " + "O" * 64_000),
    "a Location with 200": answer(BODY, "Location: http://127.0.0.1:9/"),
    "HTML content type with JSON": answer(BODY, "Content-Type: text/html"),
    "JSON content type twice": answer(BODY, "Content-Type: application/json", "Content-Type: text/plain"),
    "a charset that is wrong": answer(BODY, "Content-Type: application/json; charset=utf-16"),
    "Content-Encoding identity": answer(BODY, "Content-Encoding: identity"),
    "Content-Encoding of a name of its own": answer(BODY, "Content-Encoding: none"),
    "gzip": answer(PACKED, "Content-Encoding: gzip"),
    "gzip in two members": answer(gzip.compress(BODY[:20]) + gzip.compress(BODY[20:]), "Content-Encoding: gzip"),
    "gzip without its trailer": answer(PACKED[:-8], "Content-Encoding: gzip"),
    "deflate with and without a header": answer(zlib.compress(BODY)[2:-4], "Content-Encoding: deflate"),
    "chunk sizes in capitals": chunked(BODY, size=b"%X" % len(BODY)),
    "a chunk extension": chunked(BODY, size=b"%x;foo=bar" % len(BODY)),
    "trailers": chunked(BODY, end=b"0\r\nX-Checksum: 1\r\n\r\n"),
    "HTTP/1.0, until close": closing(b"HTTP/1.0 200 OK\r\n\r\n" + BODY),
    "Connection: close": closing(answer(BODY, "Connection: close")),
    "no length, until close": closing(b"HTTP/1.1 200 OK\r\n\r\n" + BODY),
}.items():
    harmless("framing", _name, _answer, calls=("retrieve", "create"))


# framing: broken


for _name, _answer in {
    "another protocol's first line": closing(b"SSH-2.0-OpenSSH_9\r\n"),
    "HTTP/2 frames": closing(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    "HTTP/0.9": closing(BODY),
    "a status of one digit": answer(BODY, status="0 X"),
    "a status of four digits": answer(BODY, status="1000 X"),
    "NUL in a header": answer(BODY, "X-Nul: a\0b"),
    "a lone CR in a header": answer(BODY, "X-Cr: a\rb"),
    "a space before the colon": answer(BODY, "X-Space : y"),
    "a header without a colon": answer(BODY, "nonsense"),
    "a header without a name": answer(BODY, ": y"),
    "a header of 70 kB": answer(BODY, "X-Big: " + "y" * 70_000),
    "five thousand headers": answer(BODY, *[f"X-{number}: y" for number in range(5000)]),
    "Content-Length: 0 and chunked": with_head(
        b"HTTP/1.1 200 OK",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        body=chunked(BODY).partition(b"\r\n\r\n")[2],
    ),
    "Content-Length twice": answer(BODY, "Content-Length: 7"),
    "Content-Length with a plus": with_head(b"HTTP/1.1 200 OK", b"Content-Length: +5", body=BODY),
    "Content-Length in hex": with_head(b"HTTP/1.1 200 OK", b"Content-Length: 0x10", body=BODY),
    "Content-Length too small": answer(BODY, length=len(BODY) - 5),
    "garbage behind the body": OK + b"garbage",
    "a negative chunk size": chunked(BODY, end=b"-1\r\n\r\n"),
    "a chunk size beyond 64 bits": chunked(BODY, size=b"fffffffffffffffff"),
    "204 with a body": with_head(b"HTTP/1.1 204 No Content", LENGTH, body=BODY),
    "brotli": answer(b"x", "Content-Encoding: br"),
    "a bad status line": Fault(kind="bad_status_line"),
    "two lengths": Fault(kind="two_lengths"),
    "a chunk without a size": Fault(kind="bad_chunk"),
    "ten thousand headers": Fault(kind="header_flood"),
    "trailing bytes": Fault(kind="trailing_bytes"),
}.items():
    transient("broken", _name, ProtocolError, _answer, calls=("retrieve", "create"))

transient("broken", "1xx, then closed", ConnectionLostError, closing(b"HTTP/1.1 102 Processing\r\n\r\n" * 3))
for _name, _answer in {
    "204": with_head(b"HTTP/1.1 204 No Content"),
    "205": answer(b"", status="205 Reset Content"),
    "gzip of nothing": answer(gzip.compress(b""), "Content-Encoding: gzip"),
    "gzip cut in the middle": answer(PACKED[: len(PACKED) // 2], "Content-Encoding: gzip"),
    "gzip twice": answer(gzip.compress(PACKED), "Content-Encoding: gzip, gzip"),
}.items():
    calls = ("retrieve", "create") if _name == "204" else ("retrieve", "create", "wait")  # to a poll: still running
    transient("broken", _name, ResponseBodyError, _answer, calls=calls)


@case("broken", "a header of 10 kB to a session of the caller's, as it is made")
async def _(bench: Bench) -> None:
    """The error says what the session has to be given."""
    server = await bench.server(answer(BODY, "X-Big: " + "y" * 10_000))
    async with aiohttp.ClientSession() as session:
        client = await bench.client(server, session=session, max_attempts=1)
        error = await bench.fails(ProtocolError, retrieve(client, "ana_1"), attempts=1)
    assert "max_field_size" in str(error)


def _floods(first: bytes, block: bytes, kind: type[Exception]) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        async def flood(connection: Connection) -> None:
            await connection.send(first)
            for _ in range(300):
                if not connection.writer.is_closing():
                    await connection.send(block)

        client = await bench.client(await bench.server(flood), timeout=2.0, max_attempts=1, max_response_bytes=2**18)
        await bench.fails(kind, retrieve(client, "ana_1"), attempts=1)  # type: ignore[arg-type]

    return run


for _name, _first, _block, _kind in (
    ("endless 1xx", b"", b"HTTP/1.1 103 X\r\n\r\n" * 100, RequestTimeoutError),
    ("endless empty lines", b"", b"\r\n" * 10_000, RequestTimeoutError),
    ("an endless status line", b"HTTP/1.1 200 ", b"a" * 20_000, ProtocolError),
    ("an endless header", b"HTTP/1.1 200 OK\r\nX: ", b"a" * 20_000, ProtocolError),
    ("an endless chunk extension", chunked(b"").partition(b"0\r\n")[0] + b"5;", b"a" * 20_000, RequestTimeoutError),
    ("endless trailers", chunked(b"").partition(b"0\r\n")[0] + b"0\r\n", b"X-T: y\r\n" * 1000, ProtocolError),
    ("endless chunks of one byte", chunked(b"").partition(b"0\r\n")[0], b"1\r\n \r\n" * 2000, ResponseTooLargeError),
):
    case("broken", _name)(_floods(_first, _block, _kind))


# connections


def _late(data: bytes, *, closes: bool = False) -> Script:
    """Answer, and half a second later send something that nobody asked for."""

    async def script(connection: Connection) -> None:
        await connection.send(OK)
        await asyncio.sleep(0.5)
        await connection.send(data)
        if closes:
            connection.close()

    return script


def _never_taken(data: bytes, *, closes: bool = False) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        server = await bench.server(_late(data, closes=closes), OK)
        client = await bench.client(server)
        await retrieve(client, "ana_1")
        await asyncio.sleep(1.0)
        assert (await bench.succeeds(retrieve(client, "ana_1"))).id == "ana_1"

    return run


case("connection", "late bytes: another analysis")(_never_taken(answer(analysis("ana_9"))))
case("connection", "late bytes: 408, as balancers do")(_never_taken(answer(b"", status="408 Request Timeout")))
case("connection", "late bytes: 408 and a close")(_never_taken(answer(b"", status="408 Timeout"), closes=True))
case("connection", "late bytes: garbage")(_never_taken(b"garbage\r\n\r\n"))
case("connection", "closed while idle")(_never_taken(b"", closes=True))


@case("connection", "unsolicited 408 from the emulator")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="unsolicited", delay=0.5))
    client = await bench.client(emulator)
    for _ in range(3):
        await bench.succeeds(retrieve(client, bench.id))
        await asyncio.sleep(1.0)


@case("connection", "close on every answer, a batch")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(
        Fault(kind="status", rate=0.0, headers={"Connection": "close"}), latency=Latency.uniform(5.0, 20.0)
    )
    emulator.add_fault(Fault(kind="slow", delay=0.0, headers={"Connection": "close"}))
    ids = emulator.seed_analyses(16)
    client = await bench.client(emulator, max_connections=8)
    outcomes = await bench.succeeds(client.wait_many(ids))
    assert len(outcomes.analyses) == 16


@case("connection", "keep-alive race: closed as the next request leaves")
async def _(bench: Bench) -> None:
    async def answer_then_close_on_the_next(connection: Connection) -> None:
        await connection.send(OK)
        await connection.reader.read(1)  # the next request has begun to arrive
        connection.reset()

    server = await bench.server(answer_then_close_on_the_next, OK)
    client = await bench.client(server)
    await retrieve(client, "ana_1")
    await bench.succeeds(create(client, ""))
    assert server.connections == 2
    assert len(server.requests) == 2  # the one that the race lost was never read as a whole


@case("connection", "drops one answer in twelve of a batch", is_slow=True)
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="reset_in_body", rate=0.08), latency=Latency.uniform(5.0, 20.0), seed=4)
    ids = emulator.seed_analyses(100)
    client = await bench.client(emulator, max_connections=8, max_attempts=9)
    outcomes = await bench.succeeds(client.wait_many(ids))
    assert len(outcomes.analyses) == 100
    assert len(emulator.journal.requests(fault="reset_in_body")) > 20


# status


for _code in (405, 406, 410, 413, 414, 415, 418, 431, 451):
    lasting("status", str(_code), APIError, answer(b"{}", status=f"{_code} X"), calls=("retrieve",), status=_code)
for _code in (520, 529, 599, 600, 999):
    transient("status", str(_code), ServerError, answer(b"{}", status=f"{_code} X"), calls=("retrieve",), status=_code)
for _code in (501, 505, 511):
    lasting("status", str(_code), ServerError, answer(b"{}", status=f"{_code} X"), calls=("retrieve",), status=_code)
lasting(
    "status", "101", APIError, with_head(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: x", b"Connection: upgrade")
)
lasting("status", "304", UnexpectedRedirectError, with_head(b"HTTP/1.1 304 Not Modified"), status=304)
lasting("status", "302 without a Location", UnexpectedRedirectError, answer(b"", status="302 Found"), status=302)
lasting("status", "200 with an error's envelope", ResponseSchemaError, answer(b'{"error":{"code":"x","message":"y"}}'))

ENVELOPES: dict[str, bytes] = {
    "a list": b"[]",
    "a text": b'"no"',
    "null": b'{"error":null}',
    "wrong types": b'{"error":{"code":5,"message":{"a":1},"param":[],"request_id":true,"retry_after":"x"}}',
    "a page": b"<html>sk_test_canary7Qx2</html>",
    "nothing": b"",
    "half a character": b'{"error":{"message":"\\ud800"}}',
    "deep nesting": b'{"error":' + b"[" * 5000,
}
for _name, _body in ENVELOPES.items():
    declare = lasting if _name in {"wrong types", "half a character"} else transient  # without one it is a gateway's
    declare("status", f"400 with {_name}", InvalidRequestError, answer(_body, status="400 No"), code=None, param=None)


@case("status", "an error message of control characters and a megabyte")
async def _(bench: Bench) -> None:
    text = "\\u001b[31m\\u202e\\n" + "x" * 1_000_000
    client = await bench.client(
        await bench.server(answer(b'{"error":{"message":"%s"}}' % text.encode(), status="400 No"))
    )
    error = await bench.fails(InvalidRequestError, retrieve(client, "ana_1"), attempts=1)
    assert str(error).isprintable()
    assert len(str(error)) < 400


# limits


def _figures(limit: object, remaining: object, reset: object, *more: str) -> tuple[str, ...]:
    return (f"X-RateLimit-Limit: {limit}", f"X-RateLimit-Remaining: {remaining}", f"X-RateLimit-Reset: {reset}", *more)


SOON = int(time.time()) + 30
FIGURES: dict[str, tuple[str, ...]] = {
    "a limit of 0": _figures(0, 0, SOON),
    "more remaining than the limit": _figures(5, 10, SOON),
    "negative figures": _figures(-5, -1, -1),
    "a reset in ISO form": _figures(5, 0, "2026-01-01T00:00:00Z"),
    "a reset in the past": _figures(5, 0, SOON - 7200),
    "a reset in a century": _figures(5, 0, SOON + 3_000_000_000),
    "figures with units": _figures("150;w=60", "149", SOON),
    "figures in words": _figures("many", "some", "later"),
    "figures of a thousand digits": _figures("9" * 1000, "9" * 1000, "9" * 1000),
    "digits of another script": _figures("\u0661\u0662", "\u0661", SOON),
    "a Date of 1970": ("Date: Thu, 01 Jan 1970 00:00:00 GMT",),
    "a Date that is none": ("Date: yesterday",),
    "a Date beyond the calendar": ("Date: Fri, 31 Dec 9999 23:59:59 -2359",),
}


def _changes_nothing(headers: tuple[str, ...]) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        client = await bench.client(await bench.server(answer(BODY, *headers)))
        started = asyncio.get_running_loop().time()
        for _ in range(20):
            await bench.succeeds(retrieve(client, "ana_1"))
        assert asyncio.get_running_loop().time() - started < 1.0
        assert bench.requests == 20

    return run


for _name, _headers in FIGURES.items():
    case("limits", f"{_name}: as if there were none")(_changes_nothing(_headers))


def _is_waited_out(headers: tuple[str, ...], least: float, most: float) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        client = await bench.client(await bench.server(answer(b"", *headers, status="429 Slow"), OK), timeout=None)
        started = asyncio.get_running_loop().time()
        await bench.succeeds(retrieve(client, "ana_1"))
        assert least <= asyncio.get_running_loop().time() - started <= most
        assert bench.requests == 2

    return run


for _name, _headers in FIGURES.items():
    if not _name.startswith("a Date"):
        case("limits", f"429 with {_name}: 30 s")(_is_waited_out(_headers, 29.9, 40.0))

THEN = formatdate(time.time() - 3600, usegmt=True)
REFUSED: dict[str, tuple[tuple[str, ...], float, float]] = {
    "a reset in seconds from now": (_figures(5, 0, 12), 12.0, 14.0),
    "a reset in milliseconds": (_figures(5, 0, (SOON + 3600) * 1000), 1800.0, 3640.0),
    "Retry-After twice": (("Retry-After: 5", "Retry-After: 9"), 5.0, 15.0),
    "Retry-After in the past": ((f"Retry-After: {THEN}",), 0.0, 2.0),
    "Retry-After of 2**70": (("Retry-After: 1180591620717411303424",), 29.9, 40.0),
    "Retry-After as a float of many digits": (("Retry-After: 4.000000000000001",), 4.0, 10.0),
    "Retry-After with a unit": (("Retry-After: 5s",), 5.0, 7.0),
    "Retry-After in words": (("Retry-After: soon",), 29.9, 40.0),
    "a page of some gateway's": (("Content-Type: text/html", "Retry-After: 3"), 3.0, 10.0),
}
for _name, (_headers, _least, _most) in REFUSED.items():
    case("limits", f"429 with {_name}")(_is_waited_out(_headers, _least, _most))


@case("limits", "429 with a Retry-After of a week, waited for without a deadline", is_slow=True)
async def _(bench: Bench) -> None:
    client = await bench.client(
        await bench.server(answer(b"", "Retry-After: 604800", status="429 X"), OK), timeout=None
    )
    started = asyncio.get_running_loop().time()
    await bench.succeeds(retrieve(client, "ana_1"))
    assert 86_400.0 <= asyncio.get_running_loop().time() - started <= 90_000.0  # a day is the longest taken


@case("limits", "429 in storms between 200s, a batch")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(
        Fault(kind="throttle", rate=0.05, retry_after=2), plan="pro", latency=Latency.uniform(10.0, 60.0), seed=3
    )
    ids = emulator.seed_analyses(60)
    client = await bench.client(emulator, max_connections=8, max_attempts=1)
    outcomes = await bench.succeeds(client.wait_many(ids, timeout=1200.0))
    assert len(outcomes.analyses) == 60
    assert emulator.journal.refused > 5
    told_at = [entry.at for entry in emulator.journal.requests(status=429)]
    assert not [entry for entry in emulator.journal for at in told_at if at + 0.1 < entry.at < at + 1.9]


@case("limits", "429 for ever")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="throttle", retry_after=1))
    client = await bench.client(emulator)
    await bench.fails_with((RateLimitedError, RequestTimeoutError), retrieve(client, bench.id))
    await bench.fails(WaitTimeoutError, client.wait(bench.id, timeout=60.0), last_status=None)
    assert bench.requests <= 100


# JSON


for _name, _body in {
    "a key twice, the last counts": with_more(b'1, "more": 2'),
    "a score of 10**400": analysis(results={"quality": {"overall_score": 10**400}}),
    "nesting of 900": with_more(b"[" * 900 + b"]" * 900),
    "escapes in every name": BODY.replace(b'"status"', b'"\\u0073tatus"'),
    "a hundred thousand members": with_more(b"{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}"),
    "whitespace around": b" \r\n\t" + BODY + b"\r\n ",
    "complete without results": analysis(results=None),
}.items():
    harmless("JSON", _name, answer(_body), calls=("retrieve", "create"))

for _name, _body in {
    "an integer of 5,000 digits": with_more(b"1" + b"0" * 5000),
    "a float beyond the range": with_more(b"1e400"),
    "invalid UTF-8 in a field nobody reads": with_more(b'"\xfc"'),
}.items():
    harmless("JSON", _name, answer(_body), calls=("retrieve", "wait"))

for _name, _body in {
    "UTF-16": BODY.decode().encode("utf-16"),
    "a trailing comma": BODY[:-1] + b",}",
    "two documents": BODY + BODY,
    "lines of documents": BODY + b"\n" + BODY + b"\n",
    "JSONP": b"cb(" + BODY + b")",
    "a guard against inclusion": b")]}',\n" + BODY,
    "single quotes": BODY.replace(b'"', b"'"),
    "zero bytes": b"\0" * 100,
    "blanks": b"   ",
}.items():
    transient("JSON", _name, ResponseBodyError, answer(_body), calls=("retrieve", "create"))

for _name, _body in {
    "an array": b"[" + BODY + b"]",
    "a text": b'"ok"',
    "true": b"true",
    "an envelope": b'{"data":' + BODY + b"}",
    "object of another case": analysis(object="Analysis"),
    "no object": BODY.replace(b'"object": "analysis", ', b""),
    "status null": analysis(status=None),
    "status of a number": analysis(status=3),
    "status of a list": analysis(status=["complete"]),
    "id null": analysis(None),  # type: ignore[arg-type]
    "id of a number": analysis(5),  # type: ignore[arg-type]
}.items():
    lasting("JSON", _name, ResponseSchemaError, answer(_body))

for _name, _body in {
    "an id of another case": analysis("ANA_1"),
    "an id with a blank": analysis("ana_1 "),
    "an id twice, the last is another": BODY[:-1] + b', "id": "ana_9"}',
}.items():
    transient("JSON", _name, ResponseMismatchError, answer(_body), calls=("retrieve", "wait"))


def _failed(explanation: Any, told: str | None) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        client = await bench.client(await bench.server(answer(analysis(status="failed", error=explanation))))
        error = await bench.fails(AnalysisFailedError, client.wait("ana_1"))
        assert error.analysis.error_message == told

    return run


for _name, _explanation, _told in (
    ("a text", "boom", "boom"),
    ("an object", {"code": "x", "message": "boom"}, "boom"),
    ("an object whose message is a list", {"message": ["boom"]}, None),
    ("a number", 7, None),
    ("null", None, None),
):
    case("JSON", f"failed with {_name}")(_failed(_explanation, _told))


# one test for each kind of oddity


@ODDITIES.of("framing")
async def test_unusual_framing(case: Case, bench_of: BenchOf) -> None:
    """What HTTP allows is understood, in one request."""
    await bench_of("odd framing", case)


@ODDITIES.of("broken")
async def test_broken_framing(case: Case, bench_of: BenchOf) -> None:
    """What is no HTTP is a typed error, repeated where a repetition may help."""
    await bench_of("odd bytes", case)


@ODDITIES.of("connection")
async def test_odd_connections(case: Case, bench_of: BenchOf) -> None:
    """Connections that end, or speak, when nobody expects it cost the caller nothing."""
    await bench_of("odd connection", case)


@ODDITIES.of("status")
async def test_odd_statuses(case: Case, bench_of: BenchOf) -> None:
    """Every number has a class, and an envelope that cannot be read changes nothing."""
    await bench_of("odd status", case)


@ODDITIES.of("limits")
async def test_odd_limits(case: Case, bench_of: BenchOf) -> None:
    """Figures that cannot be true are treated as absent, and a pause is always finite."""
    await bench_of("odd limits", case)


@ODDITIES.of("JSON")
async def test_odd_json(case: Case, bench_of: BenchOf) -> None:
    """What a generator of JSON gets wrong is a typed error, or nobody's business."""
    await bench_of("odd JSON", case)
