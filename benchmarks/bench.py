"""Measurements within a time budget, row by row, for benchmarks/gpu.py: the table, the clock, the corpus."""

from __future__ import annotations

import gc
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from backbones import seconds
from job import recipe
from measure import median
from same_on_gpu import LIMITS
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from sslhsi import pretrain
from sslhsi.backbones.fast import fastest_safe_setting
from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.prepare import prepare
from sslhsi.recipe import Recipe
from sslhsi.training.row_file import RowFile

KEY = ("device", "torch", "part", "network", "setting", "batch")
COLUMNS = (
    *KEY, "patches_per_second", "seconds", "megabytes", "tflops", "gigabytes_per_second", "arithmetic_percent",
    "bandwidth_percent", "added_percent", "added_range", "compile_seconds", "minutes", *LIMITS, "note",
)  # fmt: skip
# What simulated scenes, one a domain, give about as many patches by as the published pretraining had.
STRIDE, SIDE = 2, 184
DOMAINS = ("paper", "coffee", "pottery", "sugar", "grapes", "branches", "archeology")
Row = Mapping[str, Any]


class Bench:
    """The table of what has been measured, and the time that is left.

    Args:
        device: What is measured.
        minutes: The budget, from now on.
        quick: Take the smallest sizes and one round; only to see that every part works.
        out: Folder of gpu.csv and gpu.md.
        networks: What trains.
        prepared: Folder of a prepared corpus; None simulates scenes.
        folder: For runs and corpora that nobody keeps.
    """

    def __init__(
        self,
        device: torch.device,
        minutes: float,
        quick: bool,
        out: Path,
        networks: list[str],
        prepared: Path | None,
        folder: Path,
    ) -> None:
        self.device, self.quick, self.networks, self.prepared, self.folder = device, quick, networks, prepared, folder
        self.start = time.perf_counter()
        self.deadline = self.start + 60 * minutes
        self.table = RowFile(out / "gpu.csv", COLUMNS)
        on_gpu = device.type == "cuda"
        self.identity = {
            "device": torch.cuda.get_device_name(device) if on_gpu else "CPU",
            "torch": torch.__version__,
        }
        autocast = fastest_safe_setting(nn.Identity(), device)["autocast_dtype"]
        self.precision = "float32" if autocast is None else "bfloat16"
        self.left_out: list[str] = []
        self.failures: list[str] = []
        self.last = 0.0  # seconds that the last measurement took

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.deadline - time.perf_counter()

    def row(self, part: str, network: str, setting: str, batch: int | str) -> Row | None:
        """The row of a measurement on this device by this version of PyTorch, where there is one."""
        wanted = [*self.identity.values(), part, network, setting, str(batch)]
        return next((row for row in self.table.rows if [row[key] for key in KEY] == wanted), None)

    def measure(
        self, part: str, network: str, setting: str, batch: int | str, run: Callable[[], Row], needs: float = 5
    ) -> Row:
        """Measure and write a row, unless it is there, or the budget has less than ``needs`` seconds left.

        Returns:
            The row; empty where nothing was measured.
        """
        name = " ".join(filter(None, (part, network, setting, str(batch))))
        if old := self.row(part, network, setting, batch):
            return old
        if self.left < (0.1 if self.quick else needs):
            self.left_out.append(name)
            return {}
        began = time.perf_counter()
        self.fresh_memory()
        row = self.identity | {"part": part, "network": network, "setting": setting, "batch": batch}
        try:
            row |= run()
        except torch.cuda.OutOfMemoryError:
            row["note"] = "out of memory"
        except Exception as error:
            # The parts after it may still give their figures; the next start tries this one again.
            traceback.print_exc()
            self.failures.append(f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}")
            return {}
        finally:
            self.last = time.perf_counter() - began
        self.table.add({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
        shown = ", ".join(f"{k} {v}" for k, v in self.table.rows[-1].items() if v and k not in KEY)
        print(f"{time.perf_counter() - self.start:4.0f} s  {name}: {shown}", flush=True)
        return self.table.rows[-1]

    def fresh_memory(self) -> None:
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def timed(self, step: Callable[[], object]) -> dict[str, float]:
        """Seconds of a step, and on a GPU the most memory that was allocated, in MB."""
        for _ in range(1 if self.quick else 3):
            step()
        repeats = 1 if self.quick else math.ceil(0.15 / seconds(step, self.device, time.perf_counter))

        def several() -> None:
            for _ in range(repeats):
                step()

        rounds = [seconds(several, self.device, time.perf_counter) / repeats for _ in range(2 if self.quick else 5)]
        values = {"seconds": median(rounds)}
        if self.device.type == "cuda":
            values["megabytes"] = torch.cuda.max_memory_allocated(self.device) / 1e6
        return values

    def shares(self, step: Callable[[], object], took: float, precision: str) -> dict[str, float]:
        """Operations and bytes of a step per second, and their shares of the peaks, where those were measured."""
        with Traffic() as traffic, FlopCounterMode(display=False) as counter:
            step()
        values = {"tflops": 1e-12 * counter.get_total_flops() / took}
        values["gigabytes_per_second"] = 1e-9 * traffic.bytes / took
        product, copy = self.row("peak", "", f"{precision} product", self.side), self.row("peak", "", "copy", "")
        if product:
            values["arithmetic_percent"] = 100 * values["tflops"] / float(product["tflops"])
        if copy:
            values["bandwidth_percent"] = 100 * values["gigabytes_per_second"] / float(copy["gigabytes_per_second"])
        return values

    def rate(self, network: str) -> float:
        """The most patches per second that bare steps of a network reached; 500 where none were measured."""
        rows = [row for row in self.table.rows if (row["part"], row["network"]) == ("throughput", network)]
        mine = [row for row in rows if row["device"] == self.identity["device"]]
        return max([float(row["patches_per_second"] or 0) for row in mine], default=0) or 500

    def steps_in(self, seconds: float, network: str, batch: int, most: int) -> int:
        """An even number of steps that a network makes in about so many seconds, 4 to ``most``; 4 in a rehearsal."""
        return 4 if self.quick else max(4, 2 * min(most // 2, int(seconds * self.rate(network) / batch / 2)))

    @property
    def some_networks(self) -> list[str]:
        """Those of parts that take long; of a rehearsal the smallest network."""
        if not self.quick:
            return self.networks
        return ["pixelnet"] if "pixelnet" in self.networks else self.networks[:1]

    @property
    def side(self) -> int:
        """Of the square matrices whose product is the peak."""
        return 256 if self.quick else 8192

    @cached_property
    def corpus(self) -> Corpus:
        """The one given, or simulated scenes of seven domains with about as many patches as the published run."""
        if self.prepared:
            return Corpus(self.prepared)
        domains, side = (DOMAINS[:2], 64) if self.quick else (DOMAINS, SIDE)
        scenes = [{"simulated": domain, "size": [side, side]} for domain in domains]
        plain = json.loads(recipe(self.folder, "resnet18", 2, 1).model_dump_json())
        plain["corpus"] |= {"scenes": scenes, "bands": {"grid": 256, "components": 30}}
        return prepare(Recipe.model_validate_json(json.dumps(plain)))

    def recipe(self, network: str, batch: int, steps: int, **training: Any) -> Recipe:
        """The main job of a network on the corpus; its log times the second half of 2 x ``steps`` steps."""
        job = recipe(self.folder, network, batch, steps, **training)
        stride = 8 if self.quick else STRIDE
        patches = job.corpus.patches.model_copy(update={"stride": stride})
        bands = job.corpus.bands.model_copy(update={"components": self.corpus.channels})
        return job.model_copy(update={"corpus": job.corpus.model_copy(update={"patches": patches, "bands": bands})})

    def on_corpus(self) -> AbstractContextManager[Any]:
        """Within the block the main job takes the corpus as it lies here, whatever scenes its recipe names."""
        return patch.object(pretrain, "prepare", lambda *_, **__: self.corpus)


class Traffic(TorchDispatchMode):
    """Counts the bytes of the tensors that operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func.name():
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.nbytes for tensor in tensors)
        return result
