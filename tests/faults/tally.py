"""Counts what these tests put in and what came through, for the table in the README.

1. `tried(ROW)` around one fault counts it; leaving without an exception counts it as survived.
2. With LOOKUPS_FAULT_TALLY=FILE each count is a line of JSON at the end of FILE: test processes share it.
3. `python -m tests.faults.tally FILE` adds the lines up and prints the table.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path


class Row(StrEnum):
    """The rows of the table."""

    KILLED = "processes killed (SIGKILL) while scanning, exporting, writing the cache, explaining"
    FULL = "writes onto a full disk"
    READ_ONLY = "writes into a read-only cache folder"
    BYTES = "bytes damaged, over every kind of cache file"
    LOCKED = "questions while another process holds the database"
    SHARING = "processes sharing one cache at a time"
    CLOCK = "questions with the clock set back or wrong"
    CHANGING = "model files changed under a running app"
    MEMORY = "forward passes and loads without the memory for them"
    NETWORK = "connections dropped within a download or an answer"
    ARGUMENTS = "command lines fuzzed"
    FILES = "sessions, exports and config files fuzzed"
    CORPORA = "corpora fuzzed"
    MODELS = "model files with false headers, odd tokenizers or NaN"
    CODE = "planted payloads (pickle, code in a model folder)"
    ESCAPES = "terminal escapes in data, shown"
    PATHS = "paths that lead out of a folder"


def record(row: Row, tried: int, survived: int) -> None:
    """Add counts to the file that LOOKUPS_FAULT_TALLY names, if it names one."""
    target = os.environ.get("LOOKUPS_FAULT_TALLY")
    if target:
        line = json.dumps({"row": row.name, "tried": tried, "survived": survived}) + "\n"
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


@contextmanager
def tried(row: Row, count: int = 1) -> Iterator[None]:
    """Counts `count` as tried, and as survived unless an exception leaves the block."""
    survived = 0
    try:
        yield
        survived = count
    finally:
        record(row, count, survived)


def table(lines: str) -> str:
    """The Markdown table of a tally file."""
    done, survived = Counter[str](), Counter[str]()
    for line in lines.splitlines():
        entry = json.loads(line)
        done[entry["row"]] += entry["tried"]
        survived[entry["row"]] += entry["survived"]
    rows = ["| what was done to it | tried | survived | lost or wrong |", "| --- | ---: | ---: | ---: |"]
    for row in Row:
        if done[row.name]:
            lost = done[row.name] - survived[row.name]
            rows.append(f"| {row} | {done[row.name]:,} | {survived[row.name]:,} | {lost or 'nothing'} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text(encoding="utf-8")))
