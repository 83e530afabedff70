"""VICReg against its three terms, written out with NumPy's moments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sslhsi.methods.registry import create_method


class Identity(nn.Module):
    num_features = 6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def terms(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Invariance, variance and covariance, scaled as in the authors' code."""
    variance = covariance = 0.0
    for z in (a, b):
        moments = np.cov(z, rowvar=False)
        variance += np.maximum(0, 1 - np.sqrt(np.diag(moments) + 1e-4)).mean() / 2
        covariance += (moments**2).sum() / len(moments) - (np.diag(moments) ** 2).sum() / len(moments)
    return float(((a - b) ** 2).mean()), float(variance), float(covariance)


WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}


@pytest.mark.parametrize("which", [*WEIGHTS, "all"])
def test_the_terms_are_the_papers(which):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(9, 4)) * [0.1, 0.5, 1.0, 2.0], rng.normal(size=(9, 4))
    options = WEIGHTS if which == "all" else dict.fromkeys(WEIGHTS, 0.0) | {which: 3.0}
    method = create_method("vicreg", Identity(), options)
    expected = sum(options[key] * term for key, term in zip(WEIGHTS, terms(a, b), strict=True))
    assert float(method.criterion(torch.from_numpy(a), torch.from_numpy(b))) == pytest.approx(expected)


def test_gradients_by_finite_differences():
    z = [torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(create_method("vicreg", Identity()).criterion, z)
