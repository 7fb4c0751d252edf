"""The training script, on two tiny books for a moment."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tools.demo_model import train as training
from tools.demo_model.optimizer import Optimizer


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    assert training.learning_rate(0, 0.0) == pytest.approx(0.01)
    assert training.learning_rate(500, 0.3) == 1.0
    assert training.learning_rate(5000, 0.7) == pytest.approx(0.5)
    assert training.learning_rate(9000, 1.0) == 0.0


def test_a_grown_model_says_the_same_where_it_said_something() -> None:
    torch.manual_seed(0)
    small = GPT2LMHeadModel(GPT2Config(vocab_size=12, n_positions=8, n_embd=8, n_layer=1, n_head=2)).eval()
    settings = training.Settings(
        steps=1, vocab=12, layers=1, heads=2, width=8, context=13, batch=1, lr=0.0, adam_lr=0.1,
        sparsity=0.0, untied=True, seed=0, compile=False,
    )  # fmt: skip
    large = training.grown(small, settings).eval()
    ids = torch.tensor([[0, 3, 11, 5, 5, 1, 2, 4]])
    with torch.no_grad():
        torch.testing.assert_close(large(ids).logits, small(ids).logits)
    assert large.config.n_positions == 13
    assert torch.equal(large.transformer.wpe.weight[8:], small.transformer.wpe.weight[-1:].expand(5, -1))
    assert large.lm_head.weight is not large.transformer.wte.weight
    with torch.no_grad():
        large.lm_head.weight.zero_()
    assert large.transformer.wte.weight.any()


def tiny_training(seed: int) -> tuple[Any, Optimizer]:
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=12, n_positions=8, n_embd=8, n_layer=1, n_head=2))
    return model, Optimizer(model, np.arange(12), lr=0.02, adam_lr=0.01)


def one_step(model: Any, optimizer: Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step(1.0)


def test_a_training_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.checkpoint"
    model, optimizer = tiny_training(0)
    course = training.Course(step=2, tokens_seen=64, seconds=1.5, log=[{"held_out_loss": 2.5}])
    for seed in (1, 2):
        one_step(model, optimizer, seed)
    checkpoint.write_bytes(b"an older one")
    course.keep(checkpoint, model, optimizer)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]

    again, its_optimizer = tiny_training(5)
    assert training.Course.resumed(checkpoint, again, its_optimizer) == course
    for trained, its in ((model, optimizer), (again, its_optimizer)):
        one_step(trained, its, 3)
    assert again.lm_head.weight is again.transformer.wte.weight
    found = dict(again.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(found[name], parameter), name


def test_a_run_learns_resumes_and_leaves_a_model_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = tmp_path / "books"
    books.mkdir()
    for i in range(3):
        (books / f"{i}.txt").write_text("the cat sat on the mat because it was tired. " * 200)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "_LOG_EVERY", 5)
    settings = training.Settings(
        steps=40, vocab=300, layers=1, heads=2, width=16, context=16, batch=4,
        lr=0.02, adam_lr=0.01, sparsity=1e-4, untied=False, seed=0, compile=False,
    )  # fmt: skip
    out = tmp_path / "out"
    training.train(books, out, None, None, settings)
    first = json.loads((out / "training.json").read_text())
    assert first["log"][-1]["held_out_loss"] < first["log"][0]["held_out_loss"] - 0.1
    assert sum(json.loads((out / "counts.json").read_text())["tokens"]) == first["corpus_tokens"]
    assert GPT2LMHeadModel.from_pretrained(out).config.n_embd == 16

    longer = training.Settings(**{**first["parts"][0]["settings"], "steps": 60, "batch": 8})
    sample, drawn = training.sample_rows, 0

    def interrupted(*given: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            signal.raise_signal(signal.SIGINT)
        return sample(*given)

    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 10**6)
    monkeypatch.setattr(training, "sample_rows", interrupted)
    with pytest.raises(SystemExit, match="after 43 steps"):
        training.train(books, out, None, None, longer)
    assert json.loads((out / "training.json").read_text()) == first
    training.train(books, out, None, None, longer)
    assert drawn == 20
    second = json.loads((out / "training.json").read_text())
    assert (first["tokens_seen"], second["tokens_seen"]) == (40 * 4 * 16, 40 * 4 * 16 + 20 * 8 * 16)
    assert second["log"][0] == first["log"][0]
    assert [(part["from_step"], part["settings"]["batch"]) for part in second["parts"]] == [(0, 4), (40, 8)]

    again = training.Settings(**{**first["parts"][0]["settings"], "steps": 2})
    training.train(books, tmp_path / "third", out, out, again)
    third = json.loads((tmp_path / "third" / "training.json").read_text())
    assert (first["started_from"], third["started_from"]) == (None, second)
    assert third["log"][-1]["held_out_loss"] < first["log"][0]["held_out_loss"]
