"""`kallglot analyze`: request the analyses of sessions and wait for them, one JSON line for each session."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from kallglot_async.cli.get_and_wait import Tally, shown
from kallglot_async.cli.ids import Source
from kallglot_async.cli.options import Connection
from kallglot_async.cli.progress import open_display
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import AnalysisRequestA, AnalysisRequestB, ClientEvent, Outcome, RequestEvent

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


def _once(kind: type[ClientEvent], act: Callable[[], object]) -> Callable[[ClientEvent], None]:
    """Return an `on_event` that acts at the first record of that kind."""
    waiting = [act]

    def hear(event: ClientEvent) -> None:
        # Taken out before it is called, so that what it does cannot bring it here again.
        if waiting and isinstance(event, kind):
            waiting.pop()()

    return hear


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

    A cancellation (Ctrl-C, SIGTERM, SIGHUP) ends it; what had settled by then has been written.
    """
    name = uuid.uuid4().hex if batch is None else batch
    display = open_display("analyzing", quiet=quiet)
    hint = "" if batch is not None else f"nothing is requested twice by another run with --batch {name}"
    # Said with the first request, as a kill leaves no time for it: without the name, another run would request, and
    # pay for, the same once more.
    async with connection.client(on_event=_once(RequestEvent, lambda: display.say(hint))) as client:
        tally = Tally(display, source)

        def write(outcome: Outcome) -> None:
            tally.write(outcome)
            display.update(tally.written, tally.total, f"{tally.failed} failed" if tally.failed else "")

        with shown(display, tally, hint=hint if quiet else ""):
            await client.analyze_many(
                source,
                batch=name,
                timeout=timeout,
                total_timeout=total_timeout,
                max_in_flight=connection.max_in_flight,
                on_outcome=write,
                **request,
            )
    return tally.exit_code
