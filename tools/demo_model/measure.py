"""Measure a demo model: three numbers, and the table its first screen is chosen from.

    python -m tools.demo_model.measure [--model FOLDER] [--books BOOKS_DIR] [--write]

1. Held-out loss, in nats a token and bits a character, on the books that training leaves out (--books).
2. Of the atlas's 20 next-token neurons a layer in the last three layers, with the paper's filters
   (method.md, section 2): the share whose top token was seen at least 500 times in training as a whole word
   (counts.json).
3. For 30 frequent words: the share of their best neuron's first ten prompts in the packaged passages whose
   peak is followed by that word, and the same for a neuron drawn at random in its place. The words are drawn
   three times, each with a seed of its own, from those seen at least 500 times in training as a whole word
   and followed upon at least 20 times in the passages.

`--write` puts the result in the package's measured.json, for the packaged model.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tools.demo_model.books import Counts, encode, held_out_rows, read_books
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.peak_inputs import top_entries
from tui_lookups.demo.measurements import MEASURED, PASSAGES
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.model.sources import demo_folder
from tui_lookups.results import Token
from tui_lookups.settings import load_settings
from tui_lookups.storage.index import ScanIndex

PER_LAYER = 20
LAST_LAYERS = 3
SEEN = 500
FIRST_PROMPTS = 10
WORDS = 30
SEEDS = (0, 1, 2)
IN_PASSAGES = 20


def held_out(model_folder: Path, books_folder: Path) -> dict[str, float]:
    """Loss on the held-out books, and its standard deviation over the batches."""
    import torch
    from transformers import AutoTokenizer, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = GPT2LMHeadModel.from_pretrained(model_folder).float().eval()
    texts = read_books(books_folder).held_out
    tokens = encode(tokenizer, texts)
    losses = []
    with torch.inference_mode():
        for batch in held_out_rows(tokens, model.config.n_positions):
            x = torch.from_numpy(batch)
            losses.append(float(model(input_ids=x, labels=x).loss))
    characters_per_token = sum(map(len, texts)) / len(tokens)
    return {
        "nats_per_token": mean(losses),
        "standard_deviation_over_batches": float(np.std(losses, ddof=1)),
        "characters_per_token": characters_per_token,
        "bits_per_character": mean(losses) / math.log(2) / characters_per_token,
    }


def whole_word_share(explorer: Explorer, whole_words: Counts) -> dict[str, Any]:
    """The share of the late layers' next-token neurons whose top token is a word well seen in training."""
    layers = explorer.atlas(per_layer=PER_LAYER).layers[-LAST_LAYERS:]
    shares = {
        str(layer.layer): mean(float(whole_words[n.top_token.id] >= SEEN) for n in layer.neurons)
        for layer in layers
    }
    return {"per_layer": PER_LAYER, "seen": SEEN, "layers": shares, "share": mean(shares.values())}


def frequent_words(folder: Path, whole_words: Counts) -> list[Token]:
    """The words that samples are drawn from, in the order of the vocabulary."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    followed: Counter[int] = Counter()
    for line in PASSAGES.read_text(encoding="utf-8").splitlines():
        # A peak is never the begin-of-text token, so no peak is followed by a passage's first token.
        followed.update(tokenizer.encode(json.loads(line)["text"]).ids[1:])
    words = [i for i, seen in followed.items() if seen >= IN_PASSAGES and whole_words[i] >= SEEN]
    return [Token(i, tokenizer.decode([i])) for i in sorted(words)]


class Peaks:
    """What follows the peaks of neurons' first prompts, from the index alone: no forward pass is needed."""

    def __init__(self, explorer: Explorer) -> None:
        self._index = ScanIndex.open(Path(explorer.scan().index_path))
        self._corpus = Engine(explorer.settings).corpus(arrays=True)

    def precision(self, neuron: NeuronId, word: Token) -> float:
        """The share of a neuron's first prompts whose peak is followed by the word."""
        entries = top_entries(self._index.record(neuron), FIRST_PROMPTS, "+")
        return mean(float(self._next(e.prompt_id, e.position) == word.id) for e in entries)

    def _next(self, prompt_id: int, position: int) -> int | None:
        tokens = self._corpus.window_tokens(prompt_id)
        return int(tokens[position + 1]) if position + 1 < len(tokens) else None


def word_table(explorer: Explorer, peaks: Peaks, words: Sequence[Token]) -> list[dict[str, Any]]:
    """Each word with its best neuron by congruence and that neuron's precision."""
    table = []
    for word in words:
        best = explorer.neurons(word.id, top=1).neurons[0]
        table.append(
            {
                "token_id": word.id,
                "word": word.text,
                "neuron": str(best.neuron),
                "cosine": round(best.cosine, 4),
                "own": best.top_token.id == word.id,
                "precision": peaks.precision(best.neuron, word),
            }
        )
    return table


def samples(explorer: Explorer, peaks: Peaks, table: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Mean precision over the words of each draw, and over random neurons in their neurons' place."""
    info = explorer.model_info()
    drawn = []
    for seed in SEEDS:
        rng = random.Random(seed)
        rows = rng.sample(list(table), min(WORDS, len(table)))
        controls = []
        for row in rows:
            neuron = NeuronId(rng.randrange(info.n_layers), rng.randrange(info.d_mlp))
            controls.append(peaks.precision(neuron, Token(row["token_id"], row["word"])))
        drawn.append(
            {
                "seed": seed,
                "words": len(rows),
                "best": mean(row["precision"] for row in rows),
                "random": mean(controls),
            }
        )
    return drawn


def measure(model: str, counts_folder: Path, books_folder: Path | None) -> dict[str, Any]:
    """All of it, for a model folder or "demo", in an empty cache."""
    counts = json.loads((counts_folder / "counts.json").read_text(encoding="utf-8"))
    whole_words = np.asarray(counts["whole_words"])
    with tempfile.TemporaryDirectory() as cache:
        explorer = Explorer(load_settings(model=model, corpus="demo", cache_dir=Path(cache), device="cpu"))
        try:
            info, corpus = explorer.model_info(), explorer.corpus_info()
            atlas = whole_word_share(explorer, whole_words)
            peaks = Peaks(explorer)
            table = word_table(explorer, peaks, frequent_words(counts_folder, whole_words))
            drawn = samples(explorer, peaks, table)
        finally:
            explorer.close()
    best = [sample["best"] for sample in drawn]
    return {
        "model": info.fingerprint,
        "corpus": corpus.fingerprint,
        "held_out": None if books_folder is None else held_out(counts_folder, books_folder),
        "whole_words": atlas,
        "precision": {
            "first_prompts": FIRST_PROMPTS,
            "pool": len(table),
            "samples": drawn,
            "best": mean(best),
            "best_spread": float(np.std(best, ddof=1)),
            "random": mean(sample["random"] for sample in drawn),
        },
        "words": table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="made by train.py (default: the packaged)")
    parser.add_argument("--books", type=Path, help="the folder of books that it was trained on")
    parser.add_argument("--write", action="store_true", help="replace measured.json; packaged model only")
    given = parser.parse_args()
    if given.write and given.model is not None:
        parser.error("--write is for the packaged model.")
    folder = demo_folder() if given.model is None else given.model
    found = measure("demo" if given.model is None else str(given.model), folder, given.books)
    if given.write:
        MEASURED.write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "words"}, indent=2))


if __name__ == "__main__":
    main()
