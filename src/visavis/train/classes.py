"""A row of weights for each class, in shares between processes, of which a step may use a part.

An et al., Partial FC, CVPR 2022. Knows weights and processes. Knows no margin's formula.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from visavis.errors import ConfigurationError
from visavis.train import margins
from visavis.train.heads import WHOLE, MarginOptions, build_margin

BLOCK = 4096  # classes whose first rows are drawn together
SQUARES = 0.999  # AdamW's second beta
LEAST_WIDTH = 1e-8  # its epsilon
INITIAL = 0.01  # standard deviation of new rows: arcface_torch's


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes train together, and which this one is."""

    count: int = 1
    rank: int = 0

    def share(self, total: int) -> slice:
        """This process's part of so many things in a row; the first ones have one more."""
        each, over = divmod(total, self.count)
        start = each * self.rank + min(self.rank, over)
        return slice(start, start + each + (self.rank < over))

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over rows, which each process has all, and columns, of which it has a part."""
        if self.count == 1:
            return functional.cross_entropy(logits, labels)
        loss: Tensor = _SharedCrossEntropy.apply(logits, labels)
        return loss

    def once(self, tensor: Tensor) -> Tensor:
        """The tensor, whose gradient is divided among the processes that all compute it."""
        share = tensor / self.count
        return share + (tensor - share).detach()

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in their order, with gradient."""
        if self.count == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self)
        return gathered


ALONE = Processes()


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """How class weights are held and used, whatever the margin."""

    rate: float = 1.0  # of the classes, what a step uses: those in the batch, others at random
    centres: int = 1  # rows for each class, of which the nearest counts: sub-centre ArcFace
    filter_above: float = 0.0  # other classes' cosines above it do not count; 0: all count


class Head(nn.Module):
    """(N, dim) raw embeddings and (N,) labels of one process to the mean loss of all processes.

    It computes in float32 whatever the backbone does: a cosine of nearly 1 rounds to 1 in half
    precision, where the arc cosine has no slope. `step` moves the rows that a step has used, by
    SGD; with a rate below 1 the others do not move at all.
    """

    momentum: Tensor
    squares: Tensor  # means of gradients' squares, where AdamW moves the rows

    def __init__(
        self,
        margin: nn.Module,
        classes: int,
        dim: int,
        options: HeadOptions = HeadOptions(),
        processes: Processes = ALONE,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.margin, self.classes = margin, classes
        self.options, self.processes = options, processes
        self.share = processes.share(classes)
        self._seed, self._step = seed, 0
        rows = (self.share.stop - self.share.start) * options.centres
        self.weight = nn.Parameter(torch.empty(rows, dim), requires_grad=options.rate >= 1)
        self.register_buffer("momentum", torch.zeros(rows, dim))
        self.register_buffer("squares", torch.zeros(0, dim))
        self.adam = False
        self._draw()
        self._used: tuple[Tensor, Tensor] | None = None  # rows, and their weights

    @torch.no_grad()
    def _draw(self) -> None:
        """New rows, each the same however many processes share them."""
        centres, dim = self.options.centres, self.weight.shape[1]
        for first in range(self.share.start // BLOCK * BLOCK, self.share.stop, BLOCK):
            random = torch.Generator().manual_seed((self._seed << 32) + first)
            drawn = INITIAL * torch.randn(BLOCK, centres * dim, generator=random)
            mine = slice(max(first, self.share.start), min(first + BLOCK, self.share.stop))
            rows = drawn[mine.start - first : mine.stop - first].reshape(-1, dim)
            start = (mine.start - self.share.start) * centres
            self.weight[start : start + len(rows)] = rows

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            rows = self.processes.gather(embeddings.float())
            labels = self.processes.gather(labels)
            mine = (labels >= self.share.start) & (labels < self.share.stop)
            labels = torch.where(mine, labels - self.share.start, -1)
            weight, labels = self._sample(labels)
            norms = rows.norm(dim=1).clamp_min(1e-8)
            cosine = self._cosines(rows / norms[:, None], weight)
            if self.options.filter_above > 0:
                cosine = margins.without_alike(cosine, labels, self.options.filter_above)
            loss: Tensor = self.margin(cosine, labels, norms, self.processes)
            return loss

    def _cosines(self, units: Tensor, weight: Tensor) -> Tensor:
        cosine = functional.linear(units, functional.normalize(weight)).clamp(-1, 1)
        centres = self.options.centres
        return cosine if centres == 1 else cosine.unflatten(1, (-1, centres)).amax(2)

    def _sample(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of this step, and the labels as columns of theirs."""
        if self.options.rate >= 1:
            self._used = labels, self.weight
            return self.weight, labels
        used = self._classes_of(labels)
        centres = self.options.centres
        rows = (used[:, None] * centres + torch.arange(centres, device=used.device)).flatten()
        leaf = self.weight[rows].requires_grad_()
        self._used = rows, leaf
        columns = torch.searchsorted(used, labels.clamp_min(0))
        return leaf, torch.where(labels >= 0, columns, -1)

    def _classes_of(self, labels: Tensor) -> Tensor:
        """The classes of the batch, and others at random up to the rate; the same for one seed and
        step, however training was interrupted.
        """
        count = self.share.stop - self.share.start
        wanted = int(self.options.rate * count)
        present = labels[labels >= 0].unique()
        if len(present) >= wanted:
            return present
        seed = hash((self._seed, self.processes.rank, self._step)) & (2**63 - 1)
        random = torch.Generator(labels.device).manual_seed(seed)
        scores = torch.rand(count, generator=random, device=labels.device)
        scores[present] = 2
        return scores.topk(wanted).indices.sort().values

    def use_adam(self) -> None:
        """Move rows by AdamW from now on, whose first beta is `momentum`: twice the memory."""
        self.squares, self.adam = torch.zeros_like(self.momentum), True

    def begin(self, step: int) -> None:
        """Say which step comes: the classes that it uses follow from it."""
        self._step = step

    @torch.no_grad()
    def step(self, rate: float, *, momentum: float, decay: float, scale: float = 1.0) -> None:
        """Move the rows that the last step used, as SGD does, and forget their gradient, which is
        `scale` times as large as the loss's.
        """
        if self._used is None:
            return
        rows, leaf = self._used
        if (gradient := leaf.grad) is None:
            return
        gradient = gradient / scale if scale != 1 else gradient
        if self.adam:
            whole = self.options.rate >= 1
            self._adam(slice(None) if whole else rows, gradient, rate, momentum, decay)
        elif self.options.rate >= 1:
            self.momentum.mul_(momentum).add_(gradient).add_(leaf, alpha=decay)
            leaf.sub_(self.momentum, alpha=rate)
        else:
            moved = self.momentum[rows].mul_(momentum).add_(gradient).add_(leaf, alpha=decay)
            self.momentum[rows] = moved
            self.weight[rows] = leaf - rate * moved
        leaf.grad = None
        self._used = None

    def _adam(
        self, rows: Tensor | slice, gradient: Tensor, rate: float, momentum: float, decay: float
    ) -> None:
        """AdamW of some rows: Loshchilov and Hutter, ICLR 2019. Means of rows that rest stay."""
        mean = self.momentum[rows] * momentum + (1 - momentum) * gradient
        square = self.squares[rows] * SQUARES + (1 - SQUARES) * gradient.square()
        self.momentum[rows], self.squares[rows] = mean, square
        steps = self._step + 1
        step = mean / (1 - momentum**steps)
        width = (square / (1 - SQUARES**steps)).sqrt() + LEAST_WIDTH
        self.weight[rows] = self.weight[rows] * (1 - rate * decay) - rate * step / width


def build_head(
    margin: str,
    classes: int,
    dim: int,
    said: MarginOptions,
    options: HeadOptions = HeadOptions(),
    processes: Processes = ALONE,
    *,
    seed: int = 0,
) -> Head:
    """A head by its margin's name.

    Raises ConfigurationError for options that there are not, or that do not go together.
    """
    if margin in WHOLE and (processes.count > 1 or options.rate < 1):
        raise ConfigurationError(
            f"{margin} needs all classes at every step, in one process",
            mend="sample none (rate=1), and train in one process, or choose another margin",
        )
    return Head(build_margin(margin, said, classes), classes, dim, options, processes, seed=seed)


class _Gather(torch.autograd.Function):
    """Rows of all processes; a row's gradient is the sum of all processes' gradients of it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes) -> Tensor:
        ctx.processes, ctx.rows = processes, len(rows)
        parts = [torch.empty_like(rows) for _ in range(processes.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        whole = gradients[0].contiguous()
        dist.all_reduce(whole)
        start = ctx.processes.rank * ctx.rows
        # Training takes the mean over processes of a backbone's gradients, where the sum is meant.
        return whole[start : start + ctx.rows] * ctx.processes.count, None


class _SharedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of rows whose columns lie in several processes."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        most = logits.amax(1)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        powers = (logits - most[:, None]).exp()
        total = powers.sum(1)
        dist.all_reduce(total)
        rows = torch.nonzero(labels >= 0).flatten()
        true = torch.zeros_like(most)
        true[rows] = logits[rows, labels[rows]]
        dist.all_reduce(true)
        gradient = powers / total[:, None]
        gradient[rows, labels[rows]] -= 1
        ctx.save_for_backward(gradient / len(logits))
        return (total.log() + most - true).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None
