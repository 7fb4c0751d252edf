"""Reports made of fixed answers: one with every part of a walk, with any text in it, and a large one."""

from __future__ import annotations

from dataclasses import replace

from tests.fake_answers import BECAUSE, NEURON, FakeExplorer, prompt
from tests.storage.samples import explanation, score
from tui_lookups.exports.report import Report, of_survey
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Explained, HeadMean, SurveyedHead, SurveyedNeuron, SurveyedPair, Token
from tui_lookups.settings import Settings

HEAD = HeadId(3, 1)


def survey_report(text: str | None = None) -> Report:
    """The report of the fixed survey; each text of the model, the corpus and the explainer may be `text`."""
    report = of_survey(explorer := FakeExplorer(Settings()), explorer.survey(progress=None))  # type: ignore[arg-type]
    said = Explained(
        replace(explanation(), neuron=NEURON, head=HEAD), replace(score(), neuron=NEURON, head=HEAD)
    )
    report = replace(report, walks=(replace(report.walks[0], explained=(said,)), *report.walks[1:]))
    return report if text is None else _saying(report, text)


def _saying(report: Report, text: str) -> Report:
    assert report.survey is not None
    assert report.provenance.corpus is not None
    token = Token(7, text)
    survey = replace(
        report.survey,
        neurons=tuple(replace(row, token=token, note=text) for row in report.survey.neurons),
        pairs=tuple(replace(row, token=token) for row in report.survey.pairs),
    )
    walks = []
    for walk in report.walks:
        prompts = tuple(replace(each, tokens=(token,) * len(each.tokens)) for each in walk.prompts)
        walks.append(
            replace(
                walk,
                token=token,
                note=text,
                tokens=tuple(replace(row, text=text) for row in walk.tokens),
                prompts=prompts,
                peaks=tuple(
                    replace(row, text=text, peak=replace(row.peak, token=token, next_token=token))
                    for row in walk.peaks
                ),
                on_prompts=tuple(
                    replace(each, tokens=(token,) * len(each.tokens)) for each in walk.on_prompts
                ),
                explained=tuple(
                    replace(each, explanation=replace(each.explanation, explanation=text, model=text))
                    for each in walk.explained
                ),
            )
        )
    source = replace(
        report.provenance,
        model=replace(report.provenance.model, name=text),
        corpus=replace(report.provenance.corpus, name=text),
        parameters={"set": text},
    )
    return replace(report, survey=survey, walks=tuple(walks), provenance=source, generator=text)


def large_report(neurons: int, pairs_each: int) -> Report:
    """As of a model of 30 layers of 9 heads: windows of 256 tokens, three of each neuron."""
    small = survey_report()
    assert small.survey is not None
    walk = small.walks[0]
    window = replace(
        prompt(1),
        tokens=tuple(Token(number, f" token{number % 50}") for number in range(256)),
        activations=tuple((number * 37 % 101) / 17 for number in range(256)),
        peak=replace(prompt(1).peak, position=200),
    )
    heads = tuple(
        HeadMean(HeadId(layer, index), layer, index, ((layer * 9 + index) * 31 % 97) / 7 - 6, 0.5, True)
        for layer in range(30)
        for index in range(9)
    )
    names = [NeuronId(20 + number % 10, number) for number in range(neurons)]
    survey = replace(
        small.survey,
        layers=tuple(range(20, 30)),
        neurons=tuple(SurveyedNeuron(name, BECAUSE, 6.125, 20, 4.0, 270, pairs_each, "") for name in names),
        pairs=tuple(
            SurveyedPair(name, BECAUSE, 6.125, head.head, head.mean_attribution, 0.5, 0.25)
            for name in names
            for head in heads[:pairs_each]
        ),
        heads=tuple(SurveyedHead(head.head, neurons, pairs_each, 1.0, 0.5) for head in heads),
    )
    walks = tuple(replace(walk, neuron=name, prompts=(window,) * 3, heads=heads) for name in names)
    return replace(small, survey=survey, walks=walks)
