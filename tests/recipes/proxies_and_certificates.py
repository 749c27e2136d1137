"""Behind a proxy, with a private certificate authority, or with a certificate of your own.

    pip install kallglot-async
    export KALLGLOT_API_KEY=sk_live_...

What aiohttp's session can do, the client can: make the session, lend it, and close it yourself. The client closes none
that it was lent.
"""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from kallglot_async import KallglotClient


@asynccontextmanager
async def through_the_environments_proxy() -> AsyncGenerator[KallglotClient]:
    # HTTPS_PROXY and NO_PROXY; a password for the proxy from there or from ~/.netrc.
    async with KallglotClient(trust_env=True) as client:
        yield client


@asynccontextmanager
async def through_a_proxy(url: str) -> AsyncGenerator[KallglotClient]:
    # For example "http://user:password@proxy.example:3128". It is asked for a tunnel, and sees no key.
    async with aiohttp.ClientSession(proxy=url) as session, KallglotClient(session=session) as client:
        yield client


@asynccontextmanager
async def trusting(authority: Path) -> AsyncGenerator[KallglotClient]:
    # The authorities of the system stay trusted; for yours alone: ssl.create_default_context(cafile=authority).
    context = ssl.create_default_context()
    context.load_verify_locations(authority)
    async with _over(context) as client:
        yield client


@asynccontextmanager
async def with_a_certificate(authority: Path, certificate: Path, key: Path) -> AsyncGenerator[KallglotClient]:
    # Mutual TLS: what stands before the API asks who you are, before it reads the API key.
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    async with _over(context) as client:
        yield client


@asynccontextmanager
async def _over(context: ssl.SSLContext) -> AsyncGenerator[KallglotClient]:
    connector = aiohttp.TCPConnector(ssl=context, limit=100)
    async with aiohttp.ClientSession(connector=connector) as session, KallglotClient(session=session) as client:
        yield client
