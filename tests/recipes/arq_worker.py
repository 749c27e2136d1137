"""An arq worker: the client lives in the worker's context, a job's id is the idempotency key.

    pip install kallglot-async arq
    export KALLGLOT_API_KEY=sk_live_...
    arq arq_worker.WorkerSettings

A producer says `await redis.enqueue_job("analyze", "sess_...")`. As many jobs wait at once as `max_jobs` says: waiting
is cheap here, so let it be many.
"""

from typing import Any, ClassVar

from arq import Retry
from arq.connections import RedisSettings

from kallglot_async import KallglotClient, TransportError, WaitTimeoutError


async def startup(ctx: dict[str, Any]) -> None:
    ctx["kallglot"] = KallglotClient()


async def shutdown(ctx: dict[str, Any]) -> None:
    await ctx["kallglot"].aclose()


async def analyze(ctx: dict[str, Any], session_id: str) -> dict[str, Any]:
    client: KallglotClient = ctx["kallglot"]
    try:
        analysis = await client.analyze(
            session_id, analyses=["summary", "sentiment"], timeout=240.0, idempotency_key=ctx["job_id"]
        )
    except (WaitTimeoutError, TransportError) as error:
        # The next try sends the same key: it finds the analysis that this one has created, and pays for none.
        raise Retry(defer=30.0 * ctx["job_try"]) from error
    return analysis.to_dict()


class WorkerSettings:
    functions: ClassVar = [analyze]
    on_startup = startup
    on_shutdown = shutdown
    max_jobs = 200
    job_timeout = 300  # seconds, longer than the wait
    redis_settings = RedisSettings(host="127.0.0.1")
