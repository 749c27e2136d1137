"""Which paths there are."""

from __future__ import annotations

from typing import Any

import pytest
from support.emulated import CREATE, serving

from kallglot_async.emulator.routes import ROUTES, Route

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/analysis/ana_01HDEF456789012", 404, "analysis_not_found"),
        ("GET", "/analyses/anl_01HDEF456789012", 404, "analysis_not_found"),
        ("GET", "/analysis/not-an-id", 404, "analysis_not_found"),
        ("POST", "/sessions/ana_01HDEF456789012/analysis", 404, "session_not_found"),
        ("GET", "/analysis", 404, "route_not_found"),
        ("GET", "/analysis/x/y", 404, "route_not_found"),
        ("DELETE", "/analysis/ana_1", 405, "method_not_allowed"),
        ("GET", CREATE, 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_answered_with_an_envelope(method: str, path: str, status: int, code: str) -> None:
    """Unknown ids, paths and methods get the error envelope, never a bare page."""
    async with serving() as client:
        answered, headers, body = await client.request(method, path)
        assert (answered, body["error"]["code"]) == (status, code)
        assert ("Allow" in headers) == (status == 405)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: "/".join(route.pattern))
async def test_every_route_has_somebody_who_answers(route: Route) -> None:
    """Unknown as the id may be: a 500 is an operation that is in no table."""
    async with serving() as client:
        url = f"{client.emulator.origin}/{'/'.join(route.pattern)}".replace("{id}", "sess_1")
        assert (await client.request(route.method, url))[0] < 500


async def test_paths_outside_the_version_are_unknown() -> None:
    """Only `/v1` is served."""
    async with serving() as client:
        status, _, body = await client.get(client.emulator.origin + "/v2/analysis/ana_1")
        assert (status, body["error"]["code"]) == (404, "route_not_found")


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_an_id_is_not_found_on_the_other_revisions_path(revision: Any) -> None:
    """`ana_` ids live below `/analysis`, `anl_` ids below `/analyses`, with no alias."""
    async with serving() as client:
        [id] = client.emulator.seed_analyses(1, revision=revision)
        right, wrong = ("analysis", "analyses") if revision == "a" else ("analyses", "analysis")
        assert (await client.get(f"/{right}/{id}"))[0] == 200
        assert (await client.get(f"/{wrong}/{id}"))[0] == 404
