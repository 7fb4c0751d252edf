"""An export recomputed with the model, corpus, basis, parameters and dtype that its provenance names.

1. The export is opened (schema-checked). Its model and corpus are opened where it says they lie, or where the
   person says; content hashes other than the export's end it there, before any weight is loaded.
2. Everything is worked out anew in a cache of its own, which is removed afterwards: the scan too, over the
   layers of the exported neurons. Nothing that was cached before is believed.
3. Value by value, the figures are compared (comparison.py). What the export is about but this model does not
   have - a token, a neuron, a prompt that is not among the neuron's - differs, and says why.
4. What a language model said is not asked again: it is compared with the cache where that holds it, and
   named as not recomputed where not. Which prompts a head is active on, and the score's figures from the
   answers, are recomputed all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from tui_lookups.answering import export_document
from tui_lookups.answering.comparison import TOLERANCE as TOLERANCE
from tui_lookups.answering.comparison import Comparison, pointer
from tui_lookups.answering.verifying_explanations import ExplanationsCheck
from tui_lookups.answering.verifying_sources import alike, with_sources_alike
from tui_lookups.errors import (
    BadIdError,
    ExportError,
    LookupsError,
    SettingsError,
    UnknownTokenError,
)
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.results import (
    ExportDocument,
    ExportedHead,
    ExportedNeuron,
    ExportedPrompt,
    Fingerprints,
    HeadAblation,
    NeuronPrompts,
    NotRecomputed,
    Prompt,
    ScanProgress,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Verification,
)
from tui_lookups.settings import Settings, load_settings
from tui_lookups.storage.codec import to_plain
from tui_lookups.storage.files import make_private_directory, reason
from tui_lookups.storage.leftovers import working_folder

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer

Hear = Callable[[ScanProgress], None] | None

_ASSUMED = {"sign": "auto", "seed": 0, "trimmed": False, "keep_copies": True}
"""Parameters that exports of earlier versions do not name, as these versions had them by default."""

_MANY_PROMPTS = 1000
"""Prompts a neuron that are kept though the corpus has fewer; beyond it an export's `top` is no reason to
reserve memory."""

_GIVEN = (
    ("/created", "It says when the export was written."),
    ("/generator", "It says what wrote the export."),
    ("/provenance/parameters", "The recomputation used them."),
)


class OtherSourceError(LookupsError):
    """The model or corpus that opens is not the one that an export is of."""


# --- what the export was made with ---


def model_of(document: ExportDocument) -> str:
    """What to give --model for the model of an export. Raises ExportError where it cannot be told."""
    from tui_lookups.model.sources import in_hub_cache

    model = document.provenance.model
    if model.source == "packaged demo model":
        return "demo"
    if model.name == "smollm2" and not Path(model.source).is_absolute():
        return "smollm2"
    if model.source.startswith("hub:"):
        name = model.source.removeprefix("hub:")
        if in_hub_cache(name):
            return name
        # Opening a file that somebody sent must not fetch what it names.
        raise ExportError(
            f"The export is of {name}, which is not in the local Hugging Face cache.",
            "Give --model to fetch or find it.",
        )
    if Path(model.source).is_absolute():
        return model.source
    raise ExportError("The export does not say where its model lies.", "Give it with --model.")


def corpus_of(document: ExportDocument) -> str:
    """What to give --corpus for the corpus of an export. Raises ExportError where it cannot be told."""
    corpus = document.provenance.corpus
    if corpus is None:
        raise ExportError("The export names no corpus.", "Export it again; prompts come from one.")
    if corpus.source == "demo" or Path(corpus.source).is_absolute():
        return corpus.source
    if corpus.source.startswith("hub:"):
        raise ExportError(
            f"The export is of the hub data set {corpus.source}, which is not fetched unasked.",
            f"Give it with --corpus {corpus.source.partition('@')[0]}.",
        )
    raise ExportError("The export does not say where its corpus lies.", "Give it with --corpus.")


def settings_for(
    document: ExportDocument, base: Settings, model: str | None, corpus: str | None
) -> tuple[Settings, tuple[str, ...]]:
    """The settings an export is recomputed with, and notes on what had to be assumed.

    `base` says what changes no figure: device, threads, cache folder, offline. Raises ExportError where the
    export names settings that there are not.
    """
    provenance, notes = document.provenance, []
    named = {**_ASSUMED, **provenance.all_parameters}
    missing = [name for name in _ASSUMED if name not in provenance.parameters]
    if missing:
        named_here = ", ".join(missing)
        notes.append(f"The export does not name {named_here}; what its version did by default was taken.")
    wanted: dict[str, Any] = {
        "model": model or model_of(document),
        "corpus": corpus or corpus_of(document),
        "raw_weights": provenance.basis == "raw",
        "dtype": provenance.dtype,
        "bos": named["bos"],
        "window": 256 if provenance.corpus is None else provenance.corpus.window,
        **{
            name: named[name]
            for name in ("top", "preset", "activity_rule", *_ASSUMED)
            if name in named and named[name] is not None
        },
    }
    try:
        checked = load_settings(**wanted)
    except SettingsError as error:
        raise ExportError(
            f"The export names settings that cannot be: {error.message}", "Nothing was recomputed."
        ) from error
    chosen = {name: getattr(checked, name) for name in wanted}
    # Also where the export names none: what is set here is meant for another corpus.
    chosen["text_field"] = (provenance.corpus.text_field if provenance.corpus else "") or None
    return structs.replace(base, layers=None, **chosen), tuple(notes)


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


# --- the whole ---


def verify(
    document: ExportDocument,
    path: Path,
    open_: Callable[[Settings], Explorer],
    store: ExplainedStore,
    *,
    base: Settings,
    tolerance: float,
    model: str | None,
    corpus: str | None,
    progress: Hear,
) -> Verification:
    """Recompute an opened export; see `Explorer.verify`.

    Args:
        open_: an Explorer with these settings and a cache of its own; closed here.
        store: everything explained so far, for what is not asked again.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise LookupsError(f"{tolerance} is not a valid tolerance.", "Give a number from 0, such as 1e-5.")
    settings, notes = settings_for(document, base, model, corpus)
    claimed = document.provenance
    prompts = 0 if claimed.corpus is None else claimed.corpus.prompts
    settings = narrowed(document, settings, claimed.model.n_layers, prompts)
    explorer = open_(settings)
    try:
        fingerprints = _require_same(document, explorer)
        n_layers, prompts = explorer.model_info().n_layers, explorer.corpus_info().prompts
        true = narrowed(document, settings, n_layers, prompts)
        if true != settings:  # the export claims more layers or prompts than there are
            explorer.close()
            explorer = open_(true)
        explorer.scan(progress)
        return recompute(document, path, explorer, store, tolerance, fingerprints, notes)
    finally:
        explorer.close()


def _require_same(document: ExportDocument, explorer: Explorer) -> Fingerprints:
    """Raise OtherSourceError unless model and corpus have the content that the export names."""
    provenance = document.provenance
    opened = explorer.model_fingerprint()
    if opened != provenance.model.fingerprint:
        raise OtherSourceError(
            f"The model {explorer.settings.model} is not the one of the export: its content has the "
            f"fingerprint {opened[:16]}…, the export's {provenance.model.fingerprint[:16]}….",
            "Point --model at the model that was exported from.",
        )
    found = explorer.corpus_info().fingerprint
    wanted = "" if provenance.corpus is None else provenance.corpus.fingerprint
    if found != wanted:
        raise OtherSourceError(
            f"The corpus {explorer.settings.corpus} is not the one of the export: its content has the "
            f"fingerprint {found[:16]}…, the export's {wanted[:16]}….",
            "Point --corpus at the texts that were exported from (as many of them, too).",
        )
    return Fingerprints(opened, found)


def narrowed(document: ExportDocument, settings: Settings, n_layers: int, prompts: int) -> Settings:
    """Only the layers that the export has neurons of; and no more prompts a neuron than there can be."""
    neurons = {each.neuron for each in document.neurons} | {each.neuron for each in document.prompts}
    neurons |= {each.neuron for each in document.heads} | {each.neuron for each in document.ablations}
    layers = tuple(sorted({neuron.layer for neuron in neurons if neuron.layer < n_layers}))
    top = min(settings.top, max(_MANY_PROMPTS, prompts))
    return structs.replace(settings, layers=layers or (0,), top=top)


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
    for each in sources:
        del each["parameters"]
    comparison.compare(*sources, "/provenance")
    if provenance.device != document.provenance.device:
        notes = (*notes, f"Exported on {document.provenance.device}, recomputed on {provenance.device}.")
    differing = tuple(comparison.differing)
    return Verification(
        path=str(path),
        agrees=not differing,
        checked=comparison.checked,
        equal=comparison.checked - len(differing),
        differing=differing,
        tolerance=tolerance,
        largest_relative=comparison.largest,
        not_recomputed=(*(NotRecomputed(*each) for each in _GIVEN), *words.not_recomputed),
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
        self._lists = export_document.PromptLists(explorer)

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
                token = self._explorer.resolve_token(f"#{exported.token.id}").token
                marked = SelectedNeuron(exported.neuron, token)
            made = export_document.exported_neuron(self._explorer, marked, self._lists.of(exported.neuron))
            return made if exported.stats is not None else replace(made, stats=None)

        self._compare(exported, make, at, ("neuron", str(exported.neuron)))

    def prompt(self, exported: ExportedPrompt, at: str) -> None:
        def make() -> ExportedPrompt:
            marked = SelectedPrompt(exported.neuron, exported.prompt.prompt_id)
            made = export_document.exported_prompt(self._lists, marked, exported.kind)
            prompts = self._lists.of(exported.neuron, made.kind)
            found = replace(made.prompt, rank=self._rank(prompts, made.prompt, exported.prompt.rank))
            if exported.prompt.trimmed is None:
                found = replace(found, trimmed=None)
            if exported.prompt.peak.special is None:
                found = replace(found, peak=replace(found.peak, special=None))
            if exported.prompt.copies is None:
                found = replace(found, copies=None)
            return replace(made, prompt=found)

        self._compare(exported, make, at, ("prompt", f"#{exported.prompt.prompt_id}"))

    def head(self, exported: ExportedHead, at: str) -> bool:
        def make() -> ExportedHead:
            marked = SelectedHead(exported.neuron, exported.head, exported.prompt_id, exported.context)
            made = export_document.exported_head(self._explorer, self._lists, marked, exported.kind)
            there, here = exported.attributions, made.attributions
            if there is not None and here is not None and there.special is None:
                here = replace(here, special=None)
                made = replace(made, attributions=here)
            if there is None or here is None or there.rank is None or exported.prompt_id is None:
                return made
            _, found = self._lists.find(exported.neuron, exported.prompt_id, made.kind)
            prompts = self._lists.of(exported.neuron, made.kind)
            return replace(made, attributions=replace(here, rank=self._rank(prompts, found, there.rank)))

        return self._compare(exported, make, at, ("head", str(exported.head)))

    def ablation(self, exported: HeadAblation, at: str) -> None:
        def make() -> HeadAblation:
            return export_document.ablation(self._explorer, exported.marked)

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
    return max((abs(each.activation_before) for each in made.prompts), default=0.0)
