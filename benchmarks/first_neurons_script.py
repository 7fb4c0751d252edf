"""What a researcher would write: a token's neurons, from a folder's safetensors, with torch.

`python first_neurons_script.py FOLDER TOKEN_ID` maps the file, reads the unembedding, the final norm and each
layer's W_out, multiplies, and prints the twenty best. RMSNorm or LayerNorm, GPT-2's or Llama's names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open


def main(folder: Path, token: int) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    gpt2 = config["model_type"] == "gpt2"
    base = "transformer." if gpt2 else "model."
    embedding, norm = ("wte", "ln_f") if gpt2 else ("embed_tokens", "norm")
    W_out = "transformer.h.{}.mlp.c_proj.weight" if gpt2 else "model.layers.{}.mlp.down_proj.weight"
    layers = config["n_layer"] if gpt2 else config["num_hidden_layers"]
    with safe_open(folder / "model.safetensors", "pt") as file:
        own = "lm_head.weight" in file.keys()  # noqa: SIM118 - not a mapping
        W_U = file.get_tensor("lm_head.weight" if own else f"{base}{embedding}.weight").float()
        read = (W_U[token] - W_U.mean(0)) * file.get_tensor(f"{base}{norm}.weight").float()
        if gpt2:
            read -= read.mean()
        rows = []
        for layer in range(layers):
            weight = file.get_tensor(W_out.format(layer)).float()
            rows.append(weight @ read if gpt2 else read @ weight)
    scores = torch.stack(rows)
    values, places = scores.flatten().topk(20)
    d_mlp = scores.shape[1]
    best = [[int(p) // d_mlp, int(p) % d_mlp, float(v)] for v, p in zip(values, places, strict=True)]
    print(json.dumps(best))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
