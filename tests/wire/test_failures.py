"""What failures are called, and what they hold."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import resource
import socket
import ssl
import warnings
import zlib
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from support.one_attempt import KEY, assert_holds_nothing_foreign, chunked, client_of, failure_of
from support.wire_faults import RawServer, Script, analysis, answer, closing

from kallglot_async import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ProtocolError,
    ProxyError,
    TLSError,
    TransportError,
)
from kallglot_async.emulator import Emulator

MIB = 1024 * 1024


LOST: dict[str, tuple[Script, type[TransportError]]] = {
    "closed before any byte": (closing(), ConnectionLostError),
    "reset before any byte": (closing(reset=True), ConnectionLostError),
    "closed in the headers": (closing(b"HTTP/1.1 200 OK\r\nConte"), ConnectionLostError),
    "reset in the headers": (closing(b"HTTP/1.1 200 OK\r\nConte", reset=True), ConnectionLostError),
    "reset in the body": (closing(answer(b'{"id":', length=99), reset=True), ConnectionLostError),
    "short body": (closing(answer(b'{"id":', length=99)), ConnectionLostError),
    "cut chunked body": (closing(chunked(b'{"id":')), ConnectionLostError),
    "garbage instead of a status line": (closing(b"\x15\x03\x01 hello\r\n\r\n"), ProtocolError),
    "another protocol's status line": (closing(b"HTTP/9 2\r\n\r\n"), ProtocolError),
    "status of five digits": (closing(answer(b"", status="99999 X")), ProtocolError),
    "two lengths": (closing(answer(b"{}", "Content-Length: 7")), ProtocolError),
    "negative length": (closing(answer(b"{}", length=-1)), ProtocolError),
    "absurd length": (closing(answer(b"{}", length=10**30)), ProtocolError),
    "bad chunk size": (closing(chunked(b"{") + b"ZZ\r\n}\r\n"), ProtocolError),
    "header without end": (closing(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), ProtocolError),
    "endless headers": (closing(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000), ProtocolError),
    "control character in a header": (closing(b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n"), ProtocolError),
    "not gzip": (answer(b"plain", "Content-Encoding: gzip"), ProtocolError),
    "more than gzip": (answer(gzip.compress(b"{}") + b"more", "Content-Encoding: gzip"), ProtocolError),
    "unknown compression": (answer(b"x", "Content-Encoding: br"), ProtocolError),
}


@pytest.mark.parametrize("name", LOST)
async def test_broken_answers_have_a_name_and_hold_nothing(name: str) -> None:
    """Each way of breaking an answer is one typed error, one request, and no foreign object."""
    script, kind = LOST[name]
    async with RawServer(script) as server:
        error = await failure_of(server)
        assert isinstance(error, kind)
        assert type(error) in {ConnectionLostError, ProtocolError}
        assert len(server.requests) == 1
    assert error.operation == "analyses.retrieve"
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("name", ["not gzip", "more than gzip", "unknown compression"])
async def test_an_answer_that_cannot_be_unpacked_was_not_cut_off(name: str) -> None:
    """What is told is what a gateway's people have to look at."""
    async with RawServer(LOST[name][0]) as server:
        assert "Content-Encoding" in str(await failure_of(server))


async def test_an_answer_that_was_not_unpacked_says_how_it_is_packed() -> None:
    """Of two encodings one over the other nothing is undone."""
    script = answer(zlib.compress(gzip.compress(analysis())), "Content-Encoding: gzip, deflate")
    async with RawServer(script) as server:
        assert "with Content-Encoding gzip, deflate" in str(await failure_of(server))


@pytest.mark.parametrize(
    "script",
    [
        closing(),
        closing(chunked(b"{")),
        closing(b"?\r\n\r\n"),
        answer(b"", length=MIB),
        answer(b""),
        answer(b"", status="401 X"),
    ],
    ids=["lost", "cut", "garbage", "too large", "empty", "refused"],
)
async def test_a_traceback_with_locals_does_not_show_the_key(script: Script) -> None:
    """An error reporter that captures the local variables of every frame finds no key."""
    async with RawServer(script) as server:
        error = await failure_of(server, max_response_bytes=1000)
    report = "".join(TracebackException.from_exception(error, capture_locals=True).format())
    assert "_wire/pipeline.py" in report
    assert KEY not in report


async def test_errors_of_the_api_hold_nothing_either() -> None:
    """A key that the server echoes is masked in the error, wherever the echo is."""
    echo = f'{{"error":{{"message":"bad key {KEY}","code":"{KEY}","param":"{KEY}","request_id":"{KEY}"}}}}'
    async with RawServer(answer(echo.encode(), status="401 No")) as server:
        error = await failure_of(server)
    assert "bad key sk_test_***" in str(error)
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("header", ["X-Request-ID", "Date", "Retry-After"])
async def test_a_key_echoed_in_a_header_is_masked_too(header: str) -> None:
    """No response header carries the key into an error."""
    async with RawServer(answer(b"", f"{header}: {KEY}", status="400 No")) as server:
        assert_holds_nothing_foreign(await failure_of(server))


async def test_a_refused_connection_says_where_and_why() -> None:
    """Nobody listens: a `ConnectError` with host, port and the system's reason."""
    async with RawServer() as server:
        pass
    error = await failure_of(server)
    assert isinstance(error, ConnectError)
    assert f"127.0.0.1:{server.port}: " in str(error)
    assert "refused" in str(error)
    assert_holds_nothing_foreign(error)


async def test_a_name_that_does_not_resolve_is_named() -> None:
    """`.invalid` never resolves: a `ConnectError` with the name."""
    error = await failure_of("https://kallglot.invalid/v1")
    assert isinstance(error, ConnectError)
    assert "kallglot.invalid does not resolve" in str(error)
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "it has no address that can be used here"),
        (UnicodeError("label empty or too long"), "label empty or too long"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
    ],
)
async def test_a_look_up_that_finds_nothing_or_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, found: Any, told: str
) -> None:
    """Also one that aiohttp does not take for an error of the look-up: a connection error that says why."""

    async def look_up(*_: object, **__: object) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    error = await failure_of("https://kallglot.invalid/v1")
    assert isinstance(error, ConnectError)
    assert f"kallglot.invalid does not resolve: {told}" in str(error)
    assert_holds_nothing_foreign(error)


async def test_tls_spoken_to_a_plain_port_is_a_tls_error() -> None:
    """An https URL on a port that speaks HTTP: a `TLSError` with a hint, and no second attempt."""
    async with Emulator() as emulator:
        error = await failure_of(emulator.base_url.replace("http:", "https:"), max_attempts=3)
    assert isinstance(error, TLSError)
    assert "check base_url" in str(error)
    assert error.attempts == 1
    assert_holds_nothing_foreign(error)


async def test_a_certificate_nobody_trusts_is_a_tls_error(tls: ssl.SSLContext) -> None:
    """An untrusted certificate: a `TLSError` that says so, and the request is never sent."""
    async with RawServer(tls=tls) as server:
        error = await failure_of(server, max_attempts=3)
        assert server.requests == []
    assert isinstance(error, TLSError)
    assert "local issuer certificate" in str(error)
    assert error.attempts == 1
    assert_holds_nothing_foreign(error)


# Proxies


@pytest.fixture
def netrc(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's netrc, with an entry for every host."""
    path = tmp_path / "netrc"
    path.write_text("default login me password secret\n")
    path.chmod(0o600)
    environment.setenv("NETRC", str(path))
    return path


async def test_a_proxy_that_is_not_there_is_named_without_credentials(environment: pytest.MonkeyPatch) -> None:
    """A proxy that refuses the connection: a `ProxyError` that names the proxy, not the API, and no password."""
    async with RawServer() as proxy:
        pass
    environment.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
    error = await failure_of("https://api.kallglot.invalid/v1", trust_env=True)
    assert isinstance(error, ProxyError)
    assert error.proxy == f"127.0.0.1:{proxy.port}"
    assert error.status is None
    assert "secret" not in f"{error!r}{error}{vars(error)}"
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("status", [407, 401, 429])
async def test_a_proxys_refusal_is_not_the_apis(environment: pytest.MonkeyPatch, status: int) -> None:
    """A status on CONNECT is a `ProxyError`, is not retried, and the proxy sees no key."""
    async with RawServer(answer(b"", "Proxy-Authenticate: Basic", status=f"{status} No")) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        error = await failure_of("https://api.kallglot.invalid/v1", trust_env=True, max_attempts=3)
        assert len(proxy.requests) == 1
        assert proxy.requests[0].startswith(b"CONNECT api.kallglot.invalid:443 ")
        assert KEY.encode() not in proxy.requests[0]
    assert isinstance(error, ProxyError)
    assert (error.status, error.attempts) == (status, 1)
    assert error.proxy in {"", f"127.0.0.1:{proxy.port}"}
    assert "secret" not in f"{error!r}{error}{vars(error)}"
    assert_holds_nothing_foreign(error)


async def test_a_proxy_that_hangs_up_on_connect_is_a_typed_error(environment: pytest.MonkeyPatch) -> None:
    """A proxy that closes instead of answering CONNECT is a transport error like any other, and is asked once."""
    async with RawServer(closing()) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.origin)
        error = await failure_of("https://api.kallglot.invalid/v1", trust_env=True)
    assert isinstance(error, TransportError)
    assert_holds_nothing_foreign(error)
    assert proxy.connections == 1


@pytest.mark.usefixtures("netrc")
async def test_a_netrc_entry_that_collides_is_a_configuration_error() -> None:
    """With `trust_env`, a default entry in netrc is named as the reason, and nothing is sent."""
    async with RawServer() as server, client_of(server, trust_env=True) as client:
        with pytest.raises(ConfigurationError, match=r"netrc.*trust_env=False") as caught:
            await client.analyses.retrieve("ana_1")
        assert server.requests == []
        assert client.rate_limit.in_flight == 0
    assert_holds_nothing_foreign(caught.value)


def _without_descriptors(send: Any) -> None:
    """Run in a process of its own: take away every descriptor that a connection would need."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken: list[socket.socket] = []

    async def main() -> str:
        async with client_of("http://127.0.0.1:9/v1") as client:
            with pytest.raises(ConnectError):  # opens the session; nobody listens there
                await client.analyses.retrieve("ana_1")
            with contextlib.suppress(OSError):
                while True:
                    taken.append(socket.socket())
            try:
                await client.analyses.retrieve("ana_1")
            except ConnectError as error:
                return str(error)
            finally:
                for one in taken:
                    one.close()
        return "succeeded"

    send(asyncio.run(main()))


def test_exhausted_descriptors_are_named_as_such() -> None:
    """A process that may open no more files is told so, and what to do."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the child only runs this
        child = os.fork()
    if child == 0:
        try:
            _without_descriptors(lambda text: os.write(writing, text.encode()))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        assert "too many open files: raise the limit or lower max_connections" in stream.read()
