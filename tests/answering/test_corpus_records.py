"""Records without a text, and conversations, through the Explorer: what it scans, and what it says."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_lookups import doctor
from tui_lookups.commands.tables import render, to_text
from tui_lookups.errors import CorpusError
from tui_lookups.explorer import Explorer
from tui_lookups.settings import load_settings

CHAT = [{"role": "user", "content": "the cat sat"}, {"role": "assistant", "content": "on the mat"}]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
)


@pytest.fixture
def open_(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[..., Explorer]]:
    """open_(lines, template="", **settings): an Explorer of a tiny model on these records."""
    opened: list[Explorer] = []

    def make(*lines: dict[str, Any], template: str = "", **settings: Any) -> Explorer:
        model = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / f"model{len(opened)}"))
        if template:
            (model / "chat_template.jinja").write_text(template)
        corpus = tmp_path / "a.jsonl"
        corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
        chosen = load_settings(
            model=str(model),
            corpus=str(corpus),
            cache_dir=tmp_path / "cache",
            threads=1,
            device="cpu",
            **settings,
        )
        opened.append(Explorer(chosen))
        return opened[-1]

    yield make
    for explorer in opened:
        explorer.close()


def test_scan_doctor_and_the_description_say_what_was_left_out(open_: Callable[..., Explorer]) -> None:
    explorer = open_({"text": "the cat sat"}, {"text": None}, {"text": "on the mat"}, {"text": 7})
    name = "a.jsonl (2 records without text left out)"
    summary = explorer.scan()
    assert summary.prompts == 2
    assert summary.provenance.corpus == explorer.corpus_info() == explorer.status().corpus
    assert (explorer.corpus_info().name, explorer.corpus_info().left_out) == (name, 2)
    assert "2 records without a text were left out." in to_text(render(summary), io.StringIO())
    (found,) = doctor.corpus_check(explorer)
    assert (found.name, found.state) == ("corpus", "ok")
    assert found.message.startswith(f"{name}: 2 documents")


def test_doctor_says_why_a_corpus_is_refused(open_: Callable[..., Explorer]) -> None:
    (found,) = doctor.corpus_check(open_({"body": "the cat sat"}))
    assert found.state == "problem"
    assert "its fields are body" in found.message
    assert "--text-field" in found.hint


def test_conversations_are_scanned_as_the_template_writes_them(open_: Callable[..., Explorer]) -> None:
    explorer = open_({"id": 1, "messages": CHAT}, template=TEMPLATE, text_field="messages")
    info, vocabulary = explorer.corpus_info(), explorer._engine.vocabulary()
    assert (info.text_field, info.documents) == ("messages", 1)
    tokens = explorer._engine.corpus().window_tokens(0).tolist()
    assert tokens[0] == vocabulary.bos_id
    text = "".join(vocabulary.texts[token] for token in tokens[1:])
    assert "[user] the cat sat\n[assistant] on the mat\n".startswith(
        text
    )  # the tiny model's windows are short
    other = open_({"id": 1, "messages": CHAT}, template=TEMPLATE + "!", text_field="messages")
    assert other.corpus_info().fingerprint != info.fingerprint


def test_conversations_and_a_model_without_a_template(open_: Callable[..., Explorer]) -> None:
    with pytest.raises(CorpusError, match="has no chat template"):
        open_({"messages": CHAT}, text_field="messages").corpus_info()
