"""The same SimCLR training the usual way: Dataset, DataLoader workers, torchvision transforms, lightly's loss.

    python benchmarks/usual_way.py
    python benchmarks/usual_way.py --networks pixelnet --workers 2
    python benchmarks/usual_way.py --quick

Usual: patches cut out beforehand and held in memory as float32 (faster than files), two views per sample by
lightly's MultiViewTransform over torchvision transforms that match the recipe's, DataLoader workers as many as
cores, lightly's NTXentLoss and head, one optimiser step per batch, in float32. Ours: the main job itself, same
network, head, batch and optimiser, float32 too. Patches per second end to end, in turn; the medians count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import torch
from job import NETWORKS, make_scenes, recipe, run
from lightly.loss import NTXentLoss
from lightly.transforms.multi_view_transform import MultiViewTransform
from measure import SPEED, median, write
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from sslhsi.backbones.registry import create_backbone
from sslhsi.corpus.prepare import prepare
from sslhsi.methods.registry import create_method, method_options
from sslhsi.recipe import Recipe, Views
from sslhsi.training.optimiser import create_optimiser


class Patches(Dataset):
    """Patches cut out and kept, as (K, S, S) float32."""

    def __init__(self, job: Recipe) -> None:
        corpus = prepare(job)
        size = job.corpus.patches.window
        self.patches = [
            torch.from_numpy(
                np.ascontiguousarray(corpus.arrays[s][r : r + size, c : c + size].transpose(2, 0, 1)).astype(
                    np.float32
                )
            )
            for s, r, c in corpus.windows(job.corpus.patches)
        ]
        spread = torch.from_numpy(corpus.component_spread)[:, None, None]
        self.transform = MultiViewTransform([transform(job.views, size, spread)] * 2)

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        first, second = self.transform(self.patches[index])
        return first, second


def transform(views: Views, size: int, spread: Tensor) -> v2.Compose:
    """The recipe's augmentations in torchvision's terms."""
    low, high = views.blur_sigma
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=views.crop, ratio=(1.0, 1.0), antialias=False),
            v2.RandomHorizontalFlip(views.flip),
            v2.RandomVerticalFlip(views.flip),
            v2.Lambda(lambda x: torch.rot90(x, int(torch.randint(4, ())), (1, 2))),
            v2.Lambda(lambda x: x * (1 + views.scaling * (2 * torch.rand(()) - 1))),
            v2.Lambda(lambda x: x + views.noise * torch.rand(()) * spread * torch.randn_like(x)),
            v2.Lambda(lambda x: x * (torch.rand(len(x), 1, 1) >= views.dropout)),
            v2.RandomApply([v2.GaussianBlur(5, (low, high))], views.blur),
        ]
    )


def usual(job: Recipe, workers: int, device: torch.device) -> float:
    """Patches per second over the second half of as many steps as ours takes."""
    torch.manual_seed(0)
    size, channels = job.corpus.patches.window, int(job.corpus.bands.components or 0)
    backbone = create_backbone(job.backbone.name, channels, size, **job.backbone.options)
    model = create_method("simclr", backbone, job.method.options).to(device).train()
    optimiser = create_optimiser(model, job.training)
    objective = NTXentLoss(method_options("simclr", job.method.options).temperature)
    loader = DataLoader(
        Patches(job), job.training.batch_size, shuffle=True, drop_last=True, num_workers=workers,
        pin_memory=device.type == "cuda", persistent_workers=workers > 0,
    )  # fmt: skip
    steps = job.training.steps or 0
    clock = 0.0
    for step, (first, second) in enumerate(islice(chain.from_iterable(repeat(loader)), steps)):
        if step == steps // 2:
            clock = time.perf_counter()
        first, second = first.to(device, non_blocking=True), second.to(device, non_blocking=True)
        loss = objective(model.embed(first), model.embed(second))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.training.clip)
        optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (steps - steps // 2) * job.training.batch_size / (time.perf_counter() - clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME",
                        default=["pixelnet", "resnet10t", "hybridsn"])  # fmt: skip
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20, help="timed, after as many that aren't")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names, rounds, steps, batch = args.networks, args.rounds, args.steps, args.batch
    if args.quick:
        names, rounds, steps, batch = ["pixelnet"], 1, 2, 16
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder)
        for network in names:
            speeds: dict[str, list[float]] = {"usual": [], "ours": []}
            for _ in range(rounds):
                job = recipe(folder, network, batch, steps, precision="fp32")
                speeds["usual"].append(usual(job, args.workers, device))
                speeds["ours"].append(run(job))
            speed = {key: median(values) for key, values in speeds.items()}
            rows.append(
                {
                    "network": network,
                    "batch": batch,
                    "workers": args.workers,
                    "usual patches/s": speed["usual"],
                    "sslhsi patches/s": speed["ours"],
                    "times faster": speed["ours"] / speed["usual"],
                    "rounds": rounds,
                }
            )
            print(rows[-1], flush=True)
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write(f"usual_way_{device.type}", "SimCLR the usual way", text, rows, args.out)


if __name__ == "__main__":
    main()
