"""Webhooks as they come, and servers and applications that take them."""

import contextlib
import json

from aiohttp import web

from kallglot_async.webhooks import SIGNATURE_HEADER, sign

NOW = 1774523060
SECRET = "whsec_test_secret"


def now():
    return NOW


def body_of(id="evt_1", about="ana_1", **more):
    return json.dumps({"id": id, "type": "analysis.complete", "data": {"id": about, **more}}).encode()


def signed(body, secret=SECRET, at=NOW):
    return {SIGNATURE_HEADER: sign(body, secret, now=at)}


async def pieces(parts):
    for part in parts:
        yield part


@contextlib.asynccontextmanager
async def serving(app):
    """Serve an application of aiohttp, and give its origin."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


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
