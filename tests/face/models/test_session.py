"""A session: no repr shows a credential or a number."""

from __future__ import annotations

import copy
import pickle

from rich.pretty import pretty_repr
from support.payloads import PAYLOADS

from kallglot_async import Session
from kallglot_async._core.api.sessions import decode_session
from kallglot_async.models import SessionStatus, Stream

ID = "sess_01HXYZ123456789"
CREATED_B = (PAYLOADS / "session_created.b.json").read_bytes()


def test_no_repr_shows_a_token_or_a_number() -> None:
    """A stream token is a credential and a phone number is private: no repr, and not rich's either, has them."""
    session = decode_session(CREATED_B)
    twins = [session, copy.deepcopy(session), pickle.loads(pickle.dumps(session))]  # noqa: S301  # our own bytes
    for text in [*map(repr, twins), repr(session.stream), pretty_repr(session), pretty_repr(session.stream)]:
        assert "kst_live" not in text
        assert "4155551234" not in text
    assert "?token" not in repr(Stream(url="wss://x/connect?token=kst_live_1"))
    assert repr(session) == f"<Session {ID} created>"
    assert "\n" not in repr(Session(id="sess_1\nforged", object="session", status=SessionStatus("ended")))
