"""A FastAPI backend: one client for the whole process, webhooks instead of most polls, and answers in time.

    pip install kallglot-async fastapi uvicorn
    export KALLGLOT_API_KEY=sk_live_... KALLGLOT_WEBHOOK_SECRET=whsec_...
    uvicorn --factory fastapi_app:create_app

One client means one rate limit: hundreds of requests share it, and two that ask for the same analysis are one poller.
The inbox lives in one process; with several workers a webhook reaches one of them, and the others poll.
"""

import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route

from kallglot_async import (
    Analysis,
    AnalysisFailedError,
    InvalidIdError,
    KallglotClient,
    KallglotError,
    NotFoundError,
    RateLimitedError,
    WaitTimeoutError,
    WebhookInbox,
)
from kallglot_async.receivers import WebhookApp

PATIENCE = 25.0  # seconds that a caller may be kept waiting: less than the proxy in front of this gives it

STATUSES: dict[type[KallglotError], int] = {
    RateLimitedError: 503,
    WaitTimeoutError: 504,
    NotFoundError: 404,
    InvalidIdError: 404,  # refused before anything is sent
    AnalysisFailedError: 422,
}


def create_app() -> FastAPI:
    inbox = WebhookInbox()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        # max_rate_wait: rather an error now than a caller who waits for the next window.
        async with KallglotClient(inbox=inbox, max_rate_wait=0.5) as client:
            app.state.kallglot = client
            yield

    webhooks = WebhookApp(inbox, os.environ["KALLGLOT_WEBHOOK_SECRET"])
    app = FastAPI(lifespan=lifespan, routes=[Route("/webhooks/kallglot", webhooks)])

    @app.get("/analyses/{id}")
    async def read(id: str, request: Request) -> Analysis:
        client: KallglotClient = request.app.state.kallglot
        analysis = await client.analyses.retrieve(id)  # overtakes every poll, or fails fast
        if not analysis.is_settled:
            analysis = await client.wait(id, timeout=PATIENCE)
        return analysis  # a response type like any other, with its schema in OpenAPI

    @app.post("/sessions/{session_id}/analyses", status_code=202)
    async def create(session_id: str, request: Request) -> Analysis:
        client: KallglotClient = request.app.state.kallglot
        # A caller who repeats the request with the same key gets the same analysis, and pays once.
        key = request.headers.get("Idempotency-Key")
        return await client.analyses.create(session_id, analyses=["summary", "sentiment"], idempotency_key=key)

    @app.exception_handler(KallglotError)
    async def explain(request: Request, error: KallglotError) -> JSONResponse:
        headers: dict[str, str] = {}
        if isinstance(error, RateLimitedError | WaitTimeoutError):
            headers["Retry-After"] = str(math.ceil(error.retry_after or 1.0))
        body = {"error": type(error).__name__, "message": error.message}
        return JSONResponse(body, STATUSES.get(type(error), 502), headers)

    return app
