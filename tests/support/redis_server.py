"""A real `redis-server` on a free port of this machine, to be stopped, hung, and started again."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """One server; it keeps nothing but what `save` writes."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = None

    async def start(self):
        """Start it, with what is on the disk, and wait until it listens."""
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.folder, "daemonize": "no"}
        argv = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = await asyncio.create_subprocess_exec(
            "redis-server", *argv, *self.options, stdout=subprocess.DEVNULL
        )
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.01)

    def hang(self):
        """Stop it where it stands: connections stay open, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self):
        """Go on, with everything that has piled up."""
        self._process.send_signal(signal.SIGCONT)

    async def stop(self):
        """End it at once; what it had in memory is gone."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)
                self._process.kill()
            await self._process.wait()

    async def restart(self):
        await self.stop()
        await self.start()


@contextlib.asynccontextmanager
async def redis_server(folder, *options):
    server = RedisServer(str(folder), *options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Way:
    """An address at which one server stands, and later perhaps another: connections that were made before stay."""

    def __init__(self, redis, delay=0.0):
        self.leads_to = redis
        self.delay = delay  # seconds until anything comes through, either way
        self._writers = set()
        self.url = None

    async def serve(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.leads_to.port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader, writer):
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await asyncio.sleep(self.delay)
                writer.write(piece)
        writer.close()

    def close(self):
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def way_to(redis, delay=0.0):
    way = Way(redis, delay)
    async with await asyncio.start_server(way.serve, "127.0.0.1", 0) as server:
        way.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield way
        finally:
            way.close()
