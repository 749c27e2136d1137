"""The README's python blocks run, against the emulator, as a reader would copy them."""

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from kallglot_async.emulator import Emulator, Latency

README = Path(__file__).parents[2] / "README.md"
KEY = "sk_test_emulator"


def blocks():
    document = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], path=str(README.parent)).parse(README)
    return list(document.examples())


def source(block):
    return str(block.parsed)


@pytest.fixture
def server(monkeypatch):
    """An emulator in a thread of its own, named by the environment, so that a block may call asyncio.run."""
    ready, done = threading.Event(), threading.Event()
    running = []

    async def serve():
        async with Emulator(plan="unlimited", latency=Latency.immediate(), adopt_unknown=True, api_key=KEY) as emulator:
            running.append(emulator)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    monkeypatch.setenv("KALLGLOT_API_KEY", KEY)
    monkeypatch.setenv("KALLGLOT_BASE_URL", running[0].base_url)
    yield running[0]
    done.set()
    thread.join(10)


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"line {block.line}")
def test_a_block_of_the_readme_runs(block, server, tmp_path):
    """Scripts are executed; blocks of tests are run by pytest, with the fixtures that the package brings."""
    if "async def test_" not in source(block):
        block.evaluate()
        has_server = "Emulator(" in source(block)
        assert has_server or "asyncio.run" not in source(block) or len(server.journal) > 0
        return
    (tmp_path / "test_block.py").write_text(source(block))
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_every_file_that_the_readme_names_is_there():
    """The tests of the security table by their names, and what it links to."""
    text = README.read_text()
    tests = {path.name for path in (README.parent / "tests").rglob("*.py")}
    named = set(re.findall(r"`((?:test|fuzz)_\w+\.py)`", text))
    assert len(named) > 5
    assert named <= tests
    linked = re.findall(r"\]\(([^):]+)\)", text)
    assert linked
    assert [path for path in linked if not (README.parent / path).exists()] == []


def test_the_readme_has_its_two_commands():
    """The demo and the tests, each with all its set-up, as a newcomer copies them."""
    text = README.read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install -q '.[cli]' && .venv/bin/kallglot demo" in text
    assert "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python -m pytest" in text
