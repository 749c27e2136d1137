"""What the whole suite shares: hypothesis profiles, both event loops, and the aioresponses shim."""

import asyncio
import inspect
import os
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import hypothesis
import pytest

# Without this, pytest-asyncio's first look for a "current" loop makes one that nobody ever closes.
asyncio.set_event_loop(None)

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def needs_stream_writer() -> bool:
    """Whether aiohttp's response wants an argument that aioresponses does not know."""
    parameters = inspect.signature(aiohttp.ClientResponse.__init__).parameters
    source = inspect.getsource(aioresponses.core)
    return "stream_writer" in parameters and "stream_writer" not in source


class _ResponseWithWriter(aiohttp.ClientResponse):
    """Fills in what aioresponses 0.7.9 leaves out when it builds a response for aiohttp 3.14."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked():
    """aioresponses, made to work with the installed aiohttp; for request shape and error mapping only."""
    with aioresponses.core.aioresponses() as mock:
        yield mock


if needs_stream_writer():
    aioresponses.core.ClientResponse = _ResponseWithWriter


if os.environ.get("KALLGLOT_TEST_LOOP") == "uvloop":  # tests under a virtual clock stay on asyncio: it is made of that

    def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, object]:
        """Run what is on a real clock on uvloop."""
        import uvloop

        virtual = item.get_closest_marker("looptime")
        return {"asyncio": asyncio.new_event_loop} if virtual else {"uvloop": uvloop.new_event_loop}
