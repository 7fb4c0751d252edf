"""What an endpoint says when it refuses or fails, out of the many shapes in which it is said.

1. The error is looked for where servers put it: {"error": {...}}, {"error": "..."}, the same in a list,
   {"detail": [{"loc": [...], "msg": "..."}]}, {"message": ...}, or plain text.
2. A refused parameter is one of those that were sent and that the error names; an error that speaks of a
   refused parameter and names none is about all that can be left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
"""Parameters that limit the length of an answer."""

_SPELLINGS = {"logprobs": ("logprob", "log prob", "log-prob")}
_NO_QUOTA = frozenset(
    {"insufficient_quota", "insufficient_balance", "insufficient_credits", "billing_hard_limit_reached"}
)
_REFUSAL = re.compile(
    r"unsupported|not support|n't support|not permitted|not allowed|forbidden|not enabled|deprecated"
    r"|only the default|unknown|unrecognized|unexpected|cannot find|extra inputs|extra fields|invalid"
)
_OF_A_PARAMETER = re.compile(r"parameter|argument|field|inputs?\b|option|keyword|default \(1\)|\bparams?\b")
_TOO_LONG = ("context length", "context size", "context window")
_TOO_LARGE = re.compile(r"too (?:large|high|big)|at most|exceed|maximum|less than or equal|<=")
_THOUGHT_AWAY = re.compile(r"output limit was reached|try again with higher max_")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error as an endpoint words it; "" for what it does not say. `status` is 200 for one in an answer."""

    status: int
    message: str
    code: str = ""
    kind: str = ""
    param: str = ""

    @property
    def is_no_quota(self) -> bool:
        """Whether the account has nothing left to pay with."""
        return self.status == 402 or bool(_NO_QUOTA & {self.code.lower(), self.kind.lower()})

    @property
    def is_too_long(self) -> bool:
        """Whether the request does not fit into the model's context."""
        said = self.message.lower()
        return any(words in said for words in _TOO_LONG)

    @property
    def is_thought_away(self) -> bool:
        """Whether the model reached the limit inside its thoughts, which some endpoints call an error."""
        return _THOUGHT_AWAY.search(self.message.lower()) is not None

    def refused(self, sent: Collection[str]) -> frozenset[str]:
        """Those of the parameters `sent` that the endpoint refuses; empty where this is no such refusal."""
        may_refuse = self.status in (200, 400, 403, 422) or self.status >= 500
        if not may_refuse or self.is_no_quota or self.is_too_long or self.is_thought_away:
            return frozenset()
        said = f"{self.message} {self.param}".lower()
        named = {name for name in sent if any(word in said for word in _SPELLINGS.get(name, (name,)))}
        if named & LIMITS and _TOO_LARGE.search(said):
            named -= LIMITS  # its value is refused, not the parameter
        if named or not (_REFUSAL.search(said) and _OF_A_PARAMETER.search(said)):
            return frozenset(named)
        if "default (1)" in said:
            return frozenset({"temperature"} & set(sent))
        return frozenset(set(sent) - LIMITS or sent)


def read_error(status: int, body: object) -> ErrorBody:
    """The error in a body: parsed JSON, or text that may be some."""
    if isinstance(body, str | bytes):
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        try:
            body = json.loads(text)
        except ValueError:
            return ErrorBody(status, text)
    error = error_in(body)
    if error is None:
        return ErrorBody(status, "" if body in (None, "", {}, []) else _text(body))
    if not isinstance(error, dict):
        return ErrorBody(status, _text(error))
    message = next((error[name] for name in ("message", "detail", "msg") if error.get(name)), error)
    nested = error_in(message) if isinstance(message, dict) else None
    said = _text(message if nested is None else nested)
    code, kind, param = (_word(error.get(name)) for name in ("code", "type", "param"))
    return ErrorBody(status, said, code, kind, param)


def error_in(body: object) -> Any:
    """The error object or sentence in a parsed body; None where there is none."""
    if isinstance(body, list):
        return next((error for error in map(error_in, body) if error is not None), None)
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return body["error"]
    is_error = "detail" in body or body.get("object") == "error" or body.get("type") == "error"
    return body if is_error or ("message" in body and "choices" not in body) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _word(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)
