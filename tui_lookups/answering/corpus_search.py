"""All prompts of the corpus that hold a text, whichever its case.

1. Each window's tokens are put together and looked through: memory is flat in the length of the corpus.
2. What there is so far is told a few times a second; who no longer waits ends it.
3. It ends with `most` hits: the answer says how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.answering.checks import check_count
from tui_lookups.errors import LookupsError
from tui_lookups.results import CorpusHit, CorpusHits
from tui_lookups.results.matches import spans_of

if TYPE_CHECKING:
    from tui_lookups.answering.engine import Engine
    from tui_lookups.model.vocabulary import Vocabulary

_TOLD_SECONDS = 0.2
_WINDOWS = 256
"""Looked through between two looks at the clock."""


def search_corpus(
    engine: Engine, text: str, most: int, so_far: Callable[[CorpusHits], None] = lambda _: None
) -> CorpusHits:
    """See `Explorer.search_corpus`."""
    check_count("most", most)
    wanted = text.casefold()
    if not wanted:
        raise LookupsError("There is nothing to search for.", "Give a text.")
    vocabulary, corpus = engine.vocabulary(), engine.corpus(arrays=True)
    pieces = [piece.casefold() for piece in vocabulary.texts]
    if vocabulary.bos_id is not None:
        pieces[vocabulary.bos_id] = ""  # it is in front of every window, and in no text
    note, hits, told = _not_found_so(vocabulary, wanted), list[CorpusHit](), time.monotonic()

    def found(looked: int) -> CorpusHits:
        return CorpusHits(text, tuple(hits), looked, len(corpus), most, note)

    for prompt_id in range(len(corpus)):
        if prompt_id % _WINDOWS == 0:
            engine.poll_asker()
            if (now := time.monotonic()) - told >= _TOLD_SECONDS:
                so_far(found(prompt_id))
                told = now
        ids = corpus.window_tokens(prompt_id).tolist()
        window = [pieces[token_id] for token_id in ids]
        if spans := spans_of(wanted, window):
            hits.append(CorpusHit(prompt_id, vocabulary.tokens(ids), spans))
            if len(hits) == most:
                return found(prompt_id + 1)
    return found(len(corpus))


def _not_found_so(vocabulary: Vocabulary, wanted: str) -> str:
    """Of letters that the tokens cut into bytes no token holds one."""
    written = "".join(token.text for token in vocabulary.tokens(vocabulary.encode(wanted)))
    if wanted in written.casefold():
        return ""
    return "The model's tokens cut letters of it into bytes; where they do, the text is not found."
