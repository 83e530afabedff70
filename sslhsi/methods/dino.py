"""DINO: a student predicts a teacher's soft assignment of another view; the teacher is its moving average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import ProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsi.methods.base import Batch, Method, register_method
from sslhsi.methods.momentum import full_precision, momentum_copy
from sslhsi.recipe import Count, Positive, Rate, Share, Views
from sslhsi.recipe_file import Section

# Least area of a local crop as a share of the window's, as in the paper.
LOCAL_CROP = 0.05


class Head(nn.Module):
    """(N, F) features -> (N, output) cosines with a prototype each, through three layers and a bottleneck.

    As the paper's head with a last layer of unit norm. lightly's can't be copied for a teacher: its weight
    normalisation holds a tensor that is no leaf.
    """

    def __init__(self, features: int, hidden: int, bottleneck: int, output: int) -> None:
        super().__init__()
        self.layers = ProjectionHead(
            [
                (features, hidden, None, nn.GELU()),
                (hidden, hidden, None, nn.GELU()),
                (hidden, bottleneck, None, None),
            ]
        )
        for layer in self.layers.layers:
            if isinstance(layer, nn.Linear):
                # 0.02 at the paper's width of 2048; narrower layers would shrink to nothing with that.
                nn.init.trunc_normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Linear(bottleneck, output, bias=False)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """The cosines, in float32 at least; ``frozen`` keeps gradients from the prototypes."""
        points = F.normalize(full_precision([self.layers(x)])[0], dim=1)
        with torch.autocast(x.device.type, enabled=False):
            prototypes = F.normalize(self.prototypes.weight, dim=1)
            if frozen:
                # A gradient of zero rather than none, which processes that average gradients would wait for. Weight
                # decay shortens the rows and leaves their directions.
                prototypes = prototypes.detach() + 0 * prototypes
            return F.linear(points, prototypes)


@register_method("dino")
class DINO(Method):
    """Caron et al. 2021, arXiv:2104.14294: self-distillation with centring and a sharp teacher; no negatives.

    The teacher is a momentum encoder of backbone and head, and is what is exported, as in the paper. It normalises
    by the statistics of its batch where its network does, as :class:`~sslhsi.methods.byol.BYOL`'s does. The centre
    is a moving average over the views and samples of all processes, kept in the checkpoint.
    """

    class Options(Section):
        """Temperatures, head, moving averages and further crops."""

        temperature: Rate = Field(default=0.1, description="of the student")
        teacher_temperature: Rate = Field(default=0.04, description="of the teacher, after its warm-up")
        first_temperature: Rate = Field(default=0.04, description="of the teacher at the first step")
        temperature_warmup: Share = Field(default=0.3, description="share of all steps that the teacher's takes")
        hidden: Positive = Field(default=512, description="width of the head")
        bottleneck: Positive = Field(default=128, description="width before the prototypes")
        output: Positive = Field(default=1024, description="prototypes")
        momentum: Share = Field(
            default=0.996, description="of the teacher at the first step; rises to 1 along half a cosine"
        )
        center_momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="of the centre")
        frozen_prototypes: Share = Field(default=0.01, description="share of all steps before prototypes are trained")
        local_views: Count = Field(default=0, description="small crops that the student sees besides both views")

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        features = int(backbone.num_features)  # type: ignore[arg-type]
        self.head = Head(features, options.hidden, options.bottleneck, options.output)
        self.momentum_backbone, self.momentum_head = momentum_copy(backbone), momentum_copy(self.head)
        self.criterion = DINOLoss(
            options.output, student_temp=options.temperature, center_momentum=options.center_momentum
        )
        self.options = options

    def view_settings(self, views: Views) -> Sequence[Views]:
        """Two views as the recipe has them, and local crops of at most the least area that those have."""
        least = views.crop[0]
        local = views.model_copy(update={"crop": (min(LOCAL_CROP, least), least)})
        return views, views, *[local] * self.options.local_views

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        frozen = batch.step < self.options.frozen_prototypes * batch.steps
        students = [self.head(self.backbone(view), frozen) for view in batch.views]
        with torch.no_grad():
            teachers = [self.momentum_head(self.momentum_backbone(view)) for view in batch.views[:2]]
        with torch.autocast(batch.views[0].device.type, enabled=False):
            # Takes the centre of this step's outputs up for the next.
            loss = self.criterion(teachers, students, teacher_temp=self.teacher_temperature(batch.step, batch.steps))
        return loss, {}

    def teacher_temperature(self, step: int, steps: int) -> float:
        """Linear from ``first_temperature`` on during the warm-up, then ``teacher_temperature``."""
        warmup = self.options.temperature_warmup * steps
        reached = min(1.0, step / warmup) if warmup else 1.0
        first = self.options.first_temperature
        return first + reached * (self.options.teacher_temperature - first)

    def after_step(self, step: int, steps: int) -> None:
        momentum = cosine_schedule(step, steps, self.options.momentum, 1.0)
        update_momentum(self.backbone, self.momentum_backbone, momentum)
        update_momentum(self.head, self.momentum_head, momentum)

    def exported(self) -> nn.Module:
        """The teacher's backbone."""
        return self.momentum_backbone
