"""An export recomputed with the model, corpus, basis, parameters and dtype that its provenance names.

1. The export is opened (schema-checked). Its model and corpus are opened where it says they lie, or where the
   person says; content hashes other than the export's end it there, before any weight is loaded.
2. Everything is worked out anew in a cache of its own, which is removed afterwards: the scan too, over the
   layers of the exported neurons. Nothing that was cached before is believed.
3. Value by value, the figures are compared (comparing.py). What the export is about but this model does not
   have - a token, a neuron, a prompt that is not among the neuron's - differs, and says why.
4. A trace's document is told from an export, and recomputed without a corpus (trace_check.py).
5. What a language model said is not asked again: it is compared with the cache where that holds it, and
   named as not recomputed where not. Which prompts a head is active on, and the score's figures from the
   answers, are recomputed all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tui_lookups.errors import BadIdError, ExportError, LookupsError, UnknownTokenError
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.explorer import Explorer
from tui_lookups.exports import filling
from tui_lookups.exports.comparing import TOLERANCE, Comparison, pointer
from tui_lookups.exports.document import ExportDocument, ExportedHead, ExportedNeuron, ExportedPrompt
from tui_lookups.exports.explanations import ExplanationsCheck
from tui_lookups.exports.origin import narrowed, require_same, settings_for
from tui_lookups.exports.provenances import alike, with_sources_alike
from tui_lookups.exports.reading import parse_export, read_json
from tui_lookups.exports.trace_check import is_trace, parse_trace, recompute_trace, settings_of
from tui_lookups.exports.verification import Fingerprints, NotRecomputed, Verification
from tui_lookups.home import expanded
from tui_lookups.results import (
    HeadAblation,
    NeuronPrompts,
    Prompt,
    ScanProgress,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Token,
    TokenSet,
    Trace,
)
from tui_lookups.storage.codec import to_plain
from tui_lookups.storage.files import make_private_directory, reason
from tui_lookups.storage.leftovers import working_folder

_GIVEN = (
    ("/created", "It says when the export was written."),
    ("/generator", "It says what wrote the export."),
    ("/provenance/parameters", "The recomputation used them."),
)


@contextmanager
def fresh_folder(cache_dir: Path) -> Iterator[Path]:
    """A folder for a cache of its own, beside the person's, removed at the end.

    Raises CacheError where the cache folder cannot be used, ExportError where nothing can be written there.
    """
    make_private_directory(cache_dir, tighten=False)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(working_folder(cache_dir, "verifying"))
        except OSError as error:
            raise ExportError(
                f"{cache_dir} cannot be written: {reason(error)}.",
                "Name another cache folder with --cache-dir.",
            ) from error
        yield folder


def verify(
    explorer: Explorer,
    path: Path,
    *,
    tolerance: float = TOLERANCE,
    model: str | None = None,
    corpus: str | None = None,
    progress: Callable[[ScanProgress], None] | None = None,
) -> Verification:
    """Recompute every figure of an export and say what differs, and by how much.

    Model, corpus, basis, dtype and parameters are those the export names, not the given Explorer's; device,
    threads, cache folder and what was explained so far are that one's. Nothing else cached is believed: the
    corpus is scanned again.

    Args:
        tolerance: relative difference at which two numbers count as equal (comparing.py).
        model, corpus: where they lie now, where that is elsewhere than the export says.
        progress: told how far the scan is.
    Raises:
        ExportError: no export, or one that names what cannot be opened.
        OtherSourceError: the model or corpus that opens has another content.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise LookupsError(f"{tolerance} is not a valid tolerance.", "Give a number from 0, such as 1e-5.")
    path = expanded(path)
    plain, data = read_json(path)
    if is_trace(plain):
        if corpus is not None:
            raise LookupsError("A trace is recomputed from its own tokens.", "Leave out --corpus.")
        return verify_trace(explorer, *parse_trace(plain, path), path, tolerance, model)
    document, store = parse_export(path, plain, data), explorer.explaining.store
    with fresh_folder(explorer.settings.cache_dir) as folder:
        settings, notes = settings_for(document, explorer.settings, model, corpus)
        claimed = document.provenance
        prompts = 0 if claimed.corpus is None else claimed.corpus.prompts
        settings = narrowed(document, settings, claimed.model.n_layers, prompts)
        again = Explorer(settings, results=folder)
        try:
            fingerprints = require_same(document, again)
            n_layers, prompts = again.model_info().n_layers, again.corpus_info().prompts
            true = narrowed(document, settings, n_layers, prompts)
            if true != settings:  # the export claims more layers or prompts than there are
                again.close()
                again = Explorer(true, results=folder)
            again.scan(progress)
            return recompute(document, path, again, store, tolerance, fingerprints, notes)
        finally:
            again.close()


def verify_trace(
    explorer: Explorer, trace: Trace, generator: str, path: Path, tolerance: float, model: str | None
) -> Verification:
    """Recompute a trace (trace_check.py) with the model, basis and dtype that it names."""
    settings = settings_of(trace, explorer.settings, model)
    with fresh_folder(explorer.settings.cache_dir) as folder:
        again = Explorer(settings, results=folder)
        try:
            return recompute_trace(trace, generator, path, again, tolerance)
        finally:
            again.close()


def recompute(
    document: ExportDocument,
    path: Path,
    explorer: Explorer,
    store: ExplainedStore,
    tolerance: float,
    fingerprints: Fingerprints,
    notes: tuple[str, ...] = (),
) -> Verification:
    """Work everything in `document` out again with `explorer`, and compare."""
    comparison = Comparison(tolerance)
    words = ExplanationsCheck(explorer, store, comparison)
    again = _Again(explorer, comparison)
    for number, neuron in enumerate(document.neurons):
        again.neuron(neuron, pointer("/neurons", number))
    for number, prompt in enumerate(document.prompts):
        again.prompt(prompt, pointer("/prompts", number))
    for number, head in enumerate(document.heads):
        at = pointer("/heads", number)
        if again.head(head, at):
            words.check(head, at)
    for number, ablation in enumerate(document.ablations):
        again.ablation(ablation, pointer("/ablations", number))
    provenance = replace(
        document.provenance,
        model=explorer.model_info(),
        corpus=explorer.corpus_info(),
        device=explorer.status().device,
    )
    sources = alike(to_plain(document.provenance), to_plain(provenance))
    for source in sources:
        del source["parameters"]
    comparison.compare(*sources, "/provenance")
    if provenance.device != document.provenance.device:
        notes = (*notes, f"Exported on {document.provenance.device}, recomputed on {provenance.device}.")
    differing = tuple(comparison.differing)
    given = (*_GIVEN, ("/notes", "They are what a person wrote.")) if document.notes else _GIVEN
    return Verification(
        path=str(path),
        agrees=not differing,
        checked=comparison.checked,
        equal=comparison.checked - len(differing),
        differing=differing,
        tolerance=tolerance,
        largest_relative=comparison.largest,
        not_recomputed=(*(NotRecomputed(*source) for source in given), *words.not_recomputed),
        fingerprints=fingerprints,
        exported_by=document.generator,
        exported=document.created,
        notes=notes,
        provenance=provenance,
    )


class _Again:
    """The things of an export, one by one, as the model gives them now."""

    def __init__(self, explorer: Explorer, comparison: Comparison) -> None:
        self._explorer = explorer
        self._comparison = comparison
        self._lists = filling.PromptLists(explorer)

    def _compare(
        self, exported: object, make: Callable[[], object], at: str, subject: tuple[str, str]
    ) -> bool:
        """Compare with what `make` gives; where it has no answer, `subject` (key, value) differs."""
        try:
            made = make()
        except LookupsError as error:
            if type(error) not in (LookupsError, BadIdError, UnknownTokenError):
                raise  # a fault of this machine, not a difference
            self._comparison.missing(pointer(at, subject[0]), subject[1], error.message)
            return False
        both = with_sources_alike(_figures(exported), _figures(made))
        self._comparison.compare(*both, at, scale=_scale(made))
        return True

    def neuron(self, exported: ExportedNeuron, at: str) -> None:
        def make() -> ExportedNeuron:
            marked = SelectedNeuron(exported.neuron)
            if exported.token is not None:
                marked = replace(marked, token=self._token(exported.token))
            if exported.token_set is not None:
                several = exported.token_set.token_set
                first, *others = map(self._token, several.members)
                marked = replace(
                    marked, token_set=TokenSet(first.id, first.text, tuple(others), several.as_one)
                )
            made = filling.exported_neuron(self._explorer, marked, self._lists.of(exported.neuron))
            return made if exported.stats is not None else replace(made, stats=None)

        self._compare(exported, make, at, ("neuron", str(exported.neuron)))

    def _token(self, exported: Token) -> Token:
        """The token of that id as this model's vocabulary spells it."""
        token = self._explorer.resolve_token(f"#{exported.id}").token
        assert token is not None, "an id is a token, or refused"
        return token

    def prompt(self, exported: ExportedPrompt, at: str) -> None:
        def make() -> ExportedPrompt:
            marked = SelectedPrompt(exported.neuron, exported.prompt.prompt_id)
            made = filling.exported_prompt(self._lists, marked, exported.kind)
            prompts = self._lists.of(exported.neuron, made.kind)
            prompt = replace(made.prompt, rank=self._rank(prompts, made.prompt, exported.prompt.rank))
            if exported.prompt.trimmed is None:
                prompt = replace(prompt, trimmed=None)
            if exported.prompt.peak.special is None:
                prompt = replace(prompt, peak=replace(prompt.peak, special=None))
            if exported.prompt.copies is None:
                prompt = replace(prompt, copies=None)
            return replace(made, prompt=prompt)

        self._compare(exported, make, at, ("prompt", f"#{exported.prompt.prompt_id}"))

    def head(self, exported: ExportedHead, at: str) -> bool:
        def make() -> ExportedHead:
            marked = SelectedHead(exported.neuron, exported.head, exported.prompt_id, exported.context)
            made = filling.exported_head(self._explorer, self._lists, marked, exported.kind)
            there, here = exported.attributions, made.attributions
            if there is not None and here is not None:
                if there.special is None:
                    here = replace(here, special=None)
                if any(source.weight is None for source in there.sources):
                    here = replace(here, sources=tuple(replace(s, weight=None) for s in here.sources))
                made = replace(made, attributions=here)
            if there is None or here is None or there.rank is None or exported.prompt_id is None:
                return made
            _, found = self._lists.find(exported.neuron, exported.prompt_id, made.kind)
            prompts = self._lists.of(exported.neuron, made.kind)
            return replace(made, attributions=replace(here, rank=self._rank(prompts, found, there.rank)))

        return self._compare(exported, make, at, ("head", str(exported.head)))

    def ablation(self, exported: HeadAblation, at: str) -> None:
        def make() -> HeadAblation:
            return filling.ablation(self._explorer, exported.marked)

        self._compare(exported, make, at, ("head", str(exported.head)))

    def _rank(self, prompts: NeuronPrompts, found: Prompt, exported: int) -> int:
        """The exported rank where the prompt there has the same peak within the tolerance; else its own."""
        if 1 <= exported <= len(prompts.prompts):
            other, own = prompts.prompts[exported - 1].peak.activation, found.peak.activation
            if abs(other - own) <= self._comparison.tolerance * abs(own):
                return exported
        return found.rank


def _figures(thing: object) -> dict[str, Any]:
    """An exported thing as plain JSON, without words."""
    plain = to_plain(thing)
    plain.pop("explanation", None)
    plain.pop("explanation_score", None)
    return plain


def _scale(made: object) -> float:
    """Of an ablation, the largest activation: one that is nearly zero without the head is rounding noise."""
    if not isinstance(made, HeadAblation):
        return 0.0
    return max((abs(prompt.activation_before) for prompt in made.prompts), default=0.0)
