"""Modules that few tests need, and that take long to load."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["lazily"]


class _Lazily:
    """Stands for a module until something of it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest looks for some at all that a module of tests holds
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


def lazily(*names: str) -> Any:
    """Return modules that are loaded when something of them is used, and not by each worker that collects the tests."""
    modules = [_Lazily(name) for name in names]
    return modules if len(modules) > 1 else modules[0]
