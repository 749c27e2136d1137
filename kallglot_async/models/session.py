"""`Session`: one call that Kallglot carries, in both revisions of the contract."""

from __future__ import annotations

from typing import Literal

from kallglot_async.models._base import Discreet, JSONValue, Model, OpenEnum, Timestamp, one_line
from kallglot_async.models.meta import Result

__all__ = [
    "EndReason", "Provider", "Session", "SessionMode", "SessionRecording", "SessionStatus", "SessionTranscript",
    "Stream",
]  # fmt: skip


class SessionStatus(OpenEnum):
    """Where a session stands. `connecting` is revision A's alone."""

    CREATED = "created"
    CONNECTING = "connecting"
    ACTIVE = "active"
    ENDED = "ended"


class SessionMode(OpenEnum):
    """What Kallglot does in the call."""

    BIDIRECTIONAL_TRANSLATION = "bidirectional_translation"
    ASSISTIVE_TRANSLATION = "assistive_translation"
    AI_AGENT = "ai_agent"
    HELP_CHAT_VOICE = "help_chat_voice"


class EndReason(OpenEnum):
    """Why a session ended (revision A)."""

    COMPLETED = "completed"
    CUSTOMER_HANGUP = "customer_hangup"
    AGENT_HANGUP = "agent_hangup"
    ERROR = "error"
    TIMEOUT = "timeout"


class Stream(Discreet, frozen=True, kw_only=True):
    """How to connect to the session's audio, while it has not ended.

    Attributes:
        url: The WebSocket address.
        token: A credential (`kst_...`), checked when a connection is made. No `repr` shows it.
        expires_at: Until when the token can be used.
    """

    url: str | None = None
    token: str | None = None
    expires_at: Timestamp | None = None

    def __repr__(self) -> str:
        # A token may travel in the query of the address, too.
        address = None if self.url is None else self.url.partition("?")[0]
        return one_line(f"<Stream {address} token={'***' if self.token else None}>")


class Provider(Model, frozen=True, kw_only=True, gc=False):
    """Who carries the call: `twilio`, `telnyx` or `sip`. Revision B names the type alone."""

    type: str | None = None
    status: str | None = None
    call_sid: str | None = None


class SessionRecording(Model, frozen=True, kw_only=True):
    """Whether the session is recorded; `id` and `duration` in seconds once it has ended (revision A)."""

    enabled: bool | None = None
    channels: str | None = None
    id: str | None = None
    duration: float | None = None


class SessionTranscript(Model, frozen=True, kw_only=True):
    """Whether there is a transcript, and how many words it has (revision A)."""

    available: bool | None = None
    word_count: float | None = None


class Session(Result, frozen=True, kw_only=True):
    """One session, in either revision. What is not there, or cannot be read, is None.

    `repr` shows identity and status only.

    Attributes:
        id: The session id.
        object: Always `session`.
        status: The status as the API spells it.
        mode: What Kallglot does in the call.
        source_language: Language code; None where it is detected.
        target_language: Language code; None where it is detected.
        stream: How to connect, while the session has not ended.
        provider: Who carries the call.
        phone_number: The other end, where there is one.
        duration: Seconds so far, or in all once it has ended (B says it only in the answer to `end`).
        recording: Whether it is recorded.
        transcript: Whether there is a transcript (A).
        metadata: What was attached at its creation, to the letter.
        created_at: When it was created.
        started_at: When the call began.
        ended_at: When it ended.
        end_reason: Why it ended (A).
    """

    id: str
    object: Literal["session"]
    status: SessionStatus
    mode: SessionMode | None = None
    source_language: str | None = None
    target_language: str | None = None
    stream: Stream | None = None
    provider: Provider | None = None
    phone_number: str | None = None
    duration: float | None = None
    recording: SessionRecording | None = None
    transcript: SessionTranscript | None = None
    metadata: JSONValue = None
    created_at: Timestamp | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    end_reason: EndReason | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it is over. An unknown status is not."""
        return self.status == SessionStatus.ENDED

    def __repr__(self) -> str:
        return one_line(f"<Session {self.id} {self.status}>")
