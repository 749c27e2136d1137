"""One run of `kallglot`: from arguments to exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from kallglot_async.cli.app import app
from kallglot_async.cli.text import complain
from kallglot_async.errors import ConfigurationError, IdSourceError

__all__ = ["run"]


def _with_dash_as_file(argv: Sequence[str]) -> list[str]:
    """Write a lone `-`, which the parser takes for an option without a name, as `--file=-`."""
    end = argv.index("--") if "--" in argv else len(argv)
    words: list[str] = []
    for word in argv[:end]:
        if word != "-":
            words.append(word)
            continue
        if words and words[-1] in {"--file", "-f"}:
            words.pop()
        words.append("--file=-")
    return [*words, *argv[end:]]


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever it cannot do is one line on standard error."""
    try:
        result = app(_with_dash_as_file(argv), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        complain(f"{error} See: kallglot {' '.join(error.command_chain or ())} --help".replace("  ", " "))
        return 2
    except ConfigurationError as error:
        complain(error)
        return 2
    except IdSourceError as error:
        complain(f"cannot read the ids: {error.__cause__}")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_stdout()
        return 141
    except OSError as error:  # a full disk, for example
        _drop_stdout()
        complain(f"cannot write the output: {error.strerror or error}")
        return 2
    return result if isinstance(result, int) else 0


def _drop_stdout() -> None:
    """Send the rest of standard output nowhere: its reader has gone, and the interpreter flushes it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
