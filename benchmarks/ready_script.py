"""What a researcher would write to run a model: `python ready_script.py FOLDER ...` and nothing of the tool.

FOLDER is loaded in float32, and the token ids that follow go through it once, with logits.
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM


def main(folder: str, tokens: list[int]) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    if tokens:
        with torch.inference_mode():
            print(float(model(torch.tensor([tokens]), use_cache=False).logits.sum()))


if __name__ == "__main__":
    main(sys.argv[1], list(map(int, sys.argv[2:])))
