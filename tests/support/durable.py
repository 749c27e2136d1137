"""What the tests of durable batches share: an emulator, a client of it, and a look into the file."""

import asyncio
import contextlib
import sqlite3

from kallglot_async import KallglotClient
from kallglot_async._durable.schema import open_to_write
from kallglot_async.emulator import Emulator, Latency


@contextlib.asynccontextmanager
async def served(**options):
    """An emulator that is ready at once, and a client of it. A real clock: a file is written in a thread."""
    async with (
        Emulator(**{"plan": "unlimited", "latency": Latency.immediate(), "speed": 1e4} | options) as server,
        KallglotClient(server.api_key, base_url=server.base_url) as client,
    ):
        yield server, client


def made(path):
    """Make a file in which nothing is yet, and return where it is."""
    open_to_write(path).close()
    return path


def rows(path, columns="id, state", where="1"):
    """What stands in the file, in the order in which ids were added."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM item WHERE {where} ORDER BY seq").fetchall()  # noqa: S608


def change(path, statement, *values):
    """Write into the file as time or another program would."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()


async def until(condition):
    """Wait for what a server or a file shows."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # neither tells anybody
            await asyncio.sleep(0.005)
