"""The command line, `kallglot`. It uses what every user can import, and nothing private.

From the bottom: `streams` (standard output and error, whatever became of them), `signals` (what asks to end),
`text` (what may be printed), `progress` (how far it is), `ids` (where the ids come from), `options` (what the
commands share); `get_and_wait`, `analyze`, `durable` and `batch_commands` (a batch in a file), `transcript`,
`recording`, `card` (an analysis for people), `show`, `demo`, `stored` (outcomes that were printed, read back),
`report` and `export` (a page and tables of them), `serve` (the emulator), `webhook`; `completion` (for shells),
`app` (the commands and their help), `run` (from arguments to exit code). Whatever loads the transport is imported
inside the commands, so that `--help` and `--version` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = frozenset({"cyclopts", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: all fine; 1: some ids gave nothing; 2: usage, configuration, or a file that cannot be used; 128 and a signal's
    number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP; 141: nobody reads the output any more.

    Args:
        argv: The arguments without the program's name; default: `sys.argv[1:]`.
    """
    try:
        import rich  # noqa: F401  # cyclopts loads it as late as it can

        from kallglot_async.cli.run import run
    except ModuleNotFoundError as error:
        # One of our own that is missing is a mistake of ours, and no extra.
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        # `print` would take standard output for None, where the data goes.
        if sys.stderr is not None:
            print("kallglot: the command line needs its extra: pip install 'kallglot-async[cli]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:] if argv is None else argv)
