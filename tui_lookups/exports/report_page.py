"""A report as one HTML page that needs nothing else: no file, no font, no network.

1. The page is a template (page/page.html) that escapes whatever is put into it; texts of the model, the
   corpus and an explainer have their control characters made visible too. Only what this module makes
   itself, figures and shaded texts, is put in as markup, and the texts in these are escaped where they are
   made.
2. The page's own policy lets nothing be loaded and nothing run or be styled but the script and the style
   sheet that are in it, which it names by their digests. The script sorts tables.
3. Figures are rounded for reading; each has all its digits as the value of its `data` element, as the JSON
   has them.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from tui_lookups.exports import drawing, figures
from tui_lookups.exports.long_form import COLUMNS, tables_of
from tui_lookups.exports.report import Report, Walk
from tui_lookups.exports.shades import level as shade_level
from tui_lookups.exports.writing import write_bytes
from tui_lookups.results import Explained, HeadAttributions, Prompt, Survey, Token
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from jinja2 import Template

_WALKS = ("peaks", "attributions", "sources")
"""The tables that the walks of a page have the figures of."""


def write_page(report: Report, path: Path, overwrite: bool = False) -> Path:
    """Write the page, all of it or nothing; returns the path written. Raises ExportError."""
    return write_bytes(path, page(report).encode("utf-8"), overwrite)


def page(report: Report) -> str:
    """The page of a report."""
    style, script = _part("style.css"), _part("sort.js")
    survey = report.survey
    tables = tables_of(report)
    return _template().render(
        title=_title(report),
        policy=(
            f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),
        script=Markup(script),
        report=report,
        source=report.provenance,
        survey=survey,
        serving=0 if survey is None else sum(head.serves > 0 for head in survey.heads),
        figures=[] if survey is None else _figures(survey),
        tables={name: rows for name, rows in tables.items() if rows and name not in _WALKS},
        columns=COLUMNS,
        walks=[_shown(walk) for walk in report.walks],
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tui_lookups.exports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters |= {"cell": _cell, "token": visible_token}
    return environment.get_template("page.html")


def _part(name: str) -> str:
    return (files("tui_lookups.exports") / "page" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _finalized(value: object) -> object:
    """What the template puts in: texts visible; markup as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(value: object, name: str = "") -> object:
    """A number as people read it, with all its digits beside; anything else as it is.

    What is called an id is a name, not an amount.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    amount = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    shown = str(value) if name.endswith("id") else amount
    return Markup('<data value="{}">{}</data>').format(repr(value), shown)


def _title(report: Report) -> str:
    model = report.provenance.model
    name = model.label
    if report.survey is None:
        count = len(report.walks)
        return f"{count} {model.kind}{'s' if count != 1 else ''} of {name}"
    layers = report.survey.layers
    return f"Survey of {name}, layers {layers[0]} to {layers[-1]}" if layers else f"Survey of {name}"


def _figures(survey: Survey) -> list[Markup]:
    """Pairs by the layers of their neurons and of their heads, and how many neurons each head serves."""
    neurons = Counter(dict.fromkeys(survey.layers, 0))
    neurons.update(pair.neuron.layer for pair in survey.pairs)
    heads = Counter({head.head.layer: 0 for head in survey.heads})
    heads.update(pair.head.layer for pair in survey.pairs)
    drawn = (
        [figures.of_layers(neurons, f"Pairs by layer of the {survey.provenance.model.kind}")]
        if neurons
        else []
    )
    if heads:
        drawn += [figures.of_layers(heads, "Pairs by layer of the head"), figures.of_served(survey.heads)]
    return [_drawn(figure) for figure in drawn]


def _drawn(figure: Any) -> Markup:
    return Markup(drawing.as_text(figure))


def _shown(walk: Walk) -> dict[str, Any]:
    """What the template says of a walk."""
    grids = (
        [figures.of_means(walk.heads, "Mean over its prompts; frame: worth explaining")] if walk.heads else []
    )
    one_each = {attributions.prompt_id: attributions for attributions in walk.on_prompts}
    grids += [figures.of_attributions(attributions) for attributions in one_each.values()]
    return {
        "neuron": str(walk.neuron),
        "token": None if walk.token is None else visible_token(walk.token.text),
        "congruence": walk.congruence,
        "note": walk.note,
        "promotes": [{"text": visible_token(row.text), "congruence": row.congruence} for row in walk.tokens],
        "suppresses": [
            {"text": visible_token(row.text), "congruence": row.congruence} for row in walk.suppressed
        ],
        "stats": walk.stats,
        "prompts": [_prompt(prompt) for prompt in walk.prompts],
        "figures": [_drawn(grid) for grid in grids],
        "reads": [_read(attributions) for attributions in walk.on_prompts if attributions.sources],
        "explained": [_said(explained) for explained in walk.explained],
    }


def _prompt(prompt: Prompt) -> dict[str, Any]:
    peak = prompt.peak.position
    start, end = figures.shown_around(peak, len(prompt.tokens))
    return {
        "rank": prompt.rank,
        "prompt_id": prompt.prompt_id,
        "activation": prompt.peak.activation,
        "text": _shaded(prompt.tokens[start:end], prompt.activations[start:end], peak - start, start > 0),
    }


def _read(found: HeadAttributions) -> dict[str, Any]:
    """What a head reads, as far as it is shown."""
    values, start = figures.sources_shown(found)
    tokens = found.tokens[start : found.position + 1]
    return {
        "head": str(found.source_head),
        "prompt_id": found.prompt_id,
        "attribution": next(row.attribution for row in found.heads if row.head == found.source_head),
        "text": _shaded(tokens, values, found.position - start, start > 0),
    }


def _said(each: Explained) -> dict[str, Any]:
    about = each.explanation
    return {
        "head": str(about.head),
        "text": about.explanation,
        "author": about.model or about.author,
        "score": None if each.score is None else each.score.score.head_explanation_score,
    }


def _shaded(tokens: Sequence[Token], values: Sequence[float], peak: int, cut: bool) -> Markup:
    """A text in which each token is shaded by its value, which is its title."""
    most = drawing.largest(values)
    shown = ["…"] if cut else []
    for position, (token, value) in enumerate(zip(tokens, values, strict=True)):
        level = shade_level(value, most)
        shade = f"{'p' if level > 0 else 'n'}{abs(level)}" if level else ""
        classes = " ".join(filter(None, (shade, "peak" if position == peak else "")))
        named = f' class="{classes}"' if classes else ""
        shown.append(f'<span{named} title="{value!r}">{escape(visible(token.text))}</span>')
    return Markup("".join(shown))
