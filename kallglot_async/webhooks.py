"""Webhooks: is it genuine, what does it say, and who waits for it. Pure: no clock, no event loop, no framework.

    event = construct_event(body, headers.get("Kallglot-Signature"), secret, now=time.time())
    if event.is_analysis_settled and event.analysis_id is not None:
        ...  # ask the API for it: what an event's data holds is not documented

`body` is the raw request body, before any decoding. Whatever body and header are, the answer is an event or a
`WebhookError`. Delivery is at least once and in no order: let an event's `id` decide whether it is new.
`kallglot_async.receivers` has all of this as an ASGI application and as a handler of aiohttp.web.

Signatures come as `Kallglot-Signature: t=<unix seconds>,v1=<hex>`. `v1` is the HMAC-SHA256 of "<t>.<raw body>" under
the endpoint's secret, whose text is the key as it stands. The documentation says nothing of tolerance, of several `v1`
or of several secrets; assumed here, as is usual:

- Any `v1` that fits any secret will do, so that either side can change its secret without losing an event.
- Parts with other names are ignored: they may be later schemes.
- A second `t` is refused: it would be open to choice which moment was signed.
- The signature is checked before its age, so that "too old" is only ever said of what is genuine.

An inbox (`kallglot_async.WebhookInbox`) is for waits that would otherwise only poll: a receiver puts events in, waits
listen for the analyses that they wait for. An announcement is a hint and no result: who hears one asks the API, and who
hears none goes on polling.
"""

from __future__ import annotations

import codecs
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from kallglot_async._checks import check_count, is_finite, shown
from kallglot_async._core.api.analyses import check_analysis_id
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError, decode_json_object
from kallglot_async.errors import (
    ConfigurationError,
    InvalidIdError,
    WebhookPayloadError,
    WebhookSignatureError,
    WebhookTimestampError,
)
from kallglot_async.models import JSONValue, Model, OpenEnum, Timestamp

__all__ = ["SIGNATURE_HEADER", "Event", "EventData", "EventType", "construct_event", "parse_event", "sign", "verify"]

SIGNATURE_HEADER = "Kallglot-Signature"
"""The header's name; HTTP does not tell upper case from lower."""

TOLERANCE = 300.0  # seconds; not documented, five minutes are usual

Secrets: TypeAlias = str | bytes | Sequence[str | bytes]
"""One signing secret, or those of a rotation."""

Body: TypeAlias = bytes | bytearray | memoryview
"""The bytes of a body as they arrived, in whatever they were collected."""

# One `t` and two dozen signatures are far less; whatever is longer is no header of ours.
_LONGEST_HEADER = 4096
_SECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_LONGEST_ID = 256  # characters; no length is documented, and every receiver remembers ids


class EventType(OpenEnum):
    """What happened. Unknown texts are kept."""

    SESSION_CREATED = "session.created"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    SESSION_PROVIDER_CONNECTED = "session.provider.connected"
    SESSION_PROVIDER_DISCONNECTED = "session.provider.disconnected"
    TRANSCRIPT_READY = "transcript.ready"
    TRANSCRIPT_SEGMENT = "transcript.segment"
    RECORDING_READY = "recording.ready"
    RECORDING_FAILED = "recording.failed"
    ANALYSIS_COMPLETE = "analysis.complete"
    # Documented nowhere; but revision B calls the status `completed`, and its events may follow one day.
    ANALYSIS_COMPLETED = "analysis.completed"
    ANALYSIS_FAILED = "analysis.failed"


_SETTLED = frozenset({EventType.ANALYSIS_COMPLETE, EventType.ANALYSIS_COMPLETED, EventType.ANALYSIS_FAILED})


class EventData(Model, frozen=True, kw_only=True):
    """What an event is about. `session_id`, and what else an event of an analysis has, is not documented.

    `raw` has all there is.

    `repr` shows the four fields only, so that call text reaches no log by accident.

    Attributes:
        id: The id of the session, analysis, recording or transcript.
        object: Its kind, for example `analysis`.
        status: Its status when the event was made.
        session_id: The session it belongs to.
        raw: The whole of `data` as it came. Read-only by agreement.
    """

    id: str | None = None
    object: str | None = None
    status: str | None = None
    session_id: str | None = None
    raw: dict[str, JSONValue]

    def __repr__(self) -> str:
        return (
            f"EventData(id={self.id!a}, object={self.object!a}, status={self.status!a}, session_id={self.session_id!a})"
        )

    def __rich_repr__(self) -> list[tuple[str, str | None]]:
        """Show rich what `repr` shows."""
        return [(name, getattr(self, name)) for name in ("id", "object", "status", "session_id")]


class Event(Model, frozen=True, kw_only=True):
    """One webhook event.

    Attributes:
        id: The event's id, the same in every delivery of it; de-duplicate on this.
        type: What happened.
        api_version: `v1`, or what the API says.
        created_at: When the event was made; None where that cannot be read.
        data: What it is about.
    """

    id: str
    type: EventType
    api_version: str | None = None
    created_at: Timestamp | None = None
    data: EventData

    @property
    def is_analysis_settled(self) -> bool:
        """Whether it says that an analysis is complete or has failed. Ask the API: the event is not the result."""
        return self.type in _SETTLED

    @property
    def analysis_id(self) -> str | None:
        """The analysis it is about, in either revision; None where it is about something else."""
        # By the id's own form: what `data` holds is not documented for analyses, and neither is its `object`.
        try:
            check_analysis_id(self.data.id)
        except InvalidIdError:
            return None
        return self.data.id

    def __repr__(self) -> str:
        # Escaped: what a server sends must not forge a line of a log.
        text = f"<Event {self.id} {self.type} data={self.data.id}>"
        return text if text.isprintable() else ascii(text)[1:-1]


def sign(body: bytes, secret: str | bytes, *, now: float) -> str:
    """Return the signature header's value for a body, as Kallglot would send it; for tests of receivers.

    Args:
        body: The body as it will be sent.
        secret: The endpoint's signing secret.
        now: Unix seconds; the header has the whole ones.

    Raises:
        ConfigurationError: The secret is empty, the body is not bytes, or `now` is no number.
    """
    (key,) = read_secrets(secret)
    if not (isinstance(now, int | float) and is_finite(now)):
        raise _no_moment(now)
    if not isinstance(body, Body):
        raise ConfigurationError(f"what is signed are bytes, not {type(body).__name__}: encode it as it will be sent")
    moment = str(int(now))
    return f"t={moment},v1={_digest(key, moment, body).hex()}"


def verify(
    body: Body, header: str | bytes | None, secrets: Secrets, *, now: float, tolerance: float = TOLERANCE
) -> None:
    """Return if the body was signed with one of the secrets at about `now`, and raise otherwise.

    All signatures are compared with all secrets in constant time, also after one has fitted.

    Args:
        body: The raw bytes as they arrived, before any decoding.
        header: The value of `Kallglot-Signature`; None where there was none.
        secrets: The endpoint's signing secret, or several while it is being changed.
        now: Unix seconds.
        tolerance: Seconds that the signature may be old, or ahead of this clock.

    Raises:
        WebhookSignatureError: The header is missing or malformed, or nothing in it fits.
        WebhookTimestampError: It fits, but is further from `now` than `tolerance`.
        WebhookPayloadError: The body is not bytes.
        ConfigurationError: There is no secret, an empty one, or a senseless tolerance or moment.
    """
    keys = read_secrets(secrets)
    check_tolerance(tolerance)
    if not isinstance(now, int | float):
        raise _no_moment(now)
    check_body(body)
    moment, candidates = _read_header(header)
    is_genuine = False
    for key in keys:
        expected = _digest(key, moment, body)
        for candidate in candidates:
            is_genuine |= hmac.compare_digest(expected, candidate)
    if not is_genuine:
        reason = "another secret, or a body that is not the bytes that were sent"
        if not body:
            reason = "the body is empty, as it is where a middleware, or a parser of forms, has read it before"
        raise WebhookSignatureError(f"no signature fits: {reason}")
    age = now - int(moment)
    # Not `>`: a clock that says NaN lets nothing pass.
    if not abs(age) <= tolerance:
        when = f"{age:.0f} s ago" if age > 0 else f"{-age:.0f} s in the future"
        raise WebhookTimestampError(f"it was signed {when}, and {tolerance:.0f} s are allowed", age=age)


def read_secrets(secrets: Secrets) -> tuple[bytes, ...]:
    """Return the keys of one secret or several.

    Raises:
        ConfigurationError: There is none, or one that is empty or no text: anybody could sign with that; or one with a
            blank or a line end around it, as files and environments add them: nothing would fit it.
    """
    if not isinstance(secrets, Iterable | None):
        raise ConfigurationError(f"a webhook secret is a str or bytes, not of type {type(secrets).__name__}")
    several = (secrets,) if isinstance(secrets, str | bytes) else tuple(secrets or ())
    if not several:
        raise ConfigurationError("there is no webhook secret: give at least one")
    return tuple(_key(secret) for secret in several)


def check_body(body: object) -> None:
    """Raise if the body cannot be what was sent.

    Raises:
        WebhookPayloadError: It is not bytes; a decoded text need not give the same bytes back.
    """
    if not isinstance(body, Body):
        raise WebhookPayloadError(f"the body is of type {type(body).__name__}: give the raw bytes as they arrived")


def check_tolerance(tolerance: float) -> None:
    """Raise if the tolerance is no number of seconds.

    Raises:
        ConfigurationError: It is something else, or negative, or NaN.
    """
    if not (isinstance(tolerance, int | float) and tolerance >= 0):
        raise ConfigurationError(f"tolerance is a number of seconds, 0 or more, not {shown(tolerance)}")


def _no_moment(now: object) -> ConfigurationError:
    return ConfigurationError(f"now is a number of Unix seconds, as time.time() gives, not {shown(now)}")


def _key(secret: object) -> bytes:
    if not isinstance(secret, str | bytes):
        raise ConfigurationError(f"a webhook secret is a str or bytes, not of type {type(secret).__name__}")
    # What an environment variable holds beyond UTF-8 arrives as surrogates, and leaves as the bytes it was.
    try:
        key = secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        key = b""
    if not key:
        raise ConfigurationError("a webhook secret is empty or not encodable: anybody could sign with it")
    bare = key.strip().removeprefix(codecs.BOM_UTF8)
    # Bytes that are no text may begin and end as they like.
    if key != bare and (isinstance(secret, str) or (bare.isascii() and bare.decode().isprintable())):
        raise ConfigurationError(
            "a webhook secret begins or ends with a blank, a line end or a byte-order mark, and nothing would fit it: "
            "strip what was read from a file or the environment"
        )
    return key


def _digest(key: bytes, moment: str, body: Body) -> bytes:
    # In two parts: joined, the body would be copied for it.
    mac = hmac.new(key, f"{moment}.".encode(), hashlib.sha256)
    # As bytes: a memoryview need not be in one piece, which is all that hashlib takes.
    mac.update(bytes(body))
    return mac.digest()


def _read_header(header: object) -> tuple[str, list[bytes]]:
    """Return the moment, letter by letter as it was signed, and every signature that could be one."""
    if not isinstance(header, str | bytes | None):
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header is of type {type(header).__name__}, not a str")
    if not header:
        raise WebhookSignatureError(f"there is no {SIGNATURE_HEADER} header")
    if len(header) > _LONGEST_HEADER:
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header is longer than {_LONGEST_HEADER} characters")
    # In this encoding every byte is a character, so that no header raises.
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    parts = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in text.split(","))]
    moments = [value for name, value in parts if name == "t"]
    if len(moments) != 1 or not _SECONDS.fullmatch(moments[0]):
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header needs one t= with Unix seconds")
    digests = [bytes.fromhex(value) for name, value in parts if name == "v1" and _HEX_DIGEST.fullmatch(value)]
    if not digests:
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header has no v1= with 64 hexadecimal digits")
    return moments[0], digests


def construct_event(
    body: Body, header: str | bytes | None, secrets: Secrets, *, now: float, tolerance: float = TOLERANCE
) -> Event:
    """Return the event in a body that is genuine: `verify`, then `parse_event`.

    Args:
        body: The raw bytes as they arrived, before any decoding.
        header: The value of `Kallglot-Signature`; None where there was none.
        secrets: The endpoint's signing secret, or several while it is being changed.
        now: Unix seconds.
        tolerance: Seconds that the signature may be old, or ahead of this clock.

    Raises:
        WebhookSignatureError: The header is missing or malformed, or nothing in it fits.
        WebhookTimestampError: It fits, but is further from `now` than `tolerance`.
        WebhookPayloadError: The body is not an event.
        ConfigurationError: There is no secret, an empty one, or a senseless tolerance or moment.
    """
    # Before a single byte of it is read as JSON: who cannot sign finds no way into the decoder.
    verify(body, header, secrets, now=now, tolerance=tolerance)
    return parse_event(body)


def parse_event(body: Body) -> Event:
    """Return the event in a body whose signature has been verified.

    Required are `id`, `type`, and `data` to be an object if it is there. Whatever else is missing or odd is None.

    Raises:
        WebhookPayloadError: The body is not an event.
    """
    check_body(body)
    try:
        fields, problem = decode_json_object(bytes(body)), ""
    except (MalformedBodyError, WrongShapeError) as error:
        fields, problem = {}, str(error)
    # Outside the handler: what the decoder raised is no context of an error that a receiver logs.
    if problem:
        raise WebhookPayloadError(f"not an event: {problem}")
    id, kind, data = fields.get("id"), fields.get("type"), fields.get("data")
    if not (isinstance(id, str) and 0 < len(id) <= _LONGEST_ID):
        raise WebhookPayloadError(f"not an event: `$.id` is not a text of 1 to {_LONGEST_ID} characters")
    if not (isinstance(kind, str) and kind):
        raise WebhookPayloadError("not an event: `$.type` is not a text")
    if not isinstance(data, dict | None):
        raise WebhookPayloadError("not an event: `$.data` is not an object")
    return Event(
        id=id,
        type=EventType(kind),
        api_version=_text(fields.get("api_version")),
        created_at=_moment(fields.get("created_at")),
        data=_data(data or {}),
    )


def _data(raw: dict[str, JSONValue]) -> EventData:
    return EventData(
        id=_text(raw.get("id")),
        object=_text(raw.get("object")),
        status=_text(raw.get("status")),
        session_id=_text(raw.get("session_id")),
        raw=raw,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: object) -> datetime | None:
    # An event is worth more than its time: what cannot be read costs nobody the event, and no zone is read as UTC.
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


class RecentKeys:
    """A set that keeps the `bound` keys that were added or asked for last."""

    __slots__ = ("_bound", "_keys")

    def __init__(self, bound: int) -> None:
        self._bound = check_count("remembered", bound)
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        if key not in self._keys:
            return False
        self._keys.move_to_end(key)
        return True

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        """Remember a key; the one that was longest not asked for is forgotten where there is no room."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._bound:
            self._keys.popitem(last=False)


class WebhookInbox:
    """Takes in webhook events and tells waits that their analysis has settled.

    It may be shared by several clients on one event loop. It is not thread safe: use it where the loop runs.

    Args:
        remembered: How many event ids, and how many announced analyses, are remembered: the newest of each.

    Raises:
        ConfigurationError: `remembered` is less than 1.
    """

    __slots__ = ("_announced", "_listeners", "_seen", "is_heard")

    def __init__(self, *, remembered: int = 100_000) -> None:
        self._seen = RecentKeys(remembered)
        self._announced = RecentKeys(remembered)
        self._listeners: list[Callable[[str], object]] = []
        self.is_heard: bool = False  # whether anything was ever announced

    def __repr__(self) -> str:
        counts = f"events={len(self._seen)} announced={len(self._announced)} listeners={len(self._listeners)}"
        return f"<WebhookInbox {counts}>"

    def put(self, event: Event) -> bool:
        """Take in one event and tell every listener of the analysis that it says has settled.

        Events about anything else, and of types that nobody knows yet, are only remembered.

        Args:
            event: An event whose signature has been verified.

        Returns:
            False where an event with this id came before; then nobody is told.

        Raises:
            ConfigurationError: It is none.
        """
        if not isinstance(event, Event):
            raise ConfigurationError(f"an event is what construct_event returns, not {type(event).__name__}")
        if event.id in self._seen:
            return False
        if event.is_analysis_settled and (id := event.analysis_id) is not None:
            self._announced.add(id)
            self.is_heard = True
            for callback in tuple(self._listeners):
                # One before it may have made it forget.
                if callback in self._listeners:
                    callback(id)
        # Last: if a listener raises, the sender's next attempt must not be taken for a duplicate.
        self._seen.add(event.id)
        return True

    def has_announced(self, analysis_id: str) -> bool:
        """Whether an announcement has come already, which happens: events overtake the answer to a create."""
        return analysis_id in self._announced

    def listen(self, callback: Callable[[str], object]) -> None:
        """Have `callback` called with the id of every analysis that is announced from now on.

        It is called in the middle of `put`, so it must be quick and must not raise.

        Args:
            callback: To be given to `forget` when nobody waits any more. Twice the same is once.
        """
        if callback not in self._listeners:
            self._listeners.append(callback)

    def forget(self, callback: Callable[[str], object]) -> None:
        """Call `callback` no more; it is no error if it never listened."""
        if callback in self._listeners:
            self._listeners.remove(callback)
