"""Headers that callers send besides ours: which can be sent, and that none of them takes the place of what is ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kallglot_async._checks import shown
from kallglot_async._version import __version__
from kallglot_async.errors import ConfigurationError

__all__ = ["Headers", "check_headers", "user_agent"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)  # RFC 9110, 5.1 and 5.6.2
_VALUE = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?", re.ASCII)  # RFC 9110, 5.5, without what nobody agrees on
_LONGEST = 4096  # characters; servers refuse more than 8 kB for all headers of a request
_SUFFIX = re.compile(r"[!-~](?:[ !-~]{0,198}[!-~])?", re.ASCII)

# Why a header cannot be given, by its name in lower case.
_HOP = "it belongs to one connection (RFC 9110, 7.6.1), which the client manages"
_BODY = "it follows from what is sent"
_RANGE = "downloads go on by themselves"
_RESERVED = {
    "authorization": "the API key is sent by the client: use api_key=",
    "x-api-key": "the API key is sent by the client: use api_key=",
    "proxy-authorization": "give a session= that knows the proxy",
    "user-agent": "use user_agent_suffix=",
    "idempotency-key": "use the call's idempotency_key=",
    "content-type": _BODY,
    "content-length": _BODY,
    "content-encoding": _BODY,
    "host": "use base_url=",
    "accept-encoding": "the client says what it can read",
    "range": _RANGE,
    "if-range": _RANGE,
    **dict.fromkeys(
        ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        _HOP,
    ),
}


class Headers(dict[str, str]):
    """Headers whose values show themselves nowhere: not in `repr`, also rich's, nor in a traceback with locals."""

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self) or 'none'}>"

    def __rich_repr__(self) -> list[str]:
        return list(self)


def check_headers(argument: str, headers: Mapping[str, str] | None) -> Headers:
    """Return headers as they are sent, their names in one spelling. Values are shown nowhere: they may be secrets.

    Raises:
        ConfigurationError: One cannot be sent, is ours to send, or comes twice.
    """
    checked = Headers()
    if headers is None:
        return checked
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"{argument} maps names to values, it is not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(f"{argument}: {shown(name, 60)} is no name of a header")
        if (reason := _RESERVED.get(name.lower())) is not None:
            raise ConfigurationError(f"{argument}: {name} cannot be given here: {reason}")
        if not isinstance(value, str):
            raise ConfigurationError(f"{argument}: the value of {name} is a text, not {type(value).__name__}")
        if len(value) > _LONGEST or not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"{argument}: the value of {name} cannot be sent: it is visible ASCII with blanks inside only, without "
                f"line ends, and at most {_LONGEST} characters long"
            )
        if name.title() in checked:
            raise ConfigurationError(f"{argument}: {name} is given twice, as case makes no difference")
        checked[name.title()] = str.__str__(value)  # plain, as `check_text` has it
    return checked


def user_agent(suffix: str | None) -> str:
    """Return how the client calls itself.

    Raises:
        ConfigurationError: The suffix cannot be sent.
    """
    ours = f"kallglot-async/{__version__}"
    if suffix is None:
        return ours
    if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
        raise ConfigurationError(
            f"user_agent_suffix is visible ASCII such as 'my-app/1.2', 200 characters at most, not {shown(suffix, 60)}"
        )
    return f"{ours} {str.__str__(suffix)}"
