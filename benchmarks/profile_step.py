"""Where a training step's time goes: shares, operations and a flame graph of the main job, network by network.

    python benchmarks/profile_step.py                       # PixelNet, a small ResNet, HybridSN, AINet
    python benchmarks/profile_step.py --networks pixelnet --batch 64
    python benchmarks/profile_step.py --quick

Shares: wall-clock time of a step that each part takes, medians over the second half of a run. The batch of the next
step is read and augmented by a thread while the network works: the milliseconds of its parts are no part of the
step, but what the step still waits for is. Flame graph: Python stacks of both threads, sampled every 5 ms; a box is
as wide as its share of all samples. Operations: self CPU time by torch.profiler in a second run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from html import escape
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from job import NETWORKS, make_scenes, recipe, run
from measure import SPEED, median, write
from torch.profiler import ProfilerActivity, profile

from sslhsi import pretrain
from sslhsi.corpus.reader import PatchReader
from sslhsi.corpus.sampler import DomainSampler
from sslhsi.files import write_atomic
from sslhsi.methods.simclr import SimCLR
from sslhsi.recipe import Recipe
from sslhsi.training import batches

MAIN, AHEAD = "step", "batch thread"
# Part: thread, and what it is the time of.
PARTS: dict[str, tuple[str, Any, str]] = {
    "sampling": (AHEAD, DomainSampler, "indices"),
    "reading": (AHEAD, PatchReader, "__call__"),
    "views": (AHEAD, batches, "make_views"),
    "waiting for the batch": (MAIN, Future, "result"),
    "forward and loss": (MAIN, SimCLR, "forward"),
    "backward": (MAIN, Accelerator, "backward"),
    "clipping": (MAIN, Accelerator, "clip_grad_norm_"),
    "optimiser": (MAIN, AcceleratedOptimizer, "step"),
    "logging": (MAIN, pretrain.Log, "add"),
}
Stacks = Counter[tuple[str, ...]]


@contextmanager
def timed(spent: dict[str, list[float]]) -> Iterator[None]:
    """Note the seconds of every call of a part, and of whole steps."""

    def watched(original: Callable, seconds: list[float]) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                seconds.append(time.perf_counter() - start)

        return call

    last = time.perf_counter()

    def after_step(*_: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        spent["whole"].append(now - last)
        last = now

    with ExitStack() as stack:
        for part, (_, owner, name) in PARTS.items():
            stack.enter_context(patch.object(owner, name, watched(getattr(owner, name), spent[part])))
        stack.enter_context(patch.object(SimCLR, "after_step", after_step))
        yield


@contextmanager
def sampled(stacks: Stacks) -> Iterator[None]:
    """Count the Python stacks of the loop and of the thread that makes batches."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            for frame in sys._current_frames().values():
                names = tuple(reversed(list(named(frame))))
                for root, label in (("Loop.run (pretrain)", MAIN), ("Batches.__call__ (batches)", AHEAD)):
                    if root in names:
                        stacks[(label, *names[names.index(root) :])] += 1
                        break

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def named(frame: FrameType | None) -> Iterator[str]:
    """Function and file of a frame and of its callers, without this program's."""
    while frame is not None:
        if frame.f_code.co_filename != __file__:
            yield f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).stem})"
        frame = frame.f_back


def shares(network: str, spent: dict[str, list[float]], batch: int) -> dict[str, Any]:
    """A row of the table: percent of the step for each part of it, milliseconds for the parts of the batch thread."""
    steps = len(spent["whole"])

    def per_step(part: str) -> float:
        """Milliseconds of a step; of what is rarer than steps, its mean."""
        seconds = spent[part]
        later = seconds[len(seconds) // 2 :]
        return 1e3 * (median(later) if len(seconds) >= steps else sum(seconds) / steps)

    whole = per_step("whole")
    parts = {part: per_step(part) for part, (thread, *_) in PARTS.items() if thread == MAIN}
    row: dict[str, Any] = {"network": network, "batch": batch, "ms a step": whole}
    row |= {f"{part} %": 100 * ms / whole for part, ms in parts.items()}
    row["rest %"] = 100 * (1 - sum(parts.values()) / whole)
    return row | {f"{part} ms": per_step(part) for part, (thread, *_) in PARTS.items() if thread == AHEAD}


def operations(job: Recipe, top: int) -> list[tuple[str, float]]:
    """The operations with the largest self CPU time, and their percent of all; the second half of a run."""
    profiler = profile(activities=[ProfilerActivity.CPU])
    half = job.training.steps // 2 if job.training.steps else 0

    def after_step(method: Any, step: int, steps: int) -> None:
        if step + 1 == half:
            profiler.start()
        elif step + 1 == steps:
            profiler.stop()

    with patch.object(SimCLR, "after_step", after_step):
        run(job)
    averages = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in averages)
    return [(event.key, 100 * event.self_cpu_time_total / total) for event in averages[:top]]


def flame_graph(stacks: Stacks, smallest: float = 0.004) -> str:
    """SVG of counted stacks, roots on top, one thread beside the other; boxes of a smaller share are left out."""
    width, height = 1200, 15
    boxes: list[str] = []
    depth = 0

    def draw(counted: Stacks, level: int, x: float, span: float) -> None:
        nonlocal depth
        depth = max(depth, level)
        children: dict[str, Stacks] = defaultdict(Counter)
        total = counted.total()
        for stack, count in counted.items():
            if len(stack) > level:
                children[stack[level]][stack] += count
        for name in sorted(children):
            part = span * children[name].total() / total
            if part < smallest * width:
                x += part
                continue
            label = f"{name}: {100 * part / width:.1f} %"
            colour = f"hsl({20 + sum(map(ord, name)) % 30}, 80%, {65 + sum(map(ord, name)) % 15}%)"
            letters = name[: max(0, int(part / 6.2))]
            boxes.append(
                f'<g><title>{escape(label)}</title><rect x="{x:.1f}" y="{level * height}" width="{part:.1f}" '
                f'height="{height - 1}" fill="{colour}"/><text x="{x + 2:.1f}" y="{level * height + 11}">'
                f"{escape(letters)}</text></g>"
            )
            draw(children[name], level + 1, x, part)
            x += part

    draw(stacks, 0, 0.0, width)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {(depth + 1) * height}" '
    return head + 'font-family="monospace" font-size="10">\n' + "\n".join(boxes) + "\n</svg>\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME",
                        default=["pixelnet", "resnet10t", "hybridsn", "ainet"])  # fmt: skip
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15, help="about, of a run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    rows, pictures, tables = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder)
        for network in ["pixelnet"] if args.quick else args.networks:
            # As many steps as the time allows, half of them timed.
            trial: dict[str, list[float]] = defaultdict(list)
            with timed(trial):
                run(recipe(folder, network, args.batch, 2, log_every=10))
            steps = 3 if args.quick else max(5, min(200, int(args.seconds / 2 / median(trial["whole"]))))
            spent: dict[str, list[float]] = defaultdict(list)
            stacks: Stacks = Counter()
            with sampled(stacks), timed(spent):
                run(recipe(folder, network, args.batch, steps, log_every=10))
            rows.append(shares(network, spent, args.batch))
            picture = write_atomic(args.out / f"profile_{network}.svg", flame_graph(stacks))
            pictures.append(f"## {network}\n\n![flame graph of {network}]({picture.name})\n")
            largest = operations(recipe(folder, network, args.batch, max(3, steps // 4), log_every=10), 8)
            tables.append("Operations: " + ", ".join(f"{key} {share:.0f} %" for key, share in largest) + ".\n")
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    page = "\n".join(part for both in zip(pictures, tables, strict=True) for part in both)
    write("profile", "Where a training step goes", f"{text}\n\n{page}", rows, args.out)


if __name__ == "__main__":
    main()
