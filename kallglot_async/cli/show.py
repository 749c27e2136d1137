"""`kallglot show`: one analysis for people."""

from __future__ import annotations

from rich.console import Console

from kallglot_async.cli.card import analysis_card
from kallglot_async.cli.options import Connection
from kallglot_async.cli.streams import write_line
from kallglot_async.cli.text import complain
from kallglot_async.errors import ConfigurationError, KallglotError
from kallglot_async.models.records import encode_line, error_record

__all__ = ["show"]


async def show(id: str, connection: Connection, *, timeout: float | None, as_json: bool) -> int:
    """Fetch the analysis, print it, and return the exit code. As JSON, a failure is a line too, as in a batch."""
    async with connection.client() as client:
        try:
            analysis = await client.analyses.retrieve(id, timeout=timeout)
        # A mistake of usage, and no failure of this id: `run` says it.
        except ConfigurationError:
            raise
        except KallglotError as error:
            if as_json:
                write_line(encode_line({"id": id, "error": error_record(error)}))
            else:
                complain(error)
            return 1
    if as_json:
        write_line(encode_line({"id": id, "analysis": analysis}))
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        # Not printed by rich itself: where nobody reads any more, that ends the process with a code of its own.
        with console.capture() as captured:
            console.print(analysis_card(analysis, console))
        write_line(captured.get().encode(console.encoding, "replace"))
    return 0
