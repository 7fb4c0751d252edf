"""A result as records: what --format csv, data frames and the tables of exports are made of.

1. The records of a result are the objects of one of its lists (`_LISTS`); a result without one is one record.
   The records of a sequence of results are these.
2. What all of them share and do not say themselves, such as the neuron asked about, stands in front.
3. An object within a record gets dotted names (`top_token.text`), a list of tokens is the text that they
   spell, any other list is JSON. Numbers have all their digits, as in --json.
"""

from __future__ import annotations

import json
from typing import Any

from tui_lookups.storage.codec import to_plain

Record = dict[str, Any]

_LISTS = {
    "ActivationDiff": ("neurons",),
    "Activations": ("tokens", "activations"),
    "Atlas": ("layers",),
    "Carried": ("contributions",),
    "ExplainedList": ("explained",),
    "HeadAblation": ("prompts",),
    "HeadAttributions": ("heads",),
    "HeadsDiff": ("heads",),
    "HeadOverview": ("heads",),
    "InputsOverview": ("neurons",),
    "NeuronDiff": ("prompts",),
    "NeuronExamples": ("examples",),
    "NeuronMatches": ("neurons",),
    "NeuronInputs": ("contributions",),
    "NeuronPrompts": ("prompts",),
    "NearestNeurons": ("neurons",),
    "NeuronOverRevisions": ("revisions",),
    "NeuronTokens": ("tokens",),
    "NeuronsOfTokens": ("tokens",),
    "NeuronsOverRevisions": ("revisions",),
    "PairComparison": ("pairs",),
    "PeakFigures": ("prompts",),
    "PromptsWithFigures": ("prompts", "figures"),
    "ScoreReport": ("scores",),
    "ServedNeurons": ("pairs",),
    "SetNeurons": ("neurons",),
    "SharedHeads": ("heads",),
    "SummedHeads": ("heads",),
    "Survey": ("pairs",),
    "TokenNeurons": ("neurons",),
    "Trace": ("nodes",),
    "Why": ("contributions",),
    "WeightDiff": ("neurons",),
    "WhyByLayer": ("layers",),
}
"""By a result's class, the list that holds its records; of several, equally long, each gives its part."""

_SIDES = {"key": "key_side", "query": "query_side", "pairs": "pairs"}

_WITHIN = {"Atlas": "neurons", "NeuronsOfTokens": "neurons", "NeuronsOverRevisions": "neurons"}
"""Where a list's objects have a list of their own, which is it."""

_BY_NEURON = {"SharedHeads": "mean_attribution", "SummedHeads": "attribution"}
"""Where a list's objects say something of each of several neurons, which figure has a column a neuron."""

_SHARED = ("revision", "token", "foil", "neuron", "head", "layer", "method", "context")
_NAME_OF_NUMBER = {"activations": "activation"}


def records_of(result: object) -> list[Record]:
    """The records of a result, or of a sequence of results, all with the same names.

    Raises NumericalError as `to_plain` does.
    """
    if isinstance(result, list | tuple):
        return _alike([_flat(to_plain(row)) for row in result])
    plain, kind = to_plain(result), type(result).__name__
    lists = _LISTS.get(kind)
    if kind == "SideOf":  # one side of why a head attends, or its pairs
        lists, plain = (_SIDES[plain["side"]],), plain["found"]
    if lists is None:
        plain.pop("provenance", None)
        return [_flat(plain)]
    parts = [_objects(name, plain[name]) for name in lists if plain[name]]
    rows = [{name: value for part in row for name, value in part.items()} for row in zip(*parts, strict=True)]
    shared = _shared(plain)
    within = _WITHIN.get(kind)
    if within is None:
        rows = [{**shared, **row} for row in rows]
    else:
        rows = [{**shared, **_shared(row), **inner} for row in rows for inner in row[within]]
    if kind in _BY_NEURON:
        rows = [_by_neuron(row, _BY_NEURON[kind]) for row in rows]
    if kind == "Activations":
        rows = [{"position": position, **row} for position, row in enumerate(rows)]
    return _alike([_flat(row) for row in rows])


def _alike(rows: list[Record]) -> list[Record]:
    """The rows, each with the names of all; what a row does not have is None.

    An object that is missing in a row has no name of its own where the names of its parts are there.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    parents = {name.rpartition(".")[0] for name in names}
    names = dict.fromkeys(name for name in names if name not in parents)
    return [{name: row.get(name) for name in names} for row in rows]


def _objects(name: str, values: Any) -> list[Record]:
    if isinstance(values, dict):  # contributions: heads and neurons in one list
        return [
            {"component": row[kind], **{key: value for key, value in row.items() if key != kind}}
            for kind in ("head", "neuron")
            for row in values[f"{kind}s"]
        ]
    return [
        value if isinstance(value, dict) else {_NAME_OF_NUMBER.get(name, name): value} for value in values
    ]


def _by_neuron(row: Record, figure: str) -> Record:
    """The row with a column for each of its neurons, named as the neuron is."""
    rest = {name: value for name, value in row.items() if name != "neurons"}
    return {**rest, **{part["neuron"]: part[figure] for part in row["neurons"]}}


def _shared(plain: Record) -> Record:
    if "as_one" in plain:  # a set of tokens: `token` is only the first of them
        texts = [token["text"] for token in plain["tokens"]]
        return {"tokens": json.dumps(texts, ensure_ascii=False), "as_one": plain["as_one"]}
    return {name: plain[name] for name in _SHARED if plain.get(name) is not None}


def _flat(plain: Record, before: str = "") -> Record:
    flat: Record = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        elif isinstance(value, list) and value and all(_is_token(part) for part in value):
            flat[f"{before}{name}"] = "".join(part["text"] for part in value)
        elif isinstance(value, list):
            flat[f"{before}{name}"] = json.dumps(value, ensure_ascii=False)
        else:
            flat[f"{before}{name}"] = value
    return flat


def _is_token(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"id", "text"}
