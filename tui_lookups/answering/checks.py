"""What a notebook may pass and no question can mean: refused before anything is opened.

The command line and the app let none of it through; a mistyped word in a notebook would otherwise end as an
error of NumPy's, or after minutes of scanning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.results.base import Basis, Sign

if TYPE_CHECKING:
    from tui_lookups.results import AblationMethod, AblationPositions, ModelInfo, PromptKind


def check_count(name: str, value: int | None) -> None:
    """Raise LookupsError unless `value` counts something, from 1; None is left to the default."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise LookupsError(f"{name} cannot be {value!r}.", "Give a whole number from 1.")


def check_sign(sign: Sign | None) -> None:
    """Raise LookupsError unless None or a sign."""
    _check_word("sign", sign, Sign)


def check_kind(kind: PromptKind) -> None:
    """Raise LookupsError unless a kind of prompts."""
    from tui_lookups.results import PromptKind

    _check_word("kind", kind, PromptKind)


def check_ablation(method: AblationMethod, positions: AblationPositions | None) -> None:
    """Raise LookupsError unless there is such an ablation."""
    from tui_lookups.results import AblationMethod, AblationPositions

    _check_word("method", method, AblationMethod)
    _check_word("positions", positions, AblationPositions)


def check_folded(
    basis: Basis,
    why: str = "Exact sums over heads and neurons need folded weights: in the raw basis none closes.",
    hint: str = "Leave out --raw-weights.",
) -> None:
    """Raise UnsupportedModelError, and say why, in the raw basis."""
    if basis != "folded":
        raise UnsupportedModelError(why, hint)


def check_attribution(basis: Basis) -> None:
    """Heads are attributed in the folded basis."""
    check_folded(basis, "Head attribution needs folded weights: in the raw basis no sum closes.")


def check_text(ids: Sequence[int], bos_id: int | None, info: ModelInfo) -> None:
    """Raise LookupsError for a text of no token, or of more than the model reads."""
    if len(ids) <= (bos_id is not None):
        raise LookupsError("The text is empty.", "Give at least one token of text.")
    if len(ids) > info.n_ctx:
        raise LookupsError(
            f"The text has {len(ids)} tokens; {info.name} reads at most {info.n_ctx}.", "Shorten it."
        )


def check_removal(method: str) -> None:
    """Raise LookupsError unless zero or a mean is put in a component's place."""
    _check_word("method", method, Literal["zero", "mean"])


def check_layers(layers: Sequence[int], n_layers: int, model: str) -> None:
    """Raise LookupsError unless some layers are named, and the model has each."""
    if not layers:
        raise LookupsError("No layer was named.", "Name some, or leave layers out for all of them.")
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise LookupsError(f"{model} has no layer {layer}.", f"Its layers run from 0 to {n_layers - 1}.")


def check_prompt_id(prompt_id: int, prompts: int) -> None:
    """Raise LookupsError unless a corpus of so many prompts has this one."""
    if not 0 <= prompt_id < prompts:
        raise LookupsError(
            f"The corpus has no prompt #{prompt_id}.", f"Its prompts run from #0 to #{prompts - 1}."
        )


def check_firing_sign(sign: Sign, *, gated: bool) -> None:
    """Raise LookupsError for negative firing of a plain MLP, of which a scan keeps no prompts."""
    if sign != "+" and not gated:
        raise LookupsError(
            "No prompts of most negative activation are kept for this model.",
            "Only neurons of gated MLPs count as firing negatively; ask with --sign + (or auto).",
        )


def _check_word(name: str, value: str | None, allowed: Any) -> None:
    words: tuple[str, ...] = get_args(allowed)
    if value is not None and value not in words:
        raise LookupsError(f"{name} cannot be {value!r}.", f"Give one of {', '.join(words)}.")
