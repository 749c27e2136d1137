"""A client that tries once, so that a request on the wire is an attempt; and what its errors may hold."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from support.wire_faults import RawServer, analysis, answer

from kallglot_async import KallglotClient, KallglotError

KEY = "sk_test_canary7Qx2"
OK = answer(analysis())


def client_of(server: RawServer | str, **options: Any) -> KallglotClient:
    """A client without retries."""
    base_url = server if isinstance(server, str) else server.base_url
    return KallglotClient(KEY, base_url=base_url, **({"max_attempts": 1} | options))


async def failure_of(server: RawServer | str, **options: Any) -> KallglotError:
    """How one retrieve ends that must not succeed."""
    async with client_of(server, **options) as client:
        with pytest.raises(KallglotError) as caught:
            await client.analyses.retrieve("ana_1")
    return caught.value


def chunked(*chunks: bytes) -> bytes:
    """The beginning of a chunked answer, without its end."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def assert_holds_nothing_foreign(error: KallglotError) -> None:
    """No transport object and no key anywhere on the error, its chain or its pickle."""
    assert error.__cause__ is None
    assert error.__context__ is None
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (str(again), vars(again)) == (str(error), vars(error))
    for text in (repr(error), str(error), repr(error.args), repr(vars(error))):
        assert KEY not in text
    modules = {type(value).__module__.partition(".")[0] for value in (*error.args, *vars(error).values())}
    assert "aiohttp" not in modules
