"""Whatever comes in, a public call returns a value, raises a `KallglotError`, or is cancelled: fuzzed on both sides."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import string
import zlib
from collections.abc import Iterator
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from support.examples import more, texts
from support.virtual import leaving_nothing, run
from support.wire_faults import Connection, RawServer, analysis, answer

from kallglot_async import (
    Analysis,
    APIError,
    KallglotClient,
    KallglotError,
    Outcomes,
)
from kallglot_async._config import Secret
from kallglot_async._core.api.analyses import Revision, create_analysis, decode_analysis, retrieve_analysis
from kallglot_async._core.api.answers import LONGEST_WAIT, interpret, parse_date, parse_rate_figures, request_id_of
from kallglot_async._core.api.answers import parse_retry_after as retry_after
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError, decode_json_object
from kallglot_async._core.api.operation import Response

KEY = Secret("sk_test_canary_0123456789")
CANARY = "she said 4111 1111"  # stands for what was said in a call

# Values that break assumptions, wherever a body may hold a value.
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        2**64,
        10**30,
        1e308,
        -0.0,
        1e-320,
        "",
        " ",
        "\x00",
        "\u2028",
        "é" * 9,
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"message": 7},
        {"message": None},
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-23:59",
        "2026-02-30",
        "24:00",
        "2026-03-26T11:10:00",
        "20260326T111000Z",
        "complete",
        "failed",
        CANARY,
    ]
)
JSON = st.recursive(
    ODD | texts(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(texts(max_size=6), parts, max_size=3),
    max_leaves=8,
)
SAMPLES: list[dict[str, Any]] = [
    json.loads(
        analysis(
            results={
                "sentiment": {
                    "overall": 0.5,
                    "label": "positive",
                    "trend": "improving",
                    "segments": [{"id": "seg_1", "score": 0.1, "label": "neutral"}],
                    "key_moments": [{"segment_id": "seg_1", "type": "x", "description": CANARY}],
                },
                "summary": {"brief": CANARY, "key_points": [CANARY], "outcome": "resolved"},
                "action_items": [
                    {"description": CANARY, "assignee": "agent", "due_date": "2026-04-01", "priority": "high"}
                ],
                "quality": {"score": 85, "talk_ratio": {"agent": 45, "customer": 55}, "interruptions": 2},
                "topics": [{"name": "billing", "confidence": 0.9}],
            },
            created_at="2026-03-26T11:10:00Z",
            completed_at="2026-03-26T11:10:30Z",
            estimated_completion="2026-03-26T11:10:30Z",
            error={"message": "no", "code": 7},
            analyses=["summary"],
        )
    ),
    {
        "id": "anl_1",
        "object": "analysis",
        "session_id": "sess_1",
        "status": "completed",
        "call_id": "c",
        "profile": "default",
        "summary": CANARY,
        "sentiment": {"customer": "calm", "agent": "calm"},
        "compliance": {"status": "ok", "flags": [1]},
        "performance": {"score": 0.8},
        "keywords": ["a"],
        "error": "no",
        "created_at": "2026-03-26T11:10:00Z",
        "completed_at": "2026-03-26T11:10:30Z",
    },
    {
        "error": {
            "type": "rate_limit_error",
            "code": "rate_limit_exceeded",
            "message": CANARY,
            "param": "mode",
            "request_id": "req_1",
            "retry_after": 30,
        }
    },
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give every place in a JSON value."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def with_part(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    """Return the value with another part at a place; `...` takes it away."""
    if not path:
        return part
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and part is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = with_part(copy[path[0]], path[1:], part)
    return copy


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A documented body with some parts replaced, or its bytes damaged."""
    value: Any = draw(st.sampled_from(SAMPLES))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(places(value))))
        part = draw(JSON | st.just(...)) if path else draw(JSON)
        value = with_part(value, path, part)
    body = json.dumps(value).encode()
    damage = draw(st.sampled_from(["none", "none", "none", "cut", "flip", "insert", "nest", "bom", "twice"]))
    place = draw(st.integers(0, len(body)))
    if damage == "cut":
        return body[:place]
    if damage == "flip" and body:
        place %= len(body)
        return body[:place] + bytes([body[place] ^ (1 << draw(st.integers(0, 7)))]) + body[place + 1 :]
    if damage == "insert":
        return body[:place] + draw(st.binary(max_size=6)) + body[place:]
    if damage == "nest":
        depth = draw(st.sampled_from([10, 900, 1100, 50_000]))
        return b'{"id":"ana_1","results":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    return {"bom": b"\xef\xbb\xbf" + body, "twice": body * 2}.get(damage, body)


BODIES = mutants() | st.binary(max_size=64) | JSON.map(lambda value: json.dumps(value).encode())
NUMBERS = st.integers(-5, 10**20).map(str) | st.floats().map(str) | st.text(string.digits + ".-+e _x", max_size=25)
DATES = st.sampled_from(
    [
        "Thu, 26 Mar 2026 11:10:00 GMT",
        "Thu, 26 Mar 2026 11:10:00 -0000",
        "Thu, 31 Feb 2026 11:10:00 GMT",
        "0",
        "1 2 3",
        "Thu, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Thu, 26 Mar 99999999999999999999 0:0:0 GMT",
        "26 Mar 2026",
        "Thu, 26 Mar 2026 11:10:00 +999999",
        "Thu, 26 Mar 2026 99:99:99 GMT",
        "\udcff",
        "a b c d:e:f g",
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date", "X-Request-ID"]
    ),
    NUMBERS | DATES | texts(max_size=20) | st.just("1800000030"),
).map(CIMultiDict)
WALL_NOW = 1_800_000_000.0


# The response path, piece by piece


@more(4)
@given(body=BODIES, revision=st.sampled_from(Revision))
def test_any_body_is_an_analysis_or_one_of_two_errors(body: bytes, revision: Revision) -> None:
    """And no error says anything of what was in the body."""
    for decode in (lambda: decode_analysis(body, revision), lambda: decode_json_object(body)):
        try:
            found: object = decode()
        except (MalformedBodyError, WrongShapeError) as error:
            found = error
        if isinstance(found, Exception):
            assert CANARY not in str(found)
            assert found.__cause__ is None
        else:
            assert isinstance(found, Analysis | dict)


@more(3)
@given(headers=HEADERS, wall_now=st.sampled_from([WALL_NOW, 0.0, 1e12, -1.0]))
def test_any_headers_are_figures_that_can_be_true_or_nothing(headers: CIMultiDict[str], wall_now: float) -> None:
    """What is believed is finite, in range, and never negative."""
    seconds = retry_after(headers, wall_now=wall_now)
    assert seconds is None or 0.0 <= seconds <= LONGEST_WAIT
    figures = parse_rate_figures(headers, wall_now=wall_now)
    if figures is not None:
        assert 0 <= figures.remaining <= figures.limit
        assert 0.0 <= figures.resets_in <= LONGEST_WAIT
    for moment in (parse_date(headers.get("Date", "")), parse_date(headers.get("Retry-After", ""))):
        assert moment is None or math.isfinite(moment)
    request_id = request_id_of(headers, KEY)
    assert request_id is None or (request_id.isascii() and request_id.isprintable())


OPERATIONS = [
    retrieve_analysis("ana_1"),
    retrieve_analysis("anl_1"),
    create_analysis("sess_1", idempotency_key="k", profile="default"),
]


@more(4)
@given(
    body=BODIES,
    headers=HEADERS,
    status=st.integers(100, 999) | st.sampled_from([200, 201, 202, 400, 401, 404, 409, 429, 503]),
    place=st.integers(0, len(OPERATIONS) - 1),
)
def test_any_answer_is_a_value_or_our_own_error(
    body: bytes, headers: CIMultiDict[str], status: int, place: int
) -> None:
    """One line of printable text, nothing foreign behind it, and a value only for the id that was asked for."""
    operation = OPERATIONS[place]
    try:
        found: Any = interpret(operation, Response(status, headers, body), key=KEY, wall_now=WALL_NOW)
    except KallglotError as error:
        found = error
    if isinstance(found, KallglotError):
        assert str(found).isprintable()
        assert found.__cause__ is found.__context__ is None
        assert isinstance(found, APIError) or CANARY not in str(
            found
        )  # an error's own message is the server's to choose
        wait = getattr(found, "retry_after", None)
        assert wait is None or 0.0 <= wait <= LONGEST_WAIT
    else:
        assert 200 <= status < 300
        assert operation.method == "POST" or operation.path.endswith(found.id)
        assert "\n" not in repr(found)


# The response path as a whole: a server that sends what it likes


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer of HTTP, more or less."""
    body = draw(mutants() | st.just(analysis()) | st.just(analysis(status="processing")) | st.binary(max_size=40))
    lines = [
        draw(
            st.sampled_from(
                ["HTTP/1.1 200 OK"] * 8
                + [
                    "HTTP/1.1 204 No Content",
                    "HTTP/1.1 304 Not Modified",
                    "HTTP/1.0 200 OK",
                    "HTTP/1.1 100 Continue",
                    "HTTP/1.1 101 Switching Protocols",
                    "HTTP/1.1 429 Slow",
                    "HTTP/1.1 503",
                    "HTTP/1.1 999 \xff",
                    "HTTP/9.9 200 OK",
                    "HTTP/1.1 200",
                    "HTTP/1.1 2000 OK",
                    "http/1.1 200 ok",
                    "ICY 200 OK",
                    "",
                ]
            )
        )
    ]
    framing = draw(
        st.sampled_from(
            ["length"] * 4
            + [
                "chunked",
                "chunked",
                "bad chunks",
                "both",
                "none",
                "wrong",
                "gzip",
                "bad gzip",
                "deflate",
                "raw deflate",
                "br",
                "zstd",
                "two encodings",
            ]
        )
    )
    if framing == "gzip":
        body = gzip.compress(body)
    elif framing == "deflate":
        body = zlib.compress(body)
    elif framing == "raw deflate":
        body = zlib.compress(body)[2:-4]
    coding = {"bad gzip": "gzip", "raw deflate": "deflate", "two encodings": "gzip, deflate"}.get(framing, framing)
    if framing in ("gzip", "bad gzip", "deflate", "raw deflate", "br", "zstd", "two encodings"):
        lines.append(f"Content-Encoding: {coding}")
    if framing in ("chunked", "bad chunks", "both"):
        lines.append("Transfer-Encoding: chunked")
        half = len(body) // 2
        pieces = [piece for piece in (body[:half], body[half:]) if piece]
        sizes = [
            f"{len(piece):x}"
            if framing == "chunked"
            else draw(
                st.sampled_from([f"{len(piece):x}", f"{len(piece) + 3:x}", "-1", "zz", "", "f" * 20, '5;ext="\r\n'])
            )
            for piece in pieces
        ]
        body = b"".join(size.encode() + b"\r\n" + piece + b"\r\n" for size, piece in zip(sizes, pieces, strict=True))
        body += draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0"]))
    if framing == "both" or framing not in ("chunked", "bad chunks", "none", "wrong"):
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "wrong":
        wrong = [str(len(body) + 5), str(max(0, len(body) - 5)), "-1", "1e3", "", "9" * 30, "5, 5", "+5", "0x5"]
        lines.append(f"Content-Length: {draw(st.sampled_from(wrong))}")
    for name, value in draw(HEADERS).items():
        lines.append(f"{name}: {value}")
    lines += draw(
        st.lists(
            st.sampled_from(
                [
                    "Set-Cookie: a=b; Max-Age=x",
                    "Set-Cookie: \x01",
                    "Location: //[",
                    "Connection: close",
                    "X:" + "y" * 9000,
                    "No colon",
                    " folded",
                    "Content-Type: \xff/\xfe; charset=nope",
                    "Link: <",
                    "Upgrade: h2c",
                    "Trailer: X",
                    "WWW-Authenticate: Digest",
                    "Content-Length: 3",
                    "X-\x00: 1",
                    "Retry-After: 0",
                ]
            ),
            max_size=3,
        )
    )
    data = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


class Hostile:
    """A script for each request in turn, until the server turns good."""

    def __init__(self, scripts: list[tuple[bytes, str, int]]) -> None:
        self.scripts = list(scripts)

    async def __call__(self, connection: Connection) -> None:
        data, ending, piece = self.scripts.pop(0) if self.scripts else (answer(analysis()), "close", 10**6)
        for start in range(0, len(data), piece):
            if connection.writer.is_closing():
                return
            await connection.send(data[start : start + piece])
        if ending == "close":
            connection.close()
        elif ending == "reset":
            connection.reset()


SCRIPTS = st.tuples(
    answers() | st.binary(max_size=80), st.sampled_from(["stay", "close", "reset"]), st.sampled_from([1, 7, 10**6])
)


@more(1)
@given(scripts=st.lists(SCRIPTS, min_size=1, max_size=4), call=st.sampled_from(["retrieve", "wait", "many", "create"]))
def test_whatever_a_server_sends_a_call_ends_as_promised(scripts: list[Any], call: str) -> None:
    """A value, or our own error within the deadline; the slots are back, and the next good answer is taken."""

    async def main() -> None:
        hostile = Hostile(scripts)
        async with (
            RawServer(hostile) as server,
            KallglotClient("sk_test_1", base_url=server.base_url, random=lambda: 0.0, timeout=5.0) as client,
        ):
            async with leaving_nothing(client):
                try:
                    async with asyncio.timeout(120.0):
                        found: Any = await {
                            "retrieve": lambda: client.analyses.retrieve("ana_1"),
                            "wait": lambda: client.wait("ana_1", timeout=30.0),
                            "many": lambda: client.wait_many(["ana_1", "ana_2"], timeout=30.0),
                            "create": lambda: client.analyses.create("sess_1", analyses=["summary"]),
                        }[call]()
                except KallglotError as error:
                    found = error
            event(type(found).__name__)
            if isinstance(found, Outcomes):
                assert all(outcome.ok != isinstance(outcome.error, KallglotError) for outcome in found)
            elif isinstance(found, KallglotError):
                assert str(found).isprintable()
            else:
                assert found.id == "ana_1" or call == "create"
            hostile.scripts.clear()
            assert (await client.analyses.retrieve("ana_1", timeout=200_000.0)).id == "ana_1"

    run(main)
