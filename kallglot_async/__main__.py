"""`python -m kallglot_async` is the command line, for where no script is on the path."""

from __future__ import annotations

import sys

from kallglot_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
