"""A Llama of random weights with a vocabulary of 262,144 and few layers, as a folder in bfloat16.

What a model costs whose unembedding is most of it, where none was fetched: Gemma 3 270M's sizes.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tui_lookups.model.configuration import read_config
from tui_lookups.model.file_weights import FileWeights
from tui_lookups.model.sources import LocalModel, demo_folder
from tui_lookups.model.tokenizer_folder import read_vocabulary

D_VOCAB, D_MODEL, D_MLP, N_LAYERS, N_HEADS = 262_144, 640, 2048, 4, 4


def save_wide_model(
    folder: Path, *, d_vocab: int = D_VOCAB, d_model: int = D_MODEL, d_mlp: int = D_MLP
) -> Path:
    """Write the folder, unless it is there, with the demo's tokenizer filled up to `d_vocab` entries."""
    import torch
    from safetensors.torch import save_file

    if (folder / "config.json").is_file():
        return folder
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)

    def weight(*shape: int) -> torch.Tensor:
        values: torch.Tensor = torch.randn(*shape, generator=generator) / shape[-1] ** 0.5
        return values.to(torch.bfloat16)

    tensors = {
        "model.embed_tokens.weight": weight(d_vocab, d_model),
        "model.norm.weight": 1 + weight(d_model),
    }
    for layer in range(N_LAYERS):
        block = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}.{norm}.weight"] = 1 + weight(d_model)
        for letter in "qkvo":
            tensors[f"{block}.self_attn.{letter}_proj.weight"] = weight(d_model, d_model)
        for kind in ("gate", "up"):
            tensors[f"{block}.mlp.{kind}_proj.weight"] = weight(d_mlp, d_model)
        tensors[f"{block}.mlp.down_proj.weight"] = weight(d_model, d_mlp)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "llama",
        "vocab_size": d_vocab,
        "hidden_size": d_model,
        "intermediate_size": d_mlp,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    }
    demo = demo_folder()
    shutil.copy(demo / "tokenizer_config.json", folder)
    tokenizer = json.loads((demo / "tokenizer.json").read_text(encoding="utf-8"))
    entries = tokenizer["model"]["vocab"]
    entries.update({f"filler{place}": place for place in range(len(entries), d_vocab)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")  # last: it is whole
    return folder


def opened(folder: Path) -> FileWeights:
    """The folder's weights, as the tool reads them from the files alone."""
    local = LocalModel("wide", str(folder), folder, "wide")
    return FileWeights(local, read_config(folder, local.name), read_vocabulary(folder), "float32", "folded")


if __name__ == "__main__":
    save_wide_model(Path(sys.argv[1]))
