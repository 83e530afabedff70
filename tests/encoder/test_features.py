"""Features of windows, also of none."""

from __future__ import annotations

import numpy as np
import torch

from sslhsi.backbones.registry import create_backbone
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.features import features, mean_spectra


def test_batches_make_no_difference_and_no_windows_give_no_rows():
    scene = np.random.default_rng(0).random((12, 12, 4)).astype(np.float16)
    reader = PatchReader([scene], 5)
    torch.manual_seed(0)
    network = create_backbone("hresnet", 4, 5).train()
    windows = np.array([[0, r, c] for r in range(4) for c in range(3)])
    whole = features(network, reader, windows)
    assert network.training
    np.testing.assert_allclose(features(network, reader, windows, batch_size=5), whole, rtol=1e-5, atol=1e-7)
    means = np.stack([scene[r : r + 5, c : c + 5].astype(np.float32).mean((0, 1)) for _, r, c in windows])
    np.testing.assert_allclose(mean_spectra(reader, windows, batch_size=5), means, rtol=1e-5)

    for result, columns in ((features(network, reader, windows[:0]), 64), (mean_spectra(reader, windows[:0]), 4)):
        assert result.shape == (0, columns)
        assert result.dtype == np.float32
