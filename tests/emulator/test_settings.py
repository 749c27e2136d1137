"""Settings that cannot be are refused at construction."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kallglot_async.emulator import Emulator


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org", "localhost", ""])  # noqa: S104
def test_hosts_beyond_loopback_are_refused(host: str) -> None:
    """Only numeric loopback addresses are accepted, before anything listens."""
    with pytest.raises(ValueError, match="this machine only"):
        Emulator(host=host)


@pytest.mark.parametrize("key", ["sk_live_abc", "secret", ""])
def test_keys_that_are_no_test_keys_are_refused(key: str) -> None:
    """A live key is a mistake that is named at once, and the message does not repeat it."""
    with pytest.raises(ValueError, match="sk_test_") as caught:
        Emulator(api_key=key)
    assert "abc" not in str(caught.value)
    assert ("live keys" in str(caught.value)) == key.startswith("sk_live_")


@pytest.mark.parametrize(
    "options",
    [
        {"plan": "gold"},
        {"window": "round"},
        {"revision": "c"},
        {"speed": 0.0},
        {"speed": math.nan},
        {"failure_rate": 1.1},
        {"credits": -1},
        {"rate_limit": (0, 1.0)},
        {"rate_limit": (1, 0.0)},
    ],
)
def test_senseless_settings_are_refused(options: dict[str, Any]) -> None:
    """A setting that cannot be is an error at construction, not at the first request."""
    with pytest.raises(ValueError):
        Emulator(**options)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook",
        "http://localhost:80/hook",
        "http://10.0.0.1/",
        "http://127.0.0.1@example.org/",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http://127.0.0.1:99999999/",
        "http://[/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:80\\@example.org/",
        "http://127.0.0.1/\n",
        "http://127.0.0.1/ä",
        "",
    ],
)
def test_addresses_beyond_this_machine_are_refused(url: str) -> None:
    """At construction, with what to use instead."""
    with pytest.raises(ValueError, match=r"this machine only.*use http://127.0.0.1"):
        Emulator(webhook_url=url)


@pytest.mark.parametrize(
    "options",
    [{"webhook_secret": ""}, {"webhook_duplicates": 1.1}, {"webhook_losses": -0.1}, {"webhook_losses": float("nan")}],
)
def test_senseless_webhook_settings_are_refused(options: dict[str, Any]) -> None:
    """A setting that cannot be is an error at construction."""
    with pytest.raises(ValueError, match="webhook_"):
        Emulator(**options)
