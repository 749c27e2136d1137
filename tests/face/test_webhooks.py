"""Webhooks without a server: which signatures are believed, what an event says, whom an inbox tells of it.

The literals below were computed with openssl, not with this package:

    (printf '1774523060.'; cat BODY) | openssl dgst -sha256 -hmac 'whsec_test_secret'
"""

import hashlib
import hmac
import json
import math
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import texts
from support.payloads import PAYLOADS

from kallglot_async import (
    ConfigurationError,
    WebhookError,
    WebhookInbox,
    WebhookPayloadError,
    WebhookSignatureError,
    WebhookTimestampError,
    webhooks,
)
from kallglot_async.webhooks import (
    SIGNATURE_HEADER,
    Event,
    EventData,
    EventType,
    RecentKeys,
    check_body,
    check_tolerance,
    construct_event,
    parse_event,
    read_secrets,
    sign,
    verify,
)

SAMPLE = (PAYLOADS / "webhook_session_ended.json").read_bytes()
T = 1774523060  # 2026-03-26T11:04:20Z
SECRET = "whsec_test_secret"
BODY = (
    b'{"id":"evt_1","type":"analysis.complete","api_version":"v1","created_at":"2026-03-26T11:10:25Z","data":'
    b'{"id":"ana_01HDEF456789012","object":"analysis","status":"complete","session_id":"sess_01HXYZ123456789"}}'
)
V1 = "4151d4b35676481bfb14e3be0ae7481858193b01312a0cc9c7b9a138b4f150b6"
V1_ROTATED = "53074c56d9833fe61f8be3dbb2b099795b23541e44583a40b40d84301ee44e26"  # -hmac 'rotated-secret'
V1_SAMPLE = "b6cc59d1ae0523b27c8412b6504f0bd60322a205b1c5e808d942a7d1d05d084b"
HEADER = f"t={T},v1={V1}"
WRONG = "0" * 64


def event_body(**changes):
    return json.dumps({"id": "evt_1", "type": "analysis.complete", "data": {"id": "ana_1"}} | changes).encode()


# Signatures


@pytest.mark.parametrize(
    ("body", "secret", "t", "v1"),
    [
        (BODY, SECRET, T, V1),
        (BODY, "rotated-secret", T, V1_ROTATED),
        (SAMPLE, SECRET, T, V1_SAMPLE),
        (b"", "schlüssel", T, "deef27d2e138e2a54a7b61b143e329b36942adb4979233b0341af620eafa3a87"),
        (b"\xff\x00\xfe", SECRET, 0, "f8025989714df1ab7d1126cbbf2dfdf6c22b3ef436d1359836dca4dafbb9ec7b"),
        # head -c 10485760 /dev/zero
        (bytes(10 * 2**20), SECRET, T, "4277ee59c3feabf9a69fc0e70b411490d9550e9a236aa2df31d4307c12a7ed3f"),
    ],
    ids=["analysis", "other secret", "documented sample", "umlaut and empty body", "no text at all", "10 MB"],
)
def test_signatures_are_those_of_another_tool(body, secret, t, v1):
    """What openssl signed is believed, and what is signed here is what openssl gives."""
    verify(body, f"t={t},v1={v1}", secret, now=t)
    assert sign(body, secret, now=t) == f"t={t},v1={v1}"


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        HEADER.encode(),
        f"t={T}, v1={V1}",
        f" v1={V1} ,t={T} ",
        f"t={T},v1={V1.upper()}",
        f"t={T},v1={WRONG},v1={V1}",
        f"t={T},v1={V1},v1={WRONG}",
        f"t={T},v1=zz,v1={V1}",
        f"t={T},v0={WRONG},v1={V1},v2=whatever=,,",
        f"t={T},v1={V1},u=\xfc".encode("latin-1"),
        f"t={T},v1={V1},u=\xfc",
        HEADER + "," * (4096 - len(HEADER)),  # as long as it may be
    ],
)
def test_a_header_with_one_signature_that_fits_is_believed(header):
    """Order, blanks, other schemes and signatures of another secret beside it do no harm."""
    verify(BODY, header, SECRET, now=T)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, "there is no"),
        ("", "there is no"),
        (b"", "there is no"),
        ("nonsense", "one t="),
        (f"v1={V1}", "one t="),
        (f"t=,v1={V1}", "one t="),
        (f"t={T},t={T},v1={V1}", "one t="),
        (f"t={T},v1={V1},t=1", "one t="),
        (f"t=+{T},v1={V1}", "one t="),
        (f"t={T}.0,v1={V1}", "one t="),
        (f"t=-{T},v1={V1}", "one t="),
        (f"t={'9' * 16},v1={V1}", "one t="),
        ("t=" + "".join(chr(0x0660 + int(digit)) for digit in str(T)) + f",v1={V1}", "one t="),
        (f"T={T},v1={V1}", "one t="),
        (f"t={T}", "no v1="),
        (f"t={T},v1=", "no v1="),
        (f"t={T},v1", "no v1="),
        (f"t={T},v1={V1[:-1]}", "no v1="),
        (f"t={T},v1={V1}0", "no v1="),
        (f"t={T},v1={V1[:-1]}g", "no v1="),
        (f"t={T},v1={V1[:32]} {V1[32:]}", "no v1="),
        (f"t={T},v1={V1[:-1]}\xb2", "no v1="),
        (f"t={T},V1={V1}", "no v1="),
        (f"t={T},v0={V1}", "no v1="),
        (f"t={T},v1={WRONG}", "no signature fits"),
        (f"t={T + 1},v1={V1}", "no signature fits"),
        (f"t=0{T},v1={V1}", "no signature fits"),
        (f"t={T},v1={WRONG},v1={WRONG[::-1]}", "no signature fits"),
        (HEADER + "," * 4096, "longer than 4096"),
        ("t" * 10_000_000, "longer than 4096"),
        ("\ud800" + HEADER, "one t="),
        (7, "of type int"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(header, why):
    """Missing, malformed, oversized or forged: one class of error, which quotes neither header nor secret."""
    with pytest.raises(WebhookSignatureError, match=why) as caught:
        verify(BODY, header, SECRET, now=T)
    assert V1[:16] not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("body", [BODY + b"\n", BODY[:-1], BODY.replace(b"ana_", b"anl_"), b""])
def test_a_body_that_was_changed_is_refused(body):
    """One byte more, less or other than what was signed."""
    with pytest.raises(WebhookSignatureError, match="no signature fits"):
        verify(body, HEADER, SECRET, now=T)


@pytest.mark.parametrize("body", [BODY.decode(), None, json.loads(BODY)])
@pytest.mark.parametrize(
    "read", [lambda body: verify(body, HEADER, SECRET, now=T), parse_event], ids=["verify", "parse_event"]
)
def test_a_body_that_is_not_bytes_is_refused_in_words(read, body):
    """A decoded body need not give the same bytes back: the error says what to hand over."""
    with pytest.raises(WebhookPayloadError, match=f"of type {type(body).__name__}: give the raw bytes"):
        read(body)


def scattered(body):
    """Return a body of which every other byte of a buffer is a part."""
    return memoryview(bytes(byte for pair in zip(body, body, strict=True) for byte in pair))[::2]


@pytest.mark.parametrize("kind", [bytearray, memoryview, scattered])
def test_bytes_may_be_in_whatever_they_were_collected(kind):
    """They are what was sent, as those of a server that fills one buffer are."""
    assert construct_event(kind(BODY), HEADER, SECRET, now=T) == construct_event(BODY, HEADER, SECRET, now=T)


@pytest.mark.parametrize("now", [T - 300, T - 299.9, T, T + 300])
def test_a_signature_within_the_tolerance_is_believed(now):
    """Five minutes either way by default, the limits included."""
    verify(BODY, HEADER, SECRET, now=now)


@pytest.mark.parametrize(("now", "age"), [(T + 301, 301), (T - 301, -301), (T + 300.5, 300.5), (0, -T), (1e300, 1e300)])
def test_a_signature_that_is_too_old_or_too_new_is_refused(now, age):
    """A replay is refused after the tolerance, and so is what the future seems to have sent."""
    with pytest.raises(WebhookTimestampError, match="ago" if age > 0 else "in the future") as caught:
        verify(BODY, HEADER, SECRET, now=now)
    assert caught.value.age == age


def test_the_tolerance_can_be_chosen():
    """0 wants the very second, infinity any."""
    verify(BODY, HEADER, SECRET, now=T, tolerance=0)
    verify(BODY, HEADER, SECRET, now=0, tolerance=math.inf)
    with pytest.raises(WebhookTimestampError):
        verify(BODY, HEADER, SECRET, now=T + 1, tolerance=0)
    with pytest.raises(WebhookTimestampError):
        verify(BODY, HEADER, SECRET, now=math.nan)


def test_age_is_told_only_of_what_is_genuine():
    """A forged signature is forged however old it says it is."""
    with pytest.raises(WebhookSignatureError):
        verify(BODY, f"t={T},v1={WRONG}", SECRET, now=T + 10_000)


@pytest.mark.parametrize(
    "secrets",
    [("rotated-secret", SECRET), [SECRET, "rotated-secret"], (SECRET.encode(), b"other"), SECRET.encode()],
)
def test_any_of_several_secrets_will_do(secrets):
    """While a secret is being changed, events signed with the old one and with the new one are believed."""
    verify(BODY, HEADER, secrets, now=T)
    with pytest.raises(WebhookSignatureError):
        verify(BODY, HEADER, ["rotated-secret", "third"], now=T)
    verify(BODY, f"t={T},v1={V1_ROTATED},v1={WRONG}", ["third", "rotated-secret"], now=T)


@pytest.mark.parametrize("secrets", ["", b"", [], (), ["ok", ""], [None], [7], 7, "\ud800", None])
def test_a_secret_that_protects_nothing_is_a_configuration_error(secrets):
    """An unset variable must not make everything that is signed with nothing genuine."""
    header = f"t={T},v1={hmac.digest(b'', f'{T}.'.encode() + BODY, 'sha256').hex()}"
    with pytest.raises(ConfigurationError, match="secret"):
        verify(BODY, header, secrets, now=T)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, -math.inf, None, "300", timedelta(minutes=5)])
def test_a_senseless_tolerance_is_a_configuration_error(tolerance):
    """It would refuse everything, or nothing."""
    with pytest.raises(ConfigurationError, match="tolerance"):
        verify(BODY, HEADER, SECRET, now=T, tolerance=tolerance)


@pytest.mark.parametrize("now", [datetime(2026, 3, 1, tzinfo=UTC), "1772323200", None])
def test_a_moment_that_is_none_is_a_configuration_error(now):
    """Whatever the signature is: who tries it with one that does not fit is told, too."""
    for header in (HEADER, None):
        with pytest.raises(ConfigurationError, match="now is a number of Unix seconds"):
            verify(BODY, header, SECRET, now=now)
    with pytest.raises(ConfigurationError, match="now is a number of Unix seconds"):
        sign(BODY, SECRET, now=now)


@pytest.mark.parametrize("now", [math.nan, math.inf])
def test_nothing_is_signed_at_a_moment_that_no_clock_says(now):
    """The header has whole seconds, of which it has none."""
    with pytest.raises(ConfigurationError, match="now is a number of Unix seconds"):
        sign(BODY, SECRET, now=now)


def test_a_text_is_not_signed():
    """Nobody knows in which bytes it would be sent."""
    with pytest.raises(ConfigurationError, match="what is signed are bytes, not str"):
        sign(BODY.decode(), SECRET, now=T)


def test_every_candidate_is_compared_with_every_secret(monkeypatch):
    """No early end: how long it takes says nothing of which signature fits, or whether one does."""
    compared = []

    def counting(one, other):
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Hmac:
        compare_digest = staticmethod(counting)
        new = staticmethod(hmac.new)

    monkeypatch.setattr(webhooks, "hmac", Hmac)
    secrets = [SECRET, "rotated-secret", "third"]
    verify(BODY, f"t={T},v1={V1},v1={WRONG},v1={V1},v1={WRONG}", secrets, now=T)
    assert len(compared) == 12
    with pytest.raises(WebhookSignatureError):
        verify(BODY, f"t={T},v1={WRONG},v1={WRONG}", secrets, now=T)
    assert len(compared) == 18


# Events


def test_the_documented_sample_is_read():
    """The envelope, typed; what the payload has beyond the common fields is in `raw`."""
    event = construct_event(SAMPLE, f"t={T},v1={V1_SAMPLE}", SECRET, now=T)
    assert event == Event(
        id="evt_01HXYZ123456789",
        type=EventType.SESSION_ENDED,
        api_version="v1",
        created_at=datetime(2026, 3, 26, 11, 4, 20, tzinfo=UTC),
        data=EventData(
            id="sess_01HXYZ123456789",
            object="session",
            status="ended",
            raw={"id": "sess_01HXYZ123456789", "object": "session", "status": "ended", "duration": 245.3},
        ),
    )
    assert event.analysis_id is None
    assert not event.is_analysis_settled


def test_an_analysis_event_names_its_analysis():
    """`analysis_id` and `is_analysis_settled` are all that a wait needs."""
    event = construct_event(BODY, HEADER, [SECRET], now=T + 5)
    assert event.is_analysis_settled
    assert event.analysis_id == "ana_01HDEF456789012"
    assert event.data.session_id == "sess_01HXYZ123456789"


def test_construct_event_believes_before_it_reads():
    """A body that is no event is told from a signature that is none, in that order."""
    with pytest.raises(WebhookSignatureError):
        construct_event(b"{", HEADER, SECRET, now=T)
    with pytest.raises(WebhookPayloadError):
        construct_event(b"{", sign(b"{", SECRET, now=T), SECRET, now=T)
    with pytest.raises(WebhookTimestampError):
        construct_event(BODY, HEADER, SECRET, now=T + 11, tolerance=10)


@pytest.mark.parametrize(
    ("kind", "is_settled"),
    [
        ("session.created", False),
        ("session.started", False),
        ("session.ended", False),
        ("transcript.ready", False),
        ("transcript.segment", False),
        ("recording.ready", False),
        ("recording.failed", False),
        ("analysis.complete", True),
        ("analysis.completed", True),
        ("analysis.failed", True),
        ("session.provider.connected", False),
        ("session.provider.disconnected", False),
    ],
)
def test_every_documented_type_is_known(kind, is_settled):
    """The table of the documentation, and the name that revision B's status suggests."""
    event = parse_event(event_body(type=kind))
    assert event.type == kind
    assert event.type.is_known
    assert event.is_analysis_settled == is_settled
    assert len(EventType) == 12


def test_an_unknown_type_is_kept():
    """Tomorrow's event is data, not an error; its text stays readable."""
    event = parse_event(event_body(type="analysis.queued"))
    assert event.type == "analysis.queued"
    assert not event.type.is_known
    assert not event.is_analysis_settled
    assert event.analysis_id == "ana_1"


@pytest.mark.parametrize(
    ("id", "expected"),
    [("anl_1", "anl_1"), ("sess_1", None), ("ana_", None), ("ana_../x", None), (7, None), (None, None)],
)
def test_only_an_analysis_id_is_an_analysis_id(id, expected):
    """In both revisions; nothing that could leave a path gets through."""
    assert parse_event(event_body(data={"id": id})).analysis_id == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"api_version": 1, "created_at": "yesterday"},
        {"api_version": None, "created_at": 1774523060, "data": {"id": "ana_1", "object": 5, "status": []}},
        {"created_at": "2026-13-01T00:00:00Z", "more": {"x": 1}},
    ],
)
def test_oddities_cost_their_field_only(changes):
    """Whatever else is odd, the id, the type and the analysis are there."""
    event = parse_event(event_body(**changes))
    assert (event.id, event.type, event.analysis_id) == ("evt_1", "analysis.complete", "ana_1")
    assert (event.api_version, event.created_at) == (None, None)
    assert (event.data.object, event.data.status) == (None, None)


@pytest.mark.parametrize("changes", [{"data": None}, {"data": {}}])
def test_an_event_without_data_is_about_nothing(changes):
    """A test event need not be about anything."""
    event = parse_event(event_body(**changes))
    assert event.data == EventData(raw={})
    assert event.analysis_id is None


def test_a_time_without_a_zone_is_utc():
    """As everywhere in the API."""
    assert parse_event(event_body(created_at="2026-03-26T11:10:25")).created_at == datetime(
        2026, 3, 26, 11, 10, 25, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b"\xff{}", "not valid"),
        (b'{"id":"\xff"}', "not valid"),
        (b"null", "null"),
        (b"[]", "array"),
        (b"5", "number"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"{}", "id"),
        (event_body(id=None), "id"),
        (event_body(id=""), "id"),
        (event_body(id=17), "id"),
        (event_body(id="e" * 257), "id"),
        (event_body(type=None), "type"),
        (event_body(type=""), "type"),
        (event_body(type=["analysis.complete"]), "type"),
        (event_body(data=[]), "data"),
        (event_body(data="ana_1"), "data"),
    ],
)
def test_a_body_that_is_no_event_is_refused(body, why):
    """One class of error, without any of the body in it or behind it."""
    with pytest.raises(WebhookPayloadError, match=why) as caught:
        parse_event(body)
    assert len(str(caught.value)) < 120
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_call_text_is_in_no_repr():
    """What an event tells of a call is read by name, never printed by accident."""
    event = parse_event(event_body(data={"id": "ana_1", "status": "complete", "results": {"summary": "canary"}}))
    assert event.data.raw["results"] == {"summary": "canary"}
    assert "canary" not in f"{event!r} {event} {event.data!r} {event.data.__rich_repr__()}"
    assert repr(event) == "<Event evt_1 analysis.complete data=ana_1>"
    assert repr(event.data) == "EventData(id='ana_1', object=None, status='complete', session_id=None)"
    made = Event(id="evt_1", type="analysis.complete", data=event.data)  # as by hand
    assert repr(made) == repr(event)


@pytest.mark.parametrize(
    "part", [{"id": "evt\n1"}, {"type": "x\x1b[2J"}, {"data": {"id": "ana\u2028", "status": "\n"}}]
)
def test_a_repr_is_one_line_whatever_was_sent(part):
    """No sender writes lines of its own into a log."""
    event = parse_event(event_body(**part))
    for text in (repr(event), repr(event.data)):
        assert text.isprintable()


def test_an_event_survives_pickle():
    """For handlers that hand it to another process; an unknown type comes out as it went in."""
    event = parse_event(event_body(type="call.transferred", data={"id": "sess_1", "to": ["a"]}))
    twin = pickle.loads(pickle.dumps(event))  # noqa: S301  # our own bytes
    assert twin == event
    assert twin.data.raw == {"id": "sess_1", "to": ["a"]}


# Totality

_PIECES = st.sampled_from(["t=", "v1=", f"t={T}", f"v1={V1}", ",", "=", " ", "9" * 20, V1, "\x00", "é", "\ud800"])
# Texts as they are written, and bytes that are none.
_KEYS = st.binary(min_size=1).filter(lambda key: key == key.strip()) | st.binary(min_size=1).map(b"\xff".__add__)
_HEADERS = st.none() | texts() | st.binary() | st.lists(_PIECES).map("".join)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts(),
    lambda inner: st.lists(inner) | st.dictionaries(texts(), inner),
    max_leaves=5,
)
_ENVELOPES = st.dictionaries(st.sampled_from(["id", "type", "api_version", "created_at", "data", "x"]), _VALUES)


@given(st.binary(), _HEADERS, st.lists(st.text("ab", min_size=1) | _KEYS, min_size=1))
def test_any_header_is_believed_or_refused(body, header, secrets):
    """Whatever arrives: nothing, or an error of the one family; and nothing that was not signed is believed."""
    with pytest.raises(WebhookError):
        verify(body, header, secrets, now=T)


@given(_ENVELOPES.map(lambda value: json.dumps(value).encode()) | st.binary() | texts().map(str.encode))
def test_any_body_is_an_event_or_an_error_of_the_family(body):
    """Whatever is in a body that was signed: an event that can be shown, or the one error."""
    try:
        event = construct_event(body, sign(body, SECRET, now=T), SECRET, now=T)
    except WebhookPayloadError:
        return
    assert event.id
    assert repr(event).isprintable()
    assert event.analysis_id is None or event.analysis_id.startswith(("ana_", "anl_"))


@given(st.binary(), _KEYS, st.integers(0, 10**14), st.floats(-300, 300))
def test_what_is_signed_is_believed(body, secret, t, drift):
    """`sign` and `verify` are each other's counterpart, for any body, secret and second."""
    verify(body, sign(body, secret, now=t), [b"other", secret], now=t + drift, tolerance=301)


def test_the_header_is_named():
    """For frameworks that are asked for it by name."""
    assert SIGNATURE_HEADER == "Kallglot-Signature"


# Signatures once more, at literal bytes and seconds: what a header may look like, what fits it, and for how long

SIGNED = b'{"id": "evt_1"}'
NOW = 1_800_000_000.0
DIGEST = hmac.new(b"secret", b"1800000000." + SIGNED, hashlib.sha256).hexdigest()
GENUINE = f"t=1800000000,v1={DIGEST}"


class TestSign:
    def test_it_is_the_hmac_of_moment_and_body_under_the_secret_as_it_stands(self):
        """Of the whole seconds; the fraction is cut, never rounded."""
        assert sign(SIGNED, "secret", now=NOW + 0.9) == sign(SIGNED, b"secret", now=NOW) == GENUINE

    @pytest.mark.parametrize("secret", ["", b"", "\ud800"])
    def test_what_anybody_could_sign_with_is_refused(self, secret):
        """Empty, or a text that stands for no bytes."""
        with pytest.raises(ConfigurationError, match="empty or not encodable"):
            sign(SIGNED, secret, now=NOW)


class TestVerify:
    @pytest.mark.parametrize(
        "header",
        [
            GENUINE,
            GENUINE.encode(),
            f" v1 = {DIGEST.upper()} , t = 1800000000 ",
            f"t=1800000000,v0=abc,v1={'0' * 64},v1=short,v1={DIGEST}",
            f"t=1800000000,v1={DIGEST},v1={'0' * 64}",
            f"{GENUINE},x={'y' * (4095 - len(GENUINE) - 2)}",
            f"{GENUINE},x={'y' * (4096 - len(GENUINE) - 3)}",
        ],
    )
    def test_any_signature_that_fits_will_do(self, header):
        """In any order, beside others and later schemes, up to 4,096 characters."""
        verify(SIGNED, header, "secret", now=NOW)

    @pytest.mark.parametrize("secrets", [["old", "secret"], ("secret", b"new"), [b"secret"]])
    def test_any_secret_of_a_rotation_will_do(self, secrets):
        """Wherever it stands."""
        verify(SIGNED, GENUINE, secrets, now=NOW)

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            (None, "there is no Kallglot-Signature header"),
            ("", "there is no Kallglot-Signature header"),
            (7, "of type int"),
            (GENUINE + "," + "x" * (4096 - len(GENUINE)), "longer than 4096"),
            (f"v1={DIGEST}", "needs one t="),
            (f"t=1,{GENUINE}", "needs one t="),
            (f"t=1800000000.0,v1={DIGEST}", "needs one t="),
            (f"t=-1,v1={DIGEST}", "needs one t="),
            (f"t={'1' * 16},v1={DIGEST}", "needs one t="),
            ("t=1800000000", "no v1="),
            (f"t=1800000000,v1={DIGEST[:-1]}", "no v1="),
            (f"t=1800000000,v1={DIGEST}0", "no v1="),
            (f"t=1800000000,v1={'g' * 64}", "no v1="),
            (f"t=1800000000,v0={DIGEST}", "no v1="),
            (f"t=1800000001,v1={DIGEST}", "no signature fits"),
            (f"t=01800000000,v1={DIGEST}", "no signature fits"),  # another text than the one that was signed
        ],
    )
    def test_what_is_no_signature_of_this_body_is_refused(self, header, said):
        """With what is wrong in the text."""
        with pytest.raises(WebhookSignatureError, match=said):
            verify(SIGNED, header, "secret", now=NOW)

    @pytest.mark.parametrize("secrets", ["other", ["other", "another"]])
    def test_no_other_secret_fits(self, secrets):
        """One or several."""
        with pytest.raises(WebhookSignatureError, match="no signature fits"):
            verify(SIGNED, GENUINE, secrets, now=NOW)

    @pytest.mark.parametrize("age", [300.0, -300.0, 0.0])
    def test_five_minutes_either_way_are_allowed(self, age):
        """To the second."""
        verify(SIGNED, GENUINE, "secret", now=NOW + age)

    @pytest.mark.parametrize(
        ("age", "said"), [(301.0, "signed 301 s ago, and 300 s"), (-301.0, "301 s in the future"), (math.nan, "300 s")]
    )
    def test_what_is_further_away_is_refused_with_its_age(self, age, said):
        """A clock that says NaN lets nothing pass."""
        with pytest.raises(WebhookTimestampError, match=said) as caught:
            verify(SIGNED, GENUINE, "secret", now=NOW + age)
        assert caught.value.age == pytest.approx(age, nan_ok=True)

    def test_only_what_is_genuine_is_told_to_be_too_old(self):
        """A forger learns nothing of clocks."""
        with pytest.raises(WebhookSignatureError):
            verify(SIGNED, GENUINE, "other", now=NOW + 1e6)

    def test_the_tolerance_is_the_callers(self):
        """None at all is one, too."""
        verify(SIGNED, GENUINE, "secret", now=NOW, tolerance=0)
        verify(SIGNED, GENUINE, "secret", now=NOW + 900.0, tolerance=math.inf)
        with pytest.raises(WebhookTimestampError, match="signed 1 s ago, and 0 s are allowed"):
            verify(SIGNED, GENUINE, "secret", now=NOW + 1.0, tolerance=0)


class TestWhatIsGiven:
    def test_one_secret_is_a_rotation_of_one(self):
        """Text by its UTF-8; what an environment variable holds beyond that, by the bytes that it was."""
        assert read_secrets("grün") == read_secrets(["grün"]) == ("grün".encode(),)
        assert read_secrets("\udcff") == (b"\xff",)
        assert read_secrets([b"a", "b"]) == (b"a", b"b")
        assert read_secrets(b" \xff\n") == (b" \xff\n",)  # no text, so nothing was added to one

    @pytest.mark.parametrize(
        ("secrets", "said"),
        [
            ([], "no webhook secret"),
            (None, "no webhook secret"),
            (["a", ""], "empty"),
            ([3], "int"),
            ("a\n", "strip what was read"),
            (b"a\r\n", "strip what was read"),
            (["a", " b"], "strip what was read"),
            ("\ufeffa", "strip what was read"),
        ],
    )
    def test_none_and_half_a_rotation_are_refused(self, secrets, said):
        """One that is empty would open the door that the others close; what a file adds to one lets nobody in."""
        with pytest.raises(ConfigurationError, match=said):
            read_secrets(secrets)

    @pytest.mark.parametrize("tolerance", [-0.1, math.nan])
    def test_a_senseless_tolerance_is_refused(self, tolerance):
        """Before any look at the header."""
        with pytest.raises(ConfigurationError, match="0 or more"):
            verify(SIGNED, None, "secret", now=NOW, tolerance=tolerance)
        with pytest.raises(ConfigurationError):
            check_tolerance(tolerance)

    @pytest.mark.parametrize("body", ["{}", None, {}])
    def test_a_body_that_was_decoded_is_refused(self, body):
        """It need not give the same bytes back."""
        with pytest.raises(WebhookPayloadError, match=type(body).__name__):
            verify(body, GENUINE, "secret", now=NOW)
        with pytest.raises(WebhookPayloadError):
            check_body(body)


# -- the inbox


def announcing(id="evt_1", about="ana_1", kind="analysis.complete"):
    return parse_event(json.dumps({"id": id, "type": kind, "data": {"id": about}}).encode())


class Listener:
    """Keeps the ids that it was told."""

    def __init__(self):
        self.told = []

    def __call__(self, id):
        self.told.append(id)


@pytest.mark.parametrize("kind", ["analysis.complete", "analysis.completed", "analysis.failed"])
@pytest.mark.parametrize("id", ["ana_1", "anl_1"])
def test_an_announcement_is_told_to_every_listener(id, kind):
    """Once for each event, however often one began to listen."""
    inbox, first, second = WebhookInbox(), Listener(), Listener()
    for listener in (first, second, first):
        inbox.listen(listener)
    assert inbox.put(announcing(about=id, kind=kind))
    assert inbox.put(announcing("evt_2", about="ana_2", kind=kind))
    assert first.told == second.told == [id, "ana_2"]


def test_a_duplicate_is_told_to_nobody():
    """The event's id decides, however often and in whatever order it comes."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.listen(listener)
    came = [inbox.put(announcing(id)) for id in ("evt_1", "evt_2", "evt_1", "evt_2", "evt_1")]
    assert came == [True, True, False, False, False]
    assert listener.told == ["ana_1", "ana_1"]


def test_an_early_event_is_known_to_who_asks_later():
    """The event may overtake the answer that names the analysis."""
    inbox = WebhookInbox()
    inbox.put(announcing())
    assert inbox.has_announced("ana_1")
    assert inbox.has_announced("ana_1")
    assert not inbox.has_announced("ana_2")


@pytest.mark.parametrize(
    "heard",
    [
        announcing(kind="analysis.queued"),
        announcing(kind="session.ended", about="sess_1"),
        announcing(kind="transcript.ready"),
        announcing(about="sess_1"),
        announcing(about=None),
        announcing(about=["ana_1"]),
        announcing(kind="x" * 1000),
    ],
    ids=lambda heard: heard.type[:20],
)
def test_other_events_announce_nothing(heard):
    """Unknown types, and events about something else, are only remembered."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.listen(listener)
    assert inbox.put(heard)
    assert not inbox.put(heard)
    assert listener.told == []
    assert not inbox.has_announced("ana_1")


def test_who_is_forgotten_is_not_told():
    """`forget` takes a callback away, and forgives what was never there."""
    inbox, leaving, staying = WebhookInbox(), Listener(), Listener()
    inbox.listen(leaving)
    inbox.listen(staying)
    for _ in range(2):
        inbox.forget(leaving)
    inbox.put(announcing())
    assert (leaving.told, staying.told) == ([], ["ana_1"])
    inbox.forget(staying)
    assert repr(inbox) == "<WebhookInbox events=1 announced=1 listeners=0>"


def test_listeners_may_come_and_go_while_they_are_told():
    """Who is forgotten by one before it is not told; who joins is told at the next event."""
    inbox, late, forgotten = WebhookInbox(), Listener(), Listener()

    def leave(id):
        inbox.forget(leave)
        inbox.forget(forgotten)
        inbox.listen(late)

    inbox.listen(leave)
    inbox.listen(forgotten)
    inbox.put(announcing())
    assert (forgotten.told, late.told) == ([], [])
    inbox.put(announcing("evt_2"))
    assert (forgotten.told, late.told) == ([], ["ana_1"])


def test_an_event_that_a_listener_choked_on_is_no_duplicate():
    """The sender's next attempt is taken for the first one."""
    inbox, listener = WebhookInbox(), Listener()

    def choke(id):
        raise RuntimeError("no")

    inbox.listen(choke)
    inbox.listen(listener)
    with pytest.raises(RuntimeError):
        inbox.put(announcing())
    inbox.forget(choke)
    assert inbox.put(announcing())
    assert listener.told == ["ana_1"]


def test_memory_is_bounded():
    """Ids and announcements beyond the bound are forgotten, those longest unheard of first."""
    inbox = WebhookInbox(remembered=3)
    for number in range(10):
        inbox.put(announcing(f"evt_{number}", about=f"ana_{number}"))
    assert repr(inbox) == "<WebhookInbox events=3 announced=3 listeners=0>"
    assert [number for number in range(10) if inbox.has_announced(f"ana_{number}")] == [7, 8, 9]
    assert not inbox.put(announcing("evt_7"))
    assert inbox.put(announcing("evt_10"))  # forgets evt_8, as evt_7 was just heard of again
    assert not inbox.put(announcing("evt_7"))
    assert inbox.put(announcing("evt_8"))


@pytest.mark.parametrize("remembered", [0, -1, None, "3"])
def test_a_bound_that_remembers_nothing_is_refused(remembered):
    """Every retry would be news."""
    with pytest.raises(ConfigurationError, match="remembered is a whole number from 1 up"):
        WebhookInbox(remembered=remembered)


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef"))))
def test_recent_keys_are_those_used_last(bound, steps):
    """Against a list that is kept in order by hand."""
    keys, model = RecentKeys(bound), []
    for is_question, key in steps:
        if is_question:
            assert (key in keys) == (key in model)
        else:
            keys.add(key)
        if not is_question or key in model:
            model = [*(other for other in model if other != key), key][-bound:]
        assert len(keys) == len(model)
    assert [key for key in "abcdef" if key in keys] == sorted(model)


@pytest.mark.parametrize("event", [None, "evt_1", {"id": "evt_1"}, BODY])
def test_what_is_no_event_is_refused_by_name(event):
    """Neither a body nor what is in it."""
    with pytest.raises(ConfigurationError, match=f"construct_event returns, not {type(event).__name__}"):
        WebhookInbox().put(event)
