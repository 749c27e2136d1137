"""The fleet on procrastinate, with a real Postgres and Redis: workers that are killed, and a database that dies."""

import asyncio
import os
import re
import shlex
import signal
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from redis.asyncio import Redis
from support.lazily import lazily
from support.postgres import postgres
from support.redis_server import needs_redis, redis_server

from kallglot_async.emulator import Emulator, Latency

psycopg, procrastinate_fleet = lazily("psycopg", "recipes.procrastinate_fleet")

RECIPES = Path(__file__).parent
FLEET = [sys.executable, "-m", "procrastinate", "-a", "procrastinate_fleet.app"]
ENQUEUE = "import asyncio, procrastinate_fleet as f; asyncio.run(f.enqueue(open({!r}).read().split(), size={}))"
UNFINISHED = "SELECT id FROM procrastinate_jobs WHERE queue_name = 'chunks' AND status <> 'succeeded'"
IDS, CHUNK = 6000, 250
WORKERS = [f"worker-{number}" for number in range(3)]
DEATHS = ["kill", "kill", "kill", "restart", "kill", "kill", "kill"]


class Fleet:
    """Workers, each started again whenever it ends, as `restart: always` does it."""

    def __init__(self, environment, log):
        self._how = {"env": environment, "cwd": RECIPES, "stdout": log, "stderr": log}
        self._running = {}
        self.codes = []
        """What those returned that have ended."""

    async def run(self, *command):
        child = await asyncio.create_subprocess_exec(*command, **self._how)
        assert await child.wait() == 0

    async def keep(self, name, queue):
        while True:
            child = await asyncio.create_subprocess_exec(*FLEET, "worker", "-n", name, "-q", queue, **self._how)
            self._running[name] = child
            try:
                self.codes.append(await child.wait())
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()

    def pid(self, name):
        return self._running[name].pid

    def kill(self, name):
        self._running[name].send_signal(signal.SIGKILL)


def test_the_compose_file_and_the_page_start_what_there_is():
    """Every command is one of procrastinate's, and begun as below; each queue of the recipe has a worker."""
    text = (RECIPES / "compose.yaml").read_text() + (RECIPES.parents[1] / "docs" / "how-to" / "fleet.md").read_text()
    cli = import_module("procrastinate.cli")
    parser = cli.add_arguments(cli.create_parser())
    commands = re.findall(r"procrastinate -a procrastinate_fleet\.app (\w+ .*)$", text, re.MULTILINE)
    assert text.count(" ".join(["python", *FLEET[1:]])) == len(commands)
    parsed = [parser.parse_args(shlex.split(command)) for command in commands]
    served = {queue for command in parsed if command.command == "worker" for queue in command.queues}
    assert served == {
        task.queue
        for name, task in procrastinate_fleet.app.tasks.items()
        if name.startswith(procrastinate_fleet.fetch.__module__)
    }
    assert "schema" in {command.command for command in parsed}
    assert "restart: always" in text


async def until(condition):
    async with asyncio.timeout(240):
        while not condition():  # noqa: ASYNC110  # the emulator is asked, it tells nobody
            await asyncio.sleep(0.02)


async def ask(database, query):
    async with await psycopg.AsyncConnection.connect(database.conninfo) as connection:
        return await (await connection.execute(query)).fetchall()


@pytest.mark.slow
@needs_redis
@pytest.mark.timeout(600)
async def test_a_fleet_loses_nothing_and_repeats_little(tmp_path):
    """6,000 ids, three workers, six kills, one death of Postgres: each id has one row, nothing was refused."""
    ids_file = tmp_path / "ids.txt"
    async with (
        postgres() as database,
        redis_server(tmp_path) as redis,
        Emulator(rate_limit=(600, 5.0), latency=Latency.immediate()) as emulator,
    ):
        ids = emulator.seed_analyses(IDS)
        ids_file.write_text("\n".join(ids))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KALLGLOT_", "PG"))}
        servers = {
            "KALLGLOT_API_KEY": emulator.api_key,
            "KALLGLOT_BASE_URL": emulator.base_url,
            "KALLGLOT_RATE_LIMIT_URL": redis.url,
        }
        with (tmp_path / "fleet.log").open("ab") as log:
            fleet = Fleet(inherited | database.environment | servers, log)
            await fleet.run(*FLEET, "schema", "--apply")
            await fleet.run(sys.executable, "-c", ENQUEUE.format(str(ids_file), CHUNK))
            await leave_a_dead_rescue(fleet, database)
            sharing = await work_through(fleet, database, emulator, redis.url)

        rows = await ask(database, "SELECT id, analysis->>'id', error FROM outcomes")
        [[retried]] = await ask(database, "SELECT count(*) FROM procrastinate_events WHERE type = 'deferred_for_retry'")
        fetched = Counter(entry.id for entry in emulator.journal.requests(operation="analyses.retrieve", status=200))
        repeated = fetched.total() - IDS
        print(f"{repeated} fetched again, {retried} chunks given to another worker or tried again, {emulator.journal}")
        assert sorted(rows) == sorted((id, id, None) for id in ids)
        assert emulator.journal.refused == 0
        assert sharing == set(WORKERS)  # they did agree on one limit, and were not merely lucky
        assert repeated <= 0.02 * IDS
        assert fleet.codes.count(-signal.SIGKILL) == len(DEATHS) - 1
        assert 0 in fleet.codes  # what the page says of workers whose Postgres went away
        assert retried >= len(DEATHS) - 1  # they did hit workers at work


async def leave_a_dead_rescue(fleet, database):
    """As a worker that was killed in the middle of one would."""
    await fleet.run(*FLEET, "defer", "procrastinate_fleet.rescue", '{"timestamp": 0}')
    async with await psycopg.AsyncConnection.connect(database.conninfo) as connection:
        changed = await connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE queue_name = 'rescue'")
        assert changed.rowcount == 1


async def sharers(url):
    """Return the processes that Redis knows as users of one limit; nothing where there is none."""
    async with Redis.from_url(url) as redis:
        limits = [key async for key in redis.scan_iter("kallglot:limit:*:analysis")]
        assert len(limits) <= 1
        fields = [field.decode() for key in limits for field in await redis.hkeys(key)]
        return {int(field.rpartition("-")[2]) for field in fields if field.startswith("p:")}


async def work_through(fleet, database, emulator, redis):
    """Let the fleet do all its chunks, with a death after each of equal parts of the requests.

    Returns:
        The workers that shared one limit meanwhile.
    """
    shared = set()
    kept = [asyncio.create_task(fleet.keep(name, "chunks")) for name in WORKERS]
    kept.append(asyncio.create_task(fleet.keep("rescuer", "rescue")))
    try:
        for number, death in enumerate(DEATHS, 1):
            await until(lambda number=number: emulator.journal.total > number * IDS / (len(DEATHS) + 1))
            known = await sharers(redis)
            shared |= {name for name in WORKERS if fleet.pid(name) in known}
            if death == "kill":
                fleet.kill(WORKERS[number % len(WORKERS)])
            else:
                await database.restart()
        async with asyncio.timeout(240):
            while await ask(database, UNFINISHED):  # noqa: ASYNC110  # Postgres is asked, it tells nobody
                await asyncio.sleep(0.5)
    finally:
        for task in kept:
            task.cancel()
        ended = await asyncio.gather(*kept, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
    return shared
