"""`AnswerStream`: one GET whose body arrives piece by piece, on a session that the pool lends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp.client_middlewares import ClientMiddlewareType
from yarl import URL

from kallglot_async import errors
from kallglot_async._clock import is_cancelled
from kallglot_async._config import Secret
from kallglot_async._core.api.answers import stream_headers
from kallglot_async._wire.failures import LostError, translate

__all__ = ["AnswerStream"]


class AnswerStream:
    """An answer whose body is still arriving. Close it when done.

    Attributes:
        status: The HTTP status.
        headers: The headers, matched without regard to case.
    """

    __slots__ = ("_name", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, name: str) -> None:
        self._response = response
        self._name = name
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def __repr__(self) -> str:
        return f"<AnswerStream {self.status}>"

    @classmethod
    async def open(
        cls,
        session: aiohttp.ClientSession,
        name: str,
        url: str,
        *,
        key: Secret | None,
        ranges: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        middlewares: Sequence[ClientMiddlewareType],
    ) -> AnswerStream:
        """Send the request and return its answer, of any status, once its head is there.

        Raises:
            TransportError: There was none.
            ConfigurationError: The environment's proxy settings cannot be used.
        """
        failure: errors.KallglotError
        try:
            response = await session.request(
                "GET",
                # As it stands: yarl would quote it anew, and a pre-signed link is signed letter by letter.
                URL(url, encoded=True),
                # Bound to no name: a traceback may show locals.
                headers=stream_headers(key, ranges),
                # The one redirect that is followed is followed without the key, and that is not decided here.
                allow_redirects=False,
                raise_for_status=False,
                timeout=timeout,
                middlewares=middlewares,
            )
            return cls(response, name)
        except asyncio.CancelledError as error:
            if is_cancelled():
                # Without its frames, which hold the request's headers.
                raise error.with_traceback(None) from None
            # Nobody cancelled us: the session was closed while it looked up a name.
            failure = translate(LostError(), name, url)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LostError) as error:
            failure = translate(error, name, url)
        # Outside the handler: the foreign error, which may hold the key, is no context of ours.
        raise failure

    async def read(self) -> bytes:
        """Return the next piece of the body, and no bytes at its end.

        Raises:
            TransportError: The connection was lost, or nothing came for too long.
        """
        failure: errors.KallglotError
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = translate(error, self._name, str(self._response.url))
        raise failure

    def close(self) -> None:
        """Close the connection, unless the whole body was read."""
        self._response.close()
