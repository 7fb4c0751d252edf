"""Tokens: how many a request takes, what they cost, and a session's limit that is never crossed knowingly.

1. A request is counted with tiktoken where that package is installed and its data for the model lies in
   its cache folder, whole: of a file that is missing or damaged it would delete what there is and fetch
   another, so it is not asked then. Counting never reaches for the network.
2. Everywhere else a token is taken to be three bytes of UTF-8: English text has about four, so that this
   errs on the side of too many.
3. `TokenBudget.reserve` refuses a request that could cross the limit, before it is sent; `settle` puts what
   it really took in the reservation's place.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tui_lookups.errors import LookupsError
from tui_lookups.explanation.requests import ChatRequest

BYTES_PER_TOKEN = 3
MESSAGE_TOKENS = 8
"""Tokens that chat templates put around a message, at most."""

ESTIMATE = f"estimated at one token per {BYTES_PER_TOKEN} bytes"

# Of each encoding the name that tiktoken gives its data in its cache folder (SHA-1 of where it fetches it
# from), and the SHA-256 that it holds it to.
_DATA_FILES = {
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}


class BudgetError(LookupsError):
    """A request that could cross the session's token budget; it was not sent."""


@dataclass(frozen=True)
class TokenCounter:
    """Counts tokens of a text; `how` says in words by which rule."""

    count: Callable[[str], int]
    how: str

    def input_tokens(self, request: ChatRequest) -> int:
        return self.count(request.message) + MESSAGE_TOKENS


def estimate_tokens(text: str) -> int:
    """Tokens of a text where no tokenizer is at hand (step 2)."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def token_counter(model: str) -> TokenCounter:
    """The best counter for a model that needs no network."""
    if importlib.util.find_spec("tiktoken") is None:
        return TokenCounter(estimate_tokens, ESTIMATE)
    tiktoken = importlib.import_module("tiktoken")
    try:
        name: str = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return TokenCounter(estimate_tokens, ESTIMATE)
    if name not in _DATA_FILES or not _is_at_hand(*_DATA_FILES[name]):
        return TokenCounter(estimate_tokens, ESTIMATE)
    encoding = tiktoken.get_encoding(name)
    return TokenCounter(
        lambda text: len(encoding.encode(text, disallowed_special=())), f"counted with {name}"
    )


def _is_at_hand(name: str, digest: str) -> bool:
    """Whether tiktoken would take this data file from its cache folder as it is."""
    folder = _tiktoken_folder()
    if folder is None:
        return False
    try:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    except OSError:  # missing, or not ours to read: tokens are estimated, and the plan says so
        return False


def _tiktoken_folder() -> Path | None:
    """Where tiktoken looks for its data; None where its cache is turned off, so that it always fetches."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return Path(os.environ[variable]) if os.environ[variable] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per million tokens, in whatever currency the person keeps them; None where not set."""

    input: float | None
    output: float | None

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost; None unless both prices are set."""
        if self.input is None or self.output is None:
            return None
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class TokenBudget:
    """Tokens this session may still use. Thread-safe. `limit` None: no limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._spent = 0
        self._reserved = 0

    @property
    def left(self) -> int | None:
        """Tokens that may still be reserved; None without a limit."""
        with self._lock:
            return None if self._limit is None else max(0, self._limit - self._spent - self._reserved)

    def require(self, tokens: int) -> None:
        """Raise BudgetError when `tokens` more would cross the limit."""
        left = self.left
        if left is not None and tokens > left:
            raise BudgetError(
                f"This takes up to {tokens:,} tokens; {left:,} of this session's {self._limit:,} are left.",
                "Nothing was sent; raise the setting token_budget (LOOKUPS_TOKEN_BUDGET) to go on.",
            )

    def reserve(self, tokens: int) -> None:
        """Set `tokens` aside for a request about to be sent. Raises BudgetError."""
        with self._lock:
            wanted = self._spent + self._reserved + tokens
            if self._limit is not None and wanted > self._limit:
                raise BudgetError(
                    f"The next request could cross this session's budget of {self._limit:,} tokens.",
                    "It was not sent, and answers so far are kept; raise the setting token_budget to go on.",
                )
            self._reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """A reserved request has ended, having used so many tokens.

        `used` is 0 where the endpoint cannot be asked, and `reserved` where it is not known.
        """
        with self._lock:
            self._reserved -= reserved
            self._spent += used
