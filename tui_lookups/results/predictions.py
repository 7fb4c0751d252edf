"""What the model expects after a token of a prompt, or of a text given by hand."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.results.base import Provenance, Token


@dataclass(frozen=True, slots=True)
class Prediction:
    """A token and the model's probability of it."""

    token: Token
    probability: float


@dataclass(frozen=True, slots=True)
class PositionPredictions:
    """The most probable next tokens after one position, and what really follows.

    Attributes:
        position: of the token that is read last; what is predicted stands at `position` + 1.
        top: most probable first.
        next_token: what follows in the prompt, None at the end of the window; next_probability: the model's
            probability of it.
    """

    position: int
    top: tuple[Prediction, ...]
    next_token: Token | None
    next_probability: float | None


@dataclass(frozen=True, slots=True)
class PromptPredictions:
    """Predictions after a stretch of the positions of one prompt, or of a text (no `prompt_id`), in order."""

    prompt_id: int | None
    positions: tuple[PositionPredictions, ...]
    provenance: Provenance

    def at(self, position: int) -> PositionPredictions | None:
        """Those after one position, None where the stretch does not hold it."""
        return next((prediction for prediction in self.positions if prediction.position == position), None)
