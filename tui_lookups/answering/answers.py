"""Answers put together on the model thread: dataclasses of results/ from a model, a corpus and an index.

Pure functions of what they are given; caching, threads and names are the Explorer's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tui_lookups.analysis.ablation import Case, ablate_head
from tui_lookups.analysis.activity import active_heads, attributions_of_heads, effective_rule
from tui_lookups.analysis.attribution import Decomposition, count_reaching, decompose
from tui_lookups.analysis.batches import MOST_TOKENS, Reading, consecutive
from tui_lookups.analysis.congruence import neuron_tokens
from tui_lookups.analysis.peaks import promoted_token
from tui_lookups.analysis.trimming import body_of, dropped_by_paper, trim_prompts
from tui_lookups.answering.checks import check_text
from tui_lookups.answering.peak_inputs import Entry, PeakInput, input_of_prompt
from tui_lookups.corpus.corpus import Corpus
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.results import (
    AblatedPrompt,
    AblationMethod,
    AblationPositions,
    ActivityRule,
    Example,
    HeadAttributions,
    HeadMean,
    HeadOverview,
    Peak,
    Preset,
    Prompt,
    Provenance,
    SourceToken,
    Target,
    Token,
    TokenCongruence,
    Trim,
)
from tui_lookups.results.conventions import Conventions
from tui_lookups.scan.plan import hash_ids


def build_prompts(
    model: LookupModel,
    corpus: Corpus,
    neuron: NeuronId,
    entries: Sequence[Entry],
    *,
    preset: Preset,
    poll: Poll,
    trim: bool = True,
) -> list[Prompt]:
    """Prompts with the neuron's activation at every token, ranked as given.

    With `trim` their trimmed context is found too, which takes many times as long.
    """
    rows = [corpus.window_tokens(entry.prompt_id).tolist() for entry in entries]
    readings = [Reading(neuron, row, at.position, at.sign) for row, at in enumerate(entries)]
    seen = see_prompts(model, rows, readings, preset=preset, poll=poll, trim=trim)
    vocabulary = model.vocabulary
    return [
        prompt_of(rank, entry, vocabulary.tokens(row), of_row, vocabulary.special_ids)
        for rank, (entry, row, of_row) in enumerate(zip(entries, rows, seen, strict=True), 1)
    ]


class PromptSeen(NamedTuple):
    """A neuron's activation at every token of a prompt, and the trimmed context where that was asked for."""

    activations: tuple[float, ...]
    trimmed: Trim | None


def see_prompts(
    model: LookupModel,
    rows: Sequence[Sequence[int]],
    readings: Sequence[Reading],
    *,
    preset: Preset,
    poll: Poll,
    trim: bool,
) -> list[PromptSeen]:
    """What is seen of each peak in prompts, each of which is run once for all the neurons of a layer."""
    activations = activations_of(model, rows, [(at.neuron, at.row) for at in readings], poll)
    trims: Sequence[Trim | None] = [None] * len(readings)
    if trim:
        trims = trim_prompts(model, rows, readings, preset=preset, poll=poll)
    return [PromptSeen(tuple(values), cut) for values, cut in zip(activations, trims, strict=True)]


def prompt_of(
    rank: int, entry: Entry, tokens: tuple[Token, ...], seen: PromptSeen, special: frozenset[int]
) -> Prompt:
    """One prompt of a neuron's list; `special` are the ids of special tokens."""
    after, token = entry.position + 1, tokens[entry.position]
    follows = tokens[after] if after < len(tokens) else None
    peak = Peak(entry.position, token, seen.activations[entry.position], follows, token.id in special)
    return Prompt(
        rank, entry.prompt_id, entry.sign, tokens, seen.activations, peak, seen.trimmed, entry.copies
    )


def activations_on(
    model: LookupModel, neuron: NeuronId, rows: Sequence[Sequence[int]], poll: Poll
) -> list[list[float]]:
    """The neuron's activation at every token of each row of token ids."""
    return activations_of(model, rows, [(neuron, row) for row in range(len(rows))], poll)


def activations_of(
    model: LookupModel, rows: Sequence[Sequence[int]], wanted: Sequence[tuple[NeuronId, int]], poll: Poll
) -> list[list[float]]:
    """Activations at every token of rows of token ids: of neurons of one layer, each on the row named."""
    activations: list[list[float]] = [[] for _ in wanted]
    indexes = sorted({neuron.index for neuron, _ in wanted})
    readers: dict[int, list[int]] = {}
    for number, (_, row) in enumerate(wanted):
        readers.setdefault(row, []).append(number)
    for batch in consecutive([len(ids) for ids in rows], MOST_TOKENS) if wanted else ():
        layer = wanted[0][0].layer
        values = model.neurons_activations(model.batch(rows[at] for at in batch), layer, indexes, poll=poll)
        for row, padded in zip(batch, values, strict=True):
            seen = padded[: len(rows[row])]
            require_finite(seen, layer)
            columns = seen.double().cpu()
            for number in readers.get(row, ()):
                activations[number] = columns[:, indexes.index(wanted[number][0].index)].tolist()
    return activations


def best_token(model: LookupModel, neuron: NeuronId) -> TokenCongruence:
    """The token that a neuron promotes most."""
    return neuron_tokens(model, neuron, 1)[0][0]


def text_activations(model: LookupModel, neuron: NeuronId, ids: list[int], poll: Poll) -> list[float]:
    """The neuron's activation at every token of a text. Raises LookupsError for an empty or too long one."""
    model.check_neuron(neuron)
    check_text(ids, model.vocabulary.bos_id, model.info)
    return activations_on(model, neuron, [ids], poll)[0]


def head_attributions(
    model: LookupModel,
    neuron: NeuronId,
    place: PeakInput,
    *,
    prompt: Prompt | None,
    context: str,
    sources: HeadId | None,
    conventions: Conventions,
    provenance: Provenance,
    poll: Poll,
) -> HeadAttributions:
    """The exact decomposition at one place as a result (method.md, section 4)."""
    rule, preset = conventions.activity_rule, conventions.preset
    decompositions = decompose(
        model, neuron, [place.ids], [place.position], source_head=sources, preset=preset, poll=poll
    )[0]
    heads, threshold = attributions_of_heads(decompositions, rule, place.sign)
    tokens = model.vocabulary.tokens(list(place.ids))
    return HeadAttributions(
        neuron=neuron,
        prompt_id=None if prompt is None else prompt.prompt_id,
        rank=None if prompt is None else prompt.rank,
        context=context,  # type: ignore[arg-type]
        tokens=tokens,
        position=place.position,
        activation=decompositions.activation,
        pre_activation=decompositions.pre_activation,
        target=Target(
            "activation" if decompositions.gate is not None else "pre_activation", decompositions.target
        ),
        heads=heads,
        other=decompositions.other,
        sum=decompositions.sum,
        remainder=decompositions.remainder,
        activity_rule=effective_rule(rule, len(heads)),
        activity_threshold=threshold,
        source_head=sources,
        sources=_sources(decompositions, tokens),
        provenance=provenance,
    )


def _sources(found: Decomposition, tokens: tuple[Token, ...]) -> tuple[SourceToken, ...]:
    if found.sources is None or found.weights is None:
        return ()
    rows = enumerate(zip(found.sources, found.weights, strict=True))
    return tuple(SourceToken(k, tokens[k], float(value), float(weight)) for k, (value, weight) in rows)


class HeadsSeen(NamedTuple):
    """Every head at one peak [heads], and what they are parts of, in the direction in which it fires.

    Where the neuron fires negatively, a head that pushes it down counts as positive.
    """

    attributions: npt.NDArray[np.float64]
    target: float


def head_overview(
    neuron: NeuronId,
    seen: Sequence[HeadsSeen],
    n_heads: int,
    *,
    conventions: Conventions,
    provenance: Provenance,
) -> HeadOverview:
    """Every head over all of a neuron's prompts (method.md, section 4); `n_heads` are of a layer."""
    rule, context = conventions.activity_rule, conventions.context
    if not seen:
        return HeadOverview(neuron, 0, context, rule, (), provenance)
    signed = np.stack([prompt.attributions for prompt in seen])
    active = np.stack([active_heads(row, rule)[0] for row in signed])
    heads = []
    for column in range(signed.shape[1]):
        layer, index = divmod(column, n_heads)
        fraction = float(active[:, column].mean())
        mean, worth = float(signed[:, column].mean()), conventions.worth_explaining(fraction)
        heads.append(HeadMean(HeadId(layer, index), layer, index, mean, fraction, worth))
    used = effective_rule(rule, signed.shape[1])
    target = float(np.mean([prompt.target for prompt in seen]))
    return HeadOverview(neuron, len(seen), context, used, tuple(heads), provenance, mean_target=target)


def counted_prompts(prompts: Iterable[Prompt], preset: Preset, bos_id: int | None) -> list[Prompt]:
    """The prompts that heads are looked at on; preset "paper" drops long ones, as the authors did.

    Raises ValueError where that rests on a trimmed context that was not worked out.
    """
    if preset != "paper":
        return list(prompts)
    kept = []
    for prompt in prompts:
        if prompt.trimmed is None:
            raise ValueError(f"the trimmed context of prompt {prompt.prompt_id} is not known")
        body = body_of(prompt.tokens[0].id, bos_id)
        if not dropped_by_paper(prompt.trimmed, prompt.peak.position, body):
            kept.append(prompt)
    return kept


class Ablated(NamedTuple):
    """What comes of each prompt without a head, and the rule by which the head is active there."""

    prompts: tuple[AblatedPrompt, ...]
    rule: ActivityRule


def ablated_head(
    model: LookupModel,
    neuron: NeuronId,
    head: HeadId,
    given: Iterable[Prompt] | PeakInput,
    *,
    method: AblationMethod,
    positions: AblationPositions,
    conventions: Conventions,
    mean: npt.NDArray[np.float64] | None,
    poll: Poll,
) -> Ablated:
    """One head ablated on each of a neuron's prompts, or at a place in a text (method.md, section 6).

    `mean` is the head's over prompts of the corpus: [d_head].
    """
    rule, preset, bos = conventions.activity_rule, conventions.preset, model.vocabulary.bos_id
    if isinstance(given, PeakInput):
        cases = [Case(None, None, given.ids, given.position, given.sign)]
    else:
        counted = counted_prompts(given, preset, bos)
        places = ((prompt, input_of_prompt(bos, prompt, trimmed=conventions.trimmed)) for prompt in counted)
        cases = [Case(p.rank, p.prompt_id, at.ids, at.position, at.sign) for p, at in places]
    ablated = ablate_head(
        model,
        neuron,
        head,
        cases,
        method=method,
        positions=positions,
        rule=rule,
        preset=preset,
        mean=mean,
        seed=conventions.seed,
        poll=poll,
    )
    return Ablated(ablated, effective_rule(rule, count_reaching(model, neuron, preset)))


def mean_sample(corpus: Corpus, sample: int, seed: int) -> list[int]:
    """The prompts a mean z is taken over: at most `sample`, drawn with a seed, ascending."""
    usable = np.flatnonzero(np.asarray(corpus.lengths()) >= 2).astype(np.int64)
    drawn = usable[np.argsort(hash_ids(usable, seed), kind="stable")[:sample]]
    return [int(prompt_id) for prompt_id in np.sort(drawn)]


def place_samples(
    model: LookupModel, corpus: Corpus, neuron: NeuronId, prompt_ids: Sequence[int], poll: Poll
) -> list[Entry]:
    """Prompts that are known by id only, with the position of their largest activation, in that order."""
    if not prompt_ids:
        return []
    rows = [corpus.window_tokens(prompt_id).tolist() for prompt_id in prompt_ids]
    activations = activations_on(model, neuron, rows, poll)
    return [
        Entry(prompt_id, 1 + int(np.argmax(values[1:])), 1)
        for prompt_id, values in zip(prompt_ids, activations, strict=True)
    ]


def examples(
    model: LookupModel,
    neuron: NeuronId,
    prompts: Sequence[Prompt],
    *,
    conventions: Conventions,
    poll: Poll,
) -> tuple[int, tuple[Example, ...]]:
    """How many heads reach, and prompts as they go to an explainer with the heads active at each.

    See method.md, section 5.

    Text and activity are those of the trimmed prompt; `next_token` is the one that follows. Preset "paper"
    leaves long trimmed prompts out, and appends the neuron's own token to each, as the authors do.
    """
    preset = conventions.preset
    kept = counted_prompts(prompts, preset, model.vocabulary.bos_id)
    places = [input_of_prompt(model.vocabulary.bos_id, prompt, trimmed=True) for prompt in kept]
    decompositions = decompose(
        model, neuron, [p.ids for p in places], [p.position for p in places], preset=preset, poll=poll
    )
    heads, made = 0, []
    for prompt, peak, decomposition in zip(kept, places, decompositions, strict=True):
        attributed, _ = attributions_of_heads(decomposition, conventions.activity_rule, peak.sign)
        heads = len(attributed)
        shown = [i for i in peak.ids[: peak.position + 1] if i not in model.vocabulary.special_ids]
        text = "".join(token.text for token in model.vocabulary.tokens(shown))
        token = prompt.peak.next_token
        if preset == "paper":
            token = promoted_token(model, neuron, peak.sign)
        follows = None if token is None else token.text
        active = tuple(row.head for row in attributed if row.active)
        made.append(Example(prompt.prompt_id, text, follows, active))
    return heads, tuple(made)
