"""A report in the layout that Neuronpedia's bulk import reads, and its public exporters write.

1. A folder for each layer, `MODEL/LAYER-lookups/`: one line each in release.jsonl, model.jsonl,
   sourceset.jsonl and source.jsonl, and in features/, activations/ and explanations/ a batch of gzipped
   lines.
2. A neuron is a feature of its layer; so is a unit of a dictionary, whose source set then bears the
   dictionary's name, so that those of two do not mix. Its congruences are what they show as logits, phi
   over prompts what they show as the histogram of activations.
3. A prompt that is shown whole is an activation. Where a head was split over source tokens on it, these
   stand in `dfaValues` (direct feature attribution), with the peak as their target; of several heads the
   largest's.
4. An explanation of a head is one of the neuron, with the head in front of it.
5. The importer takes the columns of all lines from the first one, so every line of a file has the same
   keys. Ids are made of the content: written again, the files are the same to the byte.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tui_lookups.exports.report import Report, Walk
from tui_lookups.exports.writing import refusing
from tui_lookups.home import expanded
from tui_lookups.results import HeadAttributions, ModelInfo, Prompt
from tui_lookups.storage.files import write_atomically

Line = dict[str, Any]

CREATOR = "clkht01d40000jv08hvalcvly"
"""The account that Neuronpedia's exporters name where none is given; an instance has it from the start."""

SET = "lookups"
"""The source set of all layers, the dictionary's name behind it where one is open; sources are LAYER-SET."""

_EMPTY_LISTS = (
    "vector", "topkCosSimIndices", "topkCosSimValues", "neuron_alignment_indices", "neuron_alignment_values",
    "neuron_alignment_l1", "correlated_neurons_indices", "correlated_neurons_pearson",
    "correlated_neurons_l1", "logits_hist_data_bar_heights", "logits_hist_data_bar_values",
    "decoder_weights_dist",
)  # fmt: skip
"""Columns of a feature that nothing here answers."""


def write_neuronpedia(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write the layout into a folder, which may exist; returns the folder of each layer.

    Raises ExportError where it cannot be written.
    """
    layers: dict[int, list[Walk]] = defaultdict(list)
    for walk in report.walks:
        layers[walk.neuron.layer].append(walk)
    written, folder = [], expanded(folder)
    with refusing(f"{folder} cannot be written", "Name another folder, or make room."):
        for layer, walks in sorted(layers.items()):
            where = folder / model_id(report.provenance.model) / source_id(report.provenance.model, layer)
            for name, data in _files(report, layer, walks).items():
                (where / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(where / name, data)
            written.append(where)
    return tuple(written)


def model_id(model: ModelInfo) -> str:
    """The model's name as theirs are: lower-case letters, digits, dashes and underscores."""
    return _as_id(model.name) or "model"


def set_name(model: ModelInfo) -> str:
    """The source set: of neurons, or of a dictionary's units."""
    return SET if model.units is None else f"{SET}-{_as_id(model.units.name) or 'units'}"


def source_id(model: ModelInfo, layer: int) -> str:
    """The source that a layer's neurons, or units, are of."""
    return f"{layer}-{set_name(model)}"


def _as_id(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:128]


def _files(report: Report, layer: int, walks: list[Walk]) -> dict[str, bytes]:
    """The files of a layer by name; a part without lines has none, for their importer reads the first."""
    single = {
        "release.jsonl": _release(report),
        "model.jsonl": _model(report),
        "sourceset.jsonl": _source_set(report),
        "source.jsonl": _source(report, layer),
    }
    model = report.provenance.model
    batches = {
        "features": [_feature(model, walk) for walk in walks],
        "activations": [_activation(report, walk, prompt) for walk in walks for prompt in walk.prompts],
        "explanations": [line for walk in walks for line in _explanations(model, walk)],
    }
    return {name: _lines([line]) for name, line in single.items()} | {
        f"{name}/batch-0.jsonl.gz": gzip.compress(_lines(lines), mtime=0)
        for name, lines in batches.items()
        if lines
    }


def _lines(lines: Iterable[Line]) -> bytes:
    text = "".join(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n" for line in lines)
    return text.encode(
        "utf-8", "replace"
    )  # their database refuses half of a character, however it is written


def _release(report: Report) -> Line:
    model = report.provenance.model
    kinds = "neurons" if model.units is None else f"units of {model.units.name}"
    return {
        "name": f"{set_name(model)}-{model_id(model)}",
        "description": f"Next-token {kinds} of {model.name}, and the attention heads that fire them",
        "creatorName": report.generator,
        "creatorId": CREATOR,
        "visibility": "PUBLIC",
        "urls": [],
    }


def _model(report: Report) -> Line:
    model = report.provenance.model
    return {
        "id": model_id(model),
        "displayName": model.name,
        "displayNameShort": model.name,
        "creatorId": CREATOR,
        "dimension": model.d_model,
        "layers": model.n_layers,
        "neuronsPerLayer": 0 if model.units else model.d_mlp,  # d_mlp is the dictionary's where one is open
        "owner": model.source,
        "visibility": "PUBLIC",
    }


def _source_set(report: Report) -> Line:
    model = report.provenance.model
    kinds = "MLP neurons" if model.units is None else "Transcoder units"
    return {
        "modelId": model_id(model),
        "name": set_name(model),
        "description": f"{kinds} with head attribution split over source tokens",
        "type": kinds,
        "creatorName": report.generator,
        "creatorId": CREATOR,
        "releaseName": _release(report)["name"],
        "urls": [],
        "showDfa": True,
        "showHeadAttribution": True,
        "visibility": "PUBLIC",
    }


def _source(report: Report, layer: int) -> Line:
    model, corpus = report.provenance.model, report.provenance.corpus
    return {
        "id": source_id(model, layer),
        "modelId": model_id(model),
        "setName": set_name(model),
        "creatorId": CREATOR,
        "dataset": None if corpus is None else corpus.name,
        "num_prompts": None if corpus is None else corpus.prompts,
        "num_tokens_in_prompt": None if corpus is None else corpus.window,
        "notes": f"{report.generator}, weights {model.fingerprint}",
        "visibility": "PUBLIC",
    }


def _named(model: ModelInfo, walk: Walk) -> Line:
    return {
        "modelId": model_id(model),
        "layer": source_id(model, walk.neuron.layer),
        "index": str(walk.neuron.index),
    }


def _feature(model: ModelInfo, walk: Walk) -> Line:
    stats = walk.stats
    histogram = None if stats is None else stats.histogram
    return {
        **_named(model, walk),
        "creatorId": CREATOR,
        "sourceSetName": set_name(model),
        "maxActApprox": 0.0 if stats is None else stats.maximum,
        "hasVector": False,
        "vectorLabel": None,
        "vectorDefaultSteerStrength": None,
        "hookName": None if model.units else f"blocks.{walk.neuron.layer}.mlp.hook_post",
        "frac_nonzero": 0.0 if stats is None else stats.fraction_positive,
        "freq_hist_data_bar_heights": [] if histogram is None else list(map(float, histogram.counts)),
        "freq_hist_data_bar_values": [] if histogram is None else list(histogram.edges[:-1]),
        "pos_str": [token.text for token in walk.tokens],
        "pos_values": [token.congruence for token in walk.tokens],
        "neg_str": [token.text for token in walk.suppressed],
        "neg_values": [token.congruence for token in walk.suppressed],
        **{name: [] for name in _EMPTY_LISTS},
    }


def _activation(report: Report, walk: Walk, prompt: Prompt) -> Line:
    model, corpus = report.provenance.model, report.provenance.corpus
    named, values = _named(model, walk), list(prompt.activations)
    split = _split(walk, prompt)
    read = [0.0] * len(values)
    for source in () if split is None else split.sources:
        read[source.position] = source.attribution
    return {
        "id": _id("activation", *named.values(), prompt.prompt_id),
        **named,
        "creatorId": CREATOR,
        "tokens": [token.text for token in prompt.tokens],
        "values": values,
        "maxValue": max(values),
        "maxValueTokenIndex": values.index(max(values)),
        "minValue": min(values),
        "dataIndex": str(prompt.prompt_id),
        "dataSource": None if corpus is None else corpus.name,
        "dfaValues": [] if split is None else read,
        "dfaTargetIndex": None if split is None else split.position,
        "dfaMaxValue": None if split is None else max(read),
    }


def _split(walk: Walk, prompt: Prompt) -> HeadAttributions | None:
    """Of the heads that were split over the whole prompt's tokens, the one of largest attribution."""
    split = [
        attributions
        for attributions in walk.on_prompts
        if attributions.prompt_id == prompt.prompt_id
        and attributions.sources
        and attributions.tokens == prompt.tokens
    ]
    return max(split, key=lambda each: abs(sum(source.attribution for source in each.sources)), default=None)


def _explanations(model: ModelInfo, walk: Walk) -> list[Line]:
    named = _named(model, walk)
    return [
        {
            "id": _id(
                "explanation",
                *named.values(),
                str(explained.explanation.head),
                explained.explanation.explanation,
            ),
            **named,
            "authorId": CREATOR,
            "description": f"{explained.explanation.head}: {explained.explanation.explanation}",
            "typeName": None,
            "explanationModelName": None,
            "notes": json.dumps(
                {
                    "head": str(explained.explanation.head),
                    "model": explained.explanation.model,
                    "head_explanation_score": (
                        None if explained.score is None else explained.score.score.head_explanation_score
                    ),
                }
            ),
        }
        for explained in walk.explained
    ]


def _id(*parts: object) -> str:
    """A name of 25 characters that begins with c, as theirs do, made of the content."""
    return "c" + hashlib.sha256(json.dumps(parts).encode("utf-8")).hexdigest()[:24]
