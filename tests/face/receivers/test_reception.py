"""What is answered when, through either server interface, and that an event is handed over once or comes again."""

import asyncio
import contextlib
import gzip
import logging
import zlib

import aiohttp
import pytest
from aiohttp import web
from support.lazily import lazily
from support.receiving import NOW, SECRET, body_of, converse, headers_of, now, pieces, request_of, serving, signed

from kallglot_async import ConfigurationError, WebhookInbox
from kallglot_async.receivers import WebhookApp, aiohttp_handler
from kallglot_async.webhooks import SIGNATURE_HEADER

httpx = lazily("httpx")


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


async def test_a_handler_that_awaits_what_was_cancelled_has_failed(receiving, caplog):
    """As any other that raises: the server did not cancel it, so that the sender has an answer, and the log a line."""
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    async with receiving(lambda event: cancelled) as call:
        assert (await call(body_of(), signed(body_of()))).status == 500
        assert "handling of webhook 'evt_1' of type 'analysis.complete' failed" in caplog.text


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
    [
        *[(secret, {}) for secret in ("", [], None, 7, [None])],
        *[(SECRET, {"max_body": size}) for size in (0, "1MB", None)],
        *[(SECRET, {"tolerance": seconds}) for seconds in (-1.0, None, "300")],
    ],
)
@pytest.mark.parametrize("make", [WebhookApp, aiohttp_handler])
def test_senseless_settings_are_refused_at_once(make, secrets, options):
    """When the application starts, not when the first event comes."""
    with pytest.raises(ConfigurationError):
        make(WebhookInbox(), secrets, **options)


async def test_a_body_that_is_gone_is_said_to_be_empty(receiving, caplog):
    """Whoever looks for another secret would look for long."""
    caplog.set_level(logging.INFO, "kallglot_async")
    async with receiving(WebhookInbox()) as call:
        assert (await call(b"", signed(body_of()))).status == 401
    assert "the body is empty" in caplog.text
