"""Declared faults: every kind on the wire, the selectors, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from support.wire_faults import WIRE_KINDS, Fault

from kallglot_async.emulator import Emulator, Latency
from kallglot_async.emulator.faults.bodies import gzip_bomb
from kallglot_async.emulator.faults.plan import KINDS, FaultBook

HEADERS = {"Authorization": "Bearer sk_test_emulator"}
HANDSHAKE = b"GET /v1/analysis/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_emulator\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(*faults: Fault, **changes: Any) -> AsyncIterator[tuple[Emulator, aiohttp.ClientSession, str]]:
    options: Any = {"plan": "unlimited", "latency": Latency.immediate(), "epoch": 1_800_000_000.0} | changes
    async with Emulator(faults=faults, **options) as emulator, aiohttp.ClientSession(headers=HEADERS) as session:
        [id] = emulator.seed_analyses(1)
        yield emulator, session, f"{emulator.base_url}/analysis/{id}"


def port(emulator: Emulator) -> int:
    return int(emulator.origin.rpartition(":")[2])


async def raw(emulator: Emulator, *, is_kept: bool = False) -> tuple[bytes, BaseException | None]:
    """What a socket sees of the answer, and how the connection ended (None: in order, or kept alive)."""
    [id] = (analysis.id for analysis in emulator.analyses())
    reader, writer = await asyncio.open_connection("127.0.0.1", port(emulator))
    writer.write(HANDSHAKE % id.encode())
    seen = b""
    try:
        while not (is_kept and seen.endswith(b"}")) and (data := await reader.read(65536)):
            seen += data
    except ConnectionResetError as error:
        return seen, error
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return seen, None


async def test_every_kind_is_tested_here() -> None:
    """The list of kinds in this file is the list of kinds there are."""
    single = {"status", "throttle", "gzip_bomb", "redirect", "slow", "hang", "slow_close", "bad_gzip", "unsolicited"}
    assert {*REPLACED, *CUT, *SPOILED, *single} == KINDS | WIRE_KINDS


REPLACED = {
    "html": (b"<!DOCTYPE html>", "text/html"),
    "empty": (b"", "application/json"),
    "null": (b"null", "application/json"),
    "deep_json": (b'{"extra":[[[[', "application/json"),
}


@pytest.mark.parametrize("kind", REPLACED)
async def test_replaced_bodies_come_with_status_200(kind: Any) -> None:
    """A page, nothing, null and deep nesting are whole answers that say 200, unless told otherwise."""
    start, content_type = REPLACED[kind]
    async with serving(Fault(kind=kind, times=1), Fault(kind=kind, status=502, size=3)) as (_, session, url):
        async with session.get(url) as response:
            body = await response.read()
            assert (response.status, response.content_type) == (200, content_type)
            assert body.startswith(start)
            assert start or not body
        async with session.get(url) as response:
            assert response.status == 502
            if kind == "deep_json":
                assert await response.read() == b'{"extra":[[[]]]}'


CUT = {
    # kind: (bytes it begins with, whether the connection is reset, status in the journal)
    "reset": (b"", True, None),
    "close": (b"", False, None),
    "garbage": (b"\x15\x03\x01", False, None),
    "reset_in_head": (b"HTTP/1.1 200 OK\r\n", True, 200),
    "reset_in_body": (b"HTTP/1.1 200 OK\r\n", True, 200),
    "cut_body": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "cut_chunked": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "drip": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "drip_head": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "bad_status_line": (b"HTTP/1.1 2OO OK\r\n", False, 200),
    "two_lengths": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "bad_chunk": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "header_flood": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "trailing_bytes": (b"HTTP/1.1 200 OK\r\n", False, 200),
    "early_hints": (b"HTTP/1.1 103 Early Hints\r\n", None, 200),
}


@pytest.mark.parametrize("kind", CUT)
async def test_broken_connections_break_where_they_should(kind: Any) -> None:
    """Each fault of the wire sends what it promises, then resets or closes; the journal says what was seen."""
    start, is_reset, status = CUT[kind]
    async with serving(Fault(kind=kind, interval=0.0)) as (emulator, _, _):
        seen, error = await raw(emulator, is_kept=is_reset is None)
        assert seen.startswith(start)
        assert (error is not None) == bool(is_reset)
        [entry] = emulator.journal
        assert (entry.status, entry.fault, entry.accepted) == (status, kind, True)
        head, _, body = seen.partition(b"\r\n\r\n")
        if kind in ("reset", "close"):
            assert not seen
        if kind == "reset_in_head":
            assert b"\r\n\r\n" not in seen
        if kind in ("reset_in_body", "cut_body"):
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            assert 0 < len(body) < length
        if kind == "cut_chunked":
            assert b"Transfer-Encoding: chunked" in head
            assert not body.endswith(b"0\r\n\r\n")
        if kind == "two_lengths":
            lengths = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
            assert len(set(lengths)) == 2
        if kind == "bad_chunk":
            assert b"\r\nsize\r\n" in body
        if kind == "header_flood":
            assert head.count(b"\r\nX-Flood-") == 10_000
        if kind == "trailing_bytes":
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            assert msgspec.json.decode(body[:length])["status"] == "complete"
            assert len(body) > length
        if kind == "early_hints":
            assert body.startswith(b"HTTP/1.1 200 OK\r\n")
        if kind in ("drip", "drip_head"):
            assert msgspec.json.decode(body)["status"] == "complete"


async def test_garbage_can_be_chosen() -> None:
    """`body` replaces the bytes that are no HTTP."""
    async with serving(Fault(kind="garbage", body="HTTP/9 2\r\n\r\n")) as (emulator, _, _):
        assert await raw(emulator) == (b"HTTP/9 2\r\n\r\n", None)


SPOILED = ("broken_json", "bad_utf8", "wrong_id", "unknown_status", "missing_field")


@pytest.mark.parametrize("kind", SPOILED)
async def test_spoiled_bodies_are_nearly_right(kind: Any) -> None:
    """The answer is the genuine one but for the one thing that the kind names."""
    async with serving(Fault(kind=kind)) as (_, session, url), session.get(url) as response:
        assert response.status == 200
        body = await response.read()
        assert response.content_length == len(body)
        if kind == "broken_json":
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(body)
            return
        if kind == "bad_utf8":
            with pytest.raises(UnicodeDecodeError):
                body.decode()
            return
        fields = msgspec.json.decode(body)
        asked = url.rpartition("/")[2]
        assert (fields["id"] == asked) == (kind != "wrong_id")
        expected = {"unknown_status": "archiving", "missing_field": None}.get(kind, "complete")
        assert fields.get("status") == expected
        assert fields["object"] == "analysis"


@pytest.mark.parametrize("kind", ["wrong_id", "unknown_status", "missing_field"])
async def test_spoilers_leave_error_envelopes_alone(kind: Any) -> None:
    """An answer that is an error already stays what it is."""
    async with serving(Fault(kind=kind)) as (emulator, session, url):
        for wrong in (url + "x", emulator.base_url + "/nothing"):
            async with session.get(wrong) as response:
                assert response.status == 404
                assert set(await response.json()) == {"error"}


async def test_wrong_id_looks_settled_even_while_the_right_one_is_pending() -> None:
    """The other analysis is complete: a client that does not compare ids takes it for the result."""
    async with serving(Fault(kind="wrong_id"), latency=Latency.uniform(99, 99)) as (emulator, session, url):
        async with session.get(url) as response:
            assert (await response.json())["status"] == "complete"
        path = "/sessions/sess_1/analysis"
        async with session.post(emulator.base_url + path, json={"analyses": ["summary"]}) as response:
            created = await response.json()
            assert (response.status, created["status"]) == (202, "queued")
            assert created["session_id"] != "sess_1"
        with pytest.raises(KeyError):
            emulator.analysis(created["id"])


async def test_status_sends_an_envelope_or_what_it_is_told() -> None:
    """Any status can be sent, with a plausible envelope or with own headers and body."""
    faults = [
        Fault(kind="status", times=1),
        Fault(kind="status", status=599, times=1),
        Fault(kind="status", status=402, headers={"Retry-After": "soon", "x-request-id": None}, body="nope"),
    ]
    async with serving(*faults) as (emulator, session, url):
        async with session.get(url) as response:
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "service_unavailable"
        async with session.get(url) as response:
            assert (response.status, response.reason) == (599, "Unknown")
            assert (await response.json())["error"]["type"] == "api_error"
        async with session.get(url) as response:
            assert (response.status, await response.text()) == (402, "nope")
            assert response.headers["Retry-After"] == "soon"
            assert "X-Request-ID" not in response.headers
        assert emulator.journal.statuses() == {503: 1, 599: 1, 402: 1}
        assert emulator.journal.faults() == {"status": 3}


async def test_a_redirect_points_elsewhere() -> None:
    """The target is in `Location`; nothing is served there."""
    fault = Fault(kind="redirect", location="https://elsewhere.example/")
    async with serving(fault) as (_, session, url), session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "https://elsewhere.example/")


async def test_a_gzip_bomb_unpacks_to_its_size() -> None:
    """A few kilobytes on the wire are a valid gzip stream of many megabytes."""
    fault = Fault(kind="gzip_bomb", size=8 * 1024 * 1024)
    async with serving(fault) as (_, session, url), session.get(url) as response:
        total = 0
        async for chunk in response.content.iter_any():
            total += len(chunk)
        assert int(response.headers["Content-Length"]) < 20_000
        assert total == 8 * 1024 * 1024
    assert gzip.decompress(gzip_bomb(3 * 1024 * 1024)) == b" " * (3 * 1024 * 1024)


async def test_a_field_can_be_left_out() -> None:
    """`body` names the field that `missing_field` takes away."""
    async with serving(Fault(kind="missing_field", body="id")) as (_, session, url), session.get(url) as response:
        fields = await response.json()
        assert "id" not in fields
        assert fields["status"] == "complete"


async def test_a_bad_gzip_is_whole_but_for_its_checksum() -> None:
    """The bytes unpack to the genuine body, and the checksum says that they do not."""
    async with (
        serving(Fault(kind="bad_gzip")) as (_, session, url),
        session.get(url, auto_decompress=False) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        packed = await response.read()
    assert msgspec.json.decode(zlib.decompress(packed[10:-8], -zlib.MAX_WBITS))["status"] == "complete"
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(packed)


@pytest.mark.looptime
async def test_an_unsolicited_answer_comes_later_on_the_idle_connection() -> None:
    """The genuine answer is whole; `delay` later one more arrives that nobody asked for."""
    async with serving(Fault(kind="unsolicited", delay=5.0, body="x")) as (emulator, _, _):
        [id] = (analysis.id for analysis in emulator.analyses())
        reader, writer = await asyncio.open_connection("127.0.0.1", port(emulator))
        writer.write(HANDSHAKE % id.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert msgspec.json.decode(await reader.readexactly(length))["status"] == "complete"
        assert emulator.now == 0.0
        assert await reader.readuntil(b"\r\n\r\nx") == b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 1\r\n\r\nx"
        assert emulator.now == pytest.approx(5.0, abs=0.1)
        writer.close()


@pytest.mark.looptime
async def test_slow_close_ends_the_body_by_a_late_close() -> None:
    """Without a length the body ends with the connection, `delay` after its last byte."""
    async with serving(Fault(kind="slow_close", delay=7.0)) as (emulator, session, url), session.get(url) as response:
        assert response.content_length is None
        assert (await response.json())["status"] == "complete"
        assert emulator.now == pytest.approx(7.0, abs=0.1)


@pytest.mark.looptime
async def test_slow_answers_come_late_and_whole() -> None:
    """The answer is the genuine one, `delay` seconds later."""
    async with serving(Fault(kind="slow", delay=7.0)) as (emulator, session, url):
        async with session.get(url) as response:
            assert (await response.json())["status"] == "complete"
        assert emulator.now == pytest.approx(7.0)


@pytest.mark.looptime
async def test_drip_sends_one_byte_per_interval() -> None:
    """The head comes at once, the body in as many intervals as it has bytes."""
    async with serving(Fault(kind="drip", interval=0.1)) as (emulator, session, url):
        async with session.get(url) as response:
            assert emulator.now == 0.0
            body = await response.read()
        assert emulator.now == pytest.approx(0.1 * len(body), abs=0.2)


@pytest.mark.looptime
async def test_hang_never_answers_and_ends_with_its_client() -> None:
    """A hanging request outlasts any patience and leaves nothing behind when the client gives up."""
    async with serving(Fault(kind="hang", times=1)) as (emulator, session, url):
        tasks = len(asyncio.all_tasks())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10_000):
                await session.get(url)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) <= tasks
        async with session.get(url) as response:
            assert response.status == 200
        assert [(e.status, e.fault) for e in emulator.journal] == [(None, "hang"), (200, None)]


async def test_a_drip_ends_when_its_client_goes() -> None:
    """A client that leaves in the middle of a body is not dripped on any further."""
    async with serving(Fault(kind="drip", interval=0.001, times=1)) as (emulator, session, url):
        async with session.get(url) as response:
            await response.content.readexactly(3)
            response.close()
        async with session.get(url) as response:
            assert response.status == 200
        assert len(emulator.journal) == 2


@pytest.mark.parametrize("retry_after", [30, 1.5, "Wed, 21 Oct 2026 07:28:00 GMT", None, -1])
async def test_a_storm_throttles_without_touching_the_budget(retry_after: Any) -> None:
    """A declared 429 looks like a real one, says what it is told, and charges nothing."""
    fault = Fault(kind="throttle", retry_after=retry_after, times=2)
    async with serving(fault, plan="pro") as (emulator, session, url):
        for _ in range(2):
            async with session.get(url) as response:
                assert response.status == 429
                told = response.headers.get("Retry-After")
                assert told == (None if retry_after is None else str(retry_after))
                assert response.headers["X-RateLimit-Remaining"] == "0"
                assert int(response.headers["X-RateLimit-Reset"]) > emulator.state().wall_time
                assert (await response.json())["error"]["code"] == "rate_limit_exceeded"
        async with session.get(url) as response:
            assert response.headers["X-RateLimit-Remaining"] == "149"
        assert [e.accepted for e in emulator.journal] == [False, False, True]
        assert emulator.journal.refused == 2


async def test_a_storm_on_an_unlimited_plan_has_no_rate_headers() -> None:
    """Without a limit there is nothing for the headers to say."""
    async with serving(Fault(kind="throttle")) as (_, session, url), session.get(url) as response:
        assert response.status == 429
        assert "X-RateLimit-Limit" not in response.headers


async def test_faulted_requests_use_up_budget_and_refused_ones_use_up_no_fault() -> None:
    """The server counted what it then failed to answer; what the limit refuses meets no fault."""
    async with serving(Fault(kind="status", times=2), rate_limit=(1, 3600.0)) as (emulator, session, url):
        statuses = []
        for _ in range(3):
            async with session.get(url) as response:
                statuses.append(response.status)
        assert statuses == [503, 429, 429]
        assert [hits for _, hits in emulator.faults()] == [1]


async def test_selectors_narrow_a_fault_down() -> None:
    """`id` and `operation` decide whom it hits, `after` spares the first, `times` ends it."""
    async with serving() as (emulator, session, url):
        [other] = emulator.seed_analyses(1)
        emulator.add_fault(Fault(kind="status", status=500, id=url.rpartition("/")[2], after=1, times=2))
        emulator.add_fault(Fault(kind="status", status=502, operation="analyses.create"))
        statuses = []
        for _ in range(5):
            async with session.get(url) as response:
                statuses.append(response.status)
            async with session.get(f"{emulator.base_url}/analysis/{other}") as response:
                assert response.status == 200
        assert statuses == [200, 500, 500, 200, 200]
        async with session.post(emulator.base_url + "/sessions/sess_1/analysis", json={}) as response:
            assert response.status == 502
        assert [fault.status for fault, _ in emulator.faults()] == [502]
        emulator.clear_faults()
        assert emulator.faults() == []


async def test_a_create_is_selected_by_its_session() -> None:
    """The `id` of a fault is the session's where the request is a create."""
    async with serving(Fault(kind="status", id="sess_1")) as (emulator, session, _):
        for name, status in (("sess_1", 503), ("sess_2", 202)):
            body = {"analyses": ["summary"]}
            async with session.post(f"{emulator.base_url}/sessions/{name}/analysis", json=body) as response:
                assert response.status == status


async def test_a_lost_answer_can_still_have_taken_effect() -> None:
    """With `takes_effect` the analysis is created although the answer is lost; the key brings it back."""
    lost = [Fault(kind="reset", takes_effect=True, times=1), Fault(kind="status", takes_effect=True, times=1)]
    async with serving(*lost) as (emulator, session, _):
        url, body = emulator.base_url + "/sessions/sess_1/analysis", {"analyses": ["summary"]}
        headers = {"Idempotency-Key": "k1"}
        with pytest.raises(aiohttp.ClientError):
            await session.post(url, json=body, headers=headers)
        async with session.post(url, json=body, headers=headers) as response:
            assert response.status == 503
        async with session.post(url, json=body, headers=headers) as response:
            created = await response.json()
        assert len(emulator.analyses()) == 2  # the seeded one and this one
        assert {entry.analysis_id for entry in emulator.journal} == {created["id"]}
        assert [entry.is_replay for entry in emulator.journal] == [False, True, True]


async def test_a_faulted_poll_counts_only_if_it_takes_effect() -> None:
    """Under `after_polls` a lost request that never reached the service brings the result no nearer."""
    faults = [Fault(kind="status", times=2), Fault(kind="cut_body", times=1)]
    async with serving(*faults, latency=Latency.after_polls(9)) as (emulator, session, url):
        for _ in range(4):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    await response.read()
        assert emulator.analysis(url.rpartition("/")[2]).polls == 2


def test_rates_are_seeded_by_id_whatever_the_order() -> None:
    """About the asked-for share is hit, and which requests depends on seed and id, not on their order."""

    def hits(seed: int, ids: list[str]) -> set[tuple[str, int]]:
        book = FaultBook(seed, [Fault(kind="reset", rate=0.2)])
        turn = dict.fromkeys(ids, 0)
        found = set()
        for id in ids:
            if book.draw(id, "analyses.retrieve", throttle=False):
                found.add((id, turn[id]))
            turn[id] += 1
        return found

    ids = [f"ana_{number}" for number in range(500)] * 4
    assert 300 <= len(hits(0, ids)) <= 500
    assert hits(0, ids) == hits(0, list(reversed(ids)))
    assert hits(0, ids) != hits(1, ids)
    assert len({id for id, _ in hits(0, ids)}) > 200  # the turns of one id have different luck


def test_the_first_declared_fault_that_strikes_is_applied() -> None:
    """Faults for an id and faults for all keep the order of their declaration."""
    book = FaultBook(0)
    book.add(Fault(kind="reset", times=1))
    book.add(Fault(kind="close", id="ana_1", times=1))
    book.add(Fault(kind="close", id="ana_1", times=1))
    book.add(Fault(kind="hang"))
    drawn = [book.draw("ana_1", None, throttle=False) for _ in range(4)]
    assert [fault and fault.kind for fault in drawn] == ["reset", "close", "close", "hang"]
    assert book.draw("ana_1", None, throttle=True) is None
    assert [fault.kind for fault, _ in book.listing()] == ["hang"]
    assert book.draw(None, None, throttle=False) is not None


def test_reset_brings_back_the_faults_of_the_start() -> None:
    """Faults given at the start return with fresh counters; those added later are gone."""
    book = FaultBook(0, [Fault(kind="reset", times=1)])
    book.draw(None, None, throttle=False)
    book.add(Fault(kind="hang"))
    book.reset()
    assert [(fault.kind, hits) for fault, hits in book.listing()] == [("reset", 0)]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "meteor"},
        {"kind": "status", "operation": "analyses.paint"},
        {"kind": "status", "rate": 1.5},
        {"kind": "status", "times": 0},
        {"kind": "status", "after": -1},
        {"kind": "slow", "delay": -1.0},
        {"kind": "drip", "interval": -1.0},
        {"kind": "deep_json", "size": -1},
        {"kind": "slow", "takes_effect": False},
    ],
)
def test_senseless_faults_are_refused(fields: dict[str, Any]) -> None:
    """A fault that cannot be is an error where it is declared, in code as in JSON."""
    with pytest.raises(ValueError):
        Fault(**fields)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Fault)
