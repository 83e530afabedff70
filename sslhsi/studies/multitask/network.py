"""One feature extractor for several tasks, with a classifier for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsi.backbones.base import gaussian_
from sslhsi.backbones.build import BackboneConfig, build_backbone
from sslhsi.errors import InputError
from sslhsi.finetune.cost import count_macs

# The layers that see the bands: what the letter calls the first convolution.
FIRST: dict[str, tuple[str, ...]] = {"hresnet": ("conv_a", "conv_b"), "ccnn": ("bank_1", "bank_3", "bank_5")}
WINDOWS = {"hresnet": 9, "ccnn": 5}
# Of the batch normalisations in the authors' code (Keras); inputs between 0 and 1 leave the first convolution
# with variances of this order, so that it is not the same as PyTorch's 1e-5.
EPSILON = 1e-3
MOMENTUM = 0.1
STD = 0.01


class TaskNorm(nn.Module):
    """Batch normalisation with one scale and offset for all tasks, and statistics of each task alone.

    Args:
        norm: What it takes the place of; its scale and offset are taken over.
        tasks: Number of tasks; ``task`` says whose statistics count.
    """

    def __init__(self, norm: nn.BatchNorm2d, tasks: int) -> None:
        super().__init__()
        self.weight, self.bias, self.task = norm.weight, norm.bias, 0
        # Separate buffers: what one task's pass updates must not be part of what another's backward pass needs.
        for number in range(tasks):
            self.register_buffer(f"mean_{number}", torch.zeros(norm.num_features))
            self.register_buffer(f"variance_{number}", torch.ones(norm.num_features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of one task."""
        mean, variance = getattr(self, f"mean_{self.task}"), getattr(self, f"variance_{self.task}")
        # A single value has no spread.
        training = self.training and x.numel() > len(mean)
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training, MOMENTUM, EPSILON)


class MultitaskNetwork(nn.Module):
    """HResNet or CCNN shared by several tasks, each with a linear classifier for its classes.

    Liu and Shi, "Multitask Deep Learning With Spectral Knowledge for Hyperspectral Image Classification", IEEE
    GRSL 17(12), 2020 (arXiv:1905.04535), equation 3. Batch normalisations take their statistics from each task alone,
    in training, as layers that Keras shares between inputs do, and for prediction. The letter is silent on this. With
    statistics of all tasks together Salinas-A fell from 97 % to 79 % (shared first layer, 5 per class, 2 seeds); the
    choice was made on those very figures.

    Weights are drawn from N(0, 0.01^2), biases are zero. At 103 bands the shared features have 133,504
    (HResNet) or 628,736 (CCNN) parameters, biases and one task's running statistics counted, for any number of
    tasks; separate first convolutions add 59,392 or 461,824 for every task but the first.

    Args:
        name: ``hresnet`` (window 9) or ``ccnn`` (window 5).
        bands: L, the same for all tasks.
        classes: Number of classes of each task.
        separate_first: Give every task a separate first convolution.

    Raises:
        InputError: The network is none of these two, or there is no task.
    """

    def __init__(self, name: str, bands: int, classes: Sequence[int], *, separate_first: bool = False) -> None:
        super().__init__()
        if name not in FIRST:
            raise InputError(f"multitask: network must be one of {', '.join(FIRST)}, not {name!r}")
        if not classes:
            raise InputError("multitask: there is no task to train for")
        self.window = WINDOWS[name]
        # Extractors of further tasks differ in nothing but the first convolution.
        config = BackboneConfig(architecture=name, window=self.window)
        made = [build_backbone(config, bands) for _ in (classes if separate_first else classes[:1])]
        for extractor in made[1:]:
            for child in dict(extractor.named_children()).keys() - set(FIRST[name]):
                setattr(extractor, child, getattr(made[0], child))
        self.extractors = nn.ModuleList(made)
        features: int = made[0].num_features  # type: ignore[assignment]
        self.heads = nn.ModuleList(nn.Linear(features, count) for count in classes)
        gaussian_(self.heads, STD)
        for name, layer in list(made[0].named_modules()):
            if isinstance(layer, nn.BatchNorm2d):
                norm = TaskNorm(layer, len(classes))
                parent, _, child = name.rpartition(".")
                for extractor in made:  # a layer of the shared part, which each holds by another name
                    setattr(extractor.get_submodule(parent), child, norm)

    def entry(self, task: int, x: Tensor) -> Tensor:
        """First convolution of a task on (N, L, H, W), as wide as it likes."""
        return self.extractors[task if len(self.extractors) > 1 else 0].entry(x)  # type: ignore[operator]

    def features(self, task: int, maps: Tensor) -> Tensor:
        """(N, M, S', S') maps of a task's first convolution -> (N, D)."""
        for layer in self.modules():
            if isinstance(layer, TaskNorm):
                layer.task = task
        shared = self.extractors[0]
        return shared.forward_head(shared.rest(maps), pre_logits=True)  # type: ignore[operator]

    def forward(self, batches: Sequence[Tensor]) -> list[Tensor]:
        """(N_t, L, S, S) windows of every task t -> (N_t, C_t) logits of every task."""
        # The first convolution knows nothing of tasks: where it is shared, one pass serves all.
        if len(self.extractors) == 1:
            maps = self.entry(0, torch.cat(list(batches))).split([len(x) for x in batches])
        else:
            maps = tuple(self.entry(task, x) for task, x in enumerate(batches))
        return [
            head(self.features(task, x)) if len(x) else x.new_zeros(0, head.out_features)
            for task, (head, x) in enumerate(zip(self.heads, maps, strict=True))
        ]


def joint_loss(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
    """Cross-entropy of each task, the mean over its samples of the batch; 0 where it has none."""
    return [F.cross_entropy(x, y) if len(y) else x.sum() for x, y in zip(logits, targets, strict=True)]


def joint_step_macs(network: MultitaskNetwork, bands: int, sizes: Sequence[int]) -> int:
    """Multiply-adds of one training step, forward and backward, counted on shapes alone.

    Args:
        network: As trained.
        bands: L.
        sizes: Samples of each task in the step.
    """
    side = network.window
    batches = [torch.empty((n, bands, side, side), device="meta") for n in sizes]
    targets = [torch.zeros(n, dtype=torch.int64, device="meta") for n in sizes]
    return count_macs(network, lambda image: torch.stack(joint_loss(image.train()(batches), targets)).sum())
