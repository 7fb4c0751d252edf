"""A model hub on loopback, with the four requests of a download, and a process that asks it for a model."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
CHILD = """
import sys, json, time
time.sleep = lambda _: None  # the hub's client waits between its five attempts
from pathlib import Path
from tui_lookups.errors import LookupsError
from tui_lookups.model.sources import find_model
from tui_lookups.storage.files import file_digest
try:
    found = find_model("someone/tiny", cache_dir=Path(sys.argv[1]), digest=file_digest)
    print(json.dumps(["found", str(found.folder), found.fingerprint]))
except LookupsError as error:
    print(json.dumps([type(error).__name__, error.message, error.hint]))
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class LoopbackServer(ThreadingHTTPServer):
    """A server of these tests, on a port of its own."""

    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A client that leaves is no news."""


class LoopbackHandler(BaseHTTPRequestHandler):
    """Answers HEAD and GET alike, the first without a body."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        raise NotImplementedError


ServerT = TypeVar("ServerT", bound=LoopbackServer)


@contextmanager
def serving(server: ServerT) -> Iterator[ServerT]:
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Hub(LoopbackServer):
    """Serves one model folder, and others as `branches` of the model, each at a commit of its own.

    `cut` names a file and after how many bytes its connection breaks; `endless` one that never ends.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self.branches: dict[str, dict[str, bytes]] = {}
        self.cut: dict[str, int] = {}
        self.broken: set[str] = set()
        self.endless = ""
        self.down = False

    def add_branch(self, name: str, folder: Path) -> None:
        """Serve a folder as a branch."""
        self.branches[name] = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, or a commit, is; None where there is no such thing."""
        commits = {"main": COMMIT} | {name: sha256(name.encode())[:40] for name in self.branches}
        return commits.get(revision) or (revision if revision in commits.values() else None)

    def files_at(self, commit: str) -> dict[str, bytes]:
        """The files of a commit."""
        return next(
            (files for name, files in self.branches.items() if self.commit(name) == commit), self.files
        )


class Handler(LoopbackHandler):
    server: Hub

    def answer(self, *, body: bool) -> None:
        if self.server.down:
            self.close_connection = True
            self.connection.close()
            return
        path = unquote(urlsplit(self.path).path)
        asked = re.search(r"/(?:revision|tree|resolve)/([^/]+)", path)
        commit = self.server.commit(asked[1] if asked else "main")
        if commit is None:
            self.send(b"{}", "application/json", body=body, status=404, error="RevisionNotFound")
            return
        files = self.server.files_at(commit)
        if path.startswith("/api/models/someone/tiny"):
            sizes = {n: self.size(n, d) for n, d in files.items()}
            siblings = [
                {
                    "rfilename": n,
                    "size": sizes[n],
                    "lfs": {"sha256": sha256(d), "size": sizes[n], "pointerSize": 1},
                }
                for n, d in files.items()
            ]
            tree = [{"type": "file", "path": n, "size": sizes[n], "oid": "0" * 40} for n in sizes]
            info = {"id": "someone/tiny", "sha": commit, "siblings": siblings, "tags": [], "private": False}
            self.send(json.dumps(tree if "/tree/" in path else info).encode(), "application/json", body=body)
            return
        name = path.rpartition("/")[2]
        if name not in files or "/resolve/" not in path:
            self.send(b"{}", "application/json", body=body, status=404)
            return
        self.send(files[name], "application/octet-stream", body=body, name=name, commit=commit)

    def size(self, name: str, data: bytes) -> int:
        return 10**10 if name and name == self.server.endless else len(data)

    def send(
        self,
        data: bytes,
        kind: str,
        *,
        body: bool,
        status: int = 200,
        name: str = "",
        commit: str = COMMIT,
        error: str = "",
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(self.size(name, data)))
        if name:
            self.send_header("etag", f'"{sha256(data)}"')
            self.send_header("x-repo-commit", commit)
        if error:
            self.send_header("x-error-code", error)
        self.end_headers()
        if not body:
            return
        end = self.server.cut.get(name)
        if end is not None:
            if name not in self.server.broken:  # the other files, fetched at the same time, arrive first
                time.sleep(1.0)
            self.server.broken.add(name)
        if name and name == self.server.endless:
            self.go_on()
            return
        self.wfile.write(data[:end])
        if end is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def go_on(self) -> None:
        """Ten megabytes a second until the client hangs up."""
        try:
            while True:
                self.wfile.write(bytes(1 << 20))
                time.sleep(0.1)
        except OSError:
            return


def hub_of(folder: Path) -> AbstractContextManager[Hub]:
    return serving(Hub(folder))


def hub_environment(url: str, home: Path) -> dict[str, str]:
    """That of a process for which the hub is at `url`, with a cache of its own in `home`."""
    clean = {
        k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.endswith("_OFFLINE")
    }
    return clean | {
        "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "20", "HF_HUB_ETAG_TIMEOUT": "20", "NO_PROXY": "*",
    }  # fmt: skip


def read_environment(environment: dict[str, str]) -> None:
    """From now on this process has that environment, also where the hub's libraries read it: at import."""
    os.environ.clear()
    os.environ.update(environment)
    for name in list(sys.modules):
        if name.partition(".")[0] in ("huggingface_hub", "datasets"):
            del sys.modules[name]


def ask(hub: Hub, tmp_path: Path, child: str = CHILD) -> list[str]:
    """`--model someone/tiny` in a process of its own, against this hub."""
    done = subprocess.run(
        [sys.executable, "-c", child, str(tmp_path / "cache")],
        env=hub_environment(hub.url, tmp_path / "hf"),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    answer: list[str] = json.loads(done.stdout.splitlines()[-1])
    return answer
