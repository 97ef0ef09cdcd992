"""What learns: a backbone, a head, an optimizer, and one step of them.

Knows tensors and processes. Knows no files and no pictures on disk.
"""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from visavis.checkpoints.embedder import NetworkEmbedder, to_pixels
from visavis.errors import ConfigurationError, DeviceError, ModelError
from visavis.train.backbones import TrainableBackbone
from visavis.train.classes import SQUARES, Head, Processes, build_head
from visavis.train.recipe import Recipe
from visavis.train.recompute import recompute_blocks
from visavis.types import Crops, Embedder

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PLACES = ("pos_embed",)  # of transformers: what a patch's place adds, which does not decay
NORMS = nn.modules.batchnorm._BatchNorm


def rate_at(recipe: Recipe, step: int, steps: int, epoch: int) -> float:
    """The learning rate of a step, of so many; `epoch` is an epoch's steps."""
    warm = recipe.warm_up * epoch
    if step < warm:
        return recipe.rate * (step + 1) / warm
    if recipe.schedule == "step":
        return recipe.rate * 0.1 ** sum(step >= drop * epoch for drop in recipe.drops)
    done = (step - warm) / max(1, steps - warm)
    if recipe.schedule == "cosine":
        return recipe.rate * (1 + math.cos(math.pi * done)) / 2
    return float(recipe.rate * (1 - done) ** recipe.power)


class Learner:
    """A run's weights and how they move; `mean` is what is kept: a moving mean, if there is one."""

    def __init__(
        self,
        recipe: Recipe,
        backbone: TrainableBackbone,
        classes: int,
        device: torch.device,
        processes: Processes,
        *,
        teacher: Embedder | None = None,
    ) -> None:
        if recipe.precision == "float16" and device.type == "cpu":
            raise DeviceError("float16 trains on a GPU alone", mend="say precision=bfloat16")
        if teacher and teacher.dim != recipe.dim:
            raise ConfigurationError(
                f"the teacher gives {teacher.dim} numbers, the recipe's dim is {recipe.dim}",
                mend=f"say dim={teacher.dim}",
            )
        self.recipe, self.device, self.processes = recipe, device, processes
        self.preprocess, self.teacher = backbone.preprocess, teacher
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.network = backbone.network.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.mean = copy.deepcopy(self.network) if recipe.average else self.network
        if recipe.recompute:
            recompute_blocks(self.network)
        self.head = self._head(classes)
        self.optimizer = self._optimizer()
        self.scaler = torch.amp.GradScaler(enabled=recipe.precision == "float16")
        self._layout = layout
        self._forward = self._wrapped()

    def _head(self, classes: int) -> Head | None:
        if self.recipe.head == "none":
            return None
        said = self.recipe
        head = build_head(
            said.head, classes, said.dim, said.margin, said.classes, self.processes, seed=said.seed
        )
        if said.optimizer == "adamw":
            head.use_adam()
        return head.to(self.device)

    def _optimizer(self) -> torch.optim.Optimizer:
        said = self.recipe
        if said.optimizer == "adamw":
            return torch.optim.AdamW(_groups(self), said.rate, (said.momentum, SQUARES))
        return torch.optim.SGD(_groups(self), said.rate, said.momentum)

    def _wrapped(self) -> Callable[[Tensor], Tensor]:
        forward: Any = self.network
        if self.processes.count > 1:
            with warnings.catch_warnings():
                # The option's new name is not in the earlier versions that we run on, too.
                warnings.simplefilter("ignore", FutureWarning)
                forward = DistributedDataParallel(forward, broadcast_buffers=False)
        return torch.compile(forward) if self.recipe.compile else forward  # type: ignore[no-any-return]

    def step(self, step: int, rate: float, crops: Crops, labels: np.ndarray[Any, Any]) -> float:
        """Learn from a batch; the mean loss. Raises ModelError where it is NaN, before any weight
        has moved.
        """
        self.network.train()
        if self.recipe.still:
            for module in self.network.modules():
                if isinstance(module, NORMS):
                    module.eval()
        # What is drawn in a step, by dropout or a margin, follows from the step alone.
        torch.manual_seed((self.recipe.seed << 32) + step)
        loss = self._loss(step, crops, torch.from_numpy(labels).to(self.device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(f"the loss is {value} at step {step}")
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self._move(step, rate)
        return value

    def _loss(self, step: int, crops: Crops, labels: Tensor) -> Tensor:
        x = to_pixels(crops, self.preprocess, self.device).contiguous(memory_format=self._layout)
        kind = TYPES[self.recipe.precision]
        with torch.autocast(self.device.type, kind, enabled=kind != torch.float32):
            rows = self._forward(x)  # (N, dim)
        loss = torch.zeros((), device=self.device)
        if self.head:
            self.head.begin(step)
            loss = self.head(rows, labels)
        if self.teacher:
            taught = torch.from_numpy(self.teacher(crops)).to(self.device)
            apart = 1 - functional.cosine_similarity(rows.float(), taught)
            loss = loss + self.recipe.teacher_weight * apart.mean()
        return loss

    def _move(self, step: int, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.optimizer)
        most = self.recipe.clip or math.inf
        length = nn.utils.clip_grad_norm_(_learning(self.network), most)
        finite = bool(length.isfinite())
        if not finite and not self.scaler.is_enabled():
            raise ModelError(f"the gradient is {length:g} long at step {step}")
        self.scaler.step(self.optimizer)
        if self.head and finite:
            scale = self.scaler.get_scale()
            said = self.recipe
            self.head.step(rate, momentum=said.momentum, decay=said.decay, scale=scale)
        self.scaler.update()
        self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        if self.mean is self.network:
            return
        ours = self.network.state_dict()
        for name, tensor in self.mean.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(ours[name], 1 - self.recipe.average)
            else:
                tensor.copy_(ours[name])

    def embedder(self, name: str) -> NetworkEmbedder:
        """What is kept, as an embedder."""
        said = self.recipe
        return NetworkEmbedder(name, said.dim, self.mean, self.preprocess, self.device)

    def state(self) -> dict[str, Any]:
        """Everything that a later run goes on from, on however many processes. Every process must
        ask for it.
        """
        head = self.head
        return {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "weight": _whole(head.weight.data, head) if head else None,
            "momentum": _whole(head.momentum, head) if head else None,
            "squares": _whole(head.squares, head) if head and head.adam else None,
            "margin": head.margin.state_dict() if head else None,
        }

    def take(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.head:
            share, centres = self.head.share, self.head.options.centres
            mine = slice(share.start * centres, share.stop * centres)
            self.head.weight.data.copy_(state["weight"][mine])
            self.head.momentum.copy_(state["momentum"][mine])
            if self.head.adam:
                self.head.squares.copy_(state["squares"][mine])
            self.head.margin.load_state_dict(state["margin"])


def _learning(network: nn.Module) -> list[nn.Parameter]:
    return [one for one in network.parameters() if one.requires_grad]


def _groups(learner: Learner) -> list[dict[str, Any]]:
    """Weights with decay; norms, biases and slopes, and a margin's own numbers, without."""
    learning = [pair for pair in learner.network.named_parameters() if pair[1].requires_grad]
    margin = list(learner.head.margin.parameters()) if learner.head else []
    decaying = [one for name, one in learning if one.ndim > 1 and name not in PLACES]
    others = [one for name, one in learning if one.ndim <= 1 or name in PLACES]
    return [
        {"params": decaying, "weight_decay": learner.recipe.decay},
        {"params": others + margin, "weight_decay": 0.0},
    ]


def _whole(rows: Tensor, head: Head) -> Tensor:
    """The rows of all processes, in the order of classes."""
    processes = head.processes
    if processes.count == 1:
        return rows
    shares = [
        Processes(processes.count, rank).share(head.classes) for rank in range(processes.count)
    ]
    sizes = [(share.stop - share.start) * head.options.centres for share in shares]
    padded = functional.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
