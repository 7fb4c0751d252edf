"""The trainer's optimizer against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tools.demo_model import optimizer


def test_an_orthogonalised_gradient_has_its_singular_vectors_and_values_near_one() -> None:
    gradient = np.random.default_rng(0).normal(size=(6, 20))
    u, _, vt = np.linalg.svd(gradient, full_matrices=False)
    for given, exact in ((gradient, u @ vt), (gradient.T, (u @ vt).T)):
        found = optimizer.orthogonalised(torch.from_numpy(given)).numpy() / (
            given.shape[1] / given.shape[0]
        ) ** (0.5 * np.sign(given.shape[1] - given.shape[0]))
        assert np.linalg.svd(found, compute_uv=False) == pytest.approx(np.ones(6), abs=0.4)
        assert (found * exact).sum() / np.linalg.norm(found) / np.linalg.norm(exact) > 0.97


def test_the_pull_moves_rare_rows_to_the_mean_and_leaves_frequent_ones() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=12, n_positions=8, n_embd=8, n_layer=1, n_head=2))
    counts = np.full(12, 10**9)
    counts[[0, 4]] = 0
    counts[7] = optimizer._RARE
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = model.transformer.wte.weight.detach().numpy().copy()
    optimizer.Optimizer(model, counts, lr=0.0, adam_lr=0.1).step(1.0)
    moved = model.transformer.wte.weight.detach().numpy() - before
    to_mean = before.mean(axis=0) - before
    np.testing.assert_allclose(moved[[0, 4]], 0.1 * to_mean[[0, 4]], rtol=1e-4)
    np.testing.assert_allclose(moved[7], 0.05 * to_mean[7], rtol=1e-4)
    np.testing.assert_allclose(moved[[1, 2, 3, 5, 6, 8]], 0, atol=1e-6)
