"""The same SimCLR training the usual way: Dataset, DataLoader workers, torchvision transforms, lightly's loss.

    python benchmarks/usual_way.py                       # PixelNet and a small ResNet; four minutes on two cores
    python benchmarks/usual_way.py --networks hybridsn --workers 2
    python benchmarks/usual_way.py --quick

Usual: patches cut out beforehand and held in memory as float32 (faster than files), two views per sample by
lightly's MultiViewTransform over torchvision transforms that match the recipe's, DataLoader workers as many as
cores, timm's network as it comes (for others, the same network as ours), lightly's NTXentLoss and head, PyTorch's
AdamW, one optimiser step per batch, in float32. Ours: the main job itself, same network, head, batch and learning
rate, float32 too. Patches per second end to end over the second half of the steps; each run in a process of its
own, in turn. Median and range of the rounds; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import timm
import torch
from job import NETWORKS, make_scenes, recipe, run
from lightly.loss import NTXentLoss
from lightly.transforms.multi_view_transform import MultiViewTransform
from measure import SPEED, alone, median, spread, write
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from sslhsi.backbones.registry import create_backbone
from sslhsi.corpus.prepare import prepare
from sslhsi.methods.registry import create_method, method_options
from sslhsi.recipe import Recipe, Views


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
    if timm.is_model(job.backbone.name):
        backbone = timm.create_model(job.backbone.name, in_chans=channels, num_classes=0)
    else:
        backbone = create_backbone(job.backbone.name, channels, size, **job.backbone.options)
    model = create_method("simclr", backbone, job.method.options).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), job.training.lr, weight_decay=job.training.weight_decay)
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


def by_itself(measured: Callable[[], float], device: torch.device) -> float:
    """What a run gives in a forked process; on a GPU, which can't be forked, in this one."""
    return measured() if device.type == "cuda" else alone(measured)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME", default=["pixelnet", "resnet10t"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6, help="timed, after as many that aren't; PixelNet: five times")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names, rounds, steps, batch = args.networks, args.rounds, args.steps, args.batch
    if args.quick:
        names, rounds, steps, batch = ["pixelnet"], 1, 2, 16
    speeds: dict[str, list[tuple[float, float]]] = {network: [] for network in names}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder)
        for _ in range(rounds):
            for network in names:
                timed = steps * (5 if network == "pixelnet" else 1)
                job = recipe(folder, network, batch, timed, precision="fp32")
                # Processes of their own: what one does to threads and to memory must not help the other.
                theirs = by_itself(lambda job=job: usual(job, args.workers, device), device)
                speeds[network].append((theirs, by_itself(lambda job=job: run(job), device)))
    rows = [
        {
            "network": network,
            "batch": batch,
            "workers": args.workers,
            "usual patches/s": median([usual for usual, _ in pairs]),
            "sslhsi patches/s": median([ours for _, ours in pairs]),
            "times faster": median([ours / usual for usual, ours in pairs]),
            "times faster, range": spread([ours / usual for usual, ours in pairs]),
            "rounds": rounds,
        }
        for network, pairs in speeds.items()
    ]
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write(f"usual_way_{device.type}", "SimCLR the usual way", text, rows, args.out)


if __name__ == "__main__":
    main()
