"""`python -m tui_lookups` and the console script are the command `lookups-tui`.

The command line is imported inside, so that Ctrl-C during the imports ends quietly too.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process."""
    # what start-up makes stays: collecting in between only costs time; cli.py and running.py turn it on
    gc.disable()
    try:
        from tui_lookups import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
