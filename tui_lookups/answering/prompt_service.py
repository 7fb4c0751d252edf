"""A neuron's prompts as they are shown: from the finished index, or from the scan as far as it has come.

1. The index (or the running scan) gives prompt ids and peaks; one batched forward pass gives every token's
   activation, another few the trimmed context.
2. While the scan runs the list is asked for again and again, mostly with the same prompts in it: what was
   computed of the last neurons is kept in memory, and only new prompts are run.
3. Once the index is finished the list is kept in the cache, and needs no model the next time.
4. Random prompts and one of each decile of phi come from the index's sample (method.md, section 3); figures
   at the peaks (method.md, section 2) are worked out for any of these lists.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from itertools import chain, takewhile
from typing import TYPE_CHECKING, TypeVar

from tui_lookups import progress
from tui_lookups.answering.cached_prompts import cached_prompts, list_of, prompts_key
from tui_lookups.answering.checks import check_count, check_firing_sign, check_folded, check_kind, check_sign
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.peak_inputs import (
    PARTS,
    Entry,
    sampled_ids,
    top_entries,
    why_silent,
    with_special_peaks,
)
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import LookupsError, Poll, UnsupportedModelError
from tui_lookups.ids import NeuronId
from tui_lookups.recent import Recent
from tui_lookups.results import (
    Activations,
    NeuronPrompts,
    NeuronStats,
    Part,
    PeakFigures,
    Prompt,
    PromptKind,
    PromptsWithFigures,
    Sign,
    Token,
)

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results.conventions import Conventions

K = TypeVar("K")

_NEURONS_KEPT = 32  # in memory: half a megabyte each where a window has 128 tokens
_AT_ONCE = 4
"""Prompts built in one job of the model thread."""


class PromptService:
    """The prompts lists of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession) -> None:
        self._engine = engine
        self._scan = scan
        self._lock = threading.Lock()
        # by id and sign; and by id, as last listed: their heads may be asked for
        self._built: Recent[NeuronId, dict[tuple[int, int], Prompt]] = Recent(_NEURONS_KEPT)
        self._shown: Recent[NeuronId, dict[int, Prompt]] = Recent(_NEURONS_KEPT)

    def prompts(
        self,
        neuron: NeuronId,
        *,
        top: int | None = None,
        sign: Sign | None = None,
        wait: bool = True,
        part: Part | None = None,
        trim: bool = True,
        so_far: Callable[[NeuronPrompts], None] | None = None,
    ) -> NeuronPrompts:
        """The top prompts, or those of a part of the corpus. See `Explorer.prompts`.

        A neuron that never fires has none: the note says so.
        """
        engine, top, conventions = self._engine, self._most(top), self._engine.conventions(sign=sign)
        self._check(neuron, top)
        check_firing_sign(conventions.sign, gated=engine.model_info().gated)
        if not wait and self._scan.index() is None:
            self._scan.start()
            return self._show(self._build(neuron, top, part, conventions, trim=False, so_far=so_far))
        self._scan.wait()
        key = prompts_key(engine, self._scan, neuron, top, part, conventions, trim)
        prompts = engine.cached(key, NeuronPrompts) or engine.keep(
            key, self._build(neuron, top, part, conventions, trim=trim, so_far=so_far)
        )
        self._keep(neuron, prompts.prompts)
        return self._show(prompts)

    def cached(self, neuron: NeuronId) -> NeuronPrompts | None:
        """See `Explorer.cached_prompts`."""
        prompts = cached_prompts(self._engine, self._scan, neuron)
        return None if prompts is None else self._show(prompts)

    def prompt(self, neuron: NeuronId, rank: int | None, prompt_id: int | None, *, sign: Sign) -> Prompt:
        """One prompt, by its number in the corpus or by its rank (from 1; the first by default).

        Raises LookupsError when it is not among the neuron's prompts.
        """
        if prompt_id is not None:
            with self._lock:
                shown = self._shown.get(neuron, {}).get(prompt_id)
            if shown is not None:
                return shown
        listed = self.prompts(neuron, sign=sign)
        prompts = listed.prompts
        if prompt_id is not None:
            kinds: tuple[PromptKind, ...] = ("random", "deciles")
            sampled = (self.sampled(neuron, kind).prompts for kind in kinds)
            for prompt in chain(prompts, chain.from_iterable(sampled)):  # lists are worked out when reached
                if prompt.prompt_id == prompt_id:
                    return prompt
            raise LookupsError(
                f"Prompt #{prompt_id} is not among the prompts of {neuron}.", "Open one of its prompts."
            )
        if listed.note:
            raise LookupsError(listed.note, "Ask about another neuron, or scan other texts.")
        wanted = 1 if rank is None else rank
        if not 1 <= wanted <= len(prompts):
            raise LookupsError(
                f"{neuron} has no prompt of rank {wanted}.", f"Its prompts have ranks 1 to {len(prompts)}."
            )
        return prompts[wanted - 1]

    def with_trims(self, neuron: NeuronId, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
        """The same prompts, each with its trimmed context: a running scan's list comes without."""
        missing = [
            Entry(prompt.prompt_id, prompt.peak.position, prompt.sign, copies=prompt.copies)
            for prompt in prompts
            if prompt.trimmed is None
        ]
        if not missing:
            return tuple(prompts)
        trimmed = self._prompts_of(neuron, missing, trim=True)
        return tuple(
            prompt
            if prompt.trimmed is not None
            else replace(trimmed[prompt.prompt_id, prompt.sign], rank=prompt.rank)
            for prompt in prompts
        )

    # --- prompts that are not the highest, and figures at the peaks (method.md, sections 2 and 3) ---

    def sampled(self, neuron: NeuronId, kind: PromptKind, *, top: int | None = None) -> NeuronPrompts:
        """Prompts of a uniform random sample, by phi, or one of each decile of phi, lowest first.

        The highest ones, of the default sign, for kind "top".
        """
        check_kind(kind)
        if kind == "top":
            return self.prompts(neuron, top=top)
        engine, top, conventions = self._engine, self._most(top), self._engine.conventions(sign="+")
        self._check(neuron, 1)
        self._scan.wait()

        def work(model: LookupModel, poll: Poll) -> NeuronPrompts:
            from tui_lookups.answering.answers import best_token, build_prompts, place_samples

            corpus = engine.corpus(arrays=True)
            record = self._scan.require(neuron)
            ids = sampled_ids(record, kind, top, conventions.seed)
            entries = place_samples(model, corpus, neuron, ids, poll)
            built = build_prompts(model, corpus, neuron, entries, preset=conventions.preset, poll=poll)
            return list_of(engine, best_token(model, neuron), record, built, conventions, top=top, kind=kind)

        key = engine.key(
            "sampled",
            conventions,
            corpus=True,
            neuron=str(neuron),
            top=top,
            which=kind,
            index=self._scan.key(),
        )
        return self._show(engine.cached(key, NeuronPrompts) or engine.keep(key, engine.on_model(work)))

    def listed(self, neuron: NeuronId, kind: PromptKind, top: int | None, sign: Sign | None) -> NeuronPrompts:
        """One of the neuron's lists; `sign` counts for kind "top" only."""
        check_sign(sign)
        if kind == "top":
            return self.prompts(neuron, top=top, sign=sign)
        return self.sampled(neuron, kind, top=top)

    def figures(self, shown: NeuronPrompts, kind: PromptKind, token: Token | None) -> PeakFigures:
        """The figures at the peaks of a list of prompts. Raises UnsupportedModelError in the raw basis."""
        neuron, engine = shown.neuron, self._engine
        check_folded(
            engine.basis,
            "Logit contributions need folded weights: raw congruence leaves the final norm's weight out.",
        )

        def work(model: LookupModel, poll: Poll) -> PeakFigures:
            from tui_lookups.analysis.peaks import peak_figures

            rows = peak_figures(model, neuron, shown.prompts, token, poll=poll)
            provenance = engine.provenance(corpus=True, kind=kind, token=None if token is None else token.id)
            return PeakFigures(neuron, kind, token, rows, provenance)

        key = engine.key(
            "figures",
            corpus=True,
            neuron=str(neuron),
            which=kind,
            token=None if token is None else token.id,
            prompts=[[p.rank, p.prompt_id, p.peak.position, p.sign] for p in shown.prompts],
        )
        return engine.cached(key, PeakFigures) or engine.keep(key, engine.on_model(work))

    def with_figures(self, shown: NeuronPrompts, kind: PromptKind) -> PromptsWithFigures:
        """A list of prompts and its figures; in the raw basis a note stands in for the figures."""
        shown_fields = {field.name: getattr(shown, field.name) for field in fields(shown)}
        try:
            rows, note = self.figures(shown, kind, None).prompts, ""
        except UnsupportedModelError as error:
            rows, note = (), error.message
        return PromptsWithFigures(**shown_fields, kind=kind, figures=rows, figures_note=note)

    def stats(self, neurons: Sequence[NeuronId]) -> tuple[NeuronStats, ...]:
        """Statistics of each neuron; a finished index needs no model. See `Explorer.stats`."""
        for neuron in neurons:
            self._check(neuron, 1)

        def read() -> tuple[NeuronStats, ...]:
            return tuple(self._scan.require(neuron).stats() for neuron in neurons)

        if self._scan.index() is not None:
            return read()
        self._scan.start()
        return self._engine.on_model(lambda model, poll: read())

    def activations(self, neuron: NeuronId, text: str) -> Activations:
        """The neuron's activation on every token of a text, begin-of-text in front."""
        engine = self._engine
        engine.check_neuron(neuron)

        def work(model: LookupModel, poll: Poll) -> Activations:
            from tui_lookups.answering.answers import text_activations

            ids = model.encode_prompt(text)
            values = text_activations(model, neuron, ids, poll)
            provenance = engine.provenance(corpus=False)
            return Activations(neuron, text, model.vocabulary.tokens(ids), tuple(values), provenance)

        key = engine.key("activations", corpus=False, neuron=str(neuron), text=text)
        answer = engine.cached(key, Activations) or engine.keep(key, engine.on_model(work))
        special = engine.vocabulary().special_ids
        return replace(answer, special=tuple(i for i, t in enumerate(answer.tokens) if t.id in special))

    def _build(
        self,
        neuron: NeuronId,
        top: int,
        part: Part | None,
        conventions: Conventions,
        *,
        trim: bool,
        so_far: Callable[[NeuronPrompts], None] | None,
    ) -> NeuronPrompts:
        """The list from what is known now; the scan waits meanwhile."""
        from tui_lookups.answering.answers import best_token

        engine = self._engine

        def listed(found: dict[tuple[int, int], Prompt]) -> NeuronPrompts:
            """The list up to the first prompt that is not known yet."""
            answered = takewhile(lambda entry: (entry.prompt_id, entry.sign) in found, entries)
            ranked = [
                replace(found[entry.prompt_id, entry.sign], rank=rank, copies=entry.copies)
                for rank, entry in enumerate(answered, 1)
            ]
            best = engine.on_model(lambda model, poll: best_token(model, neuron))
            return list_of(engine, best, record, ranked, conventions, top=top, part=part, note=silent)

        def tell(found: dict[tuple[int, int], Prompt]) -> None:
            if so_far is not None and len(found) < len(entries):
                so_far(self._show(listed(found)))

        with engine.thread.holding_background():
            record = engine.on_model(lambda model, poll: self._scan.require(neuron))
            silent = why_silent(record, conventions)
            number = None if part is None else PARTS.index(part)
            entries = [] if silent else top_entries(record, top, conventions.sign, number)
            return listed(self._prompts_of(neuron, entries, trim=trim, tell=tell))

    def _prompts_of(
        self,
        neuron: NeuronId,
        entries: Sequence[Entry],
        *,
        trim: bool,
        tell: Callable[[dict[tuple[int, int], Prompt]], None] = lambda _: None,
    ) -> dict[tuple[int, int], Prompt]:
        """Prompts by id and sign; those not run before are run a few at a time, so that another question
        need not wait for all of them, and `tell` is given what there is after each few."""
        from tui_lookups.answering.answers import build_prompts

        engine = self._engine
        preset, corpus = engine.conventions().preset, engine.corpus(arrays=True)
        prompts = self._kept(neuron, entries, trim)
        missing = [entry for entry in entries if (entry.prompt_id, entry.sign) not in prompts]
        what = "trimming" if trim else "working out the prompts"
        count = progress.Count(what, len(entries), "prompts", known=len(prompts))
        for start in range(0, len(missing), _AT_ONCE):
            few = missing[start : start + _AT_ONCE]

            def build(model: LookupModel, poll: Poll, few: Sequence[Entry] = few) -> list[Prompt]:
                return build_prompts(model, corpus, neuron, few, preset=preset, poll=poll, trim=trim)

            progress.tell(count.at(len(prompts)))
            with progress.heard_by(None):  # what is told of these few
                built = engine.on_model(build)
            self._keep(neuron, built)
            prompts.update({(prompt.prompt_id, prompt.sign): prompt for prompt in built})
            tell(prompts)
        return prompts

    def _kept(self, neuron: NeuronId, entries: Sequence[Entry], trim: bool) -> dict[tuple[int, int], Prompt]:
        """Prompts built before, by id and sign; with `trim` only those whose trimmed context is known."""
        with self._lock:
            built = self._built.get(neuron, {})
            kept = [built.get((entry.prompt_id, entry.sign)) for entry in entries]
        return {
            (prompt.prompt_id, prompt.sign): prompt
            for prompt in kept
            if prompt is not None and (prompt.trimmed is not None or not trim)
        }

    def _most(self, top: int | None) -> int:
        """How many prompts are asked for: all that the index keeps, unless it is said."""
        check_count("top", top)
        return self._scan.top if top is None else top

    def _check(self, neuron: NeuronId, top: int) -> None:
        self._engine.check_neuron(neuron)
        if neuron.layer not in self._engine.layers():
            raise LookupsError(
                f"Layer {neuron.layer} of {neuron} is not among the layers that are scanned.",
                "Leave out --layers, or name that layer too.",
            )
        if top > self._scan.top:
            raise LookupsError(
                f"The index keeps {self._scan.top} prompts per neuron, and {top} were asked for.",
                "Set LOOKUPS_TOP (or top in config.toml) to keep more; the corpus is then scanned again.",
            )

    def _show(self, found: NeuronPrompts) -> NeuronPrompts:
        found = with_special_peaks(found, self._engine.vocabulary().special_ids)
        with self._lock:
            shown = {prompt.prompt_id: prompt for prompt in found.prompts}
            self._shown[found.neuron] = _over(self._shown.get(found.neuron, {}), shown)
        return found

    def _keep(self, neuron: NeuronId, prompts: Iterable[Prompt]) -> None:
        with self._lock:
            built = {(prompt.prompt_id, prompt.sign): prompt for prompt in prompts}
            self._built[neuron] = _over(self._built.get(neuron, {}), built)


def _over(known: dict[K, Prompt], prompts: dict[K, Prompt]) -> dict[K, Prompt]:
    """The known prompts and these instead; of one that comes without a trim that is known, it stays known."""
    merged = known | prompts
    for key, prompt in prompts.items():
        before = known.get(key)
        if prompt.trimmed is None and before is not None and before.sign == prompt.sign:
            merged[key] = replace(prompt, trimmed=before.trimmed)
    return merged
