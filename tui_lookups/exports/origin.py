"""What an export was made with: its model, corpus and settings, to be opened again (verifying.py, step 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from tui_lookups.errors import ExportError, LookupsError, SettingsError
from tui_lookups.exports.verification import Fingerprints
from tui_lookups.results import UnitsInfo
from tui_lookups.settings import Settings, load_settings

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.exports.document import ExportDocument
    from tui_lookups.results.base import ModelInfo

_ASSUMED = {"sign": "auto", "seed": 0, "trimmed": False, "keep_copies": True}
"""Parameters that exports of earlier versions do not name, as these versions had them by default."""

_MANY_PROMPTS = 1000
"""Prompts a neuron that are kept though the corpus has fewer; beyond it an export's `top` is no reason to
reserve memory."""


class OtherSourceError(LookupsError):
    """The model or corpus that opens is not the one that an export is of."""


def model_of(model: ModelInfo) -> str:
    """What to give --model for the model of an export. Raises ExportError where it cannot be told."""
    from tui_lookups.model.sources import in_hub_cache

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
        "model": model or model_of(provenance.model),
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


def _hint(units: UnitsInfo | None, opened: str | None) -> str:
    if units is not None and opened is None:
        return f"It was exported with the units of {units.name}: open that dictionary with --units."
    if units is None and opened is not None:
        return "It was exported without a dictionary: leave --units out."
    return "Point --model at the model that was exported from."


def require_same(document: ExportDocument, explorer: Explorer) -> Fingerprints:
    """Raise OtherSourceError unless model and corpus have the content that the export names."""
    provenance = document.provenance
    opened = explorer.model_fingerprint()
    if opened != provenance.model.fingerprint:
        raise OtherSourceError(
            f"The model {explorer.settings.model} is not the one of the export: its content has the "
            f"fingerprint {opened[:16]}…, the export's {provenance.model.fingerprint[:16]}….",
            _hint(provenance.model.units, explorer.settings.units),
        )
    fingerprint = explorer.corpus_info().fingerprint
    wanted = "" if provenance.corpus is None else provenance.corpus.fingerprint
    if fingerprint != wanted:
        raise OtherSourceError(
            f"The corpus {explorer.settings.corpus} is not the one of the export: its content has the "
            f"fingerprint {fingerprint[:16]}…, the export's {wanted[:16]}….",
            "Point --corpus at the texts that were exported from (as many of them, too).",
        )
    return Fingerprints(opened, fingerprint)


def narrowed(document: ExportDocument, settings: Settings, n_layers: int, prompts: int) -> Settings:
    """Only the layers that the export has neurons of; and no more prompts a neuron than there can be."""
    neurons = {item.neuron for item in document.neurons} | {item.neuron for item in document.prompts}
    neurons |= {item.neuron for item in document.heads} | {item.neuron for item in document.ablations}
    layers = tuple(sorted({neuron.layer for neuron in neurons if neuron.layer < n_layers}))
    top = min(settings.top, max(_MANY_PROMPTS, prompts))
    return structs.replace(settings, layers=layers or (0,), top=top)
