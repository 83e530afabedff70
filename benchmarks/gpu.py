"""What one GPU gives, within a time budget and without a network.

    python benchmarks/gpu.py                                   # some twelve minutes; results/speed/gpu.csv and .md
    python benchmarks/gpu.py --minutes 8 --corpus corpora/KEY   # a prepared corpus in place of simulated scenes
    python benchmarks/gpu.py --device cpu --minutes 2 --quick --out runs/gpu       # rehearsal, each part in seconds

Peak: a large matrix product, a large copy (bytes read and written). Equality: float32 on the device against float64
on the CPU (views: float32), relative errors. Throughput: patches per second of a bare training step (two views of
each patch, NT-Xent, AdamW) in the fastest safe precision, the batch doubled until memory or gain ends; arithmetic
and bandwidth are shares of the peak measured in the same run, bytes being what the step's operations read and
write, so that what stays in a cache counts, too. Overhead: the main job against its bare step within the same run.
NT-Xent: forward and backward pass of 128 dimensions. Corpus: on the device against the host. Training: the
main job on 39,482 patches x 100 epochs, whole where it fits the budget, else extrapolated, and named so. Compile:
the backbone by torch.compile, with CUDA graphs, and with cuDNN's search for the quickest convolutions;
compile_seconds are those of the first step. Every figure is the median of five rounds (overhead: of the pairs of
blocks of one run), but for trainings, which run once.

Parts run in order of worth. A row is written as soon as it is measured; one that is there is not measured again, so
that the same command goes on after a kill; what does not fit the rest of the budget is named on the page.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from backbones import seconds
from bench import COLUMNS, KEY, Bench, Row
from growth import at_once
from job import NETWORKS, run
from measure import SPEED, machine, median, spread, table
from same_on_gpu import INPUTS, LIMITS, loss_errors, network_errors, optimiser_error, views_error
from torch import Tensor, nn
from training_loop import BLOCK, WARM_UP, bare_step, in_blocks

from sslhsi.corpus.reader import PatchReader
from sslhsi.files import write_atomic
from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.methods.registry import create_method
from sslhsi.training import batches
from sslhsi.training.initialisation import initialise
from sslhsi.training.row_file import RowFile

# The published pretraining this is compared with: 39,482 patches of 32 x 32 x 30 from seven domains, 100 epochs
# in 90 to 120 minutes on eight V100 GPUs, 64 patches a step.
PATCHES, EPOCHS, PUBLISHED, PUBLISHED_BATCH = 39_482, 100, (548, 731), 64

UNEQUAL = "NOT EQUAL"


def peak(bench: Bench) -> None:
    """A large matrix product in either precision, and a large copy."""

    def product(dtype: torch.dtype) -> Row:
        a, b = (torch.randn(bench.side, bench.side, device=bench.device, dtype=dtype) for _ in range(2))
        timing = bench.timed(lambda: a @ b)
        return timing | {"tflops": 2e-12 * bench.side**3 / timing["seconds"]}

    def copy() -> Row:
        a = torch.randn(1 << (18 if bench.quick else 30), device=bench.device)
        b = torch.empty_like(a)
        timing = bench.timed(lambda: b.copy_(a))
        return timing | {"gigabytes_per_second": 2e-9 * a.nbytes / timing["seconds"]}

    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        bench.measure("peak", "", f"{name} product", bench.side, partial(product, dtype))
    bench.measure("peak", "", "copy", "", copy)


def equality(bench: Bench) -> None:
    """Float32 on the device against the CPU: views, loss, optimiser, then every network, the largest last."""
    checks: dict[str, Callable[[torch.device], dict[str, float]]]
    checks = {"views": views_error, "NT-Xent": loss_errors, "AdamW": optimiser_error}
    names = ["pixelnet"] if bench.quick else sorted(INPUTS, key=lambda name: (name == "cnn3d", name))
    checks |= {name: partial(network_errors, name) for name in names}

    def compare(check: Callable[[torch.device], dict[str, float]]) -> Row:
        errors = check(bench.device)
        within = all(error <= LIMITS[key] for key, error in errors.items())
        return errors | {"note": "equal within rounding" if within else UNEQUAL}

    for name, check in checks.items():
        row = bench.measure("equality", name, "float32", "", partial(compare, check), 10)
        if row.get("note") == UNEQUAL:
            bench.failures.append(f"{name}: off by more than rounding, see the table of equality")


def untrained(bench: Bench, network: str, batch: int, change: Callable[[nn.Module], Any]) -> Callable[[], None]:
    """A bare training step of a network to which a change has been made."""
    job = bench.recipe(network, batch, 1)
    method = create_method("simclr", initialise(job, None, bench.device).backbone, job.method.options)
    method.backbone = change(method.to(bench.device).train().backbone)
    return bare_step(job, method, bench.device)


def throughput(bench: Bench) -> None:
    """Training steps at growing batches: double while that gains 5 per cent and there is memory."""

    def steps(network: str, batch: int) -> Row:
        step = untrained(bench, network, batch, lambda backbone: backbone)
        timing = bench.timed(step)
        rate = {"patches_per_second": batch / timing["seconds"]}
        return timing | rate | bench.shares(step, timing["seconds"], bench.precision)

    for network in bench.networks:
        best, batch = 0.0, 2 if bench.quick else PUBLISHED_BATCH
        while batch <= (4 if bench.quick else 1 << 17):
            needs = max(5, 2.5 * bench.last)
            row = bench.measure("throughput", network, bench.precision, batch, partial(steps, network, batch), needs)
            rate = float(row.get("patches_per_second") or 0)
            if rate < 1.05 * best or not rate:
                break
            best, batch = rate, 2 * batch


def overhead(bench: Bench) -> None:
    """The main job against its bare step, blocks of both in turn."""

    def both(network: str, batch: int, blocks: int) -> Row:
        steps = BLOCK * (WARM_UP + blocks)
        with bench.on_corpus():
            pairs = in_blocks(bench.recipe(network, batch, (steps + 1) // 2, log_every=10), bench.device)
        added = [100 * (loop / bare - 1) for loop, bare in pairs]
        rate = batch / median([loop for loop, _ in pairs])
        return {"patches_per_second": rate, "added_percent": median(added), "added_range": spread(added)}

    for batch in (4,) if bench.quick else (512, PUBLISHED_BATCH):
        for network in bench.some_networks:
            pair = 2 * BLOCK * batch / bench.rate(network)
            blocks = 1 if bench.quick else max(3, min(9, int(15 / pair)))
            measured = partial(both, network, batch, blocks)
            bench.measure("overhead", network, bench.precision, batch, measured, 10 + pair * (WARM_UP + blocks))


def ntxent(bench: Bench) -> None:
    """NT-Xent of large batches, by chunks and with all similarities at once."""

    def both_passes(loss: Callable[[Tensor, Tensor], Tensor], size: int) -> Row:
        z = [torch.randn(size, 128, device=bench.device, requires_grad=True) for _ in range(2)]

        def step() -> None:
            loss(*z).backward()

        timing = bench.timed(step)
        return timing | bench.shares(step, timing["seconds"], "float32")

    for size in (64,) if bench.quick else (4096, 8192, 16384, 32768, 65536):
        losses: dict[str, Any] = {f"chunks of {chunk:,}": NTXentLoss(0.1, chunk) for chunk in (4096, 8192)}
        if size <= 16384:
            # More would need 17 GB and above for every copy of the similarities.
            losses["at once"] = at_once
        for name, loss in losses.items():
            bench.measure("NT-Xent", "", name, size, partial(both_passes, loss, size), max(5, 2.5 * bench.last))


def placing(bench: Bench) -> None:
    """Windows of a corpus on the device and of one on the host, read alone and in the main job."""
    batch = 4 if bench.quick else 512

    def reading(resident: bool) -> Row:
        reader = PatchReader(bench.corpus.arrays, 32, 0, bench.device, resident)
        windows = bench.corpus.windows(bench.recipe("resnet18", batch, 1).corpus.patches)
        some = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))[:batch].numpy()]
        timing = bench.timed(lambda: reader(some))
        return timing | {"patches_per_second": len(some) / timing["seconds"]}

    def training_from(resident: bool) -> Row:
        forced = patch.object(batches, "PatchReader", partial(PatchReader, resident=resident))
        with bench.on_corpus(), forced:
            jobs = [bench.recipe(network, batch, steps // 2) for _ in range(1 if bench.quick else 5)]
            return {"patches_per_second": median([run(job) for job in jobs])}

    for where, resident in (("device", True), ("host", False)):
        bench.measure("corpus", "", f"reading from the {where}", batch, partial(reading, resident))
    network = bench.networks[0]
    steps = bench.steps_in(4, network, batch, 100)
    needs = 10 + 10 * steps * batch / bench.rate(network)
    for where, resident in (("device", True), ("host", False)):
        name = f"training from the {where}"
        bench.measure("corpus", network, name, batch, partial(training_from, resident), needs)


def training(bench: Bench) -> None:
    """The published run's patches and epochs by the main job: a stretch of it first, then as much as fits."""

    def steps_of(network: str, batch: int, steps: int) -> Row:
        job = bench.recipe(network, batch, steps // 2)
        with bench.on_corpus():
            began = time.perf_counter()
            rate = run(job)
            minutes = (time.perf_counter() - began) / 60
        note = f"{steps:,} steps on a corpus of {len(bench.corpus.windows(job.corpus.patches)):,} patches"
        if steps == whole(batch):
            return {"patches_per_second": rate, "minutes": minutes, "note": f"{note}; start and end included"}
        note = f"EXTRAPOLATED from the second half of {note}"
        return {"patches_per_second": rate, "minutes": PATCHES * EPOCHS / rate / 60, "note": note}

    def whole(batch: int) -> int:
        """Steps; an even number, of which the log times the second half."""
        return 10 if bench.quick else 2 * math.ceil(PATCHES * EPOCHS / batch / 2)

    network = "resnet18" if "resnet18" in bench.networks else bench.networks[0]
    sizes = (4,) if bench.quick else (1024, PUBLISHED_BATCH)
    rows = []
    for batch in sizes:
        steps = bench.steps_in(15, network, batch, 200)
        rows.append(
            bench.measure("training", network, "a stretch", batch, partial(steps_of, network, batch, steps), 30)
        )
    for batch, row in zip(sizes, rows, strict=True):
        rate = float(row.get("patches_per_second") or 0)
        if not rate:
            continue
        needs = 1.15 * whole(batch) * batch / rate + 20
        if batch == PUBLISHED_BATCH:
            needs += 120  # for what comes after it
        if bench.quick or needs < bench.left or batch != sizes[0]:
            bench.measure("training", network, "whole", batch, partial(steps_of, network, batch, whole(batch)), needs)
        elif not bench.row("training", network, "whole", batch):
            steps = 2 * int(0.25 * bench.left * rate / batch)
            bench.measure("training", network, "a part", batch, partial(steps_of, network, batch, steps), 60)


def compiling(bench: Bench) -> None:
    """Backbones as they are, by torch.compile without and with CUDA graphs, and with cuDNN's search."""

    def steps(network: str, batch: int, change: Callable[[nn.Module], Any], search: bool) -> Row:
        torch.compiler.reset()
        with torch.backends.cudnn.flags(enabled=True, benchmark=search):
            step = untrained(bench, network, batch, change)
            first = seconds(step, bench.device, time.perf_counter)
            timing = bench.timed(step)
        return timing | {"patches_per_second": batch / timing["seconds"], "compile_seconds": first} | {
            "note": pays_after(first, timing["seconds"] / batch, bench.row("compile", network, "as it is", batch))
        }  # fmt: skip

    # A rehearsal only traces: to generate code for a CPU would take longer than all else.
    compiled = partial(torch.compile, backend="aot_eager") if bench.quick else torch.compile
    graphs = compiled if bench.quick else partial(torch.compile, mode="reduce-overhead")
    settings: dict[str, tuple[Callable[[nn.Module], Any], bool]] = {
        "as it is": (lambda backbone: backbone, False),
        "cuDNN's search": (lambda backbone: backbone, True),
        "compiled": (compiled, False),
        "compiled, CUDA graphs": (graphs, False),
    }
    for batch in (4,) if bench.quick else (PUBLISHED_BATCH, 1024):
        for network in bench.some_networks:
            for name, (change, search) in settings.items():
                needs = 60 if "compiled" in name else 10
                timed = partial(steps, network, batch, change, search)
                bench.measure("compile", network, name, batch, timed, needs)


def pays_after(first: float, a_patch: float, plain: Row | None) -> str:
    """After how many patches what the first step took is made up for by the seconds of each patch."""
    if plain is None:
        return ""
    gained = 1 / float(plain["patches_per_second"]) - a_patch
    lost = first - float(plain["compile_seconds"])
    return f"pays after {max(0, math.ceil(lost / gained)):,} patches" if gained > 0 else "does not pay"


PARTS = (peak, equality, throughput, overhead, ntxent, placing, training, compiling)


def page(rows: list[dict[str, str]], out: Path, quick: bool, notes: list[str]) -> Path:
    """Write gpu.md: a table for each part on each device, with the columns that it fills."""
    lines = ["# One GPU", ""]
    if not rows:
        lines += ["**No GPU figure has been measured yet**: there was no GPU at hand. On a machine with one:", ""]
        lines += [
            "    python benchmarks/gpu.py",
            "",
            "takes some twelve minutes and replaces this page. Rehearsed on",
        ]
        lines += [
            "a CPU, every part of it, by `python benchmarks/gpu.py --device cpu --minutes 2 --quick --out runs/gpu`"
        ]
        lines += ["and by a test; whether results on a GPU equal those of a CPU, `pytest -m gpu` tells.", ""]
    elif quick:
        lines += ["**A rehearsal**: sizes are the smallest there are, and no figure here says anything of speed.", ""]
    lines += ["What is measured, and how:", "", " ".join((__doc__ or "").split("\n\n")[2].split()), ""]
    for device, version in dict.fromkeys((row["device"], row["torch"]) for row in rows):
        mine = [row for row in rows if (row["device"], row["torch"]) == (device, version)]
        lines += [f"## {device}, torch {version}", "", *against_published(mine)]
        for part in dict.fromkeys(row["part"] for row in mine):
            of_part = [row for row in mine if row["part"] == part]
            columns = [column for column in COLUMNS[3:] if any(row[column] for row in of_part)]
            lines += [f"### {part}", "", *table([readable(row) for row in of_part], columns), ""]
    if notes:
        lines += ["Not measured:", "", *(f"- {note}" for note in notes), ""]
    return write_atomic(out / "gpu.md", "\n".join(lines).rstrip() + "\n")


def against_published(rows: list[dict[str, str]]) -> list[str]:
    """Lines with each network's best batch beside the published patches per second."""
    best: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["part"] == "throughput" and row["patches_per_second"]:
            best[row["network"]] = max(
                best.get(row["network"], row), row, key=lambda r: float(r["patches_per_second"])
            )
    if not best:
        return []
    low, high = PUBLISHED
    text = f"A published run of this kind took {low} to {high} patches per second on eight V100 GPUs, all included."
    columns = ["network", "setting", "batch", "patches_per_second", "arithmetic_percent", "bandwidth_percent"]
    times = f"times {high}"
    compared = [readable(row) | {times: float(row["patches_per_second"]) / high} for row in best.values()]
    return [text + " Bare steps at the best batch:", "", *table(compared, [*columns, times]), ""]


def readable(row: Mapping[str, str]) -> dict[str, Any]:
    """A row whose figures are numbers, for a table to round."""
    figures = COLUMNS[len(KEY) : -1]
    numbers = {key: float(row[key]) for key in figures if row[key] and key != "added_range"}
    return {**row, **numbers} | ({"batch": int(row["batch"])} if row["batch"] else {})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a rehearsal")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME",
                        default=["resnet18", "hybridsn", "pixelnet", "ainet", "vit_small_patch8_224"])  # fmt: skip
    parser.add_argument("--corpus", type=Path, help="a prepared corpus; simulated scenes when left out")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, one round, nothing compiled to code")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args(arguments)
    if (args.quick or args.device == "cpu") and SPEED.parent in (args.out.resolve() / "gpu.csv").parents:
        parser.error("a rehearsal writes to another folder than results/; give --out")
    if args.device == "cuda" and not torch.cuda.is_available():
        with RowFile(args.out / "gpu.csv", COLUMNS) as rows:
            print(f"there is no GPU here, so that nothing is measured: {page(rows.rows, args.out, False, [])}")
        return 0
    device = torch.device(args.device)
    print(machine(device), flush=True)
    with tempfile.TemporaryDirectory() as name:
        use_cpu = {"ACCELERATE_USE_CPU": "true"} if device.type == "cpu" else {}
        bench = Bench(device, args.minutes, args.quick, args.out, args.networks, args.corpus, Path(name))
        with bench.table, patch.dict(os.environ, use_cpu):
            for part in PARTS:
                part(bench)
                notes = bench.failures + [f"{left}: no time" for left in bench.left_out]
                written = page(bench.table.rows, args.out, args.quick, notes)
    print("\n".join([*notes, str(written)]))
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
