"""A taskiq worker: analyze a session once, however often its task is delivered.

    pip install kallglot-async taskiq taskiq-redis
    export KALLGLOT_API_KEY=sk_live_...
    taskiq worker taskiq_worker:broker --ack-type when_executed

In production the broker is a real one, for example `RedisStreamBroker("redis://127.0.0.1:6379")` of taskiq_redis
with a result backend. Everything below stays as it is.
"""

from typing import Annotated, Any

from taskiq import Context, InMemoryBroker, SimpleRetryMiddleware, TaskiqDepends, TaskiqEvents, TaskiqState

from kallglot_async import KallglotClient

broker = InMemoryBroker().with_middlewares(SimpleRetryMiddleware(default_retry_count=3))


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_client(state: TaskiqState) -> None:
    # One client for each worker process: all of its tasks share one rate limit and what was learned.
    state.kallglot = KallglotClient()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_client(state: TaskiqState) -> None:
    await state.kallglot.aclose()


@broker.task(retry_on_error=True)
async def analyze(session_id: str, context: Annotated[Context, TaskiqDepends()]) -> dict[str, Any]:
    client: KallglotClient = context.state.kallglot
    # A task that is tried or delivered again keeps its id, so the second try finds the first one's analysis.
    analysis = await client.analyze(
        session_id, analyses=["summary", "sentiment"], timeout=300.0, idempotency_key=context.message.task_id
    )
    return analysis.to_dict()
