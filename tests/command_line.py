"""A command line in a process of its own, which has the libraries already: it costs no second of imports.

`python -m tui_lookups` from nothing is what tests/test_cli.py, tests/test_end_to_end.py and
tests/test_repeatable.py start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

from tests.faults.processes import answer_anew


def run_command(*arguments: str, environment: dict[str, str] | None = None) -> CompletedProcess[str]:
    """`lookups-tui ARGUMENTS` in a child of the server of `answer_anew`, with its status and all it wrote."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        status: int = answer_anew(_run, arguments, environment or {}, out, err)
        return CompletedProcess(
            arguments, status, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
        )


def _run(arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path) -> int:
    from tui_lookups import cli
    from tui_lookups.commands import invocation

    os.environ.update(environment)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    status = invocation.run(cli.app, list(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    return status
