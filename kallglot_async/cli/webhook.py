"""`kallglot webhook verify`: is this delivery genuine, and what does it say."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from kallglot_async.cli.options import Flag
from kallglot_async.cli.text import clean, complain
from kallglot_async.errors import ConfigurationError, WebhookError, WebhookPayloadError, WebhookSignatureError

__all__ = ["webhook"]

webhook = App(name="webhook", help="Look into webhooks.")

MOST_BYTES = 2**20  # as the receivers' `max_body`, unless it is set; a test compares them
_STDIN = Path("-")


@webhook.command(usage="Usage: kallglot webhook verify --secret-env NAME --header TEXT [OPTIONS] [FILE | -]")
def verify(
    file: Annotated[Path, Parameter(name=["--file", "-f"], metavar="FILE")] = _STDIN,
    *,
    header: Annotated[str, Parameter(metavar="TEXT")],
    secret_env: Annotated[list[str], Parameter(metavar="NAME", negative=())],
    tolerance: Annotated[float | None, Parameter(metavar="SECONDS")] = 300.0,
    json: Flag = False,
) -> int:
    """Tell whether a receiver would accept a webhook, and which event it is.

    Exit code 0 if it would, 1 if not. The body must be what was sent, byte for byte: an editor that adds a line
    end makes it another one.

    Args:
        file: The body as it came; - or nothing reads it from standard input.
        header: The value of its Kallglot-Signature header, t=...,v1=...
        secret_env: The environment variable that holds the signing secret; may be given more than once.
        tolerance: Seconds that the signature may be old, or ahead of this clock; "none" for any.
        json: Print one JSON object instead.
    """
    from kallglot_async.webhooks import Event, construct_event

    secrets = [_secret(name) for name in secret_env]
    body = _read(file)
    outcome: Event | WebhookError
    try:
        if len(body) > MOST_BYTES:
            raise WebhookPayloadError(f"the body has more than {MOST_BYTES} bytes, which receivers refuse by default")
        limit = math.inf if tolerance is None else tolerance
        outcome = construct_event(body, header, secrets, now=time.time(), tolerance=limit)
    except WebhookError as error:
        outcome = error
    if json:
        _print_json(outcome)
    elif isinstance(outcome, Event):
        about = f" about {outcome.data.id}" if outcome.data.id is not None else ""
        print(clean(f"accepted: {outcome.id} {outcome.type.value}{about}"))
    else:
        hint = _hint(body) if isinstance(outcome, WebhookSignatureError) else ""
        complain(f"refused: {outcome}{hint}")
    return 0 if isinstance(outcome, Event) else 1


def _secret(name: str) -> str:
    """Return the secret: never an argument itself, as those are visible to every user of a machine."""
    secret = os.environ.get(name)
    if not secret:
        raise ConfigurationError(f"the environment variable {name} holds no secret: set it, and give its name only")
    return secret


def _read(file: Path) -> bytes:
    """Return the body, or as much of it as tells that it is too large."""
    try:
        if file != _STDIN:
            with file.open("rb") as opened:
                return opened.read(MOST_BYTES + 1)
        if sys.stdin is None:
            raise ConfigurationError("standard input is closed: there is no body to read")
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None


def _hint(body: bytes) -> str:
    return "; the body ends with a line end, which may not have been sent" if body.endswith(b"\n") else ""


def _print_json(outcome: object) -> None:
    from kallglot_async.cli.streams import write_line
    from kallglot_async.models.records import encode_line, error_record

    if isinstance(outcome, WebhookError):
        write_line(encode_line({"accepted": False, "error": error_record(outcome)}))
    else:
        write_line(encode_line({"accepted": True, "event": outcome}))
