"""A hub on loopback with one data set: what `datasets` asks for when it streams, ranges of bytes included."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from urllib.parse import unquote, urlsplit

import pyarrow
from pyarrow import parquet

from tests.hub_server import COMMIT, LoopbackHandler, LoopbackServer, serving, sha256

REPO = "someone/texts"
_API, _FILES = f"/api/datasets/{REPO}", f"/datasets/{REPO}/resolve/"


class DatasetHub(LoopbackServer):
    """Serves the files of the data set that it holds.

    `asked` are the paths of all requests, `tokens` what came as authorisation; with `cut_at` no more bytes of
    a file are sent than lie before it, and while it is `down` every connection breaks.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hold()

    def hold(self, *shards: Sequence[str]) -> None:
        """From now on the data set is these files of texts, and nobody has asked for any."""
        self.files = {
            f"data/train-{number:05d}-of-{len(shards):05d}.parquet": _parquet(texts)
            for number, texts in enumerate(shards)
        }
        self.asked: list[str] = []
        self.tokens: set[str] = set()
        self.cut_at: int | None = None
        self.down = False


def _parquet(texts: Sequence[str]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": list(texts)}), file, row_group_size=10)
    return file.getvalue()


class Handler(LoopbackHandler):
    server: DatasetHub

    def answer(self, *, body: bool) -> None:
        if self.server.down:
            self.close_connection = True
            self.connection.close()
            return
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        self.server.tokens.add(self.headers.get("authorization", ""))
        if path.startswith(_API):
            self.send(json.dumps(self.described(path.removeprefix(_API))).encode(), body=body)
            return
        name = path.removeprefix(_FILES).partition("/")[2]
        if not path.startswith(_FILES) or name not in self.server.files:
            self.send(b"{}", body=body, status=404, headers={"x-error-code": "EntryNotFound"})
            return
        self.send_part(self.server.files[name], body=body)

    def described(self, asked: str) -> object:
        files = [
            {"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in self.server.files.items()
        ]
        if not asked.startswith("/tree/"):
            return {"id": REPO, "sha": COMMIT, "siblings": [], "tags": [], "private": False}
        folder = asked.removeprefix("/tree/").partition("/")[2]
        return files if folder else [{"type": "directory", "path": "data", "oid": "1" * 40}]

    def send_part(self, data: bytes, *, body: bool) -> None:
        headers = {"etag": f'"{sha256(data)}"', "x-repo-commit": COMMIT, "accept-ranges": "bytes"}
        wanted = self.headers.get("range")
        if wanted is None:
            self.send(data, body=body, headers=headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data)), len(data) - 1)
        headers["content-range"] = f"bytes {start}-{end}/{len(data)}"
        self.send(data[start : end + 1], body=body, status=206, headers=headers)

    def send(
        self, data: bytes, *, body: bool, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        cut = self.server.cut_at if status == 206 else None
        self.wfile.write(data[:cut])
        if cut is not None and cut < len(data):
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()


def dataset_hub() -> AbstractContextManager[DatasetHub]:
    return serving(DatasetHub())
