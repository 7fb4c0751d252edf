"""What the model expects after each token of a prompt or text: the person moves a cursor along the tokens.

1. A prompt of the corpus, or a text given by hand, is run once, whole, and a stretch of its positions around
   the one asked about is unembedded: a cursor that moves on by a token finds its answer there, and a long
   prompt of a large vocabulary needs little memory.
2. Probabilities are a softmax over the whole vocabulary of the logits as the model gives them (a soft cap
   included), as TransformerLens and Hugging Face do. Rows that no token has take their share, and are not
   listed.
3. A stretch is kept in the cache, and needs no model the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_lookups.answering.checks import check_count
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.text_places import row_of
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.results import PositionPredictions, PromptPredictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.model.lookup_model import LookupModel

STRETCH = 32
"""Positions unembedded at once."""


class PredictionService:
    """The predictions of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def predictions(
        self, prompt_id: int | None, position: int | None, *, text: str | None, top: int
    ) -> PromptPredictions:
        """Predictions after `position` of a prompt of the corpus or of a text (None: its last token), and
        after those in its stretch.

        Raises LookupsError where there is no such prompt or position, or no such text can be run.
        """
        check_count("top", top)
        engine = self._engine
        row = row_of(engine, "Next tokens are asked", text, prompt_id)
        at = len(row) - 1 if position is None else position
        if not 0 <= at < len(row):
            what = "The text" if prompt_id is None else f"Prompt #{prompt_id}"
            raise LookupsError(f"{what} has no position {at}.", f"It has positions 0 to {len(row) - 1}.")
        asked: dict[str, Any] = {"text": text} if prompt_id is None else {"prompt": prompt_id}
        first, of_corpus = at - at % STRETCH, prompt_id is not None

        def work(model: LookupModel, poll: Poll) -> PromptPredictions:
            positions = range(first, min(first + STRETCH, len(row)))
            predictions = next_tokens(model, row, positions, top=top, poll=poll)
            return PromptPredictions(prompt_id, predictions, engine.provenance(corpus=of_corpus, top=top))

        key = engine.key("predictions", corpus=of_corpus, first=first, stretch=STRETCH, top=top, **asked)
        return engine.cached(key, PromptPredictions) or engine.keep(key, engine.on_model(work))


def next_tokens(
    model: LookupModel, row: Sequence[int], positions: Sequence[int], *, top: int, poll: Poll
) -> tuple[PositionPredictions, ...]:
    """The `top` most probable tokens after each of `positions` of one list of token ids.

    Raises NumericalError where the model gives no probabilities.
    """
    import torch

    from tui_lookups.analysis.why import most_probable
    from tui_lookups.errors import NumericalError

    at = torch.tensor([list(positions)], device=model.device)
    log_probabilities = model.log_probabilities(model.batch([row]), at, poll=poll)[0]  # [positions, d_vocab]
    if not bool(torch.isfinite(log_probabilities.logsumexp(-1)).all()):
        raise NumericalError(
            "The model's next-token probabilities are not finite.", "Load it with --dtype float32."
        )
    tokens = model.vocabulary.token
    rows = []
    for number, position in enumerate(positions):
        after = row[position + 1] if position + 1 < len(row) else None
        rows.append(
            PositionPredictions(
                position,
                most_probable(model, log_probabilities[number], top),
                None if after is None else tokens(after),
                None if after is None else float(log_probabilities[number, after].exp()),
            )
        )
    return tuple(rows)
