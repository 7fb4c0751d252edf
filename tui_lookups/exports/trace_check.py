"""A trace's document (`trace --json`), read back and worked out again.

1. The file is read strictly: what is not a trace as this version writes it is refused.
2. Its model is opened where it says it lies, or where the person says; another content ends it there.
3. The trace is worked out from the tokens in the document, in a cache of its own, and compared node by node.
   A node that is not among the recomputed ones differs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from tui_lookups.errors import ExportError, SettingsError
from tui_lookups.explorer import Explorer
from tui_lookups.exports.comparing import Comparison
from tui_lookups.exports.origin import OtherSourceError, model_of
from tui_lookups.exports.provenances import alike
from tui_lookups.exports.verification import Fingerprints, NotRecomputed, Verification
from tui_lookups.results import SCHEMA_VERSION, Trace
from tui_lookups.settings import Settings, load_settings
from tui_lookups.storage import codec


def is_trace(plain: Any) -> bool:
    """Whether a JSON document is meant as a trace."""
    return isinstance(plain, dict) and {"root", "nodes", "conserved"} <= plain.keys()


def parse_trace(plain: dict[str, Any], path: Path) -> tuple[Trace, str]:
    """The trace that a document holds, and what wrote it. Raises ExportError."""
    rest = dict(plain)
    version, generator = rest.pop("schema_version", None), rest.pop("generator", None)
    if version != SCHEMA_VERSION or not isinstance(generator, str):
        raise ExportError(
            f"{path} has schema version {version}; this program knows {SCHEMA_VERSION}.",
            "Trace again, or verify it with the program that wrote it.",
        )
    try:
        parsed = codec.from_json_bytes(Trace, json.dumps(rest).encode("ascii"))
    except codec.DecodeError as error:
        raise ExportError(
            f"{path} is no trace: {error.message.rstrip('.')}.", "Name a file that trace --json printed."
        ) from error
    if not parsed.nodes or len({node.id for node in parsed.nodes}) != len(parsed.nodes):
        raise ExportError(
            f"{path} is no trace: it has no nodes, or two of one name.",
            "Name a file that trace --json printed.",
        )
    return parsed, generator


def settings_of(trace: Trace, base: Settings, model: str | None) -> Settings:
    """The settings that a trace is worked out with again. Raises ExportError where there are none such."""
    provenance = trace.provenance
    try:
        wanted = load_settings(
            model=model or model_of(provenance.model),
            dtype=provenance.dtype,
            raw_weights=provenance.basis == "raw",
            bos=provenance.parameters.get("bos", "auto"),
        )
    except SettingsError as error:
        raise ExportError(
            f"The trace names settings that cannot be: {error.message}", "Nothing was recomputed."
        ) from error
    return structs.replace(
        base, model=wanted.model, dtype=wanted.dtype, raw_weights=wanted.raw_weights, bos=wanted.bos
    )


def recompute_trace(
    trace: Trace, generator: str, path: Path, explorer: Explorer, tolerance: float
) -> Verification:
    """Work a trace out again with `explorer`, and compare. Raises OtherSourceError for another model."""
    claimed, opened = trace.provenance.model.fingerprint, explorer.model_fingerprint()
    if opened != claimed:
        raise OtherSourceError(
            f"The model {explorer.settings.model} is not the one of the trace: its content has the "
            f"fingerprint {opened[:16]}…, the trace's {claimed[:16]}….",
            "Point --model at the model that was traced.",
        )
    made, comparison = explorer.trace_again(trace), Comparison(tolerance)
    _compare_nodes(comparison, trace, made)
    provenance = replace(made.provenance, corpus=trace.provenance.corpus)
    exported, again = (
        codec.to_plain(replace(each, nodes=(), provenance=provenance)) for each in (trace, made)
    )
    comparison.compare(exported.pop("root"), again.pop("root"), "/root")
    sources = alike(codec.to_plain(trace)["provenance"], codec.to_plain(provenance))
    comparison.compare(*sources, "/provenance")
    for each in (exported, again):
        del each["nodes"], each["provenance"]
    comparison.compare(exported, again, "", _largest(made, "contribution"))
    differing = tuple(comparison.differing)
    device = (
        f"Traced on {trace.provenance.device}, recomputed on {provenance.device}.",
    ) if trace.provenance.device != provenance.device else ()  # fmt: skip
    unchecked = [NotRecomputed("/generator", "It says what wrote the trace.")]
    if trace.prompt_id is not None:
        unchecked.append(
            NotRecomputed("/prompt_id", "The tokens in the document were taken, not the corpus.")
        )
    return Verification(
        path=str(path),
        agrees=not differing,
        checked=comparison.checked,
        equal=comparison.checked - len(differing),
        differing=differing,
        tolerance=tolerance,
        largest_relative=comparison.largest,
        not_recomputed=tuple(unchecked),
        fingerprints=Fingerprints(opened, ""),
        exported_by=generator,
        exported="",
        notes=device,
        provenance=provenance,
    )


def _compare_nodes(comparison: Comparison, trace: Trace, made: Trace) -> None:
    """Node by node; each figure is measured against the largest of its kind, rounding being of that size."""
    by_id = {node.id: codec.to_plain(node) for node in made.nodes}
    scales = {key: _largest(made, key) for key in ("contribution", "share", "activation", "weight")}
    for number, node in enumerate(trace.nodes):
        ours = by_id.pop(node.id, None)
        if ours is None:
            comparison.missing(f"/nodes/{number}/id", node.id, "It is not among the largest parts.")
            continue
        for key, value in codec.to_plain(node).items():
            scale = scales.get(key, scales["contribution"])
            comparison.compare(value, ours[key], f"/nodes/{number}/{key}", scale)
    if by_id:
        comparison.missing("/nodes", None, f"{len(by_id)} further nodes are in it now.")


def _largest(trace: Trace, key: str) -> float:
    return max((abs(getattr(node, key) or 0.0) for node in trace.nodes), default=0.0)
