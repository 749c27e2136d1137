"""The control plane under `/__emulator__/`: reset, journal, faults, state.

No key is needed and nothing here is limited or recorded; that is safe because the emulator listens on
loopback addresses only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from aiohttp import web

from kallglot_async.emulator.api import Api
from kallglot_async.emulator.faults.plan import Fault
from kallglot_async.emulator.limits import WindowKind
from kallglot_async.emulator.plans import PlanName

PREFIX = "/__emulator__/"
"""Paths that begin so belong to the control plane."""

_encode = msgspec.json.Encoder().encode
_decode_faults = msgspec.json.Decoder(list[Fault] | Fault).decode


async def handle(api: Api, request: web.BaseRequest) -> web.StreamResponse:
    """Serve one request of the control plane."""
    by_method = _ACTIONS.get(request.path.removeprefix(PREFIX))
    if by_method is None:
        return _json({"error": f"unknown path; there are {', '.join(sorted(_ACTIONS))}"}, 404)
    action = by_method.get(request.method)
    if action is None:
        return _json({"error": f"use {' or '.join(by_method)}"}, 405)
    body = await request.read()
    try:
        return _json(action(api, body, dict(request.query)))
    except (msgspec.DecodeError, ValueError) as error:
        return _json({"error": str(error)}, 422)


class EmulatorState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the emulator stands."""

    uptime: float
    """Seconds since the start."""
    wall_time: float
    """Unix seconds on the server's clock, skew included."""
    plan: PlanName
    window: WindowKind
    rate_limit: tuple[int, float] | None
    """What replaces the plan's limits: requests and seconds."""
    seed: int
    analyses: dict[str, int]
    """How many analyses have each status."""
    requests: int
    """Requests recorded, the control plane's own excepted."""
    refused: int
    """Requests answered 429."""
    statuses: dict[int, int]
    """How often each status was answered."""
    credits_used: int
    credits_remaining: int
    """A large number when credits are not counted."""
    faults: int
    """How many faults are declared."""


def state(api: Api) -> EmulatorState:
    """A picture of the emulator now."""
    now = api.clock.now()
    statuses = api.journal.statuses()
    return EmulatorState(
        uptime=now,
        wall_time=api.clock.wall(),
        plan=api.settings.plan,
        window=api.settings.window,
        rate_limit=api.settings.rate_limit,
        seed=api.settings.seed,
        analyses=dict(Counter(analysis.status(now) for analysis in api.service.analyses)),
        requests=api.journal.total,
        refused=api.journal.refused,
        statuses={status: count for status, count in statuses.items() if status is not None},
        credits_used=api.service.credits.used,
        credits_remaining=api.service.credits.remaining,
        faults=len(api.faults.listing()),
    )


def _state(api: Api, body: bytes, query: dict[str, str]) -> object:
    return state(api)


def _reset(api: Api, body: bytes, query: dict[str, str]) -> object:
    api.reset()
    return state(api)


def _journal(api: Api, body: bytes, query: dict[str, str]) -> object:
    after = int(query.get("after", "0"))
    return {
        "total": api.journal.total,
        "refused": api.journal.refused,
        "faults": api.journal.faults(),
        "entries": [entry for entry in api.journal if entry.number > after],
    }


def _faults(api: Api, body: bytes, query: dict[str, str]) -> object:
    return {"faults": [{"fault": fault, "hits": hits} for fault, hits in api.faults.listing()]}


def _add_faults(api: Api, body: bytes, query: dict[str, str]) -> object:
    decoded = _decode_faults(body)
    for fault in decoded if isinstance(decoded, list) else [decoded]:
        api.faults.add(fault)
    return _faults(api, body, query)


def _clear_faults(api: Api, body: bytes, query: dict[str, str]) -> object:
    api.faults.clear()
    return _faults(api, body, query)


_Action = Callable[[Api, bytes, dict[str, str]], object]

_ACTIONS: dict[str, dict[str, _Action]] = {
    "reset": {"POST": _reset},
    "state": {"GET": _state},
    "journal": {"GET": _journal},
    "faults": {"GET": _faults, "POST": _add_faults, "DELETE": _clear_faults},
}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_encode(value), content_type="application/json")
