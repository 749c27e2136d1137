"""The errors: the tree as drawn, what each carries, and that pickling and copying lose none of it."""

import copy
import inspect
import pickle
import re

import pytest

from kallglot_async import errors
from kallglot_async.errors import (
    AnalysisFailedError,
    APIError,
    AuthenticationError,
    BatchFileError,
    BatchInUseError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    IdSourceError,
    InsufficientCreditsError,
    InvalidIdError,
    InvalidRequestError,
    InvalidResponseError,
    KallglotError,
    NotAttemptedError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProxyError,
    RateLimitedError,
    RecordError,
    RequestError,
    RequestTimeoutError,
    ResponseBodyError,
    ResponseMismatchError,
    ResponseSchemaError,
    ResponseTooLargeError,
    ServerError,
    TLSError,
    TransportError,
    UnexpectedRedirectError,
    WaitTimeoutError,
    WebhookError,
    WebhookPayloadError,
    WebhookSignatureError,
    WebhookTimestampError,
)
from kallglot_async.models import Analysis, AnalysisStatus, FailureDetail, Outcome, Outcomes

# Every class with its bases. Taking one away, or moving it, breaks somebody's `except`.
TREE = {
    KallglotError: (Exception,),
    ConfigurationError: (KallglotError, ValueError),
    InvalidIdError: (ConfigurationError,),
    RequestError: (KallglotError,),
    TransportError: (RequestError,),
    ConnectError: (TransportError, ConnectionError),
    ProxyError: (TransportError,),
    TLSError: (TransportError,),
    RequestTimeoutError: (TransportError, TimeoutError),
    ConnectionLostError: (TransportError, ConnectionError),
    ProtocolError: (TransportError,),
    InvalidResponseError: (RequestError,),
    ResponseBodyError: (InvalidResponseError,),
    ResponseTooLargeError: (InvalidResponseError,),
    ResponseSchemaError: (InvalidResponseError,),
    ResponseMismatchError: (InvalidResponseError,),
    UnexpectedRedirectError: (InvalidResponseError,),
    APIError: (RequestError,),
    InvalidRequestError: (APIError,),
    AuthenticationError: (APIError,),
    InsufficientCreditsError: (APIError,),
    PermissionDeniedError: (APIError,),
    NotFoundError: (APIError,),
    ConflictError: (APIError,),
    RateLimitedError: (APIError,),
    ServerError: (APIError,),
    AnalysisFailedError: (KallglotError,),
    WaitTimeoutError: (KallglotError, TimeoutError),
    NotAttemptedError: (KallglotError,),
    IdSourceError: (KallglotError,),
    RecordError: (KallglotError, ValueError),
    BatchFileError: (KallglotError,),
    BatchInUseError: (BatchFileError,),
    WebhookError: (KallglotError,),
    WebhookSignatureError: (WebhookError,),
    WebhookTimestampError: (WebhookError,),
    WebhookPayloadError: (WebhookError,),
}

FAILED = Analysis(
    id="ana_1",
    object="analysis",
    status=AnalysisStatus.FAILED,
    session_id="sess_1",
    error=FailureDetail(message="the transcript is empty", code="no_transcript"),
)


def filled(kind: type[KallglotError]) -> KallglotError:
    """Return an error of this class with every field it has set to something of its own."""
    fields = {name: value for name, value in _fields().items() if name in inspect.signature(kind).parameters}
    error = kind("it went wrong", **fields)
    if isinstance(error, RequestError):
        error.attempts = 3
        error.history = ("connection lost", "the API failed with 502", "it went wrong")
        error.idempotency_key = "3f0e"
    return error


def _fields() -> dict[str, object]:
    reason = AuthenticationError("revoked", operation="analyses.retrieve", status=401, code="revoked_api_key")
    reason.attempts = 1
    outcomes = [
        Outcome(id="ana_1", error=AnalysisFailedError("it failed", analysis=FAILED), polls=4, elapsed=9.5),
        Outcome(id="ana_2", analysis=FAILED),
        Outcome(id="ana_3", error=WaitTimeoutError("too late", id="ana_3", last_status="queued", polls=2)),
    ]
    return {
        "age": 301.5,
        "analysis": FAILED,
        "code": "missing_required_field",
        "elapsed": 119.5,
        "id": "ana_9",
        "last_status": "processing",
        "limit": 30,
        "line": 17,
        "operation": "analyses.retrieve",
        "outcomes": Outcomes(outcomes),
        "param": "analyses",
        "path": "$.status",
        "polls": 12,
        "proxy": "proxy.example:3128",
        "reason": reason,
        "request_id": "req_123",
        "reset": 41.5,
        "retry_after": 30.0,
        "size": 2048,
        "status": 418,
        "timeout": 60.0,
        "type": "validation_error",
    }


def facts(value: object) -> object:
    """Return everything an error holds in a form that compares by value, since exceptions compare by identity."""
    if isinstance(value, BaseException):
        return type(value), value.args, str(value), {name: facts(part) for name, part in vars(value).items()}
    if isinstance(value, Outcomes):
        return [(item.id, item.analysis, facts(item.error), item.polls, item.elapsed) for item in value]
    return value


def test_classes_stand_where_the_tree_has_them():
    """Each error has exactly the parent, and the builtin, that a caller's `except` relies on."""
    assert {kind: kind.__bases__ for kind in TREE} == TREE


def test_tree_is_complete():
    """The table above, `errors.__all__` and the classes of the module are the same set."""
    defined = {
        thing for thing in vars(errors).values() if isinstance(thing, type) and thing.__module__ == errors.__name__
    }
    assert defined == set(TREE)
    assert {kind.__name__ for kind in TREE} == set(errors.__all__)


def test_drawing_shows_the_tree():
    """The picture at the top of `errors.py` shows every class below its parent, with its builtin."""
    drawn, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.match(r"([│├└─ ]*)(\w+Error)(?: \((\w+)\))?(?: |$)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        path = [*path[:depth], match[2]]
        drawn[match[2]] = tuple(name for name in ((path[-2] if depth else "Exception"), match[3]) if name)
    assert drawn == {kind.__name__: tuple(base.__name__ for base in bases) for kind, bases in TREE.items()}


@pytest.mark.parametrize("kind", TREE)
def test_pickle_keeps_every_field(kind):
    """An error that crosses a process boundary arrives with its class, text and every field, nested ones too."""
    error = filled(kind)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own bytes
        assert facts(twin) == facts(error), protocol


@pytest.mark.parametrize("kind", TREE)
def test_copy_keeps_every_field(kind):
    """A copied error is another object with the same class, text and fields."""
    error = filled(kind)
    for twin in (copy.copy(error), copy.deepcopy(error)):
        assert twin is not error
        assert facts(twin) == facts(error)


@pytest.mark.parametrize("kind", TREE)
def test_every_argument_is_kept_under_its_name(kind):
    """What is given to the constructor is readable under the same name; nothing is swallowed."""
    names = set(inspect.signature(kind).parameters) - {"message"}
    assert names <= set(_fields())
    expected = {name: facts(value) for name, value in _fields().items() if name in names}
    assert {name: facts(getattr(filled(kind), name)) for name in names} == expected


@pytest.mark.parametrize("kind", TREE)
def test_fields_beyond_the_message_are_keyword_only_with_defaults(kind):
    """Every error can be made from its message alone, which is what pickle and copy rely on."""
    parameters = list(inspect.signature(kind).parameters.values())
    assert parameters[0].name == "message"
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[1:])
    assert all(parameter.default is not parameter.empty for parameter in parameters)
    assert kind("only this").message == "only this"


@pytest.mark.parametrize("kind", TREE)
def test_str_is_one_line_that_begins_with_the_message(kind):
    """An error fits in one line of a log."""
    text = str(filled(kind))
    assert text.startswith("it went wrong")
    assert text.splitlines() == [text]


@pytest.mark.parametrize("kind", TREE)
def test_error_without_a_message_is_empty_text(kind):
    """`str` and `message` of an error made without a message never fail."""
    assert kind().message == ""
    assert isinstance(str(kind()), str)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            APIError("no", status=422, code="bad", param="language", request_id="req_1"),
            "no (422, bad, param language, request req_1)",
        ),
        (APIError("no", status=400), "no (400)"),
        (APIError("no"), "no"),
        (RateLimitedError("slow down"), "slow down (429)"),
        (ConnectError("no connection to 127.0.0.1:9"), "no connection to 127.0.0.1:9"),
        (WaitTimeoutError("still queued"), "still queued"),
    ],
)
def test_str_says_where_the_api_refused(error, text):
    """The text of an API error ends with what support and a developer need, and with nothing that is absent."""
    assert str(error) == text


def test_str_tells_attempts_and_the_way_to_repeat():
    """More than one attempt is mentioned, and a create of unknown outcome says how to repeat it."""
    error = ConnectionLostError("the connection ended", operation="analyses.create")
    error.attempts = 1
    assert str(error) == "the connection ended"
    error.attempts = 3
    error.idempotency_key = "k-1"
    assert str(error) == "the connection ended; after 3 attempts; repeat safely with idempotency_key='k-1'"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigurationError, ValueError),
        (InvalidIdError, ValueError),
        (ConnectError, ConnectionError),
        (ConnectError, OSError),
        (ConnectionLostError, ConnectionError),
        (RequestTimeoutError, TimeoutError),
        (WaitTimeoutError, TimeoutError),
    ],
)
def test_builtin_handler_catches_it(kind, builtin):
    """A caller who knows only the builtin catches the error, and reads our message."""
    with pytest.raises(builtin, match=r"^it went wrong"):
        raise filled(kind)


def test_other_errors_are_no_timeout():
    """`except TimeoutError` catches what ran out of time, and nothing else."""
    assert {kind for kind in TREE if issubclass(kind, TimeoutError)} == {WaitTimeoutError, RequestTimeoutError}


def test_defaults_mean_absent():
    """What was not said is None, 0 or empty, so that a reader needs no `hasattr`."""
    assert vars(APIError("x")) == {
        "operation": "",
        "id": None,
        "attempts": 0,
        "history": (),
        "idempotency_key": None,
        "status": 0,
        "code": None,
        "type": None,
        "param": None,
        "request_id": None,
        "retry_after": None,
    }
    assert vars(WaitTimeoutError("x")) == {
        "id": "",
        "last_status": None,
        "polls": 0,
        "elapsed": 0.0,
        "retry_after": None,
    }
    assert RateLimitedError("x").status == 429


def test_notes_survive_pickling():
    """A note that somebody added on the way up is kept."""
    error = filled(NotFoundError)
    error.add_note("while waiting for batch 7")
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert twin.__notes__ == ["while waiting for batch 7"]
