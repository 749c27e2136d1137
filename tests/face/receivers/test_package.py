"""The example of the package: several workers that share what they have seen."""

import asyncio
import contextlib
import inspect
import textwrap

import pytest
from support.lazily import lazily
from support.receiving import SECRET, body_of, converse, headers_of, now, request_of
from support.redis_server import needs_redis, redis_server

from kallglot_async import receivers
from kallglot_async.receivers import WebhookApp

redis = lazily("redis")


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
