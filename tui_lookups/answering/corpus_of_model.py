"""The corpus that the settings name, as token windows of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tui_lookups.corpus.corpus import Corpus, build_corpus
from tui_lookups.corpus.readers import open_source
from tui_lookups.corpus.records import TextField
from tui_lookups.model.chat import chat_renderer, template_digest
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.progress import Say
from tui_lookups.results import ModelInfo
from tui_lookups.settings import Settings
from tui_lookups.storage.cache import ResultCache


def corpus_of_model(
    settings: Settings,
    local: LocalModel,
    vocabulary: Vocabulary,
    info: ModelInfo,
    cache: ResultCache,
    digest: Callable[[Path], str],
    *,
    say: Say,
    should_stop: Callable[[], bool],
) -> Corpus:
    """The corpus, tokenised first where that was not done before.

    Raises LookupsError: it cannot be read, or has a token that the model's embedding has no row for.
    """
    source = open_source(
        settings.corpus,
        offline=settings.offline,
        revisions=cache,
        field=_text_field(settings, local, vocabulary),
    )
    say(f"tokenising {source.name}")
    corpus = build_corpus(
        source,
        vocabulary.encode_batch,
        vocabulary.bos_id,
        min(settings.window, info.n_ctx),
        vocabulary.fingerprint,
        cache.folder("corpora"),
        progress=say,
        should_stop=should_stop,
        digest=digest,
        d_vocab=len(vocabulary),
        max_documents=settings.max_documents,
        special_ids=vocabulary.special_ids,
    )
    if len(vocabulary) > info.d_vocab:
        corpus.require_rows(info, vocabulary.token)
    return corpus


def _text_field(settings: Settings, local: LocalModel, vocabulary: Vocabulary) -> TextField | None:
    """The field that was named for the texts; the model's template writes conversations in it."""
    if settings.text_field is None:
        return None
    begin = "" if vocabulary.bos is None else vocabulary.bos.text
    renderer = chat_renderer(local.folder, local.name, begin)
    return TextField(settings.text_field, renderer, template_digest(local.folder))
