"""What a report shows: neurons, their prompts and the heads over these, of a survey or of an export.

1. Of a survey: the peaks of each neuron's prompts, which are in the index; the first of them whole; every
   head over all of them, which the survey has worked out; and on the top prompt what the first head that is
   worth explaining reads. That is a pass for each prompt that is whole, and one more.
2. Of an export: what was marked, by neuron.
3. It is one JSON document, `report.json`, from which the page, the tables and Neuronpedia's files are made
   again without the model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.errors import ExportError
from tui_lookups.exports.reading import parse_export, read_json
from tui_lookups.home import expanded
from tui_lookups.ids import NeuronId
from tui_lookups.results import (
    SCHEMA_VERSION,
    Explained,
    HeadAttributions,
    HeadMean,
    NeuronStats,
    Prompt,
    Provenance,
    RankedPeak,
    Survey,
    SurveyedNeuron,
    Token,
    TokenCongruence,
)
from tui_lookups.storage import codec

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.exports.document import ExportDocument, ExportedHead

PROMPTS = 3
"""Prompts of each neuron of a survey that are shown whole; of all of them the peaks are kept."""

TOKENS = 10
"""Tokens that a neuron of a survey is said to promote, and to suppress."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One neuron, its prompts, and the heads over these.

    Attributes:
        token: the one it was found for; None where it was named itself. congruence: with that token.
        tokens, suppressed: those it promotes and suppresses most.
        peaks: of every prompt of its list that is known here; prompts: those that are shown whole.
        heads: over all its prompts; of an export those that were marked so.
        on_prompts: every head on one prompt, and the tokens that one of them reads.
        explained: newest first.
        note: why there are no prompts; empty where there are.
    """

    neuron: NeuronId
    token: Token | None
    congruence: float | None
    tokens: tuple[TokenCongruence, ...]
    suppressed: tuple[TokenCongruence, ...]
    stats: NeuronStats | None
    peaks: tuple[RankedPeak, ...]
    prompts: tuple[Prompt, ...]
    heads: tuple[HeadMean, ...]
    on_prompts: tuple[HeadAttributions, ...]
    explained: tuple[Explained, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Report:
    """Walks, and the survey whose neurons they are of; None where they are of an export."""

    schema_version: int
    generator: str
    created: str
    provenance: Provenance
    survey: Survey | None
    walks: tuple[Walk, ...]


def of_survey(
    explorer: Explorer, survey: Survey, told: Callable[[int, int], None] = lambda done, of: None
) -> Report:
    """The report of a survey. `told` hears, on this thread, of how many of its neurons it has the prompts."""
    explained = _by_neuron(explorer.explaining.cached())
    walks = []
    most = len(survey.neurons)
    told(0, most)
    explorer.prepare_report(survey, prompts=PROMPTS, told=lambda share: told(int(share * most), most))
    for neuron in survey.neurons:
        walks.append(_surveyed(explorer, survey, neuron, explained.get(neuron.neuron, ())))
    told(most, most)
    return Report(SCHEMA_VERSION, codec.generator(), _now(), survey.provenance, survey, tuple(walks))


def of_export(document: ExportDocument) -> Report:
    """The report of an export: what is marked of each neuron, in the order it was marked."""
    neurons = (
        part.neuron for list_ in (document.neurons, document.prompts, document.heads) for part in list_
    )
    walks = [_marked(document, neuron) for neuron in dict.fromkeys(neurons)]
    return Report(
        SCHEMA_VERSION, document.generator, document.created, document.provenance, None, tuple(walks)
    )


def read_report(path: Path) -> Report:
    """The report that a file is, or of the export that it is. Raises ExportError where it is neither."""
    path = expanded(path)
    plain, data = read_json(path)
    if not isinstance(plain, dict) or "walks" not in plain:
        return of_export(parse_export(path, plain, data))
    if plain.get("schema_version") != SCHEMA_VERSION:
        raise ExportError(
            f"{path} has schema version {json.dumps(plain.get('schema_version'))}; this program knows "
            f"{SCHEMA_VERSION}.",
            "Open it with another version of lookups-tui.",
        )
    try:
        return codec.from_json_bytes(Report, data)
    except codec.DecodeError as error:
        raise ExportError(
            f"{path} is no report: {error.message.rstrip('.')}.", "Name a file that lookups-tui wrote."
        ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _by_neuron(explained: Iterable[Explained]) -> dict[NeuronId, tuple[Explained, ...]]:
    by_neuron: dict[NeuronId, tuple[Explained, ...]] = {}
    for explanation in explained:
        neuron = explanation.explanation.neuron
        by_neuron[neuron] = (*by_neuron.get(neuron, ()), explanation)
    return by_neuron


def _surveyed(
    explorer: Explorer, survey: Survey, surveyed: SurveyedNeuron, explained: tuple[Explained, ...]
) -> Walk:
    neuron, trimmed = surveyed.neuron, survey.context == "trimmed"
    written = explorer.tokens(neuron, top=TOKENS)
    listed = explorer.prompts(neuron, top=min(PROMPTS, explorer.settings.top), trim=False)
    heads = explorer.heads_overview(neuron, trimmed=trimmed).heads if surveyed.prompts else ()
    first = next((pair.head for pair in survey.pairs if pair.neuron == neuron), None)
    on_prompts: tuple[HeadAttributions, ...] = ()
    if first is not None and listed.prompts:
        top = listed.prompts[0].prompt_id
        on_prompts = (explorer.heads(neuron, prompt_id=top, sources=first, trimmed=trimmed),)
    return Walk(
        neuron=neuron,
        token=surveyed.token,
        congruence=surveyed.congruence,
        tokens=written.tokens,
        suppressed=written.suppressed,
        stats=listed.stats,
        peaks=explorer.peaks(neuron),
        prompts=listed.prompts,
        heads=heads,
        on_prompts=on_prompts,
        explained=explained,
        note=surveyed.note,
    )


def _marked(document: ExportDocument, neuron: NeuronId) -> Walk:
    scored = next((item for item in document.neurons if item.neuron == neuron), None)
    prompts = tuple(item.prompt for item in document.prompts if item.neuron == neuron)
    heads = [item for item in document.heads if item.neuron == neuron]
    return Walk(
        neuron=neuron,
        token=None if scored is None else scored.token,
        congruence=None if scored is None else scored.congruence,
        tokens=() if scored is None else scored.tokens,
        suppressed=() if scored is None else scored.suppressed,
        stats=None if scored is None else scored.stats,
        peaks=tuple(map(RankedPeak.of, prompts)),
        prompts=prompts,
        heads=tuple(item.mean for item in heads if item.mean is not None),
        on_prompts=tuple(item.attributions for item in heads if item.attributions is not None),
        explained=tuple({item.head: said for item in heads if (said := _said(item)) is not None}.values()),
        note="",
    )


def _said(head: ExportedHead) -> Explained | None:
    """What an export says of a head: the same on each prompt that it is marked on."""
    return None if head.explanation is None else Explained(head.explanation, head.explanation_score)
