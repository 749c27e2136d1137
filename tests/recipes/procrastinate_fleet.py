"""A fleet on Postgres: chunks of ids are jobs of procrastinate, each outcome is a row, and all workers share one limit.

    pip install 'kallglot-async[redis]' procrastinate 'psycopg[binary]'
    export KALLGLOT_API_KEY=sk_live_... KALLGLOT_RATE_LIMIT_URL=redis://127.0.0.1:6379
    export PGHOST=127.0.0.1 PGUSER=postgres PGPASSWORD=...
    python -m procrastinate -a procrastinate_fleet.app schema --apply
    python -c "import asyncio, procrastinate_fleet as fleet; asyncio.run(fleet.enqueue(open('ids.txt').read().split()))"
    python -m procrastinate -a procrastinate_fleet.app worker -q chunks  # as many as you like, under a supervisor
    python -m procrastinate -a procrastinate_fleet.app worker -q rescue  # and one of these

A chunk whose worker is gone is found by its missing heartbeat, however long chunks take, and only what has no row yet
is fetched again.
"""

import os
from collections.abc import Iterable

from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.types import JSONDict, JSONValue

from kallglot_async import AnalysisFailedError, InvalidIdError, KallglotClient, NotFoundError
from kallglot_async.shared import SharedRateLimiter

FINAL = (AnalysisFailedError, InvalidIdError, NotFoundError)
SILENCE = 20.0  # seconds without a heartbeat after which a worker is taken for dead

# `json` and not `jsonb`, which refuses a text with a NUL in it.
TABLE = "CREATE TABLE IF NOT EXISTS outcomes (id text PRIMARY KEY, analysis json, error text)"
LEFT = """SELECT id FROM unnest(%(ids)s::text[]) AS listed (id)
          WHERE NOT EXISTS (SELECT FROM outcomes WHERE outcomes.id = listed.id)"""
STORE = "INSERT INTO outcomes VALUES (%(id)s, %(analysis)s, %(error)s) ON CONFLICT DO NOTHING"

app = App(
    connector=PsycopgConnector(),
    worker_defaults={
        "update_heartbeat_interval": SILENCE / 4,
        "stalled_worker_timeout": SILENCE,
        # Who was told to stop sends no heartbeat: its chunk has to end before it is given to another worker.
        "shutdown_graceful_timeout": SILENCE / 4,
    },
)


async def enqueue(ids: Iterable[str], size: int = 1000) -> None:
    """Make jobs of so many ids, all of them or none; a second time only what has no row is fetched."""
    listed: list[JSONValue] = [*dict.fromkeys(ids)]
    chunks: list[JSONDict] = [{"ids": listed[at : at + size]} for at in range(0, len(listed), size)]
    async with app.open_async():
        await app.connector.execute_query_async(TABLE)
        await fetch.batch_defer_async(*chunks)


@app.task(queue="chunks", retry=RetryStrategy(linear_wait=10))
async def fetch(ids: list[str]) -> None:
    rows = await app.connector.execute_query_all_async(LEFT, ids=ids)
    ids, unsettled = [row["id"] for row in rows], 0
    async with (
        SharedRateLimiter(os.environ["KALLGLOT_RATE_LIMIT_URL"]) as limiter,
        KallglotClient(rate_limit=limiter) as client,
        client.as_completed(ids, timeout=600.0, max_ready=10) as finished,
    ):
        async for outcome in finished:
            if outcome.analysis is not None:
                values = {"analysis": outcome.analysis.to_json().decode(), "error": None}
            elif isinstance(outcome.error, FINAL):
                values = {"analysis": None, "error": str(outcome.error)}
            else:
                unsettled += 1
                continue
            await app.connector.execute_query_async(STORE, id=outcome.id, **values)
    if unsettled:
        raise RuntimeError(f"{unsettled} of {len(ids)} ids are left to the next try")


# A queue of its own, so that no chunk keeps it waiting; of these jobs one at most waits, and one whose worker is killed
# stands in nobody's way.
@app.periodic(cron="* * * * * */10")
@app.task(queue="rescue", queueing_lock="rescue")
async def rescue(timestamp: int) -> None:
    for job in await app.job_manager.get_stalled_jobs(queue="chunks", seconds_since_heartbeat=SILENCE):
        await app.job_manager.retry_job(job)
