"""Addresses that lead nowhere, and names that lead to several."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from aiohttp.abc import AbstractResolver, ResolveResult


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """The base URL of a port whose queue of connections is full, so that connecting to it hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


class Resolver(AbstractResolver):
    """Resolves every name to the given addresses."""

    def __init__(self, *hosts: str) -> None:
        self._hosts = hosts

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._hosts
        ]

    async def close(self) -> None:
        pass
