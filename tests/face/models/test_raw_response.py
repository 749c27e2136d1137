"""The answer to a request for which there is no method."""

from __future__ import annotations

import pickle

import pytest
from rich.pretty import pretty_repr

from kallglot_async import RawResponse, RecordError

CANARY = "CANARY"


def test_what_came_is_not_shown() -> None:
    """Neither by repr nor by rich; and it can be pickled."""
    response = RawResponse(200, {"X-Secret": CANARY}, CANARY.encode())
    assert CANARY not in repr(response) + str(response) + pretty_repr(response)
    assert pickle.loads(pickle.dumps(response)) == response  # noqa: S301  # our own bytes
    with pytest.raises(RecordError) as caught:
        response.json()
    assert CANARY not in str(caught.value)
