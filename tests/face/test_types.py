"""Whoever checks types finds every type of the library known, and so does who reads hints at run time."""

import inspect
import json
import os
import pkgutil
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path

import pytest

import kallglot_async

BESIDE = ("kallglot_async.emulator", "kallglot_async.cli")  # not what a user's own code is checked against


@pytest.mark.slow
def test_every_type_outside_of_emulator_and_command_line_is_known():
    """None is missing or left to inference, neither of what is public nor of what that refers to."""
    bin = Path(sys.executable).parent
    ran = subprocess.run(
        [bin / "basedpyright", "--verifytypes", "kallglot_async", "--ignoreexternal", "--outputjson"],
        capture_output=True,
        text=True,
        check=False,  # its exit code counts the emulator, too
        env={**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"},
    )
    completeness = json.loads(ran.stdout)["typeCompleteness"]
    symbols = [symbol for symbol in completeness["symbols"] if not symbol["name"].startswith(BESIDE)]
    assert len(symbols) > 1000
    unknown = [symbol["name"] for symbol in symbols if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    assert unknown == []


def functions_of(thing):
    """Yield every function of the package in a class, those of its properties and constructors too; or a function."""
    if not inspect.isclass(thing):
        yield thing
        return
    for name, member in inspect.getmembers_static(thing):
        for inner in ("__func__", "fget", "make"):
            member = getattr(member, inner, member)
        if name.startswith("__") or not name.startswith("_"):
            yield member


def public_callables():
    for found in pkgutil.walk_packages(kallglot_async.__path__, "kallglot_async."):
        if "._" in found.name or found.name.startswith("kallglot_async.cli"):
            continue
        module = import_module(found.name)
        for name in getattr(module, "__all__", ()):
            yield from functions_of(getattr(module, name))
    for name in kallglot_async.__all__:
        yield from functions_of(getattr(kallglot_async, name))


def test_hints_of_every_public_callable_can_be_had():
    """Frameworks that hand in dependencies, and those that check arguments, ask for them."""
    functions = {thing for thing in public_callables() if inspect.isfunction(thing)}
    functions = {thing for thing in functions if thing.__module__.startswith("kallglot_async.")}
    assert len(functions) > 300
    for function in functions - {kallglot_async.WaitCall.__init__}:  # which a client alone calls
        typing.get_type_hints(function)
