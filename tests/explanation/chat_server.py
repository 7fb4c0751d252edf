"""A chat-completions server on loopback for the real client: it answers, and it misbehaves on demand.

`faults` are taken one a request, in order; without one left the server answers. An answer is what `reply`
returns for a message: the text, and the probability of Yes where log-probabilities are asked for.
"""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[str, float | None]
Fault = Callable[["Handler", dict[str, Any]], None]

EXPLANATION = "The head is active when the text before has a “not”."


def is_scoring(message: str) -> bool:
    """Whether a message asks for Yes or No."""
    return message.rstrip().endswith("Yes or No.")


def example_in(message: str) -> str:
    """The piece of text a scoring message is about."""
    return next(json.loads(line) for line in message.splitlines() if line.startswith('"'))


def sensible(message: str) -> Reply:
    """Explains by EXPLANATION; says Yes where that holds, and to any other explanation No."""
    if not is_scoring(message):
        return EXPLANATION, None
    right = EXPLANATION in message and " not " in example_in(message)
    return ("Yes", 0.9) if right else ("No", 0.2)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            fault = self.server.faults.popleft() if self.server.faults else self.server.always
        with self.server.busy():
            if self.path != "/v1/chat/completions":
                return self.json(404, {"error": {"message": "no such page"}})
            if fault is not None:
                return fault(self, body)
            return self.answer(body)

    def answer(self, body: dict[str, Any]) -> None:
        """What a well-behaved server says."""
        text, yes = self.server.reply(body["messages"][0]["content"])
        if body.get("stream"):
            return self.stream(text, usage=bool(body.get("stream_options")))
        choice: dict[str, Any] = {
            "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
        }  # fmt: skip
        if body.get("logprobs") and yes is not None:
            choice["logprobs"] = {"content": [token_logprobs(text, yes)]}
        return self.json(200, completion(choice))

    def stream(self, text: str, *, usage: bool = True, end: bool = True) -> None:
        """The text word by word as server-sent events; without `end` the connection breaks."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        words = text.split(" ")
        for place, word in enumerate(words):
            self.event({"delta": {"content": (" " if place else "") + word}, "finish_reason": None})
        if end:
            self.event({"delta": {}, "finish_reason": "stop"})
            if usage:
                self.wfile.write(b"data: " + json.dumps({**completion(), "choices": []}).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, choice: dict[str, Any]) -> None:
        chunk = {**completion({"index": 0, **choice}), "object": "chat.completion.chunk", "usage": None}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def json(self, status: int, content: object, **headers: str) -> None:
        self.raw(status, json.dumps(content).encode(), **headers)

    def raw(self, status: int, data: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)


def completion(*choices: dict[str, Any]) -> dict[str, Any]:
    """The frame of an answer: 50 tokens there, 7 back."""
    return {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "tester-0001",
        "choices": list(choices),
        "usage": {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57},
    }  # fmt: skip


def token_logprobs(text: str, yes: float) -> dict[str, Any]:
    """The first token's alternatives, Yes and No spelled in several ways."""
    shares = {"Yes": 0.75 * yes, " yes": 0.25 * yes, "No": 1 - yes, "Well": 1e-9}
    listed = [{"token": t, "logprob": math.log(max(p, 1e-30)), "bytes": None} for t, p in shares.items()]
    return {"token": text, "logprob": math.log(max(shares.get(text, 1e-9), 1e-30)), "bytes": None} | {
        "top_logprobs": listed
    }


# --- faults ---


def status(code: int, message: str = "no", error_code: str | None = None, **headers: str) -> Fault:
    """An error answer."""
    error = {"error": {"message": message, "type": "t", "param": None, "code": error_code}}
    return lambda handler, body: handler.json(code, error, **headers)


def body_of(data: bytes, kind: str = "application/json") -> Fault:
    """Status 200 with this body."""
    return lambda handler, body: handler.raw(200, data, kind)


def hang(handler: Handler, body: dict[str, Any]) -> None:
    """No answer until the server is closed."""
    handler.server.released.wait(30)
    handler.close_connection = True


def drop(handler: Handler, body: dict[str, Any]) -> None:
    """The connection is closed without an answer."""
    handler.close_connection = True
    handler.connection.close()


def break_off(handler: Handler, body: dict[str, Any]) -> None:
    """A stream that ends in the middle."""
    handler.stream("The head is", end=False)


def refuse(*names: str) -> Fault:
    """400 when one of these parameters is sent, as OpenAI words it; an answer otherwise."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        for name in names:
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return handler.json(
                    400, {"error": {"message": message, "param": name, "code": "unsupported"}}
                )
        return handler.answer(body)

    return fault


class ChatServer(ThreadingHTTPServer):
    """The server; `with ChatServer() as server` runs it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.reply: Callable[[str], Reply] = sensible
        self.under_way = self.most_under_way = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def messages(self) -> list[str]:
        """What was asked, in order of arrival."""
        return [body["messages"][0]["content"] for body in self.bodies]

    def busy(self) -> _Busy:
        return _Busy(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left in the middle is no news."""

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class _Busy:
    def __init__(self, server: ChatServer) -> None:
        self._server = server

    def __enter__(self) -> None:
        with self._server.lock:
            self._server.under_way += 1
            self._server.most_under_way = max(self._server.most_under_way, self._server.under_way)

    def __exit__(self, *_: object) -> None:
        with self._server.lock:
            self._server.under_way -= 1
