"""Coverage-guided fuzzing of the response path: the decoder, the headers and the error envelopes.

Not collected by pytest. Needs atheris (CPython 3.11 to 3.13 on Linux), which is no dependency of the project:

    pip install atheris
    PYTHONPATH=. python tests/support/fuzz_atheris.py -max_total_time=120 [corpus directory]

It ends with exit code 0 after that time, or with a traceback and the input that caused it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

KEY = "sk_test_canary_0123456789"
NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date", "X-Request-ID")


def check(data: bytes, modules: dict[str, Any]) -> None:
    """Read `data` as an answer: one byte for the operation, two for the status, lines of headers, then the body."""
    headers_module, messages, errors = modules["headers"], modules["messages"], modules["errors"]
    operation = modules["operations"][data[0] % 3] if data else modules["operations"][0]
    status = 100 + int.from_bytes(data[1:3], "big") % 500
    head, _, body = data[3:].partition(b"\n\n")
    lines = head.decode("utf-8", "surrogateescape").split("\n")
    headers = dict(zip(NAMES, lines, strict=False))
    figures = headers_module.parse_rate_figures(headers, wall_now=1.8e9)
    if figures is not None and not 0 <= figures.remaining <= figures.limit:
        raise AssertionError(figures)
    seconds = headers_module.parse_retry_after(headers, wall_now=1.8e9)
    if seconds is not None and not 0.0 <= seconds <= headers_module.LONGEST_WAIT:
        raise AssertionError(seconds)
    answer = messages.Response(status, headers, body)
    try:
        value = messages.interpret(operation, answer, key=modules["key"], wall_now=1.8e9)
    except errors.KallglotError as error:
        if not str(error).isprintable() or KEY in str(error) or error.__context__ is not None:
            raise AssertionError(repr(error)) from error
    else:
        if operation.method == "GET" and not operation.path.endswith(value.id):
            raise AssertionError(value.id)


def main() -> int:
    """Fuzz until libFuzzer's own options say that it is enough."""
    try:
        atheris = import_module("atheris")
    except ModuleNotFoundError:
        sys.stderr.write("fuzz_atheris: atheris is not installed: pip install atheris\n")
        return 2
    sys.path.insert(0, str(Path(__file__).parents[2]))
    with atheris.instrument_imports(include=["kallglot_async", "email"]):
        modules = {
            "headers": import_module("kallglot_async._core.api.answers"),
            "messages": import_module("kallglot_async._core.api.answers"),
            "errors": import_module("kallglot_async.errors"),
        }
    modules["key"] = import_module("kallglot_async._config").Secret(KEY)
    make = modules["messages"]
    modules["operations"] = (
        make.retrieve_analysis("ana_1"),
        make.retrieve_analysis("anl_1"),
        make.create_analysis("sess_1", idempotency_key="k"),
    )
    atheris.Setup(sys.argv, lambda data: check(data, modules))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
