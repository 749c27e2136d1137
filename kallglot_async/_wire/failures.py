"""What goes wrong beneath us, as errors of ours: the one place and the one table for it."""

from __future__ import annotations

import errno
import os
import ssl

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from kallglot_async import errors

__all__ = ["LostError", "UnsentError", "late", "raised_by_session", "translate", "why_unsent"]

_PACKED = "the body is not packed as its Content-Encoding says, or in a way that is not known; none was asked for"

_TOO_LONG = (
    "the answer's headers are longer, or more, than is read; a session of yours may be given a larger max_field_size "
    "and max_headers"
)


class LostError(Exception):
    """The connection went away. Not an aiohttp error, so that aiohttp does not send the request again."""


class UnsentError(Exception):
    """What a request was waiting for that was cancelled before it was sent: the cause of the cancellation."""


def why_unsent(error: BaseException | None) -> UnsentError | None:
    """Return why nothing was sent of a request that ended with a cancellation; None: it was, or may have been."""
    cause = None if error is None else error.__cause__
    return cause if isinstance(cause, UnsentError) else None


def late(what: str, seconds: float, over: TimeoutError, operation: str) -> errors.TransportError:
    """Return the error for an attempt whose own time was over."""
    if (unsent := why_unsent(over.__cause__)) is not None:
        return errors.ConnectError(f"{what} was not sent within {seconds:g} s: {unsent}", operation=operation)
    text = f"{what} was not answered within {seconds:g} s"
    return errors.RequestTimeoutError(text, operation=operation, timeout=seconds)


def translate(error: BaseException, operation: str, base_url: str) -> errors.KallglotError:
    """Turn a transport library's error into ours, which holds nothing of the original but its kind."""
    # The particular before the general: many of these are an OSError too, and ClientConnectorError is the base of four.
    match error:
        case aiohttp.ClientProxyConnectionError():
            return errors.ProxyError(
                f"the proxy at {error.host}:{error.port} cannot be reached",
                operation=operation,
                proxy=f"{error.host}:{error.port}",
            )
        case aiohttp.InvalidURL() if str(error.url) != URL(base_url).host:
            # Often a host and a port, as other programs take them. It is not shown: it may hold a password.
            return errors.ConfigurationError(
                "the environment's proxy cannot be used: write it as http://host:port, or use trust_env=False"
            )
        case aiohttp.ClientHttpProxyError():
            proxy = _proxy_of(base_url)
            return errors.ProxyError(
                f"the proxy{' at ' * bool(proxy)}{proxy} refused the connection with status {error.status}",
                operation=operation,
                proxy=proxy,
                status=error.status,
            )
        case aiohttp.ClientConnectorSSLError() if isinstance(error.os_error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return errors.ConnectError(
                f"{error.host}:{error.port} closed the connection in the handshake", operation=operation
            )
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return errors.TLSError(_describe_tls(error), operation=operation)
        case aiohttp.ServerFingerprintMismatch():
            return errors.TLSError("the server's certificate has another fingerprint", operation=operation)
        case aiohttp.ConnectionTimeoutError():
            return errors.ConnectError("connecting took too long", operation=operation)
        case aiohttp.ClientConnectorDNSError():
            # Without a number it is our resolver's own, in words that are fit to be shown.
            why = f": {error.strerror}" if error.errno is None and error.strerror else ""
            return errors.ConnectError(f"the name {error.host} does not resolve{why}", operation=operation)
        case aiohttp.ClientConnectorError():
            return errors.ConnectError(
                f"no connection to {error.host}:{error.port}: {_os_reason(error.os_error)}",
                operation=operation,
            )
        case TimeoutError():
            return errors.RequestTimeoutError("the server sent nothing for too long", operation=operation)
        case aiohttp.ClientResponseError() if "content-encoding" in error.message:
            return errors.ProtocolError(_PACKED, operation=operation)
        case aiohttp.ClientPayloadError() if isinstance(error.__cause__, ContentEncodingError):
            return errors.ProtocolError(_PACKED, operation=operation)
        case aiohttp.ClientResponseError() if _is_too_long(error.message):
            return errors.ProtocolError(_TOO_LONG, operation=operation)
        case aiohttp.ClientResponseError():
            # Broken HTTP looks like status 400 here; no status was received.
            return errors.ProtocolError("what arrived is not a well-formed HTTP answer", operation=operation)
        case LostError() | aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return errors.ConnectionLostError(
                "the connection ended before the answer was complete", operation=operation
            )
        case OSError():
            return errors.ConnectError(f"no connection: {_os_reason(error)}", operation=operation)
        case aiohttp.ClientError():
            return errors.ProtocolError(f"the request failed: {type(error).__name__}", operation=operation)
        case _:  # ValueError: another authorization than our header, of the session or, with trust_env, of netrc
            return errors.ConfigurationError(
                "the environment's proxy or netrc settings, or the auth= of a session of yours, cannot be used with an "
                "API key; use trust_env=False, and leave auth= out"
            )


def raised_by_session(error: BaseException) -> errors.ConfigurationError:
    """Return the error for what a middleware or a trace of the caller's session has raised, which is its cause."""
    what = f"a middleware or trace of the session that was passed raised {type(error).__name__}"
    failure = errors.ConfigurationError(what)
    # Without its frames, which hold the request's headers, and with them the key.
    failure.__cause__ = error.with_traceback(None)
    return failure


def _proxy_of(base_url: str) -> str:
    """Return host and port of the environment's proxy for a URL, without credentials: aiohttp's error has neither."""
    from urllib.request import getproxies  # loads a good deal, for a rare error

    try:
        proxy = URL(getproxies().get(URL(base_url).scheme, ""))
    except ValueError:
        return ""
    return f"{proxy.host}:{proxy.port}" if proxy.host else ""


def _is_too_long(what: str) -> bool:
    return "Got more than" in what or "Too many headers" in what


def _os_reason(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return "too many open files: raise the limit or lower max_connections"
    # By the number: asyncio's own text says "Connect call failed" and the address, whatever the reason was.
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _describe_tls(error: BaseException) -> str:
    # The reason alone: the errors' own texts add addresses, and places in OpenSSL's source.
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "the handshake failed"
    return f"TLS: {reason}; check base_url, the system's certificates and its clock"
