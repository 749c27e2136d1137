"""Commands and their help: they answer before anything heavy is loaded."""

from typing import get_args

import pytest
from support.processes import finish
from support.slow import beyond

import kallglot_async
from kallglot_async import emulator
from kallglot_async.cli import app, options


@pytest.mark.parametrize("argv", beyond(1, [["analyze", "--help"], ["show", "--help"], ["completion", "bash"]]))
async def test_help_does_not_load_the_transport(argv):
    """They answer before anything heavy is imported."""
    code = (
        "import sys\nfrom kallglot_async.cli import main\ncode = main()\n"
        "heavy = {'aiohttp', 'anyio', 'msgspec'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\nraise SystemExit(code)"
    )
    status, out, err = await finish(*argv, code=code)
    assert (status, err) == (0, "heavy: []\n")
    assert "kallglot" in out


@pytest.mark.parametrize("argv", beyond(1, [["wait", "--help"], ["--version"], ["--help"], ["emulator", "--help"], []]))
async def test_help_and_version_do_not_load_the_transport(argv):
    """They answer before anything heavy is imported."""
    code = (
        "import sys\nfrom kallglot_async.cli import main\ncode = main()\n"
        "heavy = {'aiohttp', 'asyncio', 'anyio', 'msgspec'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\nraise SystemExit(code)"
    )
    status, out, err = await finish(*argv, code=code)
    assert (status, err) == (0, "heavy: []\n")
    assert (out == f"{kallglot_async.__version__}\n") == (argv == ["--version"])
    assert ("Usage: kallglot" in out) == (argv != ["--version"])


def test_the_choices_are_the_emulators_own():
    """They are restated so that `--help` is quick; this keeps them the same."""
    assert get_args(app.Revision) == get_args(emulator.Revision)
    assert get_args(options.Plan) == get_args(emulator.PlanName)
    assert get_args(options.Window) == get_args(emulator.WindowKind)
    for name in ("Balancing", "BucketReset", "HeaderForm", "StrangerPace"):
        assert get_args(getattr(options, name)) == get_args(getattr(emulator, name))


def test_every_command_says_how_it_is_used(capsys):
    """By its name and with what it takes, on standard output; a group of commands names them."""
    commands = [name for name in app.app if not name.startswith("-")]
    assert {"get", "wait", "analyze", "batch", "webhook"} <= set(commands)
    for name in commands:
        assert app.app([name, "--help"], exit_on_error=False) is None
        out, err = capsys.readouterr()
        assert (out.split()[:3], err) == (["Usage:", "kallglot", name], "")
