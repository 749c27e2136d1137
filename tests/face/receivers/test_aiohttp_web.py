"""The receiver as a handler of aiohttp: bodies that others have read, that stall, and that break off."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from support.receiving import SECRET, body_of, now, pieces, serving, signed

from kallglot_async.receivers import aiohttp_handler

# What stands in front of a receiver and reads the body


@pytest.mark.parametrize("name", ["read", "text", "json", "post"])
async def test_a_body_that_a_middleware_of_aiohttp_has_read_is_the_body(name):
    """A log, a recorder of errors or a check of size has had it: aiohttp keeps it, and so it is not empty here."""
    events, body = [], body_of()

    @web.middleware
    async def reads(request, handler):
        await getattr(request, name)()
        return await handler(request)

    app = web.Application(middlewares=[reads])
    app.router.add_post("/hook", aiohttp_handler(events.append, SECRET, clock=now, max_body=len(body)))
    async with serving(app) as origin, aiohttp.ClientSession() as session:
        for sent, status in ((body, 200), (body_of("evt_2", "ana_12"), 413)):
            headers = signed(sent) | {"Content-Type": "application/json"}
            async with session.post(f"{origin}/hook", data=pieces([sent]), headers=headers) as response:
                assert response.status == status
    assert [event.id for event in events] == ["evt_1"]


# aiohttp over a connection


@pytest.mark.looptime
@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 100\r\n\r\n",
        b'Content-Length: 100\r\n\r\n{"id"',
        b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"id"',
    ],
    ids=["nothing", "a part", "a chunk"],
)
async def test_a_stalled_body_over_a_connection_ends_after_ten_seconds(head):
    """408, nothing is handed over, and the connection is closed."""
    events, loop = [], asyncio.get_running_loop()
    app = web.Application()
    app.router.add_post("/hook", aiohttp_handler(events.append, SECRET, clock=now))
    async with serving(app) as origin:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(origin.rpartition(":")[2]))
        began = loop.time()
        writer.write(b"POST /hook HTTP/1.1\r\nHost: x\r\n" + head)
        line = await reader.readline()
        assert loop.time() - began == pytest.approx(10.0, abs=0.1)
        assert line.startswith(b"HTTP/1.1 408 ")
        await reader.read()  # to the end of the connection
        assert loop.time() - began < 21.0
        writer.close()
    assert events == []


@pytest.mark.looptime
async def test_a_connection_that_breaks_in_the_body_is_no_event(caplog):
    """Nothing is handed over, and nothing worse than that is logged."""
    events = []
    app = web.Application()
    app.router.add_post("/hook", aiohttp_handler(events.append, SECRET, clock=now))
    async with serving(app) as origin:
        port = int(origin.rpartition(":")[2])
        for wound in (b"", b"\r\nzz\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"id"' if wound else b'Content-Length: 100\r\n\r\n{"id"'
            writer.write(b"POST /hook HTTP/1.1\r\nHost: x\r\n" + head + wound)
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()
        await asyncio.sleep(0.02)
        async with aiohttp.ClientSession() as session:
            body = body_of()
            async with session.post(f"{origin}/hook", data=body, headers=signed(body)) as response:
                assert response.status == 200
    assert [event.id for event in events] == ["evt_1"]
    # aiohttp itself logs that the second one was no HTTP; that it reached the handler is not to be seen.
    raised = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert [kind for kind in raised if not issubclass(kind, HttpProcessingError)] == []
