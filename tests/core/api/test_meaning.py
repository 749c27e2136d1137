"""What an answer means: the table, row by row."""

import pytest

from kallglot_async import errors
from kallglot_async._core.api.meaning import (
    Meaning,
    Suspicion,
    Whom,
    Whose,
    has_passing_status,
    is_still_running,
    is_unreached,
    meaning_of,
)


def strange(kind, status):
    """An error of the class, whose answer had not the API's envelope."""
    error = kind("x", status=status)
    error.is_enveloped = False
    return error


def empty(status):
    error = errors.ResponseBodyError("x", status=status)
    error.is_empty = True
    return error


WAY, GATEWAY, API = Whose.WAY, Whose.GATEWAY, Whose.API
REQUEST, ID, KEY, ACCOUNT, LIMIT = Whom
ROWS = [
    (errors.ConnectError("x"), WAY, True, REQUEST),
    (errors.ConnectionLostError("x"), WAY, True, REQUEST),
    (errors.ProtocolError("x"), WAY, True, REQUEST),
    (errors.RequestTimeoutError("x"), WAY, True, REQUEST),
    (errors.ProxyError("x"), WAY, True, REQUEST),
    (errors.ProxyError("x", status=407), WAY, False, REQUEST),
    (errors.ProxyError("x", status=503), WAY, True, REQUEST),
    (errors.TLSError("x"), WAY, False, REQUEST),
    (errors.ResponseBodyError("x", status=200), GATEWAY, True, REQUEST),
    (errors.ResponseMismatchError("x", status=200), GATEWAY, True, REQUEST),
    (empty(200), GATEWAY, True, REQUEST),
    (empty(202), API, True, ID),
    (empty(204), API, True, ID),
    (errors.ResponseBodyError("x", status=202), GATEWAY, True, REQUEST),
    (errors.ResponseTooLargeError("x", status=200), API, False, ID),
    (errors.ResponseSchemaError("x", status=200), API, False, ID),
    (errors.UnexpectedRedirectError("x", status=302), API, False, ID),
    *((errors.APIError("x", status=status), GATEWAY, True, REQUEST) for status in (408, 421, 425, 499)),
    *((errors.ServerError("x", status=status), GATEWAY, True, REQUEST) for status in (500, 502, 503, 504)),
    *((errors.ServerError("x", status=status), GATEWAY, True, REQUEST) for status in range(520, 531)),
    *((errors.ServerError("x", status=status), API, False, ID) for status in (501, 505, 511)),
    (strange(errors.InvalidRequestError, 400), GATEWAY, True, REQUEST),
    (strange(errors.AuthenticationError, 401), GATEWAY, True, REQUEST),
    (strange(errors.PermissionDeniedError, 403), GATEWAY, True, REQUEST),
    (strange(errors.NotFoundError, 404), GATEWAY, True, REQUEST),
    (strange(errors.InvalidRequestError, 422), API, False, ID),
    (strange(errors.InsufficientCreditsError, 402), API, False, ACCOUNT),
    (errors.InvalidRequestError("x", status=400), API, False, ID),
    (errors.AuthenticationError("x", status=401), API, False, KEY),
    (errors.PermissionDeniedError("x", status=403), API, False, KEY),
    (errors.InsufficientCreditsError("x", status=402), API, False, ACCOUNT),
    (errors.NotFoundError("x", status=404), API, False, ID),
    (errors.ConflictError("x", status=409), API, False, ID),
    (errors.ConflictError("x", status=409, code="idempotency_conflict"), API, True, REQUEST),
    (errors.APIError("x", status=400, code="idempotency_conflict"), API, False, ID),
    (errors.RateLimitedError("x", status=429), API, True, LIMIT),
    (errors.APIError("x", status=410), API, False, ID),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "whose", "passes", "whom"),
    ROWS,
    ids=[f"{type(row[0]).__name__} {getattr(row[0], 'status', '')}" for row in ROWS],
)
def test_each_answer_has_its_row(error, whose, passes, whom):
    """Whose it is, whether it passes, and whom it concerns."""
    assert meaning_of(error) == Meaning(whose, passes, whom)


def test_only_a_status_from_the_way_is_a_passing_one():
    """A lost connection and a page say nothing of what stands there; an explained refusal is no gateway's."""
    assert has_passing_status(errors.ServerError("x", status=503))
    assert not has_passing_status(errors.ConnectError("x"))
    assert not has_passing_status(errors.ResponseBodyError("x", status=502))
    assert not has_passing_status(strange(errors.PermissionDeniedError, 403))


def test_an_answer_without_a_body_says_running_by_its_status():
    """202 and 204 do, as long as there is nothing to read."""
    assert [is_still_running(empty(status)) for status in (200, 202, 204, 205)] == [False, True, True, False]
    assert not is_still_running(errors.ResponseBodyError("x", status=202))
    assert not is_still_running(errors.ServerError("x", status=503))
    assert is_still_running(errors.ResponseSchemaError("x", status=202))
    assert not is_still_running(errors.ResponseSchemaError("x", status=200))


def test_who_never_heard_the_api_has_not_reached_it_by_what_passes_or_never_got_there():
    """A certificate does not pass, and is no answer of the API's either. A limit is, and so is any other refusal."""
    assert is_unreached(errors.ConnectError("x"))
    assert is_unreached(errors.TLSError("x"))
    assert is_unreached(errors.ServerError("x", status=503))
    assert not is_unreached(errors.RateLimitedError("x", status=429))
    assert not is_unreached(errors.NotFoundError("x", status=404))


class TestSuspicion:
    DENIED = errors.PermissionDeniedError("x", status=403)

    def test_the_first_refusal_ends_everything_where_nothing_was_accepted(self):
        assert Suspicion().on_failure(self.DENIED, was_accepted=False)

    def test_else_the_second_in_a_row_does(self):
        suspicion = Suspicion()
        assert [suspicion.on_failure(self.DENIED, was_accepted=True) for _ in range(3)] == [False, True, True]

    def test_an_accepted_request_in_between_clears_it(self):
        suspicion = Suspicion()
        suspicion.on_failure(self.DENIED, was_accepted=True)
        suspicion.on_accepted()
        assert not suspicion.on_failure(self.DENIED, was_accepted=True)

    def test_another_verdict_of_the_api_clears_it_and_nothing_else_does(self):
        for error, clears in (
            (errors.NotFoundError("x", status=404), True),
            (errors.ServerError("x", status=503), False),
            (errors.RateLimitedError("x", status=429), False),
            (errors.TLSError("x"), False),
        ):
            suspicion = Suspicion()
            suspicion.on_failure(self.DENIED, was_accepted=True)
            assert not suspicion.on_failure(error, was_accepted=True)
            assert suspicion.on_failure(self.DENIED, was_accepted=True) is not clears

    def test_missing_credits_are_everybodys_at_once(self):
        assert Suspicion().on_failure(errors.InsufficientCreditsError("x", status=402), was_accepted=True)

    def test_a_gateways_refusal_is_nobodys(self):
        assert not Suspicion().on_failure(strange(errors.PermissionDeniedError, 403), was_accepted=False)
