"""Signatures of webhooks: `Kallglot-Signature: t=<unix seconds>,v1=<hex>`.

`v1` is the HMAC-SHA256 of "<t>.<raw body>" under the endpoint's secret, whose text is the key as it stands. The
documentation says nothing of tolerance, of several `v1` or of several secrets; assumed here, as is usual:

- Any `v1` that fits any secret will do, so that either side can change its secret without losing an event.
- Parts with other names are ignored: they may be later schemes.
- A second `t` is refused: it would be open to choice which moment was signed.
- The signature is checked before its age, so that "too old" is only ever said of what is genuine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import TypeAlias

from kallglot_async.errors import (
    ConfigurationError,
    WebhookPayloadError,
    WebhookSignatureError,
    WebhookTimestampError,
)

__all__ = ["SIGNATURE_HEADER", "TOLERANCE", "Secrets", "read_secrets", "sign", "verify"]

SIGNATURE_HEADER = "Kallglot-Signature"
"""The header's name; HTTP does not tell upper case from lower."""

TOLERANCE = 300.0  # seconds; not documented, five minutes are usual

Secrets: TypeAlias = str | bytes | Sequence[str | bytes]
"""One signing secret, or those of a rotation."""

# One `t` and two dozen signatures are far less; whatever is longer is no header of ours.
_LONGEST_HEADER = 4096
_SECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def sign(body: bytes, secret: str | bytes, *, now: float) -> str:
    """Return the signature header's value for a body, as Kallglot would send it; for tests of receivers.

    Args:
        body: The body as it will be sent.
        secret: The endpoint's signing secret.
        now: Unix seconds; the header has the whole ones.

    Raises:
        ConfigurationError: The secret is empty.
    """
    (key,) = read_secrets(secret)
    moment = str(int(now))
    return f"t={moment},v1={_digest(key, moment, body).hex()}"


def verify(
    body: bytes, header: str | bytes | None, secrets: Secrets, *, now: float, tolerance: float = TOLERANCE
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
        ConfigurationError: There is no secret, an empty one, or a senseless tolerance.
    """
    keys = read_secrets(secrets)
    check_tolerance(tolerance)
    check_body(body)
    moment, candidates = _read_header(header)
    is_genuine = False
    for key in keys:
        expected = _digest(key, moment, body)
        for candidate in candidates:
            is_genuine |= hmac.compare_digest(expected, candidate)
    if not is_genuine:
        raise WebhookSignatureError("no signature fits: another secret, or a body that is not the bytes that were sent")
    age = now - int(moment)
    if not abs(age) <= tolerance:  # not `>`: a clock that says NaN lets nothing pass
        when = f"{age:.0f} s ago" if age > 0 else f"{-age:.0f} s in the future"
        raise WebhookTimestampError(f"it was signed {when}, and {tolerance:.0f} s are allowed", age=age)


def read_secrets(secrets: Secrets) -> tuple[bytes, ...]:
    """Return the keys of one secret or several.

    Raises:
        ConfigurationError: There is none, or one that is empty or no text: anybody could sign with that.
    """
    several = (secrets,) if isinstance(secrets, str | bytes) else tuple(secrets or ())
    if not several:
        raise ConfigurationError("there is no webhook secret: give at least one")
    return tuple(_key(secret) for secret in several)


def check_body(body: object) -> None:
    """Raise if the body cannot be what was sent.

    Raises:
        WebhookPayloadError: It is not bytes; a decoded text need not give the same bytes back.
    """
    if not isinstance(body, bytes):
        raise WebhookPayloadError(f"the body is of type {type(body).__name__}: give the raw bytes as they arrived")


def check_tolerance(tolerance: float) -> None:
    """Raise if the tolerance is no number of seconds.

    Raises:
        ConfigurationError: It is negative or NaN.
    """
    if not tolerance >= 0:
        raise ConfigurationError(f"tolerance is a number of seconds, 0 or more, not {tolerance}")


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
    return key


def _digest(key: bytes, moment: str, body: bytes) -> bytes:
    # In two parts: joined, the body would be copied for it.
    mac = hmac.new(key, f"{moment}.".encode(), hashlib.sha256)
    mac.update(body)
    return mac.digest()


def _read_header(header: object) -> tuple[str, list[bytes]]:
    """Return the moment, letter by letter as it was signed, and every signature that could be one."""
    if not isinstance(header, str | bytes | None):
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header is of type {type(header).__name__}, not a str")
    if not header:
        raise WebhookSignatureError(f"there is no {SIGNATURE_HEADER} header")
    if len(header) > _LONGEST_HEADER:
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header is longer than {_LONGEST_HEADER} characters")
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    parts = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in text.split(","))]
    moments = [value for name, value in parts if name == "t"]
    if len(moments) != 1 or not _SECONDS.fullmatch(moments[0]):
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header needs one t= with Unix seconds")
    digests = [bytes.fromhex(value) for name, value in parts if name == "v1" and _HEX_DIGEST.fullmatch(value)]
    if not digests:
        raise WebhookSignatureError(f"the {SIGNATURE_HEADER} header has no v1= with 64 hexadecimal digits")
    return moments[0], digests
