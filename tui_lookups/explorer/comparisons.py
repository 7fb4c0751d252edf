"""Questions about the Explorer's model and another one (method.md, section 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import NeuronId


class Comparisons:
    """The part of an Explorer that compares its model, the first, with a second one of its architecture."""

    _services: Services

    def diff(self, other: str, *, top: int = 20) -> answer.WeightDiff:
        """Which neurons, heads and tensors moved from the Explorer's model to another.

        Answered from the files of both where the family's are known; else both are loaded.

        Args:
            other: the second model, named as in the setting `model`.
            top: how many of each are listed.
        Raises:
            DifferentModelsError: the two are not of one architecture, or do not share a tokenizer.
        """
        from tui_lookups.answering.weight_diff import weight_diff

        return weight_diff(self._services.against(other), top)

    def diff_activations(self, other: str, *, top: int = 20) -> answer.ActivationDiff:
        """Which neurons' activations over the corpus changed most from the Explorer's model to another.

        Both run over the same windows, once: what is found of every neuron is kept.

        Args:
            other, top: as in `diff`.
        Raises:
            DifferentModelsError: as `diff`; or the other reads only shorter windows.
        """
        from tui_lookups.answering.activation_diff import activation_diff

        return activation_diff(self._services.against(other), top)

    def diff_matches(self, other: str, *, top: int = 20) -> answer.NeuronMatches:
        """Which neuron of the other model correlates most with each, in its layer, over the corpus.

        For models trained from different seeds, whose neurons of one name have nothing in common.

        Args:
            other, top: as in `diff`.
        Raises:
            DifferentModelsError: as `diff_activations`.
        """
        from tui_lookups.answering.matching import neuron_matches

        return neuron_matches(self._services.against(other), top)

    def diff_heads(self, other: str, neuron: NeuronId, *, top: int = 20) -> answer.HeadsDiff:
        """The heads behind a neuron in both models, and what of each one's change is due to what.

        Over the prompts that fire it most in either model, at its peaks.

        Args:
            other: as in `diff`.
            top: how many heads, those that differ most.
        Raises:
            DifferentModelsError: as `diff_activations`.
            LookupsError: the neuron fires on no prompt in either model.
            UnsupportedModelError: the raw basis; or a sum does not close within its bound.
        """
        from tui_lookups.answering.heads_diff import heads_diff

        return heads_diff(self._services.against(other), neuron, top)

    def diff_neuron(self, other: str, neuron: NeuronId, *, top: int = 5) -> answer.NeuronDiff:
        """One neuron in both models: on which prompts it rose and fell most, and its highest in each.

        Args:
            other: as in `diff`.
            top: of each kind of prompts, at most the 5 that a pass keeps.
        Raises:
            DifferentModelsError: as `diff_activations`.
            BadIdError: the models have no such neuron.
        """
        from tui_lookups.answering.activation_diff import neuron_diff

        return neuron_diff(self._services.against(other), neuron, top)
