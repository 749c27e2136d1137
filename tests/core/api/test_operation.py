"""One logical call: when it may be sent twice, what the caller adds to it, and whose answer it takes."""

import pytest

from kallglot_async import ConfigurationError
from kallglot_async._core.api.operation import Operation, Response, WrongResourceError, checked, with_query


def operation(method="GET", **fields):
    return Operation(name="x", method=method, path="x", group="x", decode=bytes, **fields)


def test_only_a_get_and_what_has_a_key_may_be_repeated():
    """Sending anything else twice might do something twice."""
    assert operation().is_repeatable
    assert not operation("POST", body=b"{}").is_repeatable
    assert operation("POST", body=b"{}", idempotency_key="k-1").is_repeatable


def test_the_callers_headers_are_checked_and_change_nothing_else():
    """They are those of one call: the operation that they are added to stays as it was."""
    bare = operation("POST", idempotency_key="k-1")
    assert bare.with_headers(None) is bare
    traced = bare.with_headers({"X-Trace": "t"})
    assert (dict(traced.headers), dict(bare.headers)) == ({"X-Trace": "t"}, {})
    assert traced.idempotency_key == "k-1"
    with pytest.raises(ConfigurationError, match="Authorization"):
        bare.with_headers({"Authorization": "x"})


def test_another_resource_is_never_decoded():
    """However well-formed it is: a late answer may come on another's connection."""
    decode = checked(bytes.decode, lambda text: text == "ours")
    assert decode(b"ours") == "ours"
    with pytest.raises(WrongResourceError):
        decode(b"theirs")


def test_a_path_has_a_query_where_there_is_one():
    """Nothing in a value can begin another parameter."""
    assert with_query("agents", {}) == "agents"
    assert with_query("agents", {"limit": "10", "q": "a&b=c d"}) == "agents?limit=10&q=a%26b%3Dc+d"


def test_response_shows_nothing_of_its_content():
    """The `repr` of an answer, as in a traceback with locals, holds neither body nor headers."""
    assert repr(Response(200, {"X": "CANARY"}, b"CANARY")) == "<Response 200, 6 bytes>"
