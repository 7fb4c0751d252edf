"""The frozen dataclasses that travel upwards from the analysis to the screen, the JSON and the cache.

Plain numbers, strings and tuples only: no tensor, no array, no torch. Field names are the JSON keys of
the headless commands; `NeuronId` and `HeadId` print as "L9.N1985" and "L7.H4". Positions count in the
token list that is shown (begin-of-text, where there is one, is position 0).

A module of this package is imported when one of its names is first asked for (PEP 562): making all these
classes takes longer than a first paint has to spare. A new name goes into both lists; a test compares them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui_lookups.results.ablation import AblatedPair as AblatedPair
    from tui_lookups.results.ablation import AblatedPrompt as AblatedPrompt
    from tui_lookups.results.ablation import AblationMean as AblationMean
    from tui_lookups.results.ablation import AblationMethod as AblationMethod
    from tui_lookups.results.ablation import AblationPositions as AblationPositions
    from tui_lookups.results.ablation import AblationSummary as AblationSummary
    from tui_lookups.results.ablation import HeadAblation as HeadAblation
    from tui_lookups.results.ablation import KolmogorovSmirnov as KolmogorovSmirnov
    from tui_lookups.results.ablation import PairComparison as PairComparison
    from tui_lookups.results.atlas import Atlas as Atlas
    from tui_lookups.results.atlas import AtlasLayer as AtlasLayer
    from tui_lookups.results.atlas import AtlasNeuron as AtlasNeuron
    from tui_lookups.results.attribution import HeadAttribution as HeadAttribution
    from tui_lookups.results.attribution import HeadAttributions as HeadAttributions
    from tui_lookups.results.attribution import HeadMean as HeadMean
    from tui_lookups.results.attribution import HeadOverview as HeadOverview
    from tui_lookups.results.attribution import OtherComponents as OtherComponents
    from tui_lookups.results.attribution import SourceToken as SourceToken
    from tui_lookups.results.attribution import Target as Target
    from tui_lookups.results.base import SCHEMA_VERSION as SCHEMA_VERSION
    from tui_lookups.results.base import ActivityRule as ActivityRule
    from tui_lookups.results.base import Basis as Basis
    from tui_lookups.results.base import BosRule as BosRule
    from tui_lookups.results.base import BosSetting as BosSetting
    from tui_lookups.results.base import CorpusInfo as CorpusInfo
    from tui_lookups.results.base import DeviceMap as DeviceMap
    from tui_lookups.results.base import Direction as Direction
    from tui_lookups.results.base import Dtype as Dtype
    from tui_lookups.results.base import ModelInfo as ModelInfo
    from tui_lookups.results.base import Preset as Preset
    from tui_lookups.results.base import Provenance as Provenance
    from tui_lookups.results.base import ScanEngine as ScanEngine
    from tui_lookups.results.base import Sign as Sign
    from tui_lookups.results.base import SignSetting as SignSetting
    from tui_lookups.results.base import Token as Token
    from tui_lookups.results.checkup import Checkup as Checkup
    from tui_lookups.results.checkup import Finding as Finding
    from tui_lookups.results.checkup import SelfCheck as SelfCheck
    from tui_lookups.results.congruence import NeuronScore as NeuronScore
    from tui_lookups.results.congruence import NeuronTokens as NeuronTokens
    from tui_lookups.results.congruence import TokenCongruence as TokenCongruence
    from tui_lookups.results.congruence import TokenMatch as TokenMatch
    from tui_lookups.results.congruence import TokenNeurons as TokenNeurons
    from tui_lookups.results.explanation import Author as Author
    from tui_lookups.results.explanation import Control as Control
    from tui_lookups.results.explanation import DeviationOf as DeviationOf
    from tui_lookups.results.explanation import Example as Example
    from tui_lookups.results.explanation import ExampleAnswer as ExampleAnswer
    from tui_lookups.results.explanation import Explained as Explained
    from tui_lookups.results.explanation import ExplainedHead as ExplainedHead
    from tui_lookups.results.explanation import ExplainedHeads as ExplainedHeads
    from tui_lookups.results.explanation import ExplainedList as ExplainedList
    from tui_lookups.results.explanation import Explanation as Explanation
    from tui_lookups.results.explanation import ExplanationScore as ExplanationScore
    from tui_lookups.results.explanation import Figures as Figures
    from tui_lookups.results.explanation import LeftOut as LeftOut
    from tui_lookups.results.explanation import NeuronExamples as NeuronExamples
    from tui_lookups.results.explanation import NeuronExplanations as NeuronExplanations
    from tui_lookups.results.explanation import Part as Part
    from tui_lookups.results.explanation import Plan as Plan
    from tui_lookups.results.explanation import RequestProgress as RequestProgress
    from tui_lookups.results.explanation import ScoreReport as ScoreReport
    from tui_lookups.results.explanation import Shuffled as Shuffled
    from tui_lookups.results.explanation import Summary as Summary
    from tui_lookups.results.explanation import Usage as Usage
    from tui_lookups.results.inventory import FileEntry as FileEntry
    from tui_lookups.results.peaks import PeakFigures as PeakFigures
    from tui_lookups.results.peaks import PromptFigures as PromptFigures
    from tui_lookups.results.peaks import PromptKind as PromptKind
    from tui_lookups.results.peaks import PromptsWithFigures as PromptsWithFigures
    from tui_lookups.results.predictions import PositionPredictions as PositionPredictions
    from tui_lookups.results.predictions import Prediction as Prediction
    from tui_lookups.results.predictions import PromptPredictions as PromptPredictions
    from tui_lookups.results.prompts import Activations as Activations
    from tui_lookups.results.prompts import Histogram as Histogram
    from tui_lookups.results.prompts import NeuronPrompts as NeuronPrompts
    from tui_lookups.results.prompts import NeuronStats as NeuronStats
    from tui_lookups.results.prompts import Peak as Peak
    from tui_lookups.results.prompts import Prompt as Prompt
    from tui_lookups.results.prompts import Trim as Trim
    from tui_lookups.results.reproduction import ReproducedFigure as ReproducedFigure
    from tui_lookups.results.reproduction import Reproduction as Reproduction
    from tui_lookups.results.selection import SelectedAblation as SelectedAblation
    from tui_lookups.results.selection import SelectedHead as SelectedHead
    from tui_lookups.results.selection import SelectedNeuron as SelectedNeuron
    from tui_lookups.results.selection import SelectedPrompt as SelectedPrompt
    from tui_lookups.results.selection import Selection as Selection
    from tui_lookups.results.session import SessionState as SessionState
    from tui_lookups.results.status import CacheInfo as CacheInfo
    from tui_lookups.results.status import FirstView as FirstView
    from tui_lookups.results.status import ScanProgress as ScanProgress
    from tui_lookups.results.status import ScanSummary as ScanSummary
    from tui_lookups.results.status import Status as Status

_NAMES = {
    "ablation": (
        "AblatedPair AblatedPrompt AblationMean AblationMethod AblationPositions AblationSummary "
        "HeadAblation KolmogorovSmirnov PairComparison"
    ),
    "atlas": "Atlas AtlasLayer AtlasNeuron",
    "attribution": (
        "HeadAttribution HeadAttributions HeadMean HeadOverview OtherComponents SourceToken Target"
    ),
    "base": (
        "SCHEMA_VERSION ActivityRule Basis BosRule BosSetting CorpusInfo DeviceMap Direction "
        "Dtype ModelInfo Preset Provenance ScanEngine Sign SignSetting Token"
    ),
    "checkup": "Checkup Finding SelfCheck",
    "congruence": "NeuronScore NeuronTokens TokenCongruence TokenMatch TokenNeurons",
    "explanation": (
        "Author Control DeviationOf Example ExampleAnswer Explained ExplainedList Explanation "
        "ExplanationScore Figures ExplainedHead LeftOut NeuronExamples NeuronExplanations ExplainedHeads "
        "Part Plan RequestProgress ScoreReport Shuffled Summary Usage"
    ),
    "inventory": "FileEntry",
    "peaks": "PeakFigures PromptFigures PromptKind PromptsWithFigures",
    "predictions": "PositionPredictions Prediction PromptPredictions",
    "prompts": "Activations Histogram NeuronPrompts NeuronStats Peak Prompt Trim",
    "reproduction": "ReproducedFigure Reproduction",
    "selection": "SelectedAblation SelectedHead SelectedNeuron SelectedPrompt Selection",
    "session": "SessionState",
    "status": "CacheInfo FirstView ScanProgress ScanSummary Status",
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
