"""What goes over the wire: what each kind of answer becomes, and what its headers say."""

import json
import math
import time

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from support.examples import CHARACTERS, texts
from support.payloads import PAYLOADS

from kallglot_async._config import Secret
from kallglot_async._core.api.analyses import create_analysis, retrieve_analysis
from kallglot_async._core.api.answers import (
    LONGEST_WAIT,
    RateFigures,
    clamp_wait,
    interpret,
    is_refused,
    named_wait,
    parse_date,
    parse_rate_figures,
    parse_retry_after,
    request_headers,
    request_id_of,
)
from kallglot_async._core.api.operation import Operation, Response
from kallglot_async.errors import (
    APIError,
    AuthenticationError,
    ConflictError,
    InsufficientCreditsError,
    InvalidRequestError,
    InvalidResponseError,
    KallglotError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseBodyError,
    ResponseMismatchError,
    ResponseSchemaError,
    ServerError,
    UnexpectedRedirectError,
)

KEY = Secret("sk_live_c4n4ryc4n4ry")
DATE = "Thu, 26 Mar 2026 11:10:00 GMT"
MOMENT = 1_774_523_400.0  # the same in Unix seconds
RESET = str(int(MOMENT) + 42)
RETRIEVE_A = retrieve_analysis("ana_01HDEF456789012")
RETRIEVE_B = retrieve_analysis("anl_01HDEF456789012")
CREATE = create_analysis("sess_01HXYZ123456789", idempotency_key="k-1")


def payload(name):
    return (PAYLOADS / name).read_bytes()


def answered(operation, body=b"", status=200, *, key=KEY, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return interpret(operation, Response(status, headers, body), key=key, wall_now=MOMENT)


def refused(status, body=b"", operation=RETRIEVE_A, *, key=KEY, **headers):
    """Return the error that an answer becomes."""
    with pytest.raises(KallglotError) as caught:
        answered(operation, body, status, key=key, **headers)
    return caught.value


def envelope(**fields):
    return json.dumps({"error": fields}).encode()


def held_text(error):
    """Return all text that an error, its fields and everything it came from hold."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error} {error.args!r} {vars(error)!r}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


class TestValue:
    @pytest.mark.parametrize(
        ("operation", "file", "status", "id"),
        [
            (RETRIEVE_A, "analysis_complete.a.json", 200, "ana_01HDEF456789012"),
            (RETRIEVE_A, "analysis_created.a.json", 200, "ana_01HDEF456789012"),
            (RETRIEVE_B, "analysis_completed.b.json", 200, "anl_01HDEF456789012"),
            (RETRIEVE_B, "analysis_created.b.json", 200, "anl_01HDEF456789012"),
            (CREATE, "analysis_created.a.json", 202, "ana_01HDEF456789012"),
            (CREATE, "analysis_created.b.json", 202, "anl_01HDEF456789012"),
            (CREATE, "analysis_created.b.json", 201, "anl_01HDEF456789012"),
            (CREATE, "analysis_completed.b.json", 200, "anl_01HDEF456789012"),
        ],
    )
    def test_documented_answer_becomes_its_analysis(self, operation, file, status, id):
        """Every documented 2xx body is an analysis; a create takes whichever revision answers."""
        assert answered(operation, payload(file), status).id == id

    def test_create_reads_the_revision_off_the_answer(self):
        """The id in the answer decides how it is read, not the body that was sent."""
        found = answered(CREATE, payload("analysis_completed.b.json"))
        assert found.summary_text == "Customer checked order status; agent confirmed the new ship date."

    @pytest.mark.parametrize(
        "file", ["session_created.b.json", "transcript.a.json", "transcript.b.json", "recordings.b.json"]
    )
    @pytest.mark.parametrize("operation", [RETRIEVE_A, RETRIEVE_B, CREATE], ids=lambda operation: operation.path)
    def test_another_kind_of_object_is_refused(self, operation, file):
        """A body that describes no analysis is never taken for one."""
        error = refused(200, payload(file), operation)
        assert isinstance(error, ResponseSchemaError)

    @pytest.mark.parametrize("id", ["../admin", "sess_1", "", "ana_1/x"])
    def test_create_refuses_an_id_that_could_not_be_polled(self, id):
        """An answer whose id is none is refused at once, not at the first poll, and the id is not repeated."""
        error = refused(202, json.dumps({"id": id, "object": "analysis", "status": "queued"}).encode(), CREATE)
        assert isinstance(error, ResponseSchemaError)
        assert "$.id" in str(error)
        assert error.__context__ is None

    @pytest.mark.parametrize(
        ("operation", "body"),
        [
            (RETRIEVE_A, {"id": "ana_2", "object": "analysis", "status": "complete"}),
            (RETRIEVE_A, {"id": "anl_01HDEF456789012", "object": "analysis", "status": "complete"}),
            (RETRIEVE_A, {"id": "ANA_01HDEF456789012", "object": "analysis", "status": "complete"}),
            (RETRIEVE_B, {"id": "anl_2", "object": "analysis", "status": "completed"}),
        ],
    )
    def test_another_analysis_is_never_returned(self, operation, body):
        """What describes another analysis than the one asked for is a mismatch, whatever its status."""
        error = refused(200, json.dumps(body).encode(), operation, X_Request_ID="req_1")
        assert isinstance(error, ResponseMismatchError)
        assert (error.operation, error.status, error.request_id) == ("analyses.retrieve", 200, "req_1")
        assert body["id"] not in held_text(error)

    def test_analysis_of_another_session_is_never_taken_for_a_create(self):
        """A late answer to somebody else's request does not become what this create made."""
        body = {"id": "ana_2", "object": "analysis", "status": "queued", "session_id": "sess_of_somebody_else"}
        assert isinstance(refused(202, json.dumps(body).encode(), CREATE), ResponseMismatchError)


class TestUnusable:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "text"),
        [
            (204, b"", ResponseBodyError, "204, but the body is empty"),
            (200, b"", ResponseBodyError, "the body is empty"),
            (200, b"<html>CANARY</html>", ResponseBodyError, "not valid JSON"),
            (200, b'{"id": "ana_01HDEF456789012", "language": "CANARY', ResponseBodyError, "not valid JSON"),
            (200, b'{"session_id": "CANARY\xff"}', ResponseBodyError, "not valid UTF-8"),
            (200, b'{"CANARY":' + b"[" * 100_000, ResponseBodyError, "nested too deeply"),
            (200, b"null", ResponseSchemaError, "Expected `object`, got `null`"),
            (200, b'["CANARY"]', ResponseSchemaError, "Expected `object`, got `array`"),
            (200, b'{"object": "analysis", "status": "x"}', ResponseSchemaError, "missing required field `id`"),
            (200, b'{"id": {"x": "CANARY"}, "object": "analysis"}', ResponseSchemaError, "$.id"),
            (200, b'{"id": "ana_01HDEF456789012", "object": "CANARY", "status": "x"}', ResponseSchemaError, "$.object"),
        ],
    )
    @pytest.mark.parametrize("operation", [RETRIEVE_A, RETRIEVE_B, CREATE], ids=lambda operation: operation.path)
    def test_unusable_body_is_a_typed_error_without_the_body(self, operation, status, body, kind, text):
        """Not JSON, or another shape: the error says which, and neither it nor its chain holds the body."""
        error = refused(status, body, operation, X_Request_ID="req_1")
        assert type(error) is kind
        assert text in str(error)
        assert (error.operation, error.status, error.request_id) == (operation.name, status, "req_1")
        assert "CANARY" not in held_text(error)
        assert (error.__cause__, error.__context__) == (None, None)

    @pytest.mark.parametrize("error", [{"code": "x", "message": "no credits left\n"}, "no credits left"], ids=type)
    @pytest.mark.parametrize("operation", [RETRIEVE_A, CREATE], ids=lambda operation: operation.name)
    def test_an_error_in_a_success_is_told_in_its_own_words(self, operation, error):
        """Some gateways answer 200 whatever happens; what it means is as of any JSON that is not the API's."""
        unusable = refused(200, msgspec.json.encode({"error": error}), operation)
        assert type(unusable) is ResponseSchemaError
        assert f"{operation.name} was answered 200, but with an error: no credits left (" in str(unusable)
        assert (unusable.is_foreign, unusable.path) == (True, "$")

    @pytest.mark.parametrize("body", [{"error": {"code": "x"}}, {"id": "ana_1", "error": "CANARY"}, {"error": 7}])
    def test_a_success_without_such_words_is_told_by_its_shape(self, body):
        """An object of the API's may have an `error`, which is not what is wrong with the answer."""
        unusable = refused(200, msgspec.json.encode(body), RETRIEVE_A)
        assert "in another shape: Object missing required field" in str(unusable)
        assert "CANARY" not in held_text(unusable)

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
    @pytest.mark.parametrize("operation", [RETRIEVE_A, CREATE], ids=lambda operation: operation.name)
    def test_redirect_is_an_error(self, status, operation):
        """A redirect is not followed, and its target, which may hold a token, is not repeated."""
        error = refused(status, b"", operation, Location="https://evil.example/?CANARY", X_Request_ID="req_1")
        assert type(error) is UnexpectedRedirectError
        assert (error.status, error.request_id, error.operation) == (status, "req_1", operation.name)
        assert "CANARY" not in held_text(error)


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, InvalidRequestError),
            (401, AuthenticationError),
            (402, InsufficientCreditsError),
            (403, PermissionDeniedError),
            (404, NotFoundError),
            (409, ConflictError),
            (422, InvalidRequestError),
            (429, RateLimitedError),
            (500, ServerError),
            (501, ServerError),
            (502, ServerError),
            (503, ServerError),
            (504, ServerError),
            (599, ServerError),
            (405, APIError),
            (408, APIError),
            (410, APIError),
            (413, APIError),
            (418, APIError),
            (425, APIError),
            (499, APIError),
            (100, APIError),
        ],
    )
    def test_status_decides_the_class_and_every_field_arrives(self, status, kind):
        """The class follows from the status alone; code, type, param, request id and advice are fields."""
        body = envelope(
            code="some_code",
            type="some_type",
            message="Some message.",
            param="language",
            request_id="req_9",
            retry_after=7,
        )
        error = refused(status, body, CREATE)
        assert type(error) is kind
        assert vars(error) == {
            **vars(kind()),
            "operation": "analyses.create",
            "status": status,
            "code": "some_code",
            "type": "some_type",
            "param": "language",
            "request_id": "req_9",
            "retry_after": 7.0,
        }
        assert error.message == "Some message."

    @pytest.mark.parametrize(
        ("file", "status", "kind", "fields"),
        [
            (
                "error_400.b.json",
                400,
                InvalidRequestError,
                ("The 'mode' field is required.", "invalid_request", "validation_error", "mode", None),
            ),
            (
                "error_401.a.json",
                401,
                AuthenticationError,
                (
                    "The API key provided is invalid or has been revoked.",
                    "invalid_api_key",
                    "authentication_error",
                    None,
                    None,
                ),
            ),
            (
                "error_402.b.json",
                402,
                InsufficientCreditsError,
                (
                    "API credits exhausted. Purchase more credits to continue.",
                    "insufficient_api_credits",
                    "permission_error",
                    None,
                    "req_123",
                ),
            ),
            (
                "error_429.json",
                429,
                RateLimitedError,
                (
                    "You have exceeded the rate limit. Please retry after 30 seconds.",
                    "rate_limit_exceeded",
                    "rate_limit_error",
                    None,
                    None,
                ),
            ),
        ],
    )
    def test_documented_envelope(self, file, status, kind, fields):
        """The documented error bodies of both revisions arrive whole."""
        error = refused(status, payload(file), CREATE)
        assert type(error) is kind
        assert (error.message, error.code, error.type, error.param, error.request_id) == fields

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"{}",
            b"<html>502 Bad Gateway</html>",
            b'{"error": null}',
            b'{"error": []}',
            b'{"error": {}}',
            b'{"error": 5}',
            b'{"error": {"code": 5, "type": [], "message": {"de": "x"}, "param": true, "request_id": 7}}',
            b'{"error": {"message": "   ", "code": "", "type": "", "param": ""}}',
            b'{"message": "not in the envelope"}',
            b"\xff\xfe",
            b"[" * 100_000,
        ],
        ids=lambda body: ascii(body)[:40],
    )
    @pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (502, ServerError), (418, APIError)])
    def test_body_that_is_no_envelope_changes_nothing_of_the_class(self, status, kind, body):
        """A proxy's HTML page or any other body leaves the class, and a message of ours."""
        error = refused(status, body, X_Request_ID="req_1")
        assert type(error) is kind
        assert (error.status, error.code, error.type, error.param, error.request_id) == (
            status,
            None,
            None,
            None,
            "req_1",
        )
        assert error.message
        assert "x" not in error.message.split()
        assert (error.__cause__, error.__context__) == (None, None)

    def test_error_may_be_a_plain_text(self):
        """It is the message; but the API has an object there, so that it is a gateway's, and passes."""
        error = refused(400, b'{"error": "no such component"}')
        assert error.message == "no such component"
        assert not error.is_enveloped
        assert refused(403, b'{"timestamp": 1, "status": 403, "error": "Forbidden"}').is_enveloped is False
        assert refused(403, b'{"error": {"message": "Forbidden"}}').is_enveloped is True

    def test_missing_analysis_mentions_the_retention(self):
        """Whoever polls an analysis that is gone learns that results are kept for 90 days; a create does not say so."""
        assert "90 days" in refused(404, envelope(message="Not found.")).message
        assert refused(404, envelope(message="Not found.")).message.startswith("Not found; ")
        assert "90 days" not in refused(404, envelope(message="No such session."), CREATE).message

    def test_request_id_of_the_body_comes_first(self):
        """Both places are documented; the header serves where the body has none."""
        assert refused(500, envelope(request_id="req_body"), X_Request_ID="req_header").request_id == "req_body"
        assert refused(500, envelope(), X_Request_ID="req_header").request_id == "req_header"
        assert refused(500).request_id is None

    @pytest.mark.parametrize(
        ("header", "body", "seconds"),
        [
            ("30", None, 30.0),
            ("30", 5, 30.0),
            ("0", 45, 45.0),
            ("1", 1.5, 1.5),
            ("30", -5, 30.0),
            ("30", 10**9, 86_400.0),
            (None, 5, 5.0),
            (None, 1.5, 1.5),
            (None, 0, 0.0),
            (None, -5, None),
            (None, 10**9, 86_400.0),
            (None, 1e300, 86_400.0),
            (None, "5", 5.0),
            (None, "soon", None),
            (None, True, None),
            (None, None, None),
            ("soon", 5, 5.0),
            ("-1", None, None),
            ("999999999", None, 86_400.0),
            ("Thu, 26 Mar 2026 11:10:30 GMT", None, 30.0),
            pytest.param(None, 10**400, 86_400.0, id="10**400"),
        ],
    )
    @pytest.mark.parametrize("status", [429, 409, 503])
    def test_advice_when_to_come_back(self, status, header, body, seconds):
        """The larger of `Retry-After` and the body's `retry_after`, from 0 to a day, and None for anything else."""
        headers = {} if header is None else {"Retry_After": header}
        assert refused(status, envelope(retry_after=body), **headers).retry_after == seconds
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        assert named_wait(Response(status, headers, envelope(retry_after=body)), MOMENT) == seconds

    def test_a_refusal_without_an_envelope_has_its_header(self):
        """A gateway's page names no field."""
        for body in (b"", b"<html>", b"[]"):
            assert named_wait(Response(429, {"Retry-After": "7"}, body), MOMENT) == 7.0
            assert named_wait(Response(429, {}, body), MOMENT) is None


class TestSafety:
    """Nothing a server sends gets an API key, a control character or a long text into an error."""

    FIELDS = ("message", "code", "type", "param", "request_id")

    @pytest.mark.parametrize("field", FIELDS)
    def test_key_that_the_server_repeats_is_masked(self, field):
        """A server that repeats our key in any field of its error does not get it into our logs."""
        error = refused(401, envelope(**{field: f"key {KEY.reveal()} is bad"}))
        assert "c4n4ry" not in held_text(error)
        assert "sk_live_***" in f"{error} {error.type}"

    @pytest.mark.parametrize(
        ("status", "body", "operation"),
        [
            (401, b"", RETRIEVE_A),
            (302, b"", RETRIEVE_A),
            (200, b"", RETRIEVE_A),
            (200, b"null", CREATE),
            (200, b'{"id":"ana_2","object":"analysis","status":"x"}', RETRIEVE_A),
        ],
    )
    def test_key_that_the_server_repeats_as_a_request_id_is_masked(self, status, body, operation):
        """The request id of the headers is a server's text like any other."""
        error = refused(status, body, operation, X_Request_ID=KEY.reveal())
        assert "c4n4ry" not in held_text(error)

    @pytest.mark.parametrize("field", FIELDS)
    @pytest.mark.parametrize("size", [20, 100, 290, 300, 512])
    def test_key_that_is_cut_by_the_length_limit_is_masked(self, field, size):
        """However often and wherever a long key is repeated, no part of it is left over by shortening."""
        key = Secret("sk_live_" + "c4n4ry" * (size // 6))
        for filler in (0, 1, 250, 290, 299, 1150, 1190):
            error = refused(401, envelope(**{field: "x" * filler + (key.reveal() + " ") * 40}), key=key)
            assert "c4n4ry" not in held_text(error)

    @pytest.mark.parametrize("field", FIELDS)
    def test_long_text_is_cut(self, field):
        """A server's text reaches an error with 300 characters at most."""
        error = refused(400, envelope(**{field: "y" * 1_000_000}))
        assert max(len(str(value)) for value in vars(error).values()) <= 300
        assert len(str(error)) <= 400

    @pytest.mark.parametrize("field", FIELDS)
    @pytest.mark.parametrize(
        "text", ["a\nb", "a\r\nb", "a\x00b", "a\x1b[31mb", "a\u2028b", "a\u202eb", "a\x7fb", "a\tb", "a\x85b"]
    )
    def test_control_characters_are_removed(self, field, text):
        """A server cannot forge a line of a log, or colour or turn around a terminal's text."""
        error = refused(400, envelope(**{field: text}))
        assert str(error).isprintable()
        assert all(value.isprintable() for value in vars(error).values() if isinstance(value, str))

    def test_text_of_other_languages_stays(self):
        """Umlauts and other scripts are text, not control characters."""
        assert (
            refused(400, envelope(message="Sprache „gsw“ ist ungültig 語")).message == "Sprache „gsw“ ist ungültig 語"
        )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts(max_size=20)
    | st.sampled_from([10**400, -(10**400)]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(texts(max_size=8), parts, max_size=3),
    max_leaves=5,
)
ENVELOPES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("code", "type", "message", "param", "request_id", "retry_after"), JSON)
)
BODIES = (
    st.binary()
    | JSON.map(lambda plain: json.dumps(plain).encode())
    | ENVELOPES.map(lambda fields: envelope(**fields))
    | st.sampled_from([path.read_bytes() for path in sorted(PAYLOADS.glob("*.json"))])
)


class TestHostile:
    @given(
        st.sampled_from([RETRIEVE_A, RETRIEVE_B, CREATE]),
        st.sampled_from([200, 202, 204, 302, 400, 401, 404, 409, 429, 503]),
        BODIES,
        st.dictionaries(st.sampled_from(["Retry-After", "X-Request-ID", "Date"]), texts()),
    )
    def test_every_answer_is_a_value_or_an_error_of_ours(self, operation, status, body, headers):
        """Totality: whatever the server sends, `interpret` returns an analysis or raises a `KallglotError`."""
        found, error = None, None
        try:
            found = interpret(operation, Response(status, headers, body), key=KEY, wall_now=MOMENT)
        except KallglotError as caught:
            error = caught
        if error is None:
            assert status < 300
            assert found.object == "analysis"
            return
        assert isinstance(error, APIError if status >= 400 else InvalidResponseError)
        assert error.status == status
        assert str(error).isprintable()
        assert 0.0 <= (getattr(error, "retry_after", None) or 0.0) <= 86_400.0


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 422, 429, 500, 503])
def test_what_the_api_would_have_explained_is_told_apart_from_a_gateways(status):
    """A page instead of the envelope, to a request that the API refuses with reasons; of any other it says nothing."""
    message = str(refused(status, b"<html>No</html>"))
    assert ("look for a gateway or firewall" in message) == (status in {400, 401, 403, 404})
    assert "gateway or firewall" not in str(refused(status, envelope(message="No.")))


def test_a_body_of_another_shape_says_where():
    """As a path, so that a log can be searched for it."""
    body = json.dumps({"id": "ana_01HDEF456789012", "object": "analysis", "status": 7}).encode()
    assert refused(200, body).path == "$.status"


# What the headers of an answer say: literal tables for each parser, and that no text can make one fail


@pytest.mark.parametrize(("body", "is_foreign"), [(b'{"status": "ok"}', True), (b'{"object": "analysis"}', False)])
def test_json_of_somebody_else_is_told_from_the_apis_own(body, is_foreign):
    """What has neither an `id` nor an `object` is no analysis that lacks something."""
    with pytest.raises(ResponseSchemaError) as caught:
        answered(RETRIEVE_A, body)
    assert caught.value.is_foreign is is_foreign


@pytest.mark.parametrize(("size", "is_one"), [(500, True), (2_000, False)])
def test_a_refusal_within_a_success_is_short(size, is_one):
    """A success as large as an analysis is not searched for the code of one; an error of any size is."""
    body = json.dumps({"error": {"code": "rate_limit_exceeded", "message": "x" * size}}).encode()
    assert is_refused(Response(200, {}, body)) is is_one
    assert is_refused(Response(503, {}, body))


def rate(limit="120", remaining="118", reset=RESET, date=DATE):
    headers = {
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": reset,
        "Date": date,
    }
    return {name: value for name, value in headers.items() if value is not None}


@pytest.fixture
def in_tokyo(monkeypatch):
    """A machine whose local time is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_fraction_from_now_counts_by_our_clock():
    """A `Date` in whole seconds would add up to a second of error to it."""
    figures = parse_rate_figures(rate(reset="41.5"), wall_now=MOMENT + 1000.0)
    assert (figures.reset, figures.resets_in) == (MOMENT + 1041.5, 41.5)


def test_figures_of_the_documented_sample():
    """Limit, remaining and reset are read as numbers, the reset also as seconds from the answer's `Date`."""
    figures = parse_rate_figures(rate(), wall_now=MOMENT)
    assert figures == RateFigures(limit=120, remaining=118, reset=MOMENT + 42, resets_in=42.0)


@pytest.mark.parametrize(
    ("headers", "figures"),
    [
        (rate(remaining="0"), RateFigures(120, 0, MOMENT + 42, 42.0)),
        (rate(remaining="120"), RateFigures(120, 120, MOMENT + 42, 42.0)),
        (rate(limit=" 120 ", remaining="118 ", reset=f" {RESET}"), RateFigures(120, 118, MOMENT + 42, 42.0)),
        (rate(reset=RESET + ".5"), RateFigures(120, 118, MOMENT + 42.5, 42.5)),
        (rate(limit="120.0", remaining="118.97"), RateFigures(120, 118, MOMENT + 42, 42.0)),
        (rate(remaining="0.5"), RateFigures(120, 0, MOMENT + 42, 42.0)),
        (rate(reset=str(int(MOMENT))), RateFigures(120, 118, MOMENT, 0.0)),
        (rate(reset=str(int(MOMENT) - 1)), RateFigures(120, 118, MOMENT - 1, 0.0)),
        (rate(reset=str(int(MOMENT) + 86_400)), RateFigures(120, 118, MOMENT + 86_400, 86_400.0)),
        (rate(reset=RESET + "250"), RateFigures(120, 118, MOMENT + 42.25, 42.25)),
        (rate(limit="1", remaining="1"), RateFigures(1, 1, MOMENT + 42, 42.0)),
        (rate(limit="1000000000"), RateFigures(10**9, 118, MOMENT + 42, 42.0)),
    ],
)
def test_figures_at_the_edge_of_what_is_possible(headers, figures):
    """Blanks, fractions, a window that just renewed and one of a day are all understood."""
    assert parse_rate_figures(headers, wall_now=MOMENT) == figures


@pytest.mark.parametrize(
    "headers",
    [
        {},
        rate(limit=None),
        rate(remaining=None),
        rate(reset=None),
        rate(limit=""),
        rate(limit="0", remaining="0"),
        rate(limit="-1"),
        rate(limit="1e3"),
        rate(limit="120."),
        rate(remaining=".5"),
        rate(limit="1000000001"),
        rate(limit="9" * 5000),
        rate(limit="unlimited"),
        rate(limit="١٢٠", remaining="1"),  # Arabic digits, which int() accepts
        rate(remaining="121"),
        rate(remaining="-1"),
        rate(remaining="+5"),
        rate(remaining="1_0"),
        rate(reset="86401"),
        rate(reset="-60"),
        rate(reset=RESET + " .5"),
        rate(reset=RESET + ".\t5"),
        rate(reset=RESET + "."),
        rate(reset="nan"),
        rate(reset="inf"),
        rate(reset="999999999999999999"),
        rate(reset=str(int(MOMENT) - 2)),
        rate(reset=str(int(MOMENT) + 86_401)),
    ],
)
def test_figures_that_cannot_be_true_are_absent(headers):
    """Missing, unreadable, contradictory or impossible figures teach nothing rather than something wrong."""
    assert parse_rate_figures(headers, wall_now=MOMENT) is None


@pytest.mark.parametrize(
    ("reset", "date", "figures"),
    [
        ("42", DATE, RateFigures(120, 118, MOMENT + 42, 42.0, 1.0)),
        ("42", None, RateFigures(120, 118, MOMENT + 42.7, 42.0, 1.0)),
        ("41.5", DATE, RateFigures(120, 118, MOMENT + 42.2, 41.5)),
        ("0", DATE, RateFigures(120, 118, MOMENT, 0.0, 1.0)),
        ("86400", DATE, RateFigures(120, 118, MOMENT + 86_400, 86_400.0, 1.0)),
    ],
)
def test_a_reset_in_seconds_from_now(reset, date, figures):
    """Whole ones are counted from `Date`, which rounds them alike; with a fraction, or without `Date`, from now."""
    told = parse_rate_figures(rate(reset=reset, date=date), wall_now=MOMENT + 0.7)
    assert (told.resets_in, told.reset) == (figures.resets_in, pytest.approx(figures.reset))
    assert (told.limit, told.remaining, told.spread) == (figures.limit, figures.remaining, figures.spread)


LATER = str(int(MOMENT) + 50)


@pytest.mark.parametrize(
    ("limits", "remainings", "resets", "told"),
    [
        (["6000", "60"], ["5900", "7"], [RESET, LATER], (60, 7, 50.0)),
        (["60", "6000"], ["7", "5900"], [RESET, LATER], (60, 7, 42.0)),
        (["60", "60"], ["7", "7"], [RESET, LATER], (60, 7, 50.0)),
        (["5", "150"], ["4", "3"], ["1", LATER], (5, 3, 50.0)),
        (["60", "junk"], ["7", "-1"], [RESET, "soon"], (60, 7, 42.0)),
        (["60", "6000"], ["junk", "5900"], [RESET, LATER], (60, 60, 50.0)),
        (["6000", "60"], ["5900", "7"], [RESET, "junk"], (60, 7, 42.0)),
        (["6000", "60"], ["5900", "7"], [RESET], (60, 7, 42.0)),
        (["60"], ["7"], [RESET, LATER, "9" * 17], (60, 7, 50.0)),
        (["60", "6000"], ["5900"], [RESET], (60, 60, 42.0)),
        (["120", "120"], ["118"], [RESET], (120, 118, 42.0)),
        (["1000000001", "60"], ["7", "7"], [RESET, RESET], (60, 7, 42.0)),
    ],
)
@pytest.mark.parametrize("is_joined", [False, True])
def test_of_several_values_the_strictest_count(limits, remainings, resets, told, is_joined):
    """The smallest remaining with the reset beside it or the latest, and the smallest limit; junk is left out."""
    lines = CIMultiDict({"Date": DATE})
    for name, values in (("Limit", limits), ("Remaining", remainings), ("Reset", resets)):
        lines.extend((f"X-RateLimit-{name}", value) for value in ([", ".join(values)] if is_joined else values))
    figures = parse_rate_figures(CIMultiDictProxy(lines), wall_now=0.0)
    assert (figures.limit, figures.remaining, figures.resets_in) == told


@pytest.mark.parametrize(
    ("limits", "remainings", "resets"),
    [
        ("a, b", "1, 2", RESET),
        ("60, 70", "a, b", RESET),
        ("60, 70", "1, 2", "a, b"),
        ("60, 70", "", RESET),
        (",", ",", ","),
    ],
)
def test_of_several_values_one_of_each_must_be_readable(limits, remainings, resets):
    """Where all values of one header are junk there are no figures."""
    assert parse_rate_figures(rate(limits, remainings, resets), wall_now=MOMENT) is None


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0, 1e9])
def test_local_clock_does_not_matter_where_there_is_a_date(skew):
    """An hour of clock skew changes nothing: times of the server count as differences from its `Date`."""
    assert parse_rate_figures(rate(), wall_now=MOMENT + skew).resets_in == 42.0
    later = {"Retry-After": "Thu, 26 Mar 2026 11:10:30 GMT", "Date": DATE}
    assert parse_retry_after(later, wall_now=MOMENT + skew) == 30.0


@pytest.mark.parametrize("date", [None, "", "garbage"])
def test_local_clock_is_the_fallback(date):
    """Without a readable `Date` the local clock is the best there is."""
    assert parse_rate_figures(rate(date=date), wall_now=MOMENT + 2).resets_in == 40.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("999999999999999999", 86_400.0),
        ("Thu, 26 Mar 2026 11:10:30 GMT", 30.0),
        ("Thu, 26 Mar 2026 13:10:30 +0200", 30.0),
        ("Thu, 26 Mar 2026 11:09:00 GMT", 0.0),
        ("2026-03-26T11:10:30Z", 30.0),
        ("2026-03-26T12:10:30+01:00", 30.0),
        ("2026-03-26T11:09:00Z", 0.0),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("Fri, 26 Mar 2027 11:10:00 GMT", 86_400.0),
        ("", None),
        ("-30", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1 .5", None),
        ("1. 5", None),
        ("1.\v5", None),
        ("1.", None),
        (".5", None),
        ("0x10", None),
        ("٣٠", None),  # Arabic digits
        ("9" * 5000, None),
    ],
)
def test_retry_after(text, seconds):
    """Seconds, dates of HTTP and of ISO 8601, and durations are read, clamped to a day; anything else is absent."""
    assert parse_retry_after({"Retry-After": text, "Date": DATE}, wall_now=0.0) == seconds


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["5", "30"], 30.0),
        (["30, 5"], 30.0),
        (["soon", "5"], 5.0),
        (["-30, 5"], 5.0),
        (["Thu, 26 Mar 2026 11:10:30 GMT", "5"], 30.0),
        (["99999999999", "5"], 86_400.0),
        (["soon, later"], None),
    ],
)
def test_the_longest_of_several_retry_after_counts(lines, seconds):
    """A gateway and the API may each name one; what cannot be read is left out."""
    headers = CIMultiDict([("Date", DATE), *(("Retry-After", line) for line in lines)])
    assert parse_retry_after(headers, wall_now=0.0) == seconds


def test_retry_after_is_absent_without_its_header():
    """No header is no advice, which is not the same as "at once"."""
    assert parse_retry_after({"Date": DATE}, wall_now=0.0) is None


@pytest.mark.parametrize(
    ("seconds", "clamped"),
    [(-1.0, 0.0), (0.0, 0.0), (0.5, 0.5), (86_400.0, 86_400.0), (86_400.5, 86_400.0), (math.inf, 86_400.0)],
)
def test_waits_are_clamped_to_a_day(seconds, clamped):
    """No server can make a client wait for longer than a day, or for less than nothing."""
    assert clamp_wait(seconds) == clamped


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (DATE, MOMENT),
        ("Thu, 26 Mar 2026 13:10:00 +0200", MOMENT),
        ("Thursday, 26-Mar-26 11:10:00 GMT", MOMENT),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        ("garbage", None),
        ("26 Mar", None),
        ("Thu, 99 Mar 2026 11:10:00 GMT", None),
        ("Thu, 26 Mar 2026 99:10:00 GMT", None),
    ],
)
def test_dates(text, moment):
    """The HTTP date formats that name their zone are read; anything else is None."""
    assert parse_date(text) == moment


@pytest.mark.parametrize(
    "text", ["Thu Mar 26 11:10:00 2026", "Thu, 26 Mar 2026 11:10:00 -0000", "Thu, 26 Mar 2026 11:10:00"]
)
def test_date_without_a_zone_is_utc_on_every_machine(text, in_tokyo):
    """HTTP's old asctime format names no zone and means UTC, wherever the client runs (RFC 9110, 5.6.7)."""
    assert parse_date(text) == MOMENT


def test_dates_are_not_mixed_up():
    """A date that was just parsed does not answer for another one."""
    moments = [parse_date(text) for text in (DATE, "garbage", DATE, "Thu, 26 Mar 2026 11:10:01 GMT", DATE)]
    assert moments == [MOMENT, None, MOMENT, MOMENT + 1, MOMENT]


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ("req_123", "req_123"),
        ("6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("", None),
        ("req 123", None),
        ("req_1\r\nX: y", None),
        ("req_1\n", None),
        ("req_é", None),
        ("req_\x1b[31m", None),
    ],
)
def test_request_id_is_short_visible_ascii(text, request_id):
    """A request id can be printed and logged as it is, or is None."""
    assert request_id_of({"X-Request-ID": text}, KEY) == request_id


def test_a_key_in_a_request_id_is_masked():
    """Whatever stands around it: a server, or a proxy, may repeat what it was sent."""
    assert request_id_of({"X-Request-ID": f"req_{KEY.reveal()}_1"}, KEY) == "req_sk_live_***_1"


def test_request_id_is_optional():
    """Revision A sends none."""
    assert request_id_of({}, KEY) is None


NUMBERS = (
    st.integers().map(str)
    | st.floats().map(str)
    | st.from_regex(r"[+-]?\d{0,25}\s?\.?\s?\d{0,12}", fullmatch=True, alphabet=CHARACTERS)
)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Thu", "Mon", "", "x"]),
    st.integers(-1, 99),
    st.sampled_from(["Mar", "Feb", "Dec", "x"]),
    st.integers(-1, 99_999),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.sampled_from(["GMT", "-0000", "+9999", "-2400", "EST", "", "x"]),
)
VALUES = texts() | NUMBERS | DATES
NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date", "X-Request-ID")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)), st.floats(0, 4e9))
@example({"Retry-After": "Thu, 26 Mar 9999 23:59:59 -0000"}, MOMENT)
@example({"Retry-After": "Mon, 01 Jan 0001 00:00:00 -0000", "Date": DATE}, MOMENT)
@example({"Retry-After": "1, 1, 1"}, MOMENT)
def test_no_text_makes_a_parser_fail(headers, wall_now):
    """Whatever the headers hold, the results are in range or absent, and nothing is raised."""
    figures = parse_rate_figures(headers, wall_now=wall_now)
    if figures is not None:
        assert 0 <= figures.remaining <= figures.limit
        assert figures.limit >= 1
        assert 0.0 <= figures.resets_in <= LONGEST_WAIT
    seconds = parse_retry_after(headers, wall_now=wall_now)
    assert seconds is None or 0.0 <= seconds <= LONGEST_WAIT
    moment = parse_date(headers.get("Date", ""))
    assert moment is None or math.isfinite(moment)
    request_id = request_id_of(headers, KEY)
    assert request_id is None or (request_id.isascii() and request_id.isprintable())


@given(st.integers(1, 10**9), st.data(), st.integers(0, 86_400), st.floats(0, 4e9))
def test_plausible_figures_are_read_exactly(limit, data, resets_in, wall_now):
    """Every figure a server can truthfully send arrives unchanged, whatever the local clock says."""
    remaining = data.draw(st.integers(0, limit))
    headers = rate(str(limit), str(remaining), str(int(MOMENT) + resets_in))
    assert parse_rate_figures(headers, wall_now=wall_now) == RateFigures(
        limit, remaining, MOMENT + resets_in, float(resets_in)
    )


def test_what_is_read_goes_past_every_cache():
    """A cache in between would show an analysis as it was; what is sent is stored nowhere."""
    told = {}
    for method in ("GET", "POST"):
        operation = Operation(name="analyses.retrieve", method=method, path="", group="analysis", decode=bytes)
        told[method] = request_headers(operation, KEY).get("Cache-Control")
    assert told == {"GET": "no-cache", "POST": None}
