"""`kallglot emulator`: the emulator as a process of its own."""

from __future__ import annotations

import asyncio
from typing import get_args, get_type_hints

from kallglot_async.cli.signals import handled
from kallglot_async.cli.streams import tell, write_line
from kallglot_async.emulator import Emulator, Fault, Revision
from kallglot_async.models.records import encode_line

__all__ = ["choices_of_fault", "serve"]


def choices_of_fault(message: str) -> str:
    """Return what there is, where a message says of a fault's word or field that it is not; else nothing.

    The emulator reads faults with a decoder that names what it refuses, and not what it would have taken.
    """
    hints = get_type_hints(Fault)
    if "unknown field" in message:
        return f"; there are {', '.join(Fault.__struct_fields__)}"
    field = message.rpartition("`$.")[2].rstrip("`")
    words = [word for part in get_args(hints.get(field)) for word in (part, *get_args(part)) if isinstance(word, str)]
    return f"; there are {', '.join(words)}" if "Invalid enum value" in message and words else ""


async def serve(emulator: Emulator, *, analyses: int, revision: Revision, as_json: bool, quiet: bool) -> int:
    """Run the emulator until Ctrl-C, SIGTERM or SIGHUP, having said where it is, and return the exit code, 0.

    Args:
        emulator: Not started yet.
        analyses: How many analyses are under way from the start.
        revision: Of which revision these are.
        as_json: Whether to say it as one line of JSON.
        quiet: Whether nothing is said on standard error at the end.
    """
    async with emulator:
        stopped = asyncio.Event()
        with handled(lambda _: stopped.set(), with_ctrl_c=True):
            _announce(emulator, emulator.seed_analyses(analyses, revision=revision), as_json=as_json)
            await stopped.wait()
        if not quiet:
            journal = emulator.journal
            faults = "".join(f", {kind} {count} times" for kind, count in sorted(journal.faults().items()))
            tell(f"stopped after {journal.total} requests, {journal.refused} refused{faults}")
    return 0


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
