"""One request on its way through the emulator: what it asks for, and what has been decided about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, Problem, invalid_field, invalid_request
from kallglot_async.emulator.faults.plan import Fault
from kallglot_async.emulator.journal import JournalEntry
from kallglot_async.emulator.limits.budget import Verdict
from kallglot_async.emulator.routes import Operation, Revision, Route, match

Form = TypeVar("Form", bound=msgspec.Struct)

# Where msgspec names the member: "Invalid enum value 'x' - at `$.analyses[0]`".
_MEMBER = re.compile(r"`\$\.(\w+)[^`]*`$")


class Exchange:
    """What is known about one request while it is served; `default` is the revision where nothing tells it."""

    def __init__(
        self, request: web.BaseRequest, body: bytes | Problem, *, number: int, clock: Clock, default: Revision
    ) -> None:
        self.number = number
        self.request_id = f"req_{number:012d}"
        self.now = clock.now()
        self.wall = clock.wall()
        self.method = request.method
        self.path = request.path
        self.query: Mapping[str, str] = request.query
        self.headers: Mapping[str, str] = request.headers
        self.origin = f"{request.scheme}://{request.host}"
        """Where the client believes the emulator to be."""
        self._body = body
        self._content_type = request.content_type
        route, id = match(request.path) or (None, "")
        self.route: Route | None = route
        self.id = id
        """The id in the path; empty if the API has no such path."""
        self.revision: Revision = (route and route.revision) or default
        self.key: str | None = request.headers.get("Idempotency-Key") or None
        self.is_known = False
        """Whether the API key was accepted."""
        self.verdict = Verdict(accepted=False)
        """What the limits say; a request that is not shown to them was not let pass."""
        self.fault: Fault | None = None
        self.genuine: Answer | None = None
        """What the operation answered, whatever a fault made of it; None if it was not asked."""

    @property
    def operation(self) -> Operation | None:
        """The operation, if path and method name one."""
        return self.route.operation if self.route and self.route.method == self.method else None

    @property
    def group(self) -> str | None:
        """Endpoint group whose budget pays."""
        return self.route.group if self.route else None

    @property
    def is_public(self) -> bool:
        """Whether it needs no key."""
        return self.route is not None and self.route.group is None

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The JSON object that the body is, sent as `application/json` (nothing is `{}`); 400 for anything else."""
        if isinstance(self._body, Problem):
            raise self._body
        if not self._body.strip():
            return {}
        if self._content_type != "application/json":
            raise invalid_request("Content-Type must be application/json.")
        try:
            return msgspec.json.decode(self._body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise invalid_request("The request body must be a JSON object.") from None

    def entry(self, answer: Answer | None) -> JournalEntry:
        """The journal entry, once the answer is decided; None is for a fault that sends nothing of one."""
        verdict, genuine = self.verdict, self.genuine
        return JournalEntry(
            number=self.number,
            at=self.now,
            method=self.method,
            path=self.path,
            operation=self.operation,
            id=self.id or None,
            analysis_id=genuine.analysis_id if genuine else None,
            status=answer.status if answer else None,
            group=self.group,
            accepted=verdict.accepted,
            limit=verdict.limit,
            remaining=verdict.remaining,
            reset=verdict.reset,
            window=verdict.window,
            idempotency_key=self.key,
            is_replay=genuine is not None and genuine.is_replay,
            fault=self.fault.kind if self.fault else None,
        )


def read_form(form: type[Form], members: Mapping[str, object], revision: Revision) -> Form:
    """What a body, or a query string, asks for, or 422 with `param`; members that the form has not are ignored."""
    try:
        return msgspec.convert(dict(members), form)
    except msgspec.ValidationError as error:
        [param] = _MEMBER.findall(str(error))
        raise invalid_field(param, f"The '{param}' field is invalid. {error}.", revision) from None


async def read_body(request: web.BaseRequest) -> bytes | Problem:
    """The whole body, or why there is none.

    It is read also where it will not be used: a connection that is closed on unread bytes is reset.
    """
    if not request.can_read_body:
        return b""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return invalid_request("The request body is too large.", 413)
    # A wrong encoding, or a client that has gone.
    except (web.RequestPayloadError, OSError):
        return invalid_request("The request body could not be read.")
