"""The emulator's configuration as one checked value."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import get_args
from urllib.parse import urlsplit

from kallglot_async.emulator.analyses.latency import Latency
from kallglot_async.emulator.faults.plan import Fault
from kallglot_async.emulator.limits.plans import LimitSettings, one_of
from kallglot_async.emulator.routes import Revision


class Settings(LimitSettings, frozen=True, kw_only=True):
    """Everything an `Emulator` can be told; `Emulator` documents the fields.

    Raises:
        ValueError: A setting that makes no sense, a live key, or a host that is not this machine.
    """

    host: str
    port: int
    api_key: str
    date_header: bool
    latency: Latency
    failure_rate: float
    adopt_unknown: bool
    revision: Revision
    credits: int | None
    clock_skew: float
    faults: tuple[Fault, ...]
    journal_bound: int | None
    clock: Callable[[], float] | None
    epoch: float | None
    webhook_url: str | None
    webhook_secret: str
    webhook_duplicates: float
    webhook_losses: float
    webhook_reorder: bool

    def __post_init__(self) -> None:
        # First of all: a live key must not get as far as into another message.
        check_key(self.api_key)
        if not is_loopback(self.host):
            raise ValueError(f"the emulator listens on this machine only, not on {self.host!r}; use 127.0.0.1")
        super().__post_init__()
        one_of("revision", self.revision, get_args(Revision))
        if self.credits is not None and self.credits < 0:
            raise ValueError(f"credits cannot be negative: {self.credits}")
        if self.webhook_url is not None and not is_target(self.webhook_url):
            where = f"not to {self.webhook_url!r}; use http://127.0.0.1:PORT/PATH"
            raise ValueError(f"the emulator sends webhooks to this machine only, {where}")
        if not self.webhook_secret:
            raise ValueError("webhook_secret cannot be empty")
        for name in ("failure_rate", "webhook_duplicates", "webhook_losses"):
            if not 0.0 <= (share := getattr(self, name)) <= 1.0:
                raise ValueError(f"{name} is a share between 0 and 1, not {share}")


def check_key(api_key: str) -> None:
    """Accept test keys only; no key itself is in the message of the ValueError."""
    if api_key.startswith("sk_live_"):
        raise ValueError("the emulator refuses live keys: give it one that begins with 'sk_test_'")
    if not api_key.startswith("sk_test_"):
        raise ValueError("the emulator's api_key must begin with 'sk_test_'")


def is_loopback(host: str) -> bool:
    """Whether the host is a numeric loopback address; names are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback  # 127.0.0.0/8 and ::1
    except ValueError:
        return False


def is_target(url: str) -> bool:
    """Whether webhooks may go there: to addresses of this machine only."""
    try:
        parts = urlsplit(url)
        is_local = parts.scheme in ("http", "https") and is_loopback(parts.hostname or "") and parts.port != 0
    except ValueError:
        return False
    # What two parsers could read as two different hosts is no address.
    return is_local and url.isascii() and url.isprintable() and not set(url) & set("\\ ")
