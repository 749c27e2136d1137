"""The words of errors in both revisions."""

from __future__ import annotations

import pytest
from support.emulated import serving

pytestmark = pytest.mark.looptime


async def test_error_envelopes_differ_by_revision() -> None:
    """Revision A has `doc_url` and a nullable `param`, revision B has `request_id`, equal to the header."""
    async with serving() as client:
        _, headers_a, body_a = await client.get("/analysis/ana_1")
        _, headers_b, body_b = await client.get("/analyses/anl_1")
        assert set(body_a["error"]) == {"code", "message", "type", "param", "doc_url"}
        assert set(body_b["error"]) == {"type", "code", "message", "request_id", "param"}
        assert body_b["error"]["request_id"] == headers_b["X-Request-ID"]
        assert headers_a["X-Request-ID"] != headers_b["X-Request-ID"]


async def test_an_unknown_key_is_answered_401_as_documented() -> None:
    """The sample body of revision A is reproduced to the letter."""
    async with serving() as client:
        wrong = {"Authorization": "Bearer sk_test_other"}
        status, headers, body = await client.get("/analysis/ana_1", headers=wrong)
        assert status == 401
        assert body == {
            "error": {
                "code": "invalid_api_key",
                "message": "The API key provided is invalid or has been revoked.",
                "type": "authentication_error",
                "param": None,
                "doc_url": "https://developer.kallglot.com/errors#invalid_api_key",
            }
        }
        assert "X-RateLimit-Limit" not in headers
        status, headers, body = await client.get("/analyses/anl_1", headers=wrong)
        assert (status, body["error"]["request_id"]) == (401, headers["X-Request-ID"])
        assert "X-API-Credits-Used" not in headers
