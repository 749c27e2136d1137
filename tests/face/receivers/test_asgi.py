"""The receiver as an ASGI application: to the letter, and inside of frameworks."""

import asyncio
import logging
import subprocess
import sys
from importlib import import_module

import pytest
from support.lazily import lazily
from support.processes import ROOT
from support.receiving import SECRET, body_of, converse, headers_of, now, request_of, signed

from kallglot_async import WebhookInbox
from kallglot_async.receivers import WebhookApp

httpx = lazily("httpx")


async def test_a_body_may_come_in_pieces():
    """Empty ones and a missing `body` or `more_body` included."""
    body, events = body_of(), []
    app = WebhookApp(events.append, SECRET, clock=now)
    messages = [*request_of(body[:10], b"", body[10:], more=True), {"type": "http.request"}]
    start, end = await converse(app, messages, headers=headers_of(body))
    assert (start["status"], end["body"], end["more_body"]) == (200, b"Accepted", False)
    assert dict(start["headers"]) == {b"content-type": b"text/plain; charset=utf-8", b"content-length": b"8"}
    assert [event.id for event in events] == ["evt_1"]


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
