"""The names that others call: they come from `sslhsi` itself, and importing it does not wait for torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

import sslhsi


def test_public_names_come_from_the_package_itself():
    assert all(getattr(sslhsi, name) is not None for name in sslhsi.__all__)
    assert {"simclr", "byol"} <= set(sslhsi.list_methods())
    assert sslhsi.NTXentLoss(0.5).temperature == 0.5
    assert sslhsi.SpectralProjector(components=3).components == 3
    labels = np.repeat([[1, 2]], 20, axis=0).repeat(10, axis=1)
    assert sslhsi.split(labels, "random", per_class=2).train.shape == (4, 2)


def test_importing_the_package_does_not_import_torch():
    program = "import sys, sslhsi; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
