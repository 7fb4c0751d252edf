"""The tables of a report, in long form: one row a thing, one column a figure, names that stay.

1. `neurons`, `pairs` and `heads` of a survey are its own lists; an export has no `heads`, and of a neuron
   what was marked.
2. `peaks` has a row for each prompt of a neuron, `attributions` for each head on a prompt, `sources` for
   each token that a head reads there.
3. `COLUMNS` says what is in each; a table without rows has them all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path

from tui_lookups.exports.formats import ENDINGS, RecordFormat
from tui_lookups.exports.records import Record, records_of
from tui_lookups.exports.report import Report, Walk
from tui_lookups.exports.tables import encode_records
from tui_lookups.exports.writing import refusing
from tui_lookups.home import expanded
from tui_lookups.results import HeadAttributions, Survey, Token
from tui_lookups.storage.files import write_atomically

Tables = dict[str, list[Record]]

_NEURON = {
    "neuron": "its name",
    "token.id": "the token it was found for; missing where it was named itself",
    "token.text": "the same as text",
    "congruence": "with that token",
}

COLUMNS: dict[str, dict[str, str]] = {
    "neurons": _NEURON,
    "peaks": {
        "neuron": "its name",
        "rank": "place of the prompt in its list, from 1",
        "prompt_id": "number of the window in the corpus",
        "sign": "-1 where the neuron was ranked by its most negative activation",
        "position": "of the peak in the window",
        "token.id": "token at the peak",
        "token.text": "the same as text",
        "activation": "at the peak",
        "next_token.id": "what follows in the corpus; missing at the end of the window",
        "next_token.text": "the same as text",
        "text": "40 tokens that end at the peak, or as many as there are",
        "copies": "prompts of the corpus with this text; missing where they were not looked for",
    },
    "pairs": {
        "neuron": "its name",
        "head": "its name",
        "mean_attribution": "over the neuron's prompts",
        "active_fraction": "share of the prompts on which the head is active",
    },
    "heads": {
        "head": "its name",
        "reaches": "neurons with prompts that it reaches",
        "serves": "neurons for which it is worth explaining",
        "mean_attribution": "its mean over these; missing where there are none",
        "carries": "its share of the summed mean targets of the neurons it reaches",
    },
    "attributions": {
        "neuron": "its name",
        "prompt_id": "the prompt; missing for a text",
        "head": "its name",
        "attribution": "direct, at the peak",
        "active": "whether it is active on the prompt",
    },
    "sources": {
        "neuron": "its name",
        "head": "its name",
        "prompt_id": "the prompt; missing for a text",
        "position": "of the token that is read",
        "token.id": "that token",
        "token.text": "the same as text",
        "attribution": "what the head brings from there; these sum to its attribution",
    },
}
"""By table and column, what is there. The lists of a survey have further columns (docs/tables.md)."""


def tables_of(report: Report) -> Tables:
    """The tables of a report by name."""
    lists = {"neurons": _each(report.walks, _neuron), "pairs": _each(report.walks, _pairs)}
    return {
        **(lists if report.survey is None else lists_of(report.survey)),
        "peaks": _each(report.walks, _peaks),
        "attributions": _each(report.walks, _attributions),
        "sources": _each(report.walks, _sources),
    }


def lists_of(survey: Survey) -> Tables:
    """The lists of a survey by name: neurons, pairs and heads, and of any others those that have rows."""
    lists = {field.name: getattr(survey, field.name) for field in fields(survey)}
    lists["ablated"] = () if survey.ablation is None else survey.ablation.pairs
    return {
        name: records_of(rows)
        for name, rows in lists.items()
        if name in COLUMNS or (isinstance(rows, tuple) and rows and is_dataclass(rows[0]))
    }


def write_tables(report: Report, folder: Path, form: RecordFormat) -> tuple[Path, ...]:
    """Write the tables into a folder, which may exist: files of these names are replaced, others stay.

    Raises ExportError where they cannot be written.
    """
    written, folder = [], expanded(folder)
    problem = f"The tables cannot be written to {folder}"
    with refusing(problem, "Name another folder; what was worked out is in the cache."):
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables_of(report).items():
            path = folder / f"{name}.{ENDINGS[form]}"
            write_atomically(path, encode_records(rows, list(rows[0] if rows else COLUMNS[name]), form))
            written.append(path)
    return tuple(written)


def _each(walks: Iterable[Walk], rows: Callable[[Walk], list[Record]]) -> list[Record]:
    return [row for walk in walks for row in rows(walk)]


def _token(name: str, token: Token | None) -> Record:
    return {f"{name}.id": token and token.id, f"{name}.text": token and token.text}


def _neuron(walk: Walk) -> list[Record]:
    return [{"neuron": str(walk.neuron), **_token("token", walk.token), "congruence": walk.congruence}]


def _peaks(walk: Walk) -> list[Record]:
    return [
        {
            "neuron": str(walk.neuron),
            "rank": row.rank,
            "prompt_id": row.prompt_id,
            "sign": row.sign,
            "position": row.peak.position,
            **_token("token", row.peak.token),
            "activation": row.peak.activation,
            **_token("next_token", row.peak.next_token),
            "text": row.text,
            "copies": row.copies,
        }
        for row in walk.peaks
    ]


def _pairs(walk: Walk) -> list[Record]:
    return [
        {
            "neuron": str(walk.neuron),
            "head": str(row.head),
            "mean_attribution": row.mean_attribution,
            "active_fraction": row.active_fraction,
        }
        for row in walk.heads
    ]


def _attributions(walk: Walk) -> list[Record]:
    return [
        {
            "neuron": str(walk.neuron),
            "prompt_id": attributions.prompt_id,
            "head": str(row.head),
            "attribution": row.attribution,
            "active": row.active,
        }
        for attributions in _distinct(walk)
        for row in attributions.heads
    ]


def _distinct(walk: Walk) -> list[HeadAttributions]:
    """One of each prompt: heads that were marked on the same one have the same attributions."""
    return list(
        {
            (attributions.prompt_id, attributions.context, attributions.position): attributions
            for attributions in walk.on_prompts
        }.values()
    )


def _sources(walk: Walk) -> list[Record]:
    return [
        {
            "neuron": str(walk.neuron),
            "head": str(attributions.source_head),
            "prompt_id": attributions.prompt_id,
            "position": row.position,
            **_token("token", row.token),
            "attribution": row.attribution,
        }
        for attributions in walk.on_prompts
        for row in attributions.sources
    ]
