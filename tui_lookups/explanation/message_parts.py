"""The parts of a message of an answer: what the model said, and whether it thought beside that.

Nothing is validated by the client, so every field may be missing, null or of another type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SAID = frozenset({"text", "output_text", ""})
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")


def field(part: object, name: str) -> Any:
    """A field of a part, which may be an object or a mapping; None where it has none."""
    return part.get(name) if isinstance(part, dict) else getattr(part, name, None)


def said_in(message: object) -> str | None:
    """What a message or a piece of one says; None where its content is neither text nor blocks."""
    content = field(message, "content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    return "".join(_texts(content))


def _texts(blocks: list[Any]) -> Iterator[str]:
    for block in blocks:
        text = block if isinstance(block, str) else field(block, "text")
        if isinstance(text, dict):
            text = text.get("value")
        if isinstance(text, str) and (isinstance(block, str) or (field(block, "type") or "") in _SAID):
            yield text


def thought_apart(message: object) -> bool:
    """Whether a message, or a piece of one, holds thoughts in fields or blocks of their own."""
    if any(field(message, name) for name in _THOUGHT_FIELDS):
        return True
    content = field(message, "content")
    blocks = content if isinstance(content, list) else []
    return any(field(block, "type") in ("thinking", "reasoning", "redacted_thinking") for block in blocks)
