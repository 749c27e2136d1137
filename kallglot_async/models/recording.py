"""`Recording`: the audio of a session and what is known of it, and what a download gave."""

from __future__ import annotations

from typing import Literal

from kallglot_async.models._base import Model, OpenEnum, Timestamp, one_line
from kallglot_async.models.meta import Result

__all__ = ["Channel", "Download", "Recording", "RecordingPage", "RecordingStatus"]


class RecordingStatus(OpenEnum):
    """Whether there is audio. Unknown texts mean "not ready"."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Channel(OpenEnum):
    """Whose voice a recording holds."""

    AGENT = "agent"
    CUSTOMER = "customer"
    MIXED = "mixed"


class Recording(Result, frozen=True, kw_only=True):
    """One recording, in either revision. A list leaves out what only a retrieve says.

    `repr` shows identity and status only: a pre-signed `download_url` lets anybody fetch the call.

    Attributes:
        id: The recording id.
        object: Always `recording`.
        status: Whether there is audio; `is_ready` reads it.
        session_id: The session that was recorded.
        channel: Whose voice it holds.
        duration: Seconds.
        format: `mp3`, `wav` or `ogg`.
        size: Bytes.
        sample_rate: Samples a second.
        bit_depth: Bits of a sample.
        download_url: Where the audio is, once it is ready: in A a link that works for an hour without a key,
            in B a path of the API. `client.recordings.download` knows what to do with either.
        created_at: When it was made.
        expires_at: When it is deleted.
    """

    id: str
    object: Literal["recording"]
    status: RecordingStatus
    session_id: str | None = None
    channel: Channel | None = None
    # Floats, though the samples have whole numbers: a fraction must not make a recording unreadable.
    duration: float | None = None
    format: str | None = None
    size: float | None = None
    sample_rate: float | None = None
    bit_depth: float | None = None
    download_url: str | None = None
    created_at: Timestamp | None = None
    expires_at: Timestamp | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is audio to download."""
        return self.status == RecordingStatus.READY

    @property
    def is_failed(self) -> bool:
        """Whether there never will be audio."""
        return self.status == RecordingStatus.FAILED

    def __repr__(self) -> str:
        return one_line(f"<Recording {self.id} {self.status} session={self.session_id}>")


class Download(Model, frozen=True, kw_only=True, gc=False):
    """What a download gave.

    Attributes:
        id: The recording.
        path: The file, or None where the audio went to a file object.
        bytes_written: Size of the audio.
        content_type: Its media type as the server names it.
        resumed: How often it went on where a lost connection, or an earlier download, had stopped.
        restarted: How often it had to begin again.
    """

    id: str
    bytes_written: int
    path: str | None = None
    content_type: str | None = None
    resumed: int = 0
    restarted: int = 0


class RecordingPage(Result, frozen=True, kw_only=True):
    """Some of a session's recordings, in the server's order.

    Attributes:
        object: Always `list`.
        data: The recordings of this page.
        has_more: Whether there are more in the direction that was asked for; False where the API does not say.
        url: The list's path, where the API names it.
        session_id: The session (A).
    """

    object: Literal["list"]
    data: tuple[Recording, ...]
    has_more: bool = False
    url: str | None = None
    session_id: str | None = None

    def __repr__(self) -> str:
        return f"<RecordingPage of {len(self.data)}, {'more' if self.has_more else 'the last'}>"
