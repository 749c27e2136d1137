"""An aiohttp.web backend: the client lives as long as the application, webhooks end most waits.

pip install kallglot-async
export KALLGLOT_API_KEY=sk_live_... KALLGLOT_WEBHOOK_SECRET=whsec_...
python -m aiohttp.web -H 127.0.0.1 -P 8080 aiohttp_app:create_app
"""

import os
from collections.abc import AsyncGenerator

from aiohttp import web

from kallglot_async import InvalidIdError, KallglotClient, NotFoundError, WaitTimeoutError, WebhookInbox
from kallglot_async.receivers import aiohttp_handler

CLIENT = web.AppKey("kallglot", KallglotClient)
INBOX = web.AppKey("inbox", WebhookInbox)


async def kallglot(app: web.Application) -> AsyncGenerator[None]:
    async with KallglotClient(inbox=app[INBOX]) as client:
        app[CLIENT] = client
        yield


async def read(request: web.Request) -> web.Response:
    id = request.match_info["id"]
    try:
        analysis = await request.app[CLIENT].wait(id, timeout=25.0)
    except (InvalidIdError, NotFoundError) as error:
        raise web.HTTPNotFound(text=error.message) from None
    except WaitTimeoutError as error:
        raise web.HTTPGatewayTimeout(text=error.message) from None
    return web.Response(body=analysis.to_json(), content_type="application/json")


def create_app(argv: list[str] | None = None) -> web.Application:
    app = web.Application()
    app[INBOX] = WebhookInbox()
    app.cleanup_ctx.append(kallglot)
    app.router.add_get("/analyses/{id}", read)
    app.router.add_post("/webhooks/kallglot", aiohttp_handler(app[INBOX], os.environ["KALLGLOT_WEBHOOK_SECRET"]))
    return app
