"""Training one extractor for several scenes at once, and the vote that classifies their test pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Adadelta

from sslhsi.backbones.fast import fastest_safe_setting, set_memory_format
from sslhsi.errors import InputError
from sslhsi.finetune.samples import BATCH, MIRRORS
from sslhsi.recipe import BatchSize, Positive, Rate, TrainingSettings
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split
from sslhsi.studies.multitask.network import MultitaskNetwork, joint_loss, joint_step_macs
from sslhsi.studies.rows import Epoch
from sslhsi.training.loss import check_loss
from sslhsi.training.seeded import seeded

# Keras's AdaDelta, with which the published figures were made; PyTorch's defaults are 0.9 and 1e-6.
RHO, EPSILON = 0.95, 1e-7
# Epochs between entries of the history.
NOTED = 10
# Rows of a scene whose first convolution is computed at once where pixels are classified.
_ROWS = 16


class Schedule(TrainingSettings):
    """The published training: AdaDelta at a high rate, then at a low one, and a vote while that goes on."""

    epochs: Positive = 100
    lr: Rate = 1.0
    settling_epochs: Positive = Field(default=30, description="epochs at settling_lr before the first vote is due")
    settling_lr: Rate = 0.1
    votes: Positive = Field(default=5, description="predictions, of which the most frequent class is taken")
    vote_every: Positive = Field(default=2, description="further epochs before each prediction")
    batch_size: BatchSize = Field(default=20, description="of the task with the most samples")

    @property
    def settled(self) -> int:
        return self.epochs + self.settling_epochs

    @property
    def total(self) -> int:
        return self.settled + self.votes * self.vote_every

    def __str__(self) -> str:
        return (
            f"AdaDelta, lr {self.lr:g} for {self.epochs} epochs, {self.settling_lr:g} for {self.settling_epochs}; "
            f"mode of {self.votes}, one every {self.vote_every} further epochs; batch {self.batch_size}"
        )


@dataclass(frozen=True)
class Task:
    """A scene with what is trained on it.

    Args:
        scene: With labels.
        matrix: (B, L) float32, from the scene's values to the network's.
        split: Training and test pixels.
        classes: (C,) ids of the classes that train.
        x: (4 n, L, S, S) training windows in channels-last memory, mirrored copies behind one another.
        y: (4 n,) positions in ``classes``.
    """

    scene: Scene
    matrix: np.ndarray
    split: Split
    classes: np.ndarray
    x: Tensor
    y: Tensor

    def windows(self, numbers: Tensor) -> Tensor:
        """``x[numbers]``, gathered as it lies in memory, which saves a tenth of a step."""
        return self.x.permute(0, 2, 3, 1)[numbers].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Joint:
    """What a training gave.

    Args:
        predicted: By position of the task: (m,) class ids of its test pixels, in the order of its split.
        history: By task, losses and accuracies on its samples.
        parameters: All that trained, heads included.
        macs: Multiply-adds of the first step, which is among the largest.
        steps: Number of steps.
        seconds: All steps together, without the predictions.
    """

    predicted: dict[int, np.ndarray]
    history: list[list[Epoch]]
    parameters: int
    macs: int
    steps: int
    seconds: float


def cut(cube: np.ndarray, pixels: np.ndarray, window: int, matrix: np.ndarray) -> Tensor:
    """(n, L, S, S) float32 windows around (n, 2) pixels; beyond the border the edge's pixels are repeated."""
    steps = np.arange(window) - window // 2
    rows = (pixels[:, :1] + steps).clip(0, cube.shape[0] - 1)
    columns = (pixels[:, 1:] + steps).clip(0, cube.shape[1] - 1)
    values = np.asarray(cube[rows[:, :, None], columns[:, None, :]], dtype=np.float32)
    return torch.from_numpy(values @ matrix).permute(0, 3, 1, 2)


def make_task(scene: Scene, matrix: np.ndarray, split: Split, window: int, device: torch.device) -> Task:
    """Cut a split's training windows and mirror each left-right, up-down, and both ways.

    Raises:
        InputError: Fewer than two classes train, or the windows hold values that are not finite.
    """
    assert scene.labels is not None
    classes, coded = np.unique(scene.labels[tuple(split.train.T)], return_inverse=True)
    if classes.size < 2:
        raise InputError(f"{scene.name}: training holds only class {classes[0]}, and two are needed")
    matrix = matrix.astype(np.float32)
    x = cut(scene.cube, split.train, window, matrix)
    if not bool(torch.isfinite(x).all()):
        raise InputError(f"{scene.name}: some training windows hold NaN or infinity; mask those pixels out")
    copies = torch.cat([x.flip(axes) if axes else x for axes in MIRRORS])
    y = torch.from_numpy(coded.astype(np.int64)).repeat(len(MIRRORS))
    copies = copies.contiguous(memory_format=torch.channels_last)
    return Task(scene, matrix, split, classes, copies.to(device), y.to(device))


def shares(counts: Sequence[int], batch_size: int, generator: torch.Generator) -> list[list[Tensor]]:
    """An epoch: every sample of every task once, shuffled, spread evenly over the steps of the largest task.

    Args:
        counts: Samples of each task.
        batch_size: Samples per step of the largest task; of the others as many fewer as they have fewer.
        generator: Of the order.

    Returns:
        For each step, the sample numbers of each task.
    """
    steps = -(-max(counts) // batch_size)
    orders = [torch.randperm(count, generator=generator).tensor_split(steps) for count in counts]
    return [list(step) for step in zip(*orders, strict=True)]


def train_jointly(
    name: str,
    tasks: Sequence[Task],
    schedule: Schedule,
    *,
    targets: Sequence[int],
    separate_first: bool = False,
    seed: int = 0,
    device: torch.device | None = None,
) -> Joint:
    """Train one extractor for all tasks; a single task is trained in the same way.

    In each step the losses of the tasks, each the mean over its samples, are added. The rate changes with fresh
    averages of AdaDelta, as when a Keras model is compiled anew.

    Args:
        name: ``hresnet`` or ``ccnn``.
        tasks: What to train for; all with the same L.
        schedule: How.
        targets: Positions of the tasks whose test pixels shall be classified.
        separate_first: Give every task a separate first convolution.
        seed: Of the weights, dropout and the order of the samples.
        device: Where ``tasks`` lie; the CPU when None.

    Raises:
        InputError: The loss is not a finite number.
    """
    device = device or torch.device("cpu")
    began, predicting = time.perf_counter(), 0.0
    with seeded(seed, device):
        counts, bands = [len(task.y) for task in tasks], tasks[0].x.shape[1]
        network = MultitaskNetwork(name, bands, [task.classes.size for task in tasks], separate_first=separate_first)
        set_memory_format(network, fastest_safe_setting(network.extractors[0], device)["memory_format"]).to(device)
        order = torch.Generator().manual_seed(seed)
        ballots = {k: np.zeros((len(tasks[k].split.test), tasks[k].classes.size), dtype=np.int64) for k in targets}
        history: list[list[Epoch]] = [[] for _ in tasks]
        steps, solver = 0, _solver(network, schedule.lr)
        for epoch in range(1, schedule.total + 1):
            if epoch == schedule.epochs + 1:
                solver = _solver(network, schedule.settling_lr)
            batches = shares(counts, schedule.batch_size, order)
            means = _epoch(network, solver, tasks, batches, device)
            steps += len(batches)
            for loss, _ in means:
                check_loss(loss, f"multitask, epoch {epoch}", "lower schedule.lr")
            if epoch == 1 or epoch % NOTED == 0 or epoch == schedule.total:
                phase = "settling" if epoch > schedule.epochs else "training"
                for entries, (loss, accuracy) in zip(history, means, strict=True):
                    entries.append(Epoch(epoch, phase, round(loss, 6), round(100 * accuracy, 3)))
            if epoch > schedule.settled and (epoch - schedule.settled) % schedule.vote_every == 0:
                paused = time.perf_counter()
                for k, counted in ballots.items():
                    counted[np.arange(len(counted)), classify(network, k, tasks[k], device)] += 1
                predicting += time.perf_counter() - paused
        seconds = time.perf_counter() - began - predicting
        macs = joint_step_macs(
            network, bands, [len(numbers) for numbers in shares(counts, schedule.batch_size, order)[0]]
        )
    # As SciPy's mode: of classes with as many votes, the first.
    predicted = {k: tasks[k].classes[counted.argmax(axis=1)] for k, counted in ballots.items()}
    size = sum(p.numel() for p in network.parameters())
    return Joint(predicted, history, size, macs, steps, seconds)


def _solver(network: MultitaskNetwork, lr: float) -> Adadelta:
    return Adadelta(network.parameters(), lr=lr, rho=RHO, eps=EPSILON, foreach=True)


def _epoch(
    network: MultitaskNetwork,
    solver: Adadelta,
    tasks: Sequence[Task],
    batches: Sequence[Sequence[Tensor]],
    device: torch.device,
) -> list[tuple[float, float]]:
    """One pass over all samples; of each task the mean loss and the share of right answers, as it trained."""
    network.train()
    total = torch.zeros(len(tasks), 2, device=device)
    for step in batches:
        numbers = [part.to(device) for part in step]
        y = [task.y[part] for task, part in zip(tasks, numbers, strict=True)]
        logits = network([task.windows(part) for task, part in zip(tasks, numbers, strict=True)])
        losses = joint_loss(logits, y)
        solver.zero_grad()
        torch.stack(losses).sum().backward()
        solver.step()
        for k, (loss, given, truth) in enumerate(zip(losses, logits, y, strict=True)):
            total[k, 0] += loss.detach() * len(truth)
            total[k, 1] += (given.detach().argmax(1) == truth).sum()
    counts = torch.tensor([len(task.y) for task in tasks], device=device)
    means = (total / counts[:, None]).tolist()
    return [(loss, accuracy) for loss, accuracy in means]


@torch.inference_mode()
def classify(network: MultitaskNetwork, number: int, task: Task, device: torch.device) -> np.ndarray:
    """(m,) positions in ``task.classes`` of the test pixels.

    The first convolution, which pads nothing, is computed once per pixel of a strip rather than once per window;
    the result is that of window by window.
    """
    network.eval()
    cube, pixels, half = task.scene.cube, task.split.test, network.window // 2
    left, right = int(pixels[:, 1].min()), int(pixels[:, 1].max())
    columns = np.arange(left - half, right + half + 1).clip(0, cube.shape[1] - 1)
    classes = np.zeros(len(pixels), dtype=np.int64)
    for top in range(int(pixels[:, 0].min()), int(pixels[:, 0].max()) + 1, _ROWS):
        mine = np.flatnonzero((pixels[:, 0] >= top) & (pixels[:, 0] < top + _ROWS))
        if not mine.size:
            continue
        rows = np.arange(top - half, top + _ROWS + half).clip(0, cube.shape[0] - 1)
        values = np.asarray(cube[rows[:, None], columns], dtype=np.float32) @ task.matrix
        maps = network.entry(number, torch.from_numpy(values).permute(2, 0, 1)[None].to(device))[0]
        side = maps.shape[1] - _ROWS + 1
        windows = maps.unfold(1, side, 1).unfold(2, side, 1)
        for part in np.array_split(mine, -(-mine.size // BATCH)):
            at = torch.from_numpy(pixels[part] - (top, left)).to(device)
            features = network.features(number, windows[:, at[:, 0], at[:, 1]].movedim(0, 1))
            classes[part] = network.heads[number](features).argmax(1).cpu().numpy()
    return classes
