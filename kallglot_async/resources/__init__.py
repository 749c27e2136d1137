"""The API's resources, as a client offers them, each loaded when it is first used: most clients use analyses alone.

None has slots: tests put a fake in the place of a single method of one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kallglot_async.resources.analyses import Analyses
    from kallglot_async.resources.recordings import Recordings
    from kallglot_async.resources.sessions import Sessions
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{name.lower()}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["Analyses", "Recordings", "Sessions"]
