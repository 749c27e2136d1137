"""Webhooks as a strict type checker sees them. Checked by basedpyright, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import assert_type

from aiohttp import web
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from kallglot_async import (
    KallglotError,
    WebhookError,
    WebhookInbox,
    WebhookPayloadError,
    WebhookSignatureError,
    WebhookTimestampError,
)
from kallglot_async.emulator import Delivery, Emulator
from kallglot_async.receivers import SeenEvents, WebhookApp, aiohttp_handler
from kallglot_async.webhooks import Event, EventType, construct_event, parse_event, sign, verify


def an_event_has_its_fields(body: bytes, header: str | bytes | None) -> None:
    """Envelope and data are typed; several secrets may be any sequence of texts or bytes."""
    verify(body, header, ["one", b"other"], now=0.0)
    verify(body.decode(), header, "one", now=0.0)  # pyright: ignore[reportArgumentType]
    event = construct_event(body, header, ("one",), now=0.0, tolerance=60)
    assert_type(event, Event)
    assert_type((event.id, event.type), tuple[str, EventType])
    assert_type((event.is_analysis_settled, event.analysis_id), tuple[bool, str | None])
    assert_type(event.created_at, datetime | None)
    assert_type(event.data.session_id, str | None)
    assert_type(parse_event(body), Event)
    assert_type(sign(body, "one", now=0.0), str)


def errors_are_one_family(error: KallglotError) -> None:
    """Three classes below one."""
    if isinstance(error, WebhookTimestampError):
        assert_type(error.age, float)
    errors: list[WebhookError] = [WebhookTimestampError(), WebhookSignatureError(), WebhookPayloadError()]
    errors.clear()


def an_inbox_takes_callbacks(inbox: WebhookInbox, event: Event) -> None:
    """What a callback returns does not matter."""
    assert_type(inbox.put(event), bool)
    inbox.listen(lambda id: assert_type(id, str))
    inbox.forget(print)
    assert_type(inbox.has_announced("ana_1"), bool)


async def on_event(event: Event) -> None:
    """Handle one event."""


def receivers_fit_their_frameworks(inbox: WebhookInbox) -> None:
    """An inbox, an async function or an ordinary one, in each framework's own terms."""
    app = FastAPI(routes=[Route("/webhooks/kallglot", WebhookApp(inbox, "secret"))])
    app.routes.append(Route("/webhooks/kallglot", WebhookApp(inbox, "secret")))
    Starlette().routes.append(Route("/webhooks/kallglot", WebhookApp(inbox, "secret")))
    FastAPI().mount("/webhooks", WebhookApp(inbox, "secret", path="/kallglot"))
    Starlette().mount("/webhooks", WebhookApp(on_event, ["old", "new"]))
    Starlette(routes=[Mount("/webhooks", WebhookApp(inbox, "secret", path="/kallglot"))])
    app.router.routes.append(Route("/webhooks/other", WebhookApp(inbox, "secret")))
    # Works, but is declared for functions of a request: the documentation shows the lines above.
    app.add_route("/webhooks/added", WebhookApp(inbox, "secret"))  # pyright: ignore[reportArgumentType]
    handler = aiohttp_handler(lambda event: event.id, "secret")
    assert_type(handler, Callable[[web.Request], Awaitable[web.StreamResponse]])
    web.Application().router.add_post("/webhooks/kallglot", handler)


class Seen:
    """The how-to's memory of events, in Redis."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def add(self, event_id: str) -> bool:
        """Whether it is new."""
        return bool(await self.redis.set(f"kallglot:{event_id}", 1, nx=True, ex=3 * 86400))

    async def discard(self, event_id: str) -> int:
        """Forget it; what Redis says to that is of no account."""
        return int(await self.redis.delete(f"kallglot:{event_id}"))


def receivers_take_any_shared_memory(inbox: WebhookInbox, seen: SeenEvents, redis: Redis) -> None:
    """The protocol, and what fits it; a plain set, which is neither shared nor asynchronous, does not."""
    WebhookApp(inbox, "secret", seen=seen)
    WebhookApp(inbox, "secret", seen=Seen(redis))
    aiohttp_handler(inbox, "secret", seen=Seen(redis))
    plain: set[str] = set()
    WebhookApp(inbox, "secret", seen=plain)  # pyright: ignore[reportArgumentType]


def the_emulator_lists_deliveries(emulator: Emulator) -> None:
    """One by one or sliced."""
    assert_type(emulator.deliveries[0], Delivery)
    assert_type(emulator.deliveries[:2], list[Delivery])
    assert_type([delivery.statuses for delivery in emulator.deliveries], list[tuple[int | None, ...]])
