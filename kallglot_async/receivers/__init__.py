"""Receive webhooks over HTTP: an ASGI application, and a handler for aiohttp.web. Neither needs a framework.

    inbox = WebhookInbox()
    app.routes.append(Route("/webhooks/kallglot", WebhookApp(inbox, secret)))  # Starlette, FastAPI
    app.router.add_post("/webhooks/kallglot", aiohttp_handler(inbox, secret))  # aiohttp.web

Both take an inbox, or a function of an event, sync or async. What is answered, and when:

    200  the inbox has the event, or the function has returned; also for an event that was accepted before, or that
         `seen` knows
    400  signed, but not an event; or, to aiohttp's handler, a body that is cut short
    401  no signature that fits, or one that is too old or too new
    404  another path than the one that was set (`WebhookApp`)
    405  not a POST
    408  the body was not there within 10 s (aiohttp then keeps the connection for its own `lingering_time`, 10 s more)
    413  larger than `max_body`, as the head says or as is found out while reading
    415  a body with a `Content-Encoding`: what is signed are the bytes themselves
    500  the function or `seen` raised: the event counts as never seen, and Kallglot sends it again
    503  the same event is being handled at this moment; sent again, it is either done or tried anew

Kallglot takes an answer after 30 s for none and sends the event again, so a function with more to do than that
should put the event into a queue. `_reception` decides, `asgi` and `aiohttp_web` carry it out.

Which events were accepted is remembered in each process: the last 100,000. With several workers a function may be
called again for an event whose answer was lost, by another worker. `seen=` shares the memory, here in Redis:

    class Seen:
        async def add(self, event_id: str) -> bool:
            return bool(await redis.set(f"kallglot:{event_id}", 1, nx=True, ex=3 * 86400))
        async def discard(self, event_id: str) -> None:
            await redis.delete(f"kallglot:{event_id}")

    WebhookApp(handle, secret, seen=Seen())
"""

from typing import TYPE_CHECKING

from kallglot_async.receivers._reception import SeenEvents, Target
from kallglot_async.receivers.asgi import WebhookApp

if TYPE_CHECKING:
    from kallglot_async.receivers.aiohttp_web import aiohttp_handler
else:

    def __getattr__(name: str) -> object:
        if name != "aiohttp_handler":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from kallglot_async.receivers.aiohttp_web import aiohttp_handler  # with aiohttp, which no ASGI server needs

        return aiohttp_handler

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["SeenEvents", "Target", "WebhookApp", "aiohttp_handler"]
