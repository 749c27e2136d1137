"""Receivers over HTTP: what is answered when, and that an event is handed over once or comes again."""

import asyncio
import contextlib
import gzip
import inspect
import json
import logging
import subprocess
import sys
import textwrap
import zlib
from importlib import import_module
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from support.lazily import lazily
from support.redis_server import needs_redis, redis_server

from kallglot_async import ConfigurationError, WebhookInbox, receivers
from kallglot_async.receivers import WebhookApp, aiohttp_handler
from kallglot_async.webhooks import SIGNATURE_HEADER, sign

httpx, redis = lazily("httpx", "redis")

ROOT = Path(__file__).parents[2]
NOW = 1774523060
SECRET = "whsec_test_secret"


def now():
    return NOW


def body_of(id="evt_1", about="ana_1", **more):
    return json.dumps({"id": id, "type": "analysis.complete", "data": {"id": about, **more}}).encode()


def signed(body, secret=SECRET, at=NOW):
    return {SIGNATURE_HEADER: sign(body, secret, now=at)}


class Answer:
    """Status, text and headers of an answer, whichever way it came."""

    def __init__(self, status, text, headers):
        self.status, self.text, self.headers = status, text, headers


@contextlib.asynccontextmanager
async def over_asgi(target, secrets=SECRET, **options):
    app = WebhookApp(target, secrets, clock=now, **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:

        async def call(body=b"", headers=None, method="POST"):
            response = await client.request(method, "/hook", content=body, headers=headers)
            return Answer(response.status_code, response.text, response.headers)

        yield call


@contextlib.asynccontextmanager
async def over_aiohttp(target, secrets=SECRET, **options):
    app = web.Application(client_max_size=10)  # does not matter here
    app.router.add_route("*", "/hook", aiohttp_handler(target, secrets, clock=now, **options))
    async with serving(app) as origin, aiohttp.ClientSession() as session:

        async def call(body=b"", headers=None, method="POST"):
            data = pieces(body) if isinstance(body, list) else body
            async with session.request(method, f"{origin}/hook", data=data, headers=headers) as response:
                return Answer(response.status, await response.text(), response.headers)

        yield call


async def pieces(parts):
    for part in parts:
        yield part


@contextlib.asynccontextmanager
async def serving(app):
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture(params=[over_asgi, over_aiohttp], ids=["asgi", "aiohttp"])
def receiving(request):
    """Opens a receiver, through either server interface, and gives a function that sends it requests."""
    return request.param


async def test_an_event_reaches_the_inbox(receiving):
    """200, and whoever waits for the analysis is woken; the second time 200 too, and nobody is."""
    inbox, woken = WebhookInbox(), []
    inbox.listen(lambda id: woken.append(1))
    async with receiving(inbox) as call:
        for _ in range(2):
            assert (await call(body_of(), signed(body_of()))).status == 200
    assert woken == [1]


async def test_any_of_several_secrets_will_do(receiving):
    """A secret is changed without losing an event."""
    inbox = WebhookInbox()
    async with receiving(inbox, ["new", "old"]) as call:
        assert (await call(body_of("evt_1"), signed(body_of("evt_1"), "old"))).status == 200
        assert (await call(body_of("evt_2"), signed(body_of("evt_2"), "new"))).status == 200
        assert (await call(body_of("evt_3"), signed(body_of("evt_3"), "third"))).status == 401
    assert "events=2" in repr(inbox)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (body_of(), {}, 401),
        (body_of(), {SIGNATURE_HEADER: "nonsense"}, 401),
        (body_of(), signed(body_of(), "wrong"), 401),
        (body_of(), signed(body_of(), at=NOW - 301), 401),
        (body_of(), signed(body_of(), at=NOW + 301), 401),
        (body_of() + b" ", signed(body_of()), 401),
        (b"{", signed(b"{"), 400),
        (b"[]", signed(b"[]"), 400),
        (b"", signed(b""), 400),
    ],
)
async def test_what_is_not_genuine_is_refused(receiving, body, headers, status, caplog):
    """401 for signatures, 400 for what was signed but is no event; the log says why, nothing is handed over."""
    caplog.set_level(logging.INFO, "kallglot_async")
    events = []
    async with receiving(events.append) as call:
        answer = await call(body, headers)
    assert (answer.status, answer.text) == (status, {400: "Not an event", 401: "Invalid signature"}[status])
    assert events == []
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.INFO
    assert SECRET not in caplog.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_served(receiving, method):
    """405, and which method to use."""
    async with receiving(WebhookInbox()) as call:
        answer = await call(method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_a_body_that_is_too_large_is_refused(receiving, caplog):
    """413 by its length, or by counting what comes, and the log says so; the limit itself is fine."""
    caplog.set_level(logging.INFO, "kallglot_async")
    body = body_of()
    async with receiving(WebhookInbox(), max_body=len(body)) as call:
        assert (await call(body, signed(body))).status == 200
        assert caplog.text == ""
        assert (await call(body + b" ", signed(body + b" "))).status == 413
        assert f"larger than the {len(body)} bytes of max_body" in caplog.text
        if receiving is over_aiohttp:
            assert (await call([body, b" "], signed(body + b" "))).status == 413
            assert (await call([body[:50], body[50:]], signed(body))).status == 200


async def test_a_handler_that_fails_is_asked_again(receiving, caplog):
    """500, so that the sender tries again, and then the event is no duplicate. The log names it, not its text."""
    calls = []

    async def handle(event):
        calls.append(event.id)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise RuntimeError("the database is away")

    body = body_of(summary="canary")
    async with receiving(handle) as call:
        statuses = [(await call(body, signed(body))).status for _ in range(3)]
    assert statuses == [500, 200, 200]
    assert calls == ["evt_1", "evt_1"]
    [record] = caplog.records
    assert record.getMessage() == "handling of webhook 'evt_1' of type 'analysis.complete' failed"
    assert "canary" not in caplog.text


async def test_a_handler_may_be_an_ordinary_function(receiving):
    """What it returns is awaited if it can be, and of no account otherwise."""
    queue = asyncio.Queue(1)
    async with receiving(queue.put_nowait) as call:
        assert (await call(body_of("evt_1"), signed(body_of("evt_1")))).status == 200
        assert (await call(body_of("evt_2"), signed(body_of("evt_2")))).status == 500  # full: to be sent again
        assert queue.get_nowait().id == "evt_1"
        assert (await call(body_of("evt_2"), signed(body_of("evt_2")))).status == 200


async def test_an_event_is_not_handled_twice_at_once(receiving):
    """503 to a second delivery while the first is being handled: the first may still fail."""
    started, go, calls = asyncio.Event(), asyncio.Event(), []

    async def handle(event):
        calls.append(event.id)
        started.set()
        await go.wait()

    async with receiving(handle) as call:
        first = asyncio.ensure_future(call(body_of(), signed(body_of())))
        await started.wait()
        second = await call(body_of(), signed(body_of()))
        assert (second.status, second.headers["Retry-After"]) == (503, "1")
        other = asyncio.ensure_future(call(body_of("evt_2"), signed(body_of("evt_2"))))
        go.set()
        assert [(await answer).status for answer in (first, other)] == [200, 200]
        assert (await call(body_of(), signed(body_of()))).status == 200
    assert calls == ["evt_1", "evt_2"]


def compressed(body, encoding):
    return {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding.lower(), bytes)(body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", "gzip, identity", "unheard-of"])
async def test_a_compressed_body_is_refused_alike(receiving, encoding, caplog):
    """Some servers decode it and some do not: 415, whichever bytes were signed. The log says so."""
    caplog.set_level(logging.INFO, "kallglot_async")
    events, body = [], compressed(body_of(), encoding)
    async with receiving(events.append) as call:
        for was_signed in (body, body_of()):
            answer = await call(body, signed(was_signed) | {"Content-Encoding": encoding})
            assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "identity")
        assert events == []
        assert f"its body is encoded ('{encoding}')" in caplog.text
        assert (await call(body_of(), signed(body_of()))).status == 200


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_identity_is_no_compression(receiving, encoding):
    """It says that the bytes are as they were signed."""
    async with receiving(WebhookInbox()) as call:
        assert (await call(body_of(), signed(body_of()) | {"Content-Encoding": encoding})).status == 200


class Shared:
    """A memory of events as processes share it; `faults` names the methods that fail."""

    def __init__(self):
        self.ids, self.asked, self.faults = set(), [], set()

    async def add(self, event_id, /):
        self.asked.append(("add", event_id))
        is_new = event_id not in self.ids
        self.ids.add(event_id)
        if "add" in self.faults:
            raise ConnectionError("lost after it was added")
        return is_new

    async def discard(self, event_id, /):
        self.asked.append(("discard", event_id))
        if "discard" in self.faults:
            raise ConnectionError("lost")
        self.ids.discard(event_id)


async def test_processes_can_share_what_they_have_seen(receiving):
    """An event that one accepted is accepted by the other, and not handled again; each remembers its own as well."""
    seen, first, second = Shared(), [], []
    async with receiving(first.append, seen=seen) as one, receiving(second.append, seen=seen) as other:
        for call in (one, other, one, other):
            assert (await call(body_of("evt_1"), signed(body_of("evt_1")))).status == 200
        assert (await other(body_of("evt_2"), signed(body_of("evt_2")))).text == "Accepted"
        assert (await one(body_of("evt_2"), signed(body_of("evt_2")))).text == "Accepted before"
    assert ([event.id for event in first], [event.id for event in second]) == (["evt_1"], ["evt_2"])
    assert seen.asked == [("add", "evt_1"), ("add", "evt_1"), ("add", "evt_2"), ("add", "evt_2")]


async def test_what_is_not_genuine_reaches_no_shared_memory(receiving):
    """Nobody can have an event taken for handled who does not know the secret."""
    seen = Shared()
    async with receiving(WebhookInbox(), seen=seen) as call:
        assert (await call(body_of(), signed(b"other"))).status == 401
    assert seen.asked == []


async def test_a_failed_event_is_discarded_everywhere(receiving):
    """The next delivery is new to every process."""
    seen, handled = Shared(), []

    def fail(event):
        raise RuntimeError("no")

    async with receiving(fail, seen=seen) as one, receiving(handled.append, seen=seen) as other:
        assert (await one(body_of(), signed(body_of()))).status == 500
        assert (await other(body_of(), signed(body_of()))).text == "Accepted"
    assert len(handled) == 1


async def test_a_shared_memory_that_fails_loses_no_event(receiving):
    """500 and the next delivery tries again, also where the failed `add` has added."""
    seen, handled = Shared(), []
    async with receiving(handled.append, seen=seen) as call:
        seen.faults = {"add"}
        assert (await call(body_of(), signed(body_of()))).status == 500
        assert handled == []
        seen.faults = set()
        assert (await call(body_of(), signed(body_of()))).text == "Accepted"
    assert len(handled) == 1


async def test_what_could_not_be_discarded_is_named(receiving, caplog):
    """Both causes are logged: why it was not handled, and that it will be taken for handled."""
    seen = Shared()
    seen.faults = {"add", "discard"}
    async with receiving(WebhookInbox(), seen=seen) as call:
        assert (await call(body_of(), signed(body_of()))).status == 500
    messages = [record.getMessage() for record in caplog.records if record.name == "kallglot_async.receivers"]
    assert messages == [
        "webhook 'evt_1' was not handled, and is remembered as if it were",
        "handling of webhook 'evt_1' of type 'analysis.complete' failed",
    ]


@pytest.mark.looptime
@pytest.mark.parametrize("faults", [set(), {"discard"}], ids=["works", "fails"])
async def test_a_cancelled_event_is_discarded_everywhere(faults):
    """And the cancellation goes on its way, whatever the memory does."""
    seen, body = Shared(), body_of()
    seen.faults = faults
    app = WebhookApp(lambda event: asyncio.sleep(3600), SECRET, clock=now, seen=seen)
    task = asyncio.ensure_future(converse(app, request_of(body), headers=headers_of(body)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen.asked == [("add", "evt_1"), ("discard", "evt_1")]


@pytest.mark.parametrize(
    ("secrets", "options"),
    [("", {}), ([], {}), (None, {}), (SECRET, {"max_body": 0}), (SECRET, {"tolerance": -1.0})],
)
@pytest.mark.parametrize("make", [WebhookApp, aiohttp_handler])
def test_senseless_settings_are_refused_at_once(make, secrets, options):
    """When the application starts, not when the first event comes."""
    with pytest.raises(ConfigurationError):
        make(WebhookInbox(), secrets, **options)


# ASGI to the letter


async def converse(app, messages, **scope):
    """Call an application with these messages; return what it sent."""
    waiting, sent = list(messages), []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    full = {"type": "http", "method": "POST", "path": "/", "root_path": "", "headers": []}
    await app(full | scope, receive, send)
    assert waiting == []
    return sent


def request_of(*parts, more=False):
    last = len(parts) - 1
    return [
        {"type": "http.request", "body": part, "more_body": more or place < last} for place, part in enumerate(parts)
    ]


def headers_of(body):
    return [(name.lower().encode(), value.encode()) for name, value in signed(body).items()]


async def test_a_body_may_come_in_pieces():
    """Empty ones and a missing `body` or `more_body` included."""
    body, events = body_of(), []
    app = WebhookApp(events.append, SECRET, clock=now)
    messages = [*request_of(body[:10], b"", body[10:], more=True), {"type": "http.request"}]
    start, end = await converse(app, messages, headers=headers_of(body))
    assert (start["status"], end["body"], end["more_body"]) == (200, b"Accepted", False)
    assert dict(start["headers"]) == {b"content-type": b"text/plain; charset=utf-8", b"content-length": b"8"}
    assert [event.id for event in events] == ["evt_1"]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_a_middleware_may_hand_the_body_on_in_a_buffer(kind):
    """As one does that has collected it in a `bytearray`: it is the body that was signed."""
    body, events = body_of(), []
    app = WebhookApp(events.append, SECRET, clock=now)
    start, _ = await converse(app, request_of(kind(body)), headers=headers_of(body))
    assert (start["status"], [event.id for event in events]) == (200, ["evt_1"])


async def test_a_client_that_goes_while_it_sends_is_forgotten_quietly():
    """Nothing is sent, nothing is raised, nothing is handed over."""
    body, events = body_of(), []
    app = WebhookApp(events.append, SECRET, clock=now)
    messages = [*request_of(body, more=True), {"type": "http.disconnect"}]
    assert await converse(app, messages, headers=headers_of(body)) == []
    assert events == []


async def test_a_client_that_goes_before_the_answer_is_no_error():
    """The event is handed over all the same: the retry will be a duplicate."""
    body, events = body_of(), []
    app = WebhookApp(events.append, SECRET, clock=now)

    async def receive():
        return request_of(body)[0]

    async def send(message):
        raise OSError("gone")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers_of(body)}
    await app(scope, receive, send)
    assert len(events) == 1


async def test_a_handler_that_is_cancelled_has_not_handled_it():
    """The cancellation goes on its way, and the retry is no duplicate."""
    body, calls, started = body_of(), [], asyncio.Event()

    async def handle(event):
        calls.append(event.id)
        started.set()
        if len(calls) == 1:
            await asyncio.Event().wait()

    app = WebhookApp(handle, SECRET, clock=now)
    task = asyncio.ensure_future(converse(app, request_of(body), headers=headers_of(body)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    start, _ = await converse(app, request_of(body), headers=headers_of(body))
    assert (start["status"], calls) == (200, ["evt_1", "evt_1"])


async def test_a_handler_that_awaits_what_was_cancelled_has_failed(receiving, caplog):
    """As any other that raises: the server did not cancel it, so that the sender has an answer, and the log a line."""
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    async with receiving(lambda event: cancelled) as call:
        assert (await call(body_of(), signed(body_of()))).status == 500
        assert "handling of webhook 'evt_1' of type 'analysis.complete' failed" in caplog.text


@pytest.mark.parametrize("length", [b"1001", b"9" * 5000])
async def test_a_length_beyond_the_limit_is_refused_unread(length):
    """Not one byte of the body is asked for."""
    app = WebhookApp(WebhookInbox(), SECRET, clock=now, max_body=1000)
    start, _ = await converse(app, [], headers=[(b"content-length", length)])
    assert start["status"] == 413


@pytest.mark.parametrize("length", [b"-1", b"many", b"\xb2", b""])
async def test_a_length_that_is_none_is_no_matter(length):
    """What comes is counted."""
    body = body_of()
    app = WebhookApp(WebhookInbox(), SECRET, clock=now)
    start, _ = await converse(app, request_of(body), headers=[*headers_of(body), (b"content-length", length)])
    assert start["status"] == 200


async def test_an_endless_body_is_left_at_the_limit():
    """413 as soon as it is too much, whatever else would come."""
    app = WebhookApp(WebhookInbox(), SECRET, clock=now, max_body=1000)
    start, _ = await converse(app, request_of(b"x" * 600, b"x" * 600, more=True))
    assert start["status"] == 413


@pytest.mark.parametrize("headers", [headers_of(body_of()) * 2, [(b"kallglot-signature", b"t=1,v1=\xff\x00")]])
async def test_odd_signature_headers_are_refused(headers):
    """Two of them, since which was meant is not for us to choose; and bytes that are no text."""
    app = WebhookApp(WebhookInbox(), SECRET, clock=now)
    start, _ = await converse(app, request_of(body_of()), headers=headers)
    assert start["status"] == 401


@pytest.mark.parametrize(
    ("path", "root", "status"),
    [
        ("/hook", "", 200),
        ("/hook/", "", 200),
        ("/", "", 404),
        ("/hook/x", "", 404),
        ("/a/hook", "/a", 200),
        ("/a/hook/", "/a", 200),
        ("/ab/hook", "/a", 404),
    ],
)
@pytest.mark.parametrize("demanded", ["/hook", "/hook/", "hook"])
async def test_a_path_can_be_demanded(path, root, status, demanded):
    """Below a mount or not, and with a slash at its end or not; everything else is not found."""
    body = body_of()
    app = WebhookApp(WebhookInbox(), SECRET, clock=now, path=demanded)
    messages = request_of(body) if status == 200 else []
    start, _ = await converse(app, messages, path=path, root_path=root, headers=headers_of(body))
    assert start["status"] == status


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v2"])
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut off", "passed on"])
async def test_a_proxys_prefix_is_no_part_of_the_path(prefix, is_cut):
    """Which `root_path` tells of: whether a proxy cuts it off or passes it on, below the mount is the same path."""
    inner = WebhookApp(WebhookInbox(), SECRET, clock=now, path="/hook")
    routing, applications = import_module("starlette.routing"), import_module("starlette.applications")
    app = applications.Starlette(routes=[routing.Mount("/hooks", inner)])
    transport = httpx.ASGITransport(app, root_path=prefix)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        body, before = body_of(), "" if is_cut else prefix
        assert (await client.post(f"{before}/hooks/hook", content=body, headers=signed(body))).status_code == 200
        assert (await client.post(f"{before}/hooks/other", content=body, headers=signed(body))).status_code == 404


@pytest.mark.parametrize(("path", "root"), [("/", ""), ("", ""), ("/a/", "/a"), ("/a", "/a")])
async def test_the_root_can_be_demanded(path, root):
    """`path="/"` is what a mount hands on for its own path, in whatever way."""
    body = body_of()
    app = WebhookApp(WebhookInbox(), SECRET, clock=now, path="/")
    start, _ = await converse(app, request_of(body), path=path, root_path=root, headers=headers_of(body))
    assert start["status"] == 200
    start, _ = await converse(app, [], path=f"{root}/other", root_path=root, headers=headers_of(body))
    assert start["status"] == 404


async def test_other_scopes_are_answered():
    """A server may start and stop it as an application of its own; a WebSocket is closed, the rest refused."""
    app = WebhookApp(WebhookInbox(), SECRET)
    said = await converse(app, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], type="lifespan")
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (await converse(app, [], type="websocket"))[0]["type"] == "websocket.close"
    with pytest.raises(ValueError, match="telnet"):
        await converse(app, [], type="telnet")


@pytest.mark.looptime
@pytest.mark.parametrize("parts", [[], [b"{"], [b"{"] * 9], ids=["nothing", "a byte", "a byte a second"])
async def test_a_stalled_body_ends_after_ten_seconds(parts, caplog):
    """408, however much of it has come, and the log says why; nothing is handed over, a later delivery is new."""
    caplog.set_level(logging.INFO, "kallglot_async")
    body, events, loop = body_of(), [], asyncio.get_running_loop()
    app, waiting, sent = WebhookApp(events.append, SECRET, clock=now), list(parts), []

    async def receive():
        await asyncio.sleep(1.0 if waiting else 3600.0)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    async def send(message):
        sent.append(message)

    began = loop.time()
    await app({"type": "http", "method": "POST", "path": "/", "headers": headers_of(body)}, receive, send)
    assert loop.time() - began == pytest.approx(10.0, abs=0.1)
    assert (sent[0]["status"], events) == (408, [])
    assert "not there within 10 s" in caplog.text
    assert (await converse(app, request_of(body), headers=headers_of(body)))[0]["status"] == 200


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


async def test_a_body_that_is_gone_is_said_to_be_empty(receiving, caplog):
    """Whoever looks for another secret would look for long."""
    caplog.set_level(logging.INFO, "kallglot_async")
    async with receiving(WebhookInbox()) as call:
        assert (await call(b"", signed(body_of()))).status == 401
    assert "the body is empty" in caplog.text


# The shared memory in Redis


async def stand_in(reader, writer):
    """Serve what the example asks of Redis; `SET` with `NX` and `EX`, and `DEL`."""
    kept = stand_in.kept
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        match words:
            case [b"SET", key, _, b"EX", _, b"NX"] | [b"SET", key, _, b"NX", b"EX", _]:
                writer.write(b"$-1\r\n" if key in kept else b"+OK\r\n")
                kept.add(key)
            case [b"DEL", key]:
                writer.write(b":%d\r\n" % (key in kept))
                kept.discard(key)
            case _:
                writer.write(b"+OK\r\n")
    writer.close()


@contextlib.asynccontextmanager
async def redis_stand_in(directory):
    stand_in.kept = set()
    server = await asyncio.start_server(stand_in, "127.0.0.1", 0)
    async with server:
        yield {"port": server.sockets[0].getsockname()[1], "protocol": 2}  # it answers nothing to a HELLO


@contextlib.asynccontextmanager
async def real_redis(directory):
    async with redis_server(directory) as server:
        yield {"port": server.port}


SERVERS = [pytest.param(redis_stand_in, id="stand-in"), pytest.param(real_redis, id="redis-server", marks=needs_redis)]


@pytest.mark.parametrize("server", SERVERS)
async def test_the_example_shares_events_by_redis(server, tmp_path):
    """The code in the docstring, with the client of the `redis` package, as two workers have it."""
    documented = inspect.cleandoc(receivers.__doc__)
    code = documented[documented.index("    class Seen:") : documented.index("    WebhookApp(handle, secret, seen=")]
    async with server(tmp_path) as where, redis.asyncio.Redis(**where) as client:
        names = {"redis": client}
        exec(textwrap.dedent(code), names)  # noqa: S102  # the documentation's own text
        handled, is_down = [], True

        def handle(event):
            if is_down:
                raise RuntimeError("no")
            handled.append(event.id)

        body = body_of()
        one, other = (WebhookApp(handle, SECRET, clock=now, seen=names["Seen"]()) for _ in range(2))

        async def deliver(app):
            start, end = await converse(app, request_of(body), headers=headers_of(body))
            return start["status"], end["body"]

        assert await deliver(one) == (500, b"Not handled")
        is_down = False
        assert await deliver(other) == (200, b"Accepted")
        assert await deliver(one) == (200, b"Accepted before")
        assert handled == ["evt_1"]


# Inside of frameworks

FRAMEWORKS = [("fastapi", "FastAPI"), ("starlette.applications", "Starlette")]


@pytest.mark.parametrize(("module", "framework"), FRAMEWORKS)
async def test_it_can_be_a_route_or_a_mount(module, framework):
    """As the docstring says: a route of its own, or a mount with a path below it; neither is redirected."""
    inbox = WebhookInbox()
    receiver = WebhookApp(inbox, SECRET, clock=now)
    route = import_module("starlette.routing").Route
    app = getattr(import_module(module), framework)(routes=[route("/given", receiver)])
    app.routes.append(route("/webhooks/kallglot", receiver))
    app.add_route("/added", receiver)
    app.mount("/mounted", WebhookApp(inbox, SECRET, clock=now, path="/hook"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        for number, path in enumerate(["/webhooks/kallglot", "/given", "/added", "/mounted/hook"]):
            body = body_of(f"evt_{number}")
            assert (await client.post(path, content=body, headers=signed(body))).status_code == 200
            assert (await client.post(path, content=body, headers=signed(b""))).status_code == 401
            assert (await client.get(path)).status_code == 405
        assert (await client.post("/mounted/other")).status_code == 404
    assert "events=4" in repr(inbox)


ROUTES = """
from {module} import {framework}
from starlette.routing import Mount, Route
from kallglot_async import WebhookInbox
from kallglot_async.receivers import WebhookApp

inbox, SECRET = WebhookInbox(), "secret"
app = {framework}()
app.routes.append(Route("/webhooks/kallglot", WebhookApp(inbox, SECRET)))
app.mount("/webhooks", WebhookApp(lambda event: print(event.id), [SECRET], path="/kallglot"))
other = {framework}(routes=[Route("/webhooks/kallglot", WebhookApp(inbox, SECRET))])
app.router.routes.append(Route("/webhooks/other", WebhookApp(inbox, SECRET)))
mounted = {framework}(routes=[Mount("/webhooks", WebhookApp(inbox, SECRET, path="/kallglot"))])
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("module", "framework"), FRAMEWORKS)
def test_a_strict_type_checker_accepts_each_way(module, framework, tmp_path):
    """The line of the how-to above all; basedpyright reads the same in `tests/typing`."""
    page = (ROOT / "docs" / "how-to" / "webhooks.md").read_text()
    assert 'app.routes.append(Route("/webhooks/kallglot", WebhookApp(inbox, SECRET)))' in page
    file = tmp_path / "routes.py"
    file.write_text(ROUTES.format(module=module, framework=framework))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stdout


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
