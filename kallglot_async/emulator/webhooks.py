"""The emulated server as a sender of webhooks: events, signed deliveries, retries, and what goes wrong with them.

Documented: the envelope, the four headers, the signature, eight attempts with their delays, and that an attempt
without a 2xx within 30 s has failed. Open, and decided here:

- `data` of an analysis event is the whole analysis as a retrieve shows it, as `session.ended` suggests.
- Both revisions send `analysis.complete`: the table of events is the same in both.
- A `webhook_url` of a request gets the same event, signed with the account's secret, beside the account's own.
- Every attempt is stamped and signed anew, and has the retry headers, the first one too.
- The jitter of the delays is a tenth either way.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from typing import Any, Literal, overload

import aiohttp
import msgspec

from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.seeding import fraction, make_id
from kallglot_async.emulator.settings import Settings, is_target

DeliveryState = Literal["pending", "delivered", "failed", "lost", "refused"]
"""Lost: dropped on purpose by `webhook_losses`. Refused: the request's `webhook_url` is not on this machine."""

RETRY_DELAYS = (60.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0)
"""Seconds from each failed attempt to the next; after the eighth the delivery has failed for good."""

ANSWER_LIMIT = 30.0
"""Seconds that a receiver may take; not divided by `speed`, as receivers are not any faster."""

_JITTER = 0.1
_SPREAD = 10.0  # seconds over which reordered events and second copies are spread
_AT_ONCE = 64  # deliveries in flight
_LEAST_SLEEP = 0.001  # seconds; a clock that stands still must not be asked without end


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of one event to one address. Times are seconds since the emulator started."""

    id: str
    """`Kallglot-Webhook-Id`, the same in every attempt."""
    event_id: str
    type: str
    subject_id: str
    """What the event is about: its `data.id`."""
    url: str
    state: DeliveryState
    times: tuple[float, ...] = ()
    """When each attempt had its answer, or failed."""
    statuses: tuple[int | None, ...] = ()
    """What each attempt was answered; None where there was no answer, or none in time."""

    @property
    def attempts(self) -> int:
        """How many attempts have ended."""
        return len(self.statuses)


class DeliveryLog(Sequence[Delivery]):
    """Every delivery of a run, in the order in which they were decided on; a picture of the moment."""

    __slots__ = ("_deliveries",)

    def __init__(self) -> None:
        self._deliveries: dict[str, Delivery] = {}

    @overload
    def __getitem__(self, place: int) -> Delivery: ...
    @overload
    def __getitem__(self, place: slice) -> list[Delivery]: ...
    def __getitem__(self, place: int | slice) -> Delivery | list[Delivery]:
        return list(self._deliveries.values())[place]

    def __len__(self) -> int:
        return len(self._deliveries)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(list(self._deliveries.values()))

    def __repr__(self) -> str:
        states = Counter(delivery.state for delivery in self)
        return f"<DeliveryLog {', '.join(f'{count} {state}' for state, count in states.items()) or 'empty'}>"

    def find(self, id: str) -> Delivery:
        """The delivery with this id.

        Raises:
            KeyError: There is none.
        """
        return self._deliveries[id]

    def put(self, delivery: Delivery) -> None:
        """Add a delivery, or replace it by what has become of it."""
        self._deliveries[delivery.id] = delivery

    def clear(self) -> None:
        """Forget everything."""
        self._deliveries.clear()


class _Parcel(msgspec.Struct, frozen=True):
    """What an attempt sends, besides its headers."""

    delivery_id: str
    url: str
    body: bytes
    created: int
    run: int


class WebhookSender:
    """Makes events and delivers them, while `run` runs; writes down what becomes of every delivery."""

    __slots__ = ("_clock", "_deliveries", "_due", "_events", "_number", "_run", "_settings", "_wake")

    def __init__(self, settings: Settings, clock: Clock, deliveries: DeliveryLog) -> None:
        self._settings = settings
        self._clock = clock
        self._deliveries = deliveries
        self._run = 0
        self._number = 0
        self._wake = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget every event and delivery; what is on its way arrives, but is recorded nowhere."""
        self._run += 1
        self._due: list[tuple[float, int, Callable[[], None] | _Parcel]] = []
        self._events: Counter[tuple[str, str]] = Counter()
        self._deliveries.clear()

    def is_wanted(self, url: str | None = None) -> bool:
        """Whether an event has somewhere to go: to the account's address, or to this one."""
        return self._settings.webhook_url is not None or url is not None

    def schedule(self, at: float, due: Callable[[], None] | _Parcel) -> None:
        """Have a function called, or a parcel sent, at a moment in seconds since the start."""
        # The number keeps what is due at the same moment in order, and the heap from comparing functions.
        self._number += 1
        heappush(self._due, (at, self._number, due))
        self._wake.set()

    def announce(self, type: str, data: dict[str, Any], *, url: str | None = None) -> None:
        """Make an event of what has happened to `data` just now; `url` wants it besides the account's own address."""
        subject = str(data["id"])
        seed, now = self._settings.seed, self._clock.now()
        event_id = make_id("evt", seed, type, subject, self._events[type, subject])
        self._events[type, subject] += 1
        event = {"id": event_id, "type": type, "api_version": "v1", "created_at": self._clock.iso(now), "data": data}
        body = msgspec.json.encode(event)
        # Not the address itself: its port may differ from run to run, and the ids should not.
        for kind, target in (("account", self._settings.webhook_url), ("request", url)):
            if target is None:
                continue
            is_doubled = fraction(seed, "doubled", event_id, kind) < self._settings.webhook_duplicates
            for copy in range(1 + is_doubled):
                id = make_id("wh_del", seed, event_id, kind, copy)
                state = self._fate(id, target)
                self._deliveries.put(
                    Delivery(id=id, event_id=event_id, type=type, subject_id=subject, url=target, state=state)
                )
                if state == "pending":
                    is_late = copy > 0 or self._settings.webhook_reorder
                    delay = fraction(seed, "late", id) * _SPREAD / self._settings.speed if is_late else 0.0
                    self.schedule(now + delay, _Parcel(id, target, body, int(self._clock.wall()), self._run))

    def _fate(self, id: str, url: str) -> DeliveryState:
        if not is_target(url):
            return "refused"
        is_lost = fraction(self._settings.seed, "lost", id) < self._settings.webhook_losses
        return "lost" if is_lost else "pending"

    async def run(self) -> None:
        """Deliver what is due, for ever; cancel it to stop."""
        room = asyncio.Semaphore(_AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as attempts:
            while True:
                while self._due and self._due[0][0] <= self._clock.now():
                    due = heappop(self._due)[2]
                    if isinstance(due, _Parcel):
                        attempts.create_task(self._attempt(session, room, due))
                    else:
                        due()
                # No await since the last look at what is due, so nothing can have been added unnoticed.
                self._wake.clear()
                seconds = max(_LEAST_SLEEP, self._due[0][0] - self._clock.now()) if self._due else None
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()

    async def _attempt(self, session: aiohttp.ClientSession, room: asyncio.Semaphore, parcel: _Parcel) -> None:
        status = None
        async with room:
            if parcel.run != self._run:
                return
            headers = self._headers(parcel)
            # No answer, for whatever reason: a `TimeoutError` is an `OSError`, too.
            with suppress(aiohttp.ClientError, OSError):
                # A redirect is no success, and its target need not be on this machine.
                request = session.post(parcel.url, data=parcel.body, headers=headers, allow_redirects=False)
                async with asyncio.timeout(ANSWER_LIMIT), request as response:
                    status = response.status
        # Else it was forgotten meanwhile.
        if parcel.run == self._run:
            self._on_answer(parcel, status)

    def _headers(self, parcel: _Parcel) -> dict[str, str]:
        # Anew for each attempt: with the first stamp every late retry would be too old for its receiver.
        stamp = int(self._clock.wall())
        signed = f"{stamp}.".encode() + parcel.body
        signature = hmac.new(self._settings.webhook_secret.encode(), signed, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/json",
            "User-Agent": "kallglot-emulator",
            "Kallglot-Signature": f"t={stamp},v1={signature}",
            "Kallglot-Webhook-Id": parcel.delivery_id,
            "Kallglot-Retry-Count": str(self._deliveries.find(parcel.delivery_id).attempts),
            "Kallglot-Original-Timestamp": str(parcel.created),
        }

    def _on_answer(self, parcel: _Parcel, status: int | None) -> None:
        delivery, now = self._deliveries.find(parcel.delivery_id), self._clock.now()
        failed = delivery.attempts  # before this one
        state: DeliveryState = "pending"
        if status is not None and 200 <= status < 300:
            state = "delivered"
        elif failed == len(RETRY_DELAYS):  # that was the last one
            state = "failed"
        else:
            jitter = 1.0 + _JITTER * (2.0 * fraction(self._settings.seed, "retry", delivery.id, failed) - 1.0)
            self.schedule(now + RETRY_DELAYS[failed] * jitter / self._settings.speed, parcel)
        self._deliveries.put(
            msgspec.structs.replace(
                delivery, state=state, times=(*delivery.times, now), statuses=(*delivery.statuses, status)
            )
        )
