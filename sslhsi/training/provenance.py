"""What a result depends on: code, packages, data, devices."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import sslhsi
from sslhsi.corpus.corpus import Corpus

PACKAGES = ("torch", "torchvision", "timm", "lightly", "accelerate", "numpy", "scipy", "scikit-learn", "faiss-cpu")


def provenance(corpus: Corpus, **more: Any) -> dict[str, Any]:
    """Plain JSON values; ``more`` is added as it is."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "sslhsi": sslhsi.__version__,
        "git": git_revision(),
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "machine": machine(),
        "corpus": {
            "key": corpus.key,
            "notes": corpus.notes,
            "projector": corpus.manifest.projector,
            "scenes": {
                s.name: s.model_dump(mode="json", include={"source", "hash", "shape"}) for s in corpus.manifest.scenes
            },
        },
        **more,
    }


def machine() -> dict[str, Any]:
    """Processor, threads and accelerators."""
    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"system": platform.platform(), "cpu": cpu, "threads": torch.get_num_threads(), "gpus": gpus}


def git_revision() -> str | None:
    """Commit of the code, with ``+changes`` where the package differs from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
