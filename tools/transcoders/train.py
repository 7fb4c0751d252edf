"""`python -m tools.transcoders.train FOLDER`: a dictionary of transcoders for the packaged model, in minutes.

1. The corpus is run once; what every MLP is given and gives is kept, for every token but the first of a text.
2. Each layer's transcoder is trained by itself: of `--units` units the `--active` largest, those above 0, are
   to add up to what the MLP writes (Gao et al. 2024, "Scaling and evaluating sparse autoencoders"). Adam, on
   random batches; rows of W_dec are kept at length one.
3. A unit that does not fire in a hundred steps starts anew: it reads a token that is explained worst.
4. They are written in SAELens' layout, which `lookups-tui --units FOLDER` opens.

What is printed of each layer is the share of the variance of what its MLP writes that the units explain.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from tui_lookups.explorer import Explorer
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point
from tui_lookups.settings import load_settings

_QUIET_STEPS = 100
"""Steps without firing after which a unit starts anew."""


@dataclass(frozen=True)
class Plan:
    """How a transcoder is trained: how many units, how many of them at a token, and for how long."""

    units: int = 1024
    active: int = 16
    steps: int = 1000
    batch: int = 512
    rate: float = 2e-3
    seed: int = 0


def collected(model: LookupModel, texts: Sequence[Sequence[int]]) -> list[tuple[Tensor, Tensor]]:
    """What each layer's MLP is given and gives over texts of token ids: [tokens, d_model] each."""
    layers = range(model.info.n_layers)
    kept: dict[Point, list[Tensor]] = {Point(r, n): [] for r in ("mlp_in", "mlp_out") for n in layers}

    def keep(point: Point, seen: Tensor) -> None:
        kept[point].append(seen[0, 1:].clone())

    for text in texts:
        hooks = {point: lambda seen, point=point: keep(point, seen) for point in kept}
        at = torch.tensor([[len(text) - 1]])
        model.logits(model.batch([text]), at, hooks)
    return [(torch.cat(kept[Point("mlp_in", n)]), torch.cat(kept[Point("mlp_out", n)])) for n in layers]


def trained(given: Tensor, written: Tensor, plan: Plan) -> dict[str, Tensor]:
    """A transcoder's tensors, as SAELens names them.

    Args:
        given, written: what its MLP is given and gives, [tokens, d_model].
    """
    generator = torch.Generator().manual_seed(plan.seed)
    d_model = given.shape[1]
    rows = normalize(torch.randn(plan.units, d_model, generator=generator), dim=1)
    # One scale for both sides: the figures of Adam then fit any model.
    size_in, size_out = given.pow(2).mean().sqrt(), written.pow(2).mean().sqrt()
    x, y = given / size_in, written / size_out
    parts = {
        "W_enc": rows.T.contiguous() * d_model**-0.5,
        "b_enc": torch.zeros(plan.units),
        "W_dec": rows.clone(),
        "b_dec": y.mean(0),
    }
    for values in parts.values():
        values.requires_grad_(True)
    optimizer = torch.optim.Adam(parts.values(), lr=plan.rate)
    quiet = torch.zeros(plan.units, dtype=torch.int64)
    for step in range(plan.steps):
        optimizer.param_groups[0]["lr"] = plan.rate * min(1.0, 2 * (1 - step / plan.steps))
        chosen = torch.randint(len(x), (plan.batch,), generator=generator)
        fired = activations(x[chosen], parts, plan.active)
        left = y[chosen] - (fired @ parts["W_dec"] + parts["b_dec"])
        optimizer.zero_grad()
        left.pow(2).mean().backward()
        optimizer.step()
        with torch.no_grad():
            parts["W_dec"].copy_(normalize(parts["W_dec"], dim=1))
            quiet = torch.where((fired > 0).any(0), 0, quiet + 1)
            _start_anew(parts, quiet, x[chosen], left)
    found = {name: values.detach().clone() for name, values in parts.items()}
    found["W_enc"] /= size_in
    found["W_dec"] *= size_out
    found["b_dec"] *= size_out
    return found


def activations(x: Tensor, parts: dict[str, Tensor], active: int) -> Tensor:
    """Of all units the `active` largest, those above 0: [n, units]."""
    pre = x @ parts["W_enc"] + parts["b_enc"]
    largest = pre.topk(active, dim=1)
    return torch.zeros_like(pre).scatter(1, largest.indices, largest.values.relu())


def _start_anew(parts: dict[str, Tensor], quiet: Tensor, x: Tensor, left: Tensor) -> None:
    """Step 3, in place."""
    silent = (quiet >= _QUIET_STEPS).nonzero()[:, 0][: len(x)]
    worst = left.pow(2).sum(1).topk(len(silent)).indices
    parts["W_dec"][silent] = normalize(left[worst], dim=1)
    parts["W_enc"][:, silent] = normalize(x[worst], dim=1).T * x.shape[1] ** -0.5
    parts["b_enc"][silent] = 0.0
    quiet[silent] = 0


def explained(given: Tensor, written: Tensor, parts: dict[str, Tensor], active: int) -> float:
    """The share of the variance of what an MLP writes that its transcoder explains."""
    left = written - (activations(given, parts, active) @ parts["W_dec"] + parts["b_dec"])
    return 1 - float(left.pow(2).sum() / (written - written.mean(0)).pow(2).sum())


def write(folder: Path, layer: int, parts: dict[str, Tensor], active: int) -> None:
    """One layer's transcoder in SAELens' layout."""
    own = folder / f"layer_{layer}"
    own.mkdir(parents=True, exist_ok=True)
    d_model, units = parts["W_enc"].shape
    config = {
        "architecture": "topk",
        "k": active,
        "d_in": d_model,
        "d_sae": units,
        "d_out": d_model,
        "dtype": "float32",
        "normalize_activations": "none",
        "apply_b_dec_to_input": False,
        "metadata": {
            "hook_name": f"blocks.{layer}.mlp.hook_in",
            "hook_name_out": f"blocks.{layer}.mlp.hook_out",
        },
    }
    (own / "cfg.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file({name: values.contiguous() for name, values in parts.items()}, own / "sae_weights.safetensors")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write; says what each layer explains."""
    parser = argparse.ArgumentParser(prog="python -m tools.transcoders.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the dictionary is written")
    parser.add_argument("--model", default="demo", help="as the tool's own --model")
    parser.add_argument("--corpus", default="demo", help="as the tool's own --corpus")
    parser.add_argument("--documents", type=int, help="most documents taken of the corpus")
    parser.add_argument("--units", type=int, default=Plan.units, help="units of a layer")
    parser.add_argument("--active", type=int, default=Plan.active, help="units that may fire at a token")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    asked = parser.parse_args(arguments)
    plan = Plan(units=asked.units, active=asked.active, steps=asked.steps)
    explorer = Explorer(
        load_settings(model=asked.model, corpus=asked.corpus, max_documents=asked.documents, device="cpu")
    )
    try:
        corpus = explorer._engine.corpus()
        texts = [corpus.window_tokens(number).tolist() for number in range(corpus.info.prompts)]
        layers = explorer._engine.on_model(lambda model, _: collected(model, texts))
    finally:
        explorer.close()
    for layer, (given, written) in enumerate(layers):
        parts = trained(given, written, plan)
        write(asked.folder, layer, parts, plan.active)
        share = explained(given, written, parts, plan.active)
        print(f"layer {layer}: {len(given):,} tokens, {share:.1%} of the variance explained", flush=True)


if __name__ == "__main__":
    main()
