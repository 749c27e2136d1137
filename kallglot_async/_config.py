"""Settings: checked once, before any I/O, and then carried as one value."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

import msgspec

from kallglot_async._checks import check_count, check_seconds, check_timeout, shown
from kallglot_async._extra_headers import Headers, check_headers, user_agent
from kallglot_async.errors import ConfigurationError

__all__ = [
    "AS_CLIENT", "KEY_MARK", "RATE_LIMIT_URL_VARIABLE", "ApiKey", "AsClient", "AskedKey", "ClientConfig", "Secret",
    "Timeout", "is_loopback", "parse_base_url", "resolve_config", "secret_of",
]  # fmt: skip

DEFAULT_BASE_URL = "https://api.kallglot.com/v1"
API_KEY_VARIABLE = "KALLGLOT_API_KEY"
BASE_URL_VARIABLE = "KALLGLOT_BASE_URL"
RATE_LIMIT_URL_VARIABLE = "KALLGLOT_RATE_LIMIT_URL"

# Documented prefixes are sk_live_ and sk_test_; alphabet and length are not documented, so any visible
# ASCII goes, which is also what an HTTP header can carry.
_API_KEY = re.compile(r"sk_(?:live|test)_[!-~]{1,512}")
_KEY_PREFIX = re.compile(r"sk_(?:live|test)_")
KEY_MARK = "sk_"  # a text without it holds no key


class Secret:
    """An API key that shows itself nowhere: not in `repr`, `str`, a pickle or a traceback with locals.

    Attributes:
        credential: What the header `Authorization` says with it, to be bound to no name.
    """

    __slots__ = ("_value", "credential")

    def __init__(self, value: str) -> None:
        self._put(value)

    def _put(self, value: str) -> None:
        # The text alone: a member of an enumeration would be sent by its name.
        self._value = value = str.__str__(value) if isinstance(value, str) else value
        # Made once, as each request has it. What is no text is refused later, by `_check_api_key`.
        self.credential: str = f"Bearer {value}" if isinstance(value, str) else ""

    def reveal(self) -> str:
        """Return the key itself, to be checked, and bound to no name."""
        return self._value

    def redact(self, text: str) -> str:
        """Return `text` with every occurrence of the key masked."""
        return text.replace(self._value, str(self)) if self._value in text else text

    def __repr__(self) -> str:
        prefix = _KEY_PREFIX.match(self._value) if isinstance(self._value, str) else None
        return f"{prefix[0] if prefix else ''}***"

    # Equal by the key: waits under one key meet, whichever client or view was given it.
    # Not to one that is asked for, whose key may change: its hash is that of whom it asks.
    def __eq__(self, other: object) -> bool:
        return self._value == other._value if type(other) is Secret else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; give it to the other process by its environment")


ApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""An API key, or a function, plain or a coroutine function, that is asked for it."""


class AskedKey(Secret):
    """An API key that a function of the caller's is asked for: it may change, and stays the key of one client.

    Attributes:
        ask: The function.
        asks: How often it has answered.
        version: How often it has answered with another key than before.
        turn: An event loop, and what lets one of its tasks ask at a time; of the wire's.
    """

    __slots__ = ("_before", "ask", "asks", "turn", "version")

    def __init__(self, ask: Callable[[], str | Awaitable[str]]) -> None:
        super().__init__("")
        self.ask = ask
        self._before = ""
        self.asks = self.version = 0
        self.turn: tuple[object, Any] | None = None

    def renew(self, key: Secret) -> None:
        """Take in what the function has answered.

        Raises:
            ConfigurationError: It cannot be a key.
        """
        _check_api_key("api_key", key)
        self.asks += 1
        if key.reveal() != self._value:
            self._before = self._value
            self._put(key.reveal())
            self.version += 1

    def redact(self, text: str) -> str:
        """Return `text` with every occurrence of the key, and of the one before it, masked."""
        # The one before, too: what was sent with it may still be answered.
        for secret in filter(None, (self._value, self._before)):
            text = text.replace(secret, str(self))
        return text

    # Whatever it answers: limits and waits are those of whoever is asked.
    def __eq__(self, other: object) -> bool:
        return self.ask is other.ask if isinstance(other, AskedKey) else NotImplemented

    def __hash__(self) -> int:
        return id(self.ask)


def secret_of(api_key: ApiKey) -> Secret:
    """Return what an `api_key` argument stands for."""
    return AskedKey(api_key) if callable(api_key) else Secret(api_key)


class Options(TypedDict):
    """The settings besides key and address, as a caller gives them."""

    timeout: float | None
    max_attempts: int
    max_connections: int
    max_in_flight: int
    max_response_bytes: int
    max_rate_wait: float | None
    connect_timeout: float
    trust_env: bool
    keep_raw: bool


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one client, all checked."""

    api_key: Secret
    base_url: str
    timeout: float | None
    max_attempts: int
    max_connections: int
    max_in_flight: int
    max_response_bytes: int
    max_rate_wait: float | None
    connect_timeout: float
    trust_env: bool
    keep_raw: bool
    headers: Mapping[str, str]

    def changed(self, **options: object) -> ClientConfig:
        """Return these settings with the options in their place, checked; `AS_CLIENT` leaves one as it is.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        given = {name: value for name, value in options.items() if not isinstance(value, AsClient)}
        return msgspec.structs.replace(self, **_checked(given))

    def with_headers(self, extra: Mapping[str, str] | None) -> ClientConfig:
        """Return these settings with more headers, which win over those before.

        Raises:
            ConfigurationError: One cannot be sent.
        """
        more = check_headers("extra_headers", extra)
        return msgspec.structs.replace(self, headers=Headers({**self.headers, **more})) if more else self


def resolve_config(
    *,
    api_key: Secret | None,
    base_url: str | None,
    environ: Mapping[str, str],
    default_headers: Mapping[str, str] | None = None,
    user_agent_suffix: str | None = None,
    **options: Unpack[Options],
) -> ClientConfig:
    """Return the checked settings; arguments win over the environment.

    Raises:
        ConfigurationError: A setting is missing or cannot be used.
    """
    if api_key is None:
        api_key = Secret(environ.get(API_KEY_VARIABLE, ""))
        if not api_key.reveal():
            raise ConfigurationError(f"there is no API key: pass api_key= or set {API_KEY_VARIABLE}")
    if base_url is None:
        base_url = environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    headers = check_headers("default_headers", default_headers)
    if user_agent_suffix is not None:
        headers["User-Agent"] = user_agent(user_agent_suffix)
    return ClientConfig(**_checked({"api_key": api_key, "base_url": base_url, **options}), headers=headers)


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _RULES[name](name, value) for name, value in settings.items()}


def _check_api_key(_: str, key: Secret) -> Secret:
    """Refuse what cannot be a key. The key is handled as a `Secret` so that no frame shows it."""
    if isinstance(key, AskedKey):
        # Its answers are checked as they come.
        return key
    if not isinstance(key.reveal(), str):
        raise ConfigurationError("the API key is not text: pass the key as a str")
    if key.reveal().startswith("Bearer "):
        raise ConfigurationError("the API key starts with 'Bearer ': pass the key alone")
    if key.reveal().startswith("kst_"):
        raise ConfigurationError("this is a stream token (kst_...): pass an API key (sk_live_... or sk_test_...)")
    if not _API_KEY.fullmatch(key.reveal()):
        if _API_KEY.fullmatch(key.reveal().strip()):
            raise ConfigurationError("the API key has blanks or line ends around it: strip them")
        raise ConfigurationError(
            "the API key is malformed: expected sk_live_... or sk_test_... in visible ASCII without blanks"
        )
    return key


def parse_base_url(text: str) -> str:
    """Return the base URL with exactly one trailing slash.

    Raises:
        ConfigurationError: Not https (loopback excepted), or with userinfo, query or fragment.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"base_url is not text but {type(text).__name__}")
    # First of all, and wherever it stands: what is before an @ may be a password, so it is never shown.
    if "@" in unicodedata.normalize("NFKC", text):
        raise ConfigurationError("base_url holds an @, as before it a user name or password: leave them out")
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"base_url {shown(text, 200)} cannot be read as a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(
            f"base_url {shown(text, 200)} is not an absolute http(s) URL such as {DEFAULT_BASE_URL}"
        )
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in text.strip()):
        raise ConfigurationError(f"base_url {shown(text, 200)} holds blanks or control characters")
    # Also an empty one, which `urlsplit` does not tell from none.
    if parts.query or parts.fragment or text.rstrip().endswith(("?", "#")):
        raise ConfigurationError(f"base_url {shown(text, 200)} has a query or fragment: leave it out")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"base_url {shown(text, 200)} would send the key unencrypted: use https")
    try:
        host.encode("idna" if ":" not in host else "ascii")
    except UnicodeError:
        raise ConfigurationError(f"base_url {shown(text, 200)} names a host that cannot exist") from None
    # Put together anew, so that case, blanks and the slash at the end make no two addresses of one.
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{port}" if port is not None else ""
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}/"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its address alone: nothing is looked up."""
    # The one name that RFC 6761 (6.3) reserves for it. Any other name may lead anywhere tomorrow.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class AsClient:
    """Stands for "as the client has it", because None means something else ("for ever", as a rule)."""

    def __repr__(self) -> str:
        return "the client's"


AS_CLIENT = AsClient()
Timeout: TypeAlias = float | AsClient | None
"""The `timeout` of a single call: seconds, None for ever, or the client's."""


_RULES: Final[Mapping[str, Callable[[str, Any], object]]] = {
    "api_key": _check_api_key,
    "base_url": lambda _, text: parse_base_url(text),
    "timeout": check_timeout,
    "max_attempts": check_count,
    "max_connections": check_count,
    "max_in_flight": check_count,
    "max_response_bytes": check_count,
    "max_rate_wait": partial(check_timeout, zero=True),  # 0: fail rather than queue
    "connect_timeout": check_seconds,
    "trust_env": lambda _, value: bool(value),
    "keep_raw": lambda _, value: bool(value),
}
