# For type checkers: every public name of every module. At run time each is imported late (__init__.py).
from tui_lookups.results.ablation import *
from tui_lookups.results.atlas import *
from tui_lookups.results.attribution import *
from tui_lookups.results.base import *
from tui_lookups.results.checkup import *
from tui_lookups.results.congruence import *
from tui_lookups.results.explanation import *
from tui_lookups.results.inventory import *
from tui_lookups.results.peaks import *
from tui_lookups.results.predictions import *
from tui_lookups.results.prompts import *
from tui_lookups.results.reproduction import *
from tui_lookups.results.selection import *
from tui_lookups.results.session import *
from tui_lookups.results.status import *
