"""Parameters of the operations on calls."""

from __future__ import annotations

import pytest
from support.emulated import serving

pytestmark = pytest.mark.looptime


async def test_a_reason_is_checked_in_revision_a_only() -> None:
    """422 names the parameter; B documents no body, and ignores it."""
    for revision, status in (("a", 422), ("b", 200)):
        async with serving(revision=revision) as client:
            [id] = client.emulator.sessions.seed(1, status="active")
            code, _, body = await client.request("POST", f"/sessions/{id}/end", json={"reason": "bored"})
            assert code == status
            assert code == 200 or body["error"]["param"] == "reason"


@pytest.mark.parametrize("query", ["format=pdf", "include_translations=maybe"])
async def test_wrong_parameters_are_422(query: str) -> None:
    """And name the parameter."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        status, _, body = await client.get(f"/sessions/{id}/transcript?{query}")
        assert (status, body["error"]["param"]) == (422, query.partition("=")[0])
