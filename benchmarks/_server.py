"""A server in a process of its own that answers every request with the founding sample, as fast as asyncio can.

It prints its port and ends when its standard input does, so it cannot outlive the benchmark that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

from benchmarks.samples import COMPLETE_A

_ID = b'"id":"ana_01HDEF456789012"'


class _Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        # One request fits one segment here; the path ends with the id, which the answer must carry.
        id = data.split(b" ", 2)[1].rsplit(b"/", 1)[1]
        body = COMPLETE_A.replace(_ID, b'"id":"' + id + b'"')
        self.transport.write(  # type: ignore[attr-defined]  # a TCP transport writes
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-RateLimit-Limit: 1000000\r\n"
            b"X-RateLimit-Remaining: 999999\r\nX-RateLimit-Reset: 4000000000\r\n"
            b"Date: Tue, 02 Oct 2096 07:05:40 GMT\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )


@contextlib.asynccontextmanager
async def sample_server() -> AsyncIterator[str]:
    """Run the server; gives its base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks._server", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.stdin.close()
        await process.wait()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
