"""What an answer means: whose it is, whether it passes, and whom it concerns. One table for every kind of call.

| answer                                               | whose       | passes | whom it concerns |
|------------------------------------------------------|-------------|--------|------------------|
| none: connecting, reset, cut, timeout                | the way's   | yes    | this request     |
| none: a proxy that was reached and says 5xx          | the way's   | yes    | this request     |
| none: TLS, a proxy that says no in another way       | the way's   | to who | this request     |
|                                                      |             |  waits |                  |
| unreadable, or about another resource                | a gateway's | yes    | this request     |
| 202 or 204 without a body, 202 with another than an  | the API's   | yes    | this id          |
|   analysis, to a poll: still running                 |             |        |                  |
| too large, of another shape, a redirect for good     | the API's   | no     | this id          |
| 408, 421, 425, 499, 5xx but 501, 505, 511            | a gateway's | yes    | this request     |
| 400, 401, 403, 404 without the API's envelope        | a gateway's | yes    | this request     |
| a redirect for now, other JSON, any other status but | a gateway's | to who | this request     |
|   `_PLAIN` without the envelope (`is_interlude`)     |             |  waits |                  |
| 401, 403                                             | the API's   | no     | the key          |
| 402                                                  | the API's   | no     | the account      |
| 429, or its envelope under another status            | the API's   | yes    | the limit        |
| 409 `idempotency_conflict`                           | the API's   | yes    | this request     |
| 404 and every other status, with the envelope; and   | the API's   | no     | this id          |
|   `_PLAIN` without it: 409, 410, 413, 414, 415, 422  |             |        |                  |

An interlude is no answer of the API's: where that has answered a request before, whoever waits asks again. Where it has
not, the address is more likely wrong, and the call is told at once; and so is a direct call.

A 401 or 403 is only said to concern the key: where that was accepted before, it is one id's own matter until the next
answer to another id is the same (`Suspicion`).

What passes is asked again: by a direct call within its attempts and the retry budget, what is under way already within
its time and that budget, by a wait until its deadline (`polling.trouble`). A 404 is final here; how long a wait doubts
it, `polling.trouble` decides too.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from kallglot_async import errors

__all__ = [
    "EXPLAINED", "Meaning", "Suspicion", "Whom", "Whose", "has_passing_status", "is_answer", "is_interlude",
    "is_still_running", "is_under_way", "is_unreached", "meaning_of",
]  # fmt: skip


class Whose(Enum):
    """Who gave an answer."""

    WAY = "the way between"
    GATEWAY = "a gateway or firewall"
    API = "the API"


class Whom(Enum):
    """Whom an answer concerns beyond the request that got it."""

    REQUEST = "this request"
    ID = "this id"
    KEY = "every request under this key"
    ACCOUNT = "every request that costs credits"
    LIMIT = "everybody under this limit"


class Meaning(msgspec.Struct, frozen=True):
    """What one failed attempt means."""

    whose: Whose
    passes: bool
    whom: Whom


_LOST = Meaning(Whose.WAY, True, Whom.REQUEST)
_BARRED = Meaning(Whose.WAY, False, Whom.REQUEST)
_PASSING = Meaning(Whose.GATEWAY, True, Whom.REQUEST)
_RUNNING = Meaning(Whose.API, True, Whom.ID)
_FINAL = Meaning(Whose.API, False, Whom.ID)
_KEY = Meaning(Whose.API, False, Whom.KEY)
_CONFLICT = Meaning(Whose.API, True, Whom.REQUEST)

_BY_STATUS = {
    401: _KEY,
    403: _KEY,
    402: Meaning(Whose.API, False, Whom.ACCOUNT),
    429: Meaning(Whose.API, True, Whom.LIMIT),
}
EXPLAINED = frozenset({400, 401, 403, 404})  # by the API, in its envelope; without that they are somebody else's
_PASSING_4XX = frozenset({408, 421, 425, 499})
_LASTING_5XX = frozenset({501, 505, 511})  # not implemented, HTTP version, log in to the network first
# Of these the number says enough, whoever sends it: the request is at fault, or it is so for good.
_PLAIN = frozenset({402, 409, 410, 413, 414, 415, 422})


def meaning_of(error: errors.KallglotError) -> Meaning:
    """Return what an attempt that ended with this error means."""
    match error:
        # Before the errors of transport, of which these are kinds: what was reached and says no will say it again.
        case errors.TLSError():
            return _BARRED
        case errors.ProxyError():
            return _LOST if error.status is None or error.status >= 500 else _BARRED
        case errors.TransportError():
            return _LOST
        case errors.ResponseBodyError() | errors.ResponseMismatchError():
            return _RUNNING if is_still_running(error) else _PASSING
        case errors.RateLimitedError():
            # Under whichever status it came.
            return _BY_STATUS[429]
        case errors.APIError():
            return _meaning_of_status(error)
        case _:
            return _FINAL


def _meaning_of_status(error: errors.APIError) -> Meaning:
    if has_passing_status(error) or (error.status in EXPLAINED and not error.is_enveloped):
        return _PASSING
    if error.code == "idempotency_conflict" and error.status == 409:
        return _CONFLICT
    return _BY_STATUS.get(error.status, _FINAL)


def has_passing_status(error: errors.KallglotError) -> bool:
    """Whether something on the way to the API answered, and by its status only for the moment."""
    if not isinstance(error, errors.APIError):
        return False
    return error.status in _PASSING_4XX or (error.status >= 500 and error.status not in _LASTING_5XX)


def is_interlude(error: errors.KallglotError) -> bool:
    """Whether the API never answers so: once it has answered a request, this is something between for the moment."""
    match error:
        case errors.TLSError() | errors.ProxyError():
            # The network's own login, or a certificate that is renewed too late.
            return True
        case errors.UnexpectedRedirectError():
            # One that is for good says that the base URL is wrong by now.
            return error.status not in {301, 308}
        case errors.ResponseSchemaError():
            return error.is_foreign
        case errors.APIError():
            return not error.is_enveloped and error.status not in _PLAIN
    return False


def is_under_way(error: errors.KallglotError) -> bool:
    """Whether a request with the same key is being done, so that this one has nothing to do but wait for it."""
    return meaning_of(error) is _CONFLICT


def is_answer(error: errors.KallglotError) -> bool:
    """Whether an attempt that ended with this error was answered, by whomever."""
    return isinstance(error, errors.APIError | errors.InvalidResponseError)


def is_unreached(error: errors.KallglotError) -> bool:
    """Whether the API was not heard, and so no other request would fare better: to a client that never heard it."""
    meaning = meaning_of(error)
    return isinstance(error, errors.TransportError) or (meaning.passes and meaning.whom is not Whom.LIMIT)


def is_still_running(error: errors.KallglotError) -> bool:
    """Whether its status says that there is no analysis to show yet, and its body, if any, shows none."""
    if isinstance(error, errors.ResponseSchemaError):
        # `{}` or `{"status": "processing"}`, say.
        return error.status == 202
    return isinstance(error, errors.ResponseBodyError) and error.is_empty and error.status in {202, 204}


class Suspicion:
    """Whether a refusal is everybody's: of the account it is; of the key, once two ids in a row heard it.

    Where the API has accepted nothing under the key before, one is enough.
    """

    __slots__ = ("is_raised",)

    def __init__(self) -> None:
        self.is_raised = False

    def on_accepted(self) -> None:
        """Another id was answered: whoever was refused before is alone with that."""
        self.is_raised = False

    def on_failure(self, error: errors.KallglotError, *, was_accepted: bool) -> bool:
        """Return whether what one id met ends every request; `was_accepted`: whether the key ever was."""
        meaning = meaning_of(error)
        if meaning.whom is Whom.KEY:
            is_everybodys = self.is_raised or not was_accepted
            self.is_raised = True
            return is_everybodys
        # The API has judged the id or the account, and so the key was good.
        if meaning.whose is Whose.API and not meaning.passes:
            self.is_raised = False
        return meaning.whom is Whom.ACCOUNT
