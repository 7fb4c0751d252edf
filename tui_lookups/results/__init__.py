"""The frozen dataclasses that travel upwards from the analysis to the screen, the JSON and the cache.

Plain numbers, strings and tuples only: no tensor, no array, no torch. Field names are the JSON keys of
the headless commands; `NeuronId` and `HeadId` print as "L9.N1985" and "L7.H4". Positions count in the
token list that is shown (begin-of-text, where there is one, is position 0).

A module of this package is imported when one of its names is first asked for (PEP 562): making all these
classes takes longer than a first paint has to spare. Type checkers read `__init__.pyi`.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "ablation": (
        "AblatedPair AblatedPrompt AblationMean AblationMethod AblationPositions AblationSummary "
        "HeadAblation KolmogorovSmirnov PairComparison"
    ),
    "atlas": "Atlas AtlasLayer AtlasNeuron",
    "attribution": (
        "HeadAttribution HeadAttributions HeadMean HeadOverview HeadReads OtherComponents ReadToken "
        "SourceToken Target"
    ),
    "attends": "Attends Carried Key PairContribution",
    "base": (
        "SCHEMA_VERSION ActivityRule Basis BosRule BosSetting CorpusInfo DeviceMap Direction "
        "Dtype ModelInfo Preset Provenance ScanEngine Sign SignSetting Token UnitsInfo"
    ),
    "checkup": "Checkup Finding SelfCheck",
    "components": "Contributions HeadContribution NeuronContribution OtherContributions",
    "congruence": (
        "AsOne MemberScore NearBy NearNeuron NearestNeurons NeuronScore NeuronTokens NeuronsOfTokens "
        "SetNeurons SetScore TokenCongruence TokenMatch TokenNeurons"
    ),
    "explanation": (
        "Author Control DeviationOf Example ExampleAnswer Explained ExplainedList Explanation "
        "ExplanationScore Figures ExplainedHead LeftOut NeuronExamples NeuronExplanations ExplainedHeads "
        "Part Plan ScoreReport Shuffled Summary Usage"
    ),
    "groups": (
        "HeadForNeuron HeadInSum MemberNeuron NeuronInSum SharedHead SharedHeads SummedHead SummedHeads"
    ),
    "inputs": "EdgeCut InputsOverview NeuronInputMean NeuronInputs",
    "inventory": "FileEntry",
    "matches": "CorpusHit CorpusHits",
    "peaks": "PeakFigures PromptFigures PromptKind PromptsWithFigures RankedPeak",
    "predictions": "PositionPredictions Prediction PromptPredictions",
    "prompts": "Activations Histogram NeuronPrompts NeuronStats Peak Prompt Trim",
    "reproduction": "MeanKind ReproducedFigure ReproducedMean Reproduction",
    "selection": (
        "Item Note SelectedAblation SelectedHead SelectedNeuron SelectedPrompt Selection Subject subject_of"
    ),
    "session": "SavedSession SessionState",
    "status": "CacheInfo FirstView ScanProgress ScanSummary Status",
    "survey": (
        "ActiveShare ExplainedPair FollowUpPlan ScoreMeans ServedNeurons Survey SurveyPlan SurveyProgress "
        "SurveyedHead SurveyedLayer SurveyedNeuron SurveyedPair"
    ),
    "trace": "Conserved GraphEdge GraphNode Trace TraceGraph TraceKind TraceNode TraceRest TraceRoot",
    "why": "LayerOfWhy LogitTarget Removed Why WhyByLayer",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # the next time it is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
