"""Whether the library's log is shown, for scripts that set up no logging of their own."""

from __future__ import annotations

import logging
from typing import TextIO

from kallglot_async._checks import shown
from kallglot_async.errors import ConfigurationError

__all__ = ["LOG_VARIABLE", "log_as_told"]

LOG_VARIABLE = "KALLGLOT_LOG"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_logger = logging.getLogger("kallglot_async")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error; of a class of its own, so that it is known again."""


def log_as_told(level: str) -> None:
    """Show the log from this level on, on standard error; nothing changes where the level is empty.

    Raises:
        ConfigurationError: There is no such level.
    """
    if not level.strip():
        return
    number = _LEVELS.get(level.strip().lower())
    if number is None:
        raise ConfigurationError(f"{LOG_VARIABLE} is debug or info, not {shown(level, 40)}")
    _logger.setLevel(number)
    if not any(isinstance(handler, _Handler) for handler in _logger.handlers):
        handler = _Handler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        _logger.addHandler(handler)
