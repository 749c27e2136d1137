"""`kallglot transcript`: what was said in a session, as JSON for programs or as text for people."""

from __future__ import annotations

import sys
from typing import Literal

from kallglot_async.cli.options import Connection
from kallglot_async.cli.streams import write_line
from kallglot_async.cli.text import clean, complain
from kallglot_async.errors import ConfigurationError, KallglotError
from kallglot_async.models.records import encode_line, error_record

__all__ = ["transcript"]

Format = Literal["json", "text", "srt", "vtt"]


async def transcript(id: str, connection: Connection, *, format: Format, timeout: float | None) -> int:
    """Print the transcript and return the exit code. As JSON, a failure is a line too, as in a batch.

    Text and subtitles are the server's, byte for byte but for a byte-order mark: a player counts on direction marks,
    blanks and line ends. Only a terminal gets them without what it would obey.
    """
    async with connection.client() as client:
        try:
            if format == "json":
                value = await client.sessions.transcript(id, timeout=timeout)
                write_line(encode_line({"id": id, "transcript": value, "lines": value.lines}))
            else:
                text = await client.sessions.transcript_text(id, format=format, timeout=timeout)
                write_line((_for_terminal(text) if _is_terminal() else text).encode())
        # A mistake of usage, and no failure of this session: `run` says it.
        except ConfigurationError:
            raise
        except KallglotError as error:
            if format == "json":
                write_line(encode_line({"id": id, "error": error_record(error)}))
            else:
                complain(error)
            return 1
    return 0


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _for_terminal(text: str) -> str:
    return "".join(f"{clean(line)}\n" for line in text.splitlines())
