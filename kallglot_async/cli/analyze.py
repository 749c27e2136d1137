"""`kallglot analyze`: request the analyses of sessions and wait for them, one JSON line for each session."""

from __future__ import annotations

import asyncio
import uuid

from kallglot_async.cli.batch import Tally, shown
from kallglot_async.cli.ids import Source
from kallglot_async.cli.options import Connection
from kallglot_async.cli.progress import open_display
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import AnalysisRequestA, AnalysisRequestB, Outcome

__all__ = ["Wish", "analyze", "wish"]

Wish = AnalysisRequestA | AnalysisRequestB


def wish(analyses: str | None, language: str | None, include: str | None, profile: str | None) -> Wish:
    """Return what is asked for of each session, from the options of the command line.

    Raises:
        ConfigurationError: Options of both revisions are mixed, or a list names nothing.
    """
    if analyses is None and language is None:
        request = AnalysisRequestB()
        if include is not None:
            request["include"] = _names("--include", include)
        if profile is not None:
            request["profile"] = profile
        return request
    if include is not None or profile is not None:
        raise ConfigurationError("--analyses and --language do not go with --include and --profile: give one pair")
    if analyses is None:
        raise ConfigurationError("--language needs --analyses: name the components, for example summary,sentiment")
    return AnalysisRequestA(analyses=_names("--analyses", analyses), language=language)


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigurationError(f"{option} names nothing: give components, for example summary,sentiment")
    return names


async def analyze(
    source: Source,
    connection: Connection,
    *,
    request: Wish,
    batch: str | None,
    timeout: float | None,
    total_timeout: float | None,
    quiet: bool,
) -> int:
    """Request and wait for every session of the source, write each outcome when it is known; return the exit code.

    A cancellation (Ctrl-C) ends it; what had settled by then has been written. It then says which batch to go on with,
    as without its name another run would request, and pay for, the same once more.
    """
    name = batch or uuid.uuid4().hex
    async with connection.client() as client:
        display = open_display("analyzing", quiet=quiet)
        tally = Tally(display)
        total = len(set(source)) if isinstance(source, list) else None

        def write(outcome: Outcome) -> None:
            tally.write(outcome)
            display.update(tally.written, total, f"{tally.failed} failed" if tally.failed else "")

        try:
            with shown(display, tally):
                await client.analyze_many(
                    source,
                    batch=name,
                    timeout=timeout,
                    total_timeout=total_timeout,
                    max_in_flight=connection.max_in_flight,
                    on_outcome=write,
                    **request,
                )
        except asyncio.CancelledError:
            display.say(f"nothing is requested twice by another run with --batch {name}")
            raise
    return 1 if tally.failed else 0
