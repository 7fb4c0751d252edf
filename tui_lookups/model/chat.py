"""Conversations as text: a model's chat template, rendered as transformers renders it.

1. The template is the one that transformers finds beside the tokenizer; it runs in transformers' sandbox.
2. Its begin-of-text is taken off again where windows get one of their own (method.md, section 3).
3. A template that writes today's date would make other texts every day: to it, today is `_TODAY`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tui_lookups.errors import CorpusError, first_line
from tui_lookups.model.first_import import import_transformers

_TEMPLATES = (
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
)
_TODAY = "26 Jul 2024"
_FIXED_DATE = f"{{% macro strftime_now(format) %}}{_TODAY}{{% endmacro %}}\n"


def template_digest(folder: Path) -> str:
    """SHA-256 (hex) of the files of a model that say how its conversations are rendered."""
    whole = hashlib.sha256(_FIXED_DATE.encode())
    for pattern in _TEMPLATES:
        for path in sorted(folder.glob(pattern)):
            whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def chat_renderer(folder: Path, name: str, begin: str) -> Callable[[list[dict[str, Any]]], str]:
    """What renders a conversation, a list of {role, content}, by the chat template of a model's folder.

    Nothing is read before the first conversation. The renderer raises CorpusError where the model has no
    template, ValueError where the template refuses the conversation.

    Args:
        name: the model's, for people.
        begin: begin-of-text as it is put before each window, "" where none is.
    """

    @cache
    def load() -> tuple[Any, str]:
        import_transformers()
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            template = str(tokenizer.get_chat_template())
        except Exception as error:  # transformers raises many kinds here
            raise CorpusError(
                f"The corpus holds conversations, and {name} has no chat template to write them with.",
                "Name a field of plain text with --text-field, or a model that has a template.",
            ) from error
        return tokenizer, _FIXED_DATE * ("strftime_now" in template) + template

    def render(messages: list[dict[str, Any]]) -> str:
        tokenizer, template = load()
        try:
            text = str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False))
        except Exception as error:  # a template may raise anything, and what it does not allow
            raise ValueError(first_line(error)) from error
        return text.removeprefix(begin)

    return render
