"""The `timeout` of a single call: seconds, None for ever, or as the client was configured."""

from __future__ import annotations

from typing import TypeAlias

from kallglot_async._config import check_seconds

__all__ = ["CLIENT_TIMEOUT", "Timeout", "seconds_of"]


class _Default:
    """Stands for "as the client was configured", because None means "for ever"."""

    def __repr__(self) -> str:
        return "the client's timeout"


CLIENT_TIMEOUT = _Default()
Timeout: TypeAlias = float | _Default | None


def seconds_of(timeout: Timeout, default: float | None) -> float | None:
    """Return the seconds of a call; `default` is the client's.

    Raises:
        ConfigurationError: It is no number of seconds above 0.
    """
    if isinstance(timeout, _Default):
        return default
    return None if timeout is None else check_seconds("timeout", timeout)
