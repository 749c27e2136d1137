"""`kallglot emulator`: the emulator as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kallglot_async.cli.output import encode_line, write_line
from kallglot_async.emulator import Emulator, Revision

__all__ = ["serve"]

_STOPS = (signal.SIGINT, signal.SIGTERM)


async def serve(emulator: Emulator, *, analyses: int, revision: Revision, as_json: bool, quiet: bool) -> int:
    """Run the emulator until SIGINT or SIGTERM, having said where it is, and return the exit code, 0.

    Args:
        emulator: Not started yet.
        analyses: How many analyses are under way from the start.
        revision: Of which revision these are.
        as_json: Whether to say it as one line of JSON.
        quiet: Whether nothing is said on standard error at the end.
    """
    async with emulator:
        with _stopped() as stopped:
            _announce(emulator, emulator.seed_analyses(analyses, revision=revision), as_json=as_json)
            await stopped.wait()
        if not quiet:
            journal = emulator.journal
            faults = "".join(f", {kind} {count} times" for kind, count in sorted(journal.faults().items()))
            print(f"stopped after {journal.total} requests, {journal.refused} refused{faults}", file=sys.stderr)
    return 0


@contextmanager
def _stopped() -> Iterator[asyncio.Event]:
    """Give an event that SIGINT and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        for number in _STOPS:
            with suppress(NotImplementedError):  # Windows: Ctrl-C is a KeyboardInterrupt there
                loop.add_signal_handler(number, event.set)
        yield event
    finally:
        for number in _STOPS:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)


def _announce(emulator: Emulator, ids: list[str], *, as_json: bool) -> None:
    url, key = emulator.base_url, emulator.api_key
    if as_json:
        write_line(encode_line({"base_url": url, "api_key": key, "ids": ids}))
        return
    lines = [
        f"Kallglot emulator at {url} with key {key}; Ctrl-C stops it.",
        "",
        f"export KALLGLOT_BASE_URL={url}",
        f"export KALLGLOT_API_KEY={key}",
        *([""] if ids else []),
        *ids,
    ]
    write_line("\n".join([*lines, ""]).encode())
