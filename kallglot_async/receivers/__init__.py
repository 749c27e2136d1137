"""Receive webhooks over HTTP: an ASGI application, and a handler for aiohttp.web. Neither needs a framework.

    inbox = WebhookInbox()
    app.routes.append(Route("/webhooks/kallglot", WebhookApp(inbox, secret)))  # Starlette, FastAPI
    app.router.add_post("/webhooks/kallglot", aiohttp_handler(inbox, secret))  # aiohttp.web

Both take an inbox, or a function of an event, sync or async. What is answered, and when:

    200  the inbox has the event, or the function has returned; also for an event that was accepted before
    400  signed, but not an event; or, to aiohttp's handler, a body that is cut short
    401  no signature that fits, or one that is too old or too new
    404  another path than the one that was set (`WebhookApp`)
    405  not a POST
    413  larger than `max_body`, as the head says or as is found out while reading
    500  the function raised: the event counts as never seen, and Kallglot sends it again
    503  the same event is being handled at this moment; sent again, it is either done or tried anew

Kallglot takes an answer after 30 s for none and sends the event again, so a function with more to do than that
should put the event into a queue. `_reception` decides, `asgi` and `aiohttp_web` carry it out.
"""

from kallglot_async.receivers._reception import Target
from kallglot_async.receivers.aiohttp_web import aiohttp_handler
from kallglot_async.receivers.asgi import WebhookApp

__all__ = ["Target", "WebhookApp", "aiohttp_handler"]
