"""One run of `kallglot`: from arguments to exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import CycloptsError, RepeatArgumentError, UnknownCommandError, UnknownOptionError

from kallglot_async.cli.app import app
from kallglot_async.cli.streams import STDOUT, drop, fill_closed, make_blocking, take_any_text
from kallglot_async.cli.text import complain
from kallglot_async.errors import BatchFileError, ConfigurationError, IdSourceError, RecordError

__all__ = ["run", "with_dashes"]

_OUTPUTS = frozenset({"--to", "--output", "-o"})
_NARROWEST, _WIDEST = 8, 1_000  # characters: nothing of ours can be read in less, and nobody has a wider terminal


def with_dashes(argv: Sequence[str]) -> list[str]:
    """Write a lone `-`, which the parser takes for an option without a name, as `--file=-`, or as standard output."""
    end = argv.index("--") if "--" in argv else len(argv)
    words: list[str] = []
    for word in argv[:end]:
        option, _, value = ("-o=-" if word == "-o-" else word).partition("=")
        if option in _OUTPUTS and value == "-":
            words += [option, STDOUT]
        elif word != "-":
            words.append(word)
        elif words and words[-1] in _OUTPUTS:
            words.append(STDOUT)
        else:
            if words and words[-1] in {"--file", "-f"}:
                words.pop()
            words.append("--file=-")
    return [*words, *argv[end:]]


def _with_choices(error: CycloptsError) -> str:
    """Return what is wrong, with all the words that would have been right: cyclopts lists some of them, or none."""
    text = str(error)
    if isinstance(error, UnknownCommandError) and error.app is not None:
        # To cyclopts `--help` and `--version` are commands, too.
        commands = [name for name in error.app if not name.startswith("-")]
        return f"{text.partition(' Available commands:')[0]} Choose from: {', '.join(commands)}."
    # As `--file` a lone `-` is read, so the option's name says nothing to who wrote that.
    if isinstance(error, RepeatArgumentError) and "--file" in text:
        return "there is more than one FILE: give one, or - for standard input."
    if isinstance(error, UnknownOptionError):
        options = [name for argument in error.argument_collection for name in argument.names if name.startswith("-")]
        return f"{text} Choose from: {', '.join(options)}." if options else text
    return text


def _forget_senseless_sizes() -> None:
    """Let a terminal that is said to have no width or height, or a senseless one, be one of the usual size.

    Some CI systems say 0. In a width of 0 to 2 rich folds the words of a page of help for ever, and it fills any
    width that it is told of with blanks.
    """
    for name in ("COLUMNS", "LINES"):
        if (value := os.environ.get(name)) is not None and not _is_sensible(value):
            del os.environ[name]
    if "COLUMNS" not in os.environ and (width := _terminal_width()) is not None and not _is_sensible(str(width)):
        os.environ["COLUMNS"] = "80"


def _is_sensible(size: str) -> bool:
    return size.isascii() and size.isdecimal() and len(size) < 6 and _NARROWEST <= int(size) <= _WIDEST


def _terminal_width() -> int | None:
    """Return the columns of the first standard stream that is a terminal."""
    for descriptor in range(3):
        with suppress(OSError, ValueError):
            return os.get_terminal_size(descriptor).columns
    return None


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever it cannot do is one line on standard error."""
    try:
        fill_closed()
        make_blocking()
        take_any_text()
        _forget_senseless_sizes()
        result = app(with_dashes(argv), exit_on_error=False, print_error=False)
        if sys.stdout is not None:
            # Here and not at exit, where a reader that has gone would be a traceback.
            sys.stdout.flush()
    except CycloptsError as error:
        complain(
            f"{_with_choices(error)} See: kallglot {' '.join(error.command_chain or ())} --help".replace("  ", " ")
        )
        return 2
    except (ConfigurationError, BatchFileError, RecordError) as error:
        complain(error)
        return 2
    except IdSourceError as error:
        complain(f"cannot read the ids: {error.__cause__}")
        return 2
    except KeyboardInterrupt as error:
        # The number of the signal; Ctrl-C's own is 2.
        return 128 + (error.args[0] if error.args else 2)
    # The second is rich's word for the first, on a page of help.
    except (BrokenPipeError, SystemExit):
        drop(sys.stdout)
        # 128 + SIGPIPE, as other programs end whose reader has gone.
        return 141
    # A full disk, for example. Behind `BrokenPipeError`, which is one.
    except OSError as error:
        drop(sys.stdout)
        what = "write the output" if error.filename is None else f"use {error.filename}"
        complain(f"cannot {what}: {error.strerror or error}")
        return 2
    return result if isinstance(result, int) else 0
