"""A Redis of a test's own, at a socket in a directory of the test's; skips where there is none."""

import asyncio
import contextlib
import shutil

import pytest


@contextlib.asynccontextmanager
async def redis_server(directory):
    """Yield the path of its socket."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("there is no redis-server here")
    socket = str(directory / "redis.sock")
    options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", str(directory)]
    server = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(20):
            while b"ready to accept connections" not in (await server.stdout.readline()).lower():
                assert server.returncode is None
        yield socket
    finally:
        server.terminate()
        await server.communicate()
