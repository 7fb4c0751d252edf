"""Conversations as text, held to what transformers makes of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_lookups.errors import CorpusError
from tui_lookups.model.chat import chat_renderer, template_digest

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}\n"
    "  {%- if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\n"
    "<{{ message.role }}>{{ message.content | trim }}\n{% endfor %}"
)
CHAT = [{"role": "user", "content": " Who? "}, {"role": "assistant", "content": "Nobody <b>."}]


@pytest.fixture
def folder(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model's folder without a chat template, to put one in."""
    return Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))


def give(folder: Path, template: str) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    return folder


def test_a_conversation_is_rendered_as_transformers_does(folder: Path) -> None:
    from transformers import AutoTokenizer

    give(folder, TEMPLATE)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    expected = tokenizer.apply_chat_template(CHAT, tokenize=False)
    begin = tokenizer.bos_token
    assert expected.startswith(begin)
    assert chat_renderer(folder, "tiny", "")(CHAT) == expected
    assert chat_renderer(folder, "tiny", begin)(CHAT) == expected.removeprefix(begin)


def test_a_conversation_that_the_template_refuses(folder: Path) -> None:
    render = chat_renderer(give(folder, TEMPLATE), "tiny", "")
    with pytest.raises(ValueError, match="System role not supported"):
        render([{"role": "system", "content": "x"}])
    assert render(CHAT)


def test_a_model_without_a_template_is_named(folder: Path) -> None:
    with pytest.raises(CorpusError, match="and tiny has no chat template") as caught:
        chat_renderer(folder, "tiny", "")(CHAT)
    assert "--text-field" in caught.value.hint


@pytest.mark.parametrize("start", ["", "\n", "  {% if true %}x{% endif %}"])
def test_today_is_always_the_same_day_and_nothing_else_changes(folder: Path, start: str) -> None:
    from transformers import AutoTokenizer

    give(folder, start + "{{ strftime_now('%d %b %Y') }} " + TEMPLATE)
    found = chat_renderer(folder, "tiny", "")(CHAT)
    give(folder, start + "26 Jul 2024 " + TEMPLATE)
    assert found == AutoTokenizer.from_pretrained(str(folder)).apply_chat_template(CHAT, tokenize=False)


def test_the_digest_is_of_what_decides_how_conversations_are_rendered(folder: Path) -> None:
    digests = [template_digest(folder), template_digest(give(folder, TEMPLATE))]
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    digests.append(template_digest(folder))
    (folder / "README.md").write_text("no part of it")
    assert template_digest(folder) == digests[-1]
    assert len(set(digests)) == 3
