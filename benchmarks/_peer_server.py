"""The emulator with a network in front of it, and spoken to in the dialects of other services' SDKs.

A poll in another service's path becomes the poll of the same analysis: it passes the same key check, the same limit
and the same journal, and its answer is put into the JSON that the SDK expects. Status and headers stay as they are.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from kallglot_async.emulator import Emulator

Body = dict[str, Any]
_CREATED = 1_790_000_000  # any moment does: no SDK looks at it


@dataclass(frozen=True)
class Dialect:
    """One service: the path of a poll below its prefix, and its JSON for an analysis that is settled or is not."""

    path: re.Pattern[str]
    body: Callable[[str, bool], Body]


def _openai(id: str, done: bool) -> Body:
    return {
        "id": id,
        "object": "vector_store.file",
        "created_at": _CREATED,
        "last_error": None,
        "status": "completed" if done else "in_progress",
        "usage_bytes": 1,
        "vector_store_id": "vs_1",
    }


def _assemblyai(id: str, done: bool) -> Body:
    return {
        "id": id,
        "status": "completed" if done else "processing",
        "audio_url": "https://example.com/a.mp3",
        "text": "text" if done else None,
    }


def _replicate(id: str, done: bool) -> Body:
    return {
        "id": id,
        "model": "owner/name",
        "version": "1",
        "status": "succeeded" if done else "processing",
        "input": {},
        "output": "text" if done else None,
        "logs": "",
    }


def _fal(id: str, done: bool) -> Body:
    return {"request_id": id, "status": "COMPLETED" if done else "IN_PROGRESS", "logs": []}


_ID = "(?P<id>[A-Za-z0-9_]+)"
DIALECTS = {
    "openai": Dialect(re.compile(f"/vector_stores/[^/]+/files/{_ID}"), _openai),
    "assemblyai": Dialect(re.compile(f"/v2/transcript/{_ID}"), _assemblyai),
    "replicate": Dialect(re.compile(f"/v1/predictions/{_ID}"), _replicate),
    "fal": Dialect(re.compile(f"/app/requests/{_ID}(?:/status)?"), _fal),
}


class PeerServer(Emulator):
    """The emulator, `round_trip` seconds away, also below `/openai`, `/assemblyai`, `/replicate` and `/fal`."""

    def __init__(self, *, round_trip: float = 0.0, **options: Any) -> None:
        """Take the emulator's options besides the round trip."""
        super().__init__(**options)
        self._half = round_trip / 2

    def prefix(self, service: str) -> str:
        """Return the base URL for the SDK of that service."""
        return f"{self.origin}/{service}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._half:
            await asyncio.sleep(self._half)
        _, service, path = request.path.split("/", 2)
        dialect = DIALECTS.get(service)
        found = dialect.path.fullmatch(f"/{path}") if dialect else None
        if dialect is None or found is None:
            response = await super()._handle(request)
        else:
            headers = CIMultiDict({"Authorization": f"Bearer {self.api_key}"})
            own = request.clone(method=request.method, rel_url=f"/v1/analysis/{found['id']}", headers=headers)
            response = _translated(await super()._handle(own), dialect, found["id"])
        if self._half:
            await asyncio.sleep(self._half)
        return response


def _translated(response: web.StreamResponse, dialect: Dialect, id: str) -> web.StreamResponse:
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    if response.status != 200:
        return response
    done = json.loads(response.body)["status"] in {"complete", "completed"}
    headers = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
    return web.Response(body=json.dumps(dialect.body(id, done)).encode(), headers=headers)
