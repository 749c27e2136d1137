"""The options that the commands which talk to the API share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from kallglot_async.errors import ConfigurationError

if TYPE_CHECKING:
    from kallglot_async import KallglotClient
    from kallglot_async.models import ClientEvent

__all__ = ["Connection"]

_CONNECTION = Group("API", sort_key=1)


@Parameter(name="*", group=_CONNECTION)
@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach the API."""

    api_key: Annotated[str | None, Parameter(metavar="KEY")] = None
    """The API key. Prefer the environment's KALLGLOT_API_KEY: arguments are visible to every user of a machine."""

    base_url: Annotated[str | None, Parameter(metavar="URL")] = None
    """Where the API is. Default: the environment's KALLGLOT_BASE_URL, else https://api.kallglot.com/v1."""

    rate_limit: Annotated[int | None, Parameter(metavar="N")] = None
    """Requests a minute at most, on top of what the server allows, which is learned."""

    max_in_flight: Annotated[int, Parameter(metavar="N")] = 64
    """Requests at once at most."""

    def client(self, *, on_event: Callable[[ClientEvent], object] | None = None) -> KallglotClient:
        """Return a client with these settings, whose records `on_event` hears.

        Raises:
            ConfigurationError: A setting is missing or cannot be used.
        """
        from kallglot_async import KallglotClient, RateLimit

        if self.api_key is None and not os.environ.get("KALLGLOT_API_KEY"):
            # The client's own words name an argument of Python's.
            raise ConfigurationError("there is no API key: set KALLGLOT_API_KEY, or pass --api-key")
        return KallglotClient(
            self.api_key,
            base_url=self.base_url,
            rate_limit=None if self.rate_limit is None else RateLimit(self.rate_limit),
            max_in_flight=self.max_in_flight,
            max_connections=max(100, self.max_in_flight),
            on_event=on_event,
        )
