"""The frozen dataclasses that travel upwards from the analysis to the screen, the JSON and the cache.

Plain numbers, strings and tuples only: no tensor, no array, no torch. Field names are the JSON keys of
the headless commands; `NeuronId` and `HeadId` print as "L9.N1985" and "L7.H4". Positions count in the
token list that is shown (begin-of-text, where there is one, is position 0).
"""

from tui_lookups.results.attribution import HeadAttributions as HeadAttributions
from tui_lookups.results.attribution import HeadMean as HeadMean
from tui_lookups.results.attribution import HeadOverview as HeadOverview
from tui_lookups.results.attribution import HeadScore as HeadScore
from tui_lookups.results.attribution import OtherComponents as OtherComponents
from tui_lookups.results.attribution import SourceToken as SourceToken
from tui_lookups.results.attribution import Target as Target
from tui_lookups.results.base import SCHEMA_VERSION as SCHEMA_VERSION
from tui_lookups.results.base import ActivityRule as ActivityRule
from tui_lookups.results.base import Basis as Basis
from tui_lookups.results.base import CorpusInfo as CorpusInfo
from tui_lookups.results.base import Direction as Direction
from tui_lookups.results.base import Dtype as Dtype
from tui_lookups.results.base import ModelInfo as ModelInfo
from tui_lookups.results.base import Preset as Preset
from tui_lookups.results.base import Provenance as Provenance
from tui_lookups.results.base import Sign as Sign
from tui_lookups.results.base import SignSetting as SignSetting
from tui_lookups.results.base import Token as Token
from tui_lookups.results.congruence import NeuronScore as NeuronScore
from tui_lookups.results.congruence import NeuronTokens as NeuronTokens
from tui_lookups.results.congruence import TokenCongruence as TokenCongruence
from tui_lookups.results.congruence import TokenMatch as TokenMatch
from tui_lookups.results.congruence import TokenNeurons as TokenNeurons
from tui_lookups.results.prompts import Activations as Activations
from tui_lookups.results.prompts import Histogram as Histogram
from tui_lookups.results.prompts import NeuronPrompts as NeuronPrompts
from tui_lookups.results.prompts import NeuronStats as NeuronStats
from tui_lookups.results.prompts import Peak as Peak
from tui_lookups.results.prompts import Prompt as Prompt
from tui_lookups.results.prompts import Trim as Trim
from tui_lookups.results.selection import ExportDocument as ExportDocument
from tui_lookups.results.selection import ExportedHead as ExportedHead
from tui_lookups.results.selection import ExportedNeuron as ExportedNeuron
from tui_lookups.results.selection import ExportedPrompt as ExportedPrompt
from tui_lookups.results.selection import SelectedHead as SelectedHead
from tui_lookups.results.selection import SelectedNeuron as SelectedNeuron
from tui_lookups.results.selection import SelectedPrompt as SelectedPrompt
from tui_lookups.results.selection import Selection as Selection
from tui_lookups.results.status import CacheInfo as CacheInfo
from tui_lookups.results.status import FirstView as FirstView
from tui_lookups.results.status import ScanProgress as ScanProgress
from tui_lookups.results.status import ScanSummary as ScanSummary
from tui_lookups.results.status import Status as Status
