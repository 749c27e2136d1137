"""What a body asks for, and the bodies that ask for nothing that there is."""

from __future__ import annotations

from typing import Any

import pytest
from support.emulated import A_BODY, B_BODY, CREATE, serving

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    ("fields", "revision", "prefix"),
    [
        (A_BODY, "b", "ana_"),
        (B_BODY, "a", "anl_"),
        ({"include": ["keywords"]}, "a", "anl_"),
        ({}, "b", "anl_"),
        (A_BODY | B_BODY, "b", "ana_"),
    ],
)
async def test_the_body_decides_the_revision_of_a_create(fields: Any, revision: Any, prefix: str) -> None:
    """`analyses` speaks revision A, `profile` or `include` B, and only an empty body the configured one."""
    async with serving(revision=revision) as client:
        status, _, body = await client.post(CREATE, fields)
        assert (status, body["id"][:4]) == (202, prefix)


async def test_a_create_without_a_body_is_fine_in_revision_b() -> None:
    """Revision B marks no field as required, so no body at all is a valid request."""
    async with serving(revision="b") as client:
        status, _, body = await client.request("POST", CREATE)
        assert (status, body["status"]) == (202, "processing")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_field", "analyses"),
        ({"analyses": []}, "missing_required_field", "analyses"),
        ({"analyses": ["sentiment", "weather"]}, "invalid_field_value", "analyses"),
        ({"analyses": "sentiment"}, "invalid_field_value", "analyses"),
        ({"analyses": [["sentiment"]]}, "invalid_field_value", "analyses"),
        (A_BODY | {"language": 3}, "invalid_field_value", "language"),
        (A_BODY | {"webhook_url": "ftp"}, "invalid_field_value", "webhook_url"),
        (A_BODY | {"custom_prompts": []}, "invalid_field_value", "custom_prompts"),
        ({"include": ["topics"]}, "invalid_request", "include"),
        ({"profile": 1}, "invalid_request", "profile"),
    ],
)
async def test_invalid_fields_are_answered_422_with_param(fields: Any, code: str, param: str) -> None:
    """A body with a bad member is refused before anything is created, and the answer names the member."""
    async with serving() as client:
        status, _, body = await client.post(CREATE, fields)
        error = body["error"]
        assert (status, error["type"], error["code"], error["param"]) == (
            422,
            "validation_error",
            code,
            param,
        )
        assert client.emulator.analyses() == []
