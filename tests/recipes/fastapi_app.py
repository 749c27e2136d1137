"""A FastAPI backend: one client for the whole process, webhooks instead of most polls, and answers in time.

    pip install kallglot-async fastapi uvicorn
    export KALLGLOT_API_KEY=sk_live_... KALLGLOT_WEBHOOK_SECRET=whsec_...
    uvicorn --factory fastapi_app:create_app

One client means one rate limit: hundreds of requests share it, and two that ask for the same analysis are one poller.
The inbox lives in one process; with several workers a webhook reaches one of them, and the others poll.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from kallglot_async import (
    Analysis,
    AnalysisFailedError,
    KallglotClient,
    KallglotError,
    NotFoundError,
    RateLimitedError,
    WaitTimeoutError,
    WebhookInbox,
)
from kallglot_async.receivers import WebhookApp

PATIENCE = 25.0  # seconds that a caller may be kept waiting: less than the proxy in front of this gives it

STATUSES = {RateLimitedError: 503, WaitTimeoutError: 504, NotFoundError: 404, AnalysisFailedError: 422}


def create_app() -> FastAPI:
    inbox = WebhookInbox()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # max_rate_wait: rather an error now than a caller who waits for the next window.
        async with KallglotClient(inbox=inbox, max_rate_wait=0.5) as client:
            app.state.kallglot = client
            yield

    webhooks = WebhookApp(inbox, os.environ["KALLGLOT_WEBHOOK_SECRET"])
    app = FastAPI(lifespan=lifespan, routes=[Route("/webhooks/kallglot", webhooks)])

    @app.get("/analyses/{id}")
    async def read(id: str, request: Request) -> Response:
        client: KallglotClient = request.app.state.kallglot
        analysis = await client.analyses.retrieve(id)  # overtakes every poll, or fails fast
        if not analysis.is_settled:
            analysis = await client.wait(id, timeout=PATIENCE)
        return answer(analysis)

    @app.post("/sessions/{session_id}/analyses")
    async def create(session_id: str, request: Request) -> Response:
        client: KallglotClient = request.app.state.kallglot
        # A caller who repeats the request with the same key gets the same analysis, and pays once.
        key = request.headers.get("Idempotency-Key")
        created = await client.analyses.create(session_id, analyses=["summary", "sentiment"], idempotency_key=key)
        return answer(created, status=202)

    @app.exception_handler(KallglotError)
    async def explain(request: Request, error: KallglotError) -> Response:
        headers = {}
        if isinstance(error, RateLimitedError | WaitTimeoutError):
            headers["Retry-After"] = str(math.ceil(error.retry_after or 1.0))
        body = {"error": type(error).__name__, "message": error.message}
        return answer(body, status=STATUSES.get(type(error), 502), headers=headers)

    return app


def answer(value: Analysis | dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # msgspec writes its own values; FastAPI's encoder does not know them.
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
