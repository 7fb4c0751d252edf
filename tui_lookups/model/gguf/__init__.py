"""Models in .gguf files: everything in them is applied, harmless or refused, and nothing is filled in.

header.py reads what a file says, families.py, keys.py, rotary.py and weights.py decide what it means for a
Hugging Face module, tokenizer.py and pretokenizers.py do the same for its vocabulary; examine.py puts that
together, and convert.py writes the folder that everything else loads.
"""

from __future__ import annotations

from tui_lookups.model.gguf.convert import Converted, converted
from tui_lookups.model.gguf.examine import inventory

__all__ = ["Converted", "converted", "inventory"]
