"""Margins with their state: scale, statistics, schedule. Each turns cosines into a loss.

Knows what lies between cosines and a loss. Knows no class weights and no processes:
visavis.train.classes does. A label of -1 is a class that is not among these columns.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from visavis.errors import ConfigurationError, did_you_mean
from visavis.train import margins

Target = Callable[[Tensor], Tensor]
GRADIENTS = ("exact", "straight_through")


class Loss(Protocol):
    """How the mean loss is taken of logits whose columns may be shared between processes."""

    def cross_entropy(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """The mean over all rows and all columns."""

    def once(self, tensor: Tensor, /) -> Tensor:
        """A tensor that every process has whole: its gradient counts once."""


class Margin(Protocol):
    """(N, C) cosines, (N,) labels and (N,) norms to the mean loss."""

    def __call__(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class MarginOptions:
    """What the margins can be told: each reads what its formula has."""

    scale: float = 64.0
    margin: float = 0.5  # radians added (arcface), cosine subtracted (cosface), m of the others
    tail: str = "none"  # of arcface, past theta + m = pi: one of margins.TAILS
    gradient: str = "exact"  # or straight_through, as arcface_torch has it
    multiple: float = 1.0  # m1 of combined; m of sphereface
    subtracted: float = 0.0  # m3 of combined; `margin` is its m2
    norm: tuple[float, float] = (10.0, 110.0)  # of magface: least and greatest length
    norm_margin: tuple[float, float] = (0.45, 0.8)  # of magface: the margins at these lengths
    penalty: float = 35.0  # weight of magface's regulariser
    deviation: float = 0.05  # of elastic margins
    h: float = 0.333  # of adaface: the concentration
    memory: float = 0.99  # of adaface's and curricularface's moving statistics


def with_target(cosine: Tensor, labels: Tensor, function: Target) -> Tensor:
    """(N, C) cosines with `function` of the true class's in its place."""
    rows = torch.nonzero(labels >= 0).flatten()
    changed = cosine.clone()
    changed[rows, labels[rows]] = function(cosine[rows, labels[rows]])
    return changed


class PlainMargin(nn.Module):
    """A margin without state: softmax, cosface, arcface, combined."""

    def __init__(self, target: Target, options: MarginOptions) -> None:
        super().__init__()
        self._target, self._options = target, options

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        logits = with_target(cosine, labels, _with_gradient(self._target, self._options))
        return loss.cross_entropy(self._options.scale * logits, labels)


class SphereFace(nn.Module):
    """Annealed, on embeddings of their own length: the original's step is a number that a
    checkpoint loses; here it is kept.
    """

    step: Tensor

    def __init__(self, options: MarginOptions) -> None:
        super().__init__()
        self._options = options
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        weight = 1 / (1 + margins.annealing(int(self.step)))
        if self.training:
            self.step += 1

        def target(true: Tensor) -> Tensor:
            return true + weight * (margins.sphereface(true, self._options.multiple) - true)

        logits = with_target(cosine, labels, _with_gradient(target, self._options))
        return loss.cross_entropy(norms[:, None] * logits, labels)


class MagFace(nn.Module):
    """A margin by length, and a regulariser that has a gradient: added to the loss, where a number
    added to every logit would vanish in the softmax.
    """

    def __init__(self, options: MarginOptions) -> None:
        super().__init__()
        self._options = options

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        said = self._options
        margin = margins.magface_margin(norms, said.norm, said.norm_margin)[labels >= 0]
        logits = with_target(
            cosine, labels, _with_gradient(partial(_arcface, margin=margin, tail=said.tail), said)
        )
        penalty = margins.magface_penalty(loss.once(norms), said.norm)
        return loss.cross_entropy(said.scale * logits, labels) + said.penalty * penalty


class ElasticFace(nn.Module):
    """A margin drawn anew for each row; with `ordered` the hardest row gets the largest."""

    def __init__(self, options: MarginOptions, *, arc: bool, ordered: bool) -> None:
        super().__init__()
        self._options, self._ordered = options, ordered
        self._with_margin = _arcface if arc else margins.cosface

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        said = self._options
        drawn = said.margin + said.deviation * torch.randn_like(norms)
        mine = drawn[labels >= 0]

        def target(true: Tensor) -> Tensor:
            ordered = margins.elastic_order(true.detach(), mine) if self._ordered else mine
            return self._with_margin(true, ordered)

        logits = with_target(cosine, labels, _with_gradient(target, said))
        return loss.cross_entropy(said.scale * logits, labels)


class AdaFace(nn.Module):
    """A margin by an embedding's length among those of late. Its buffers have the original's
    names; they move in training alone.
    """

    batch_mean: Tensor
    batch_std: Tensor

    def __init__(self, options: MarginOptions) -> None:
        super().__init__()
        self._options = options
        self.register_buffer("batch_mean", torch.tensor([20.0]))
        self.register_buffer("batch_std", torch.tensor([100.0]))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        said = self._options
        lengths = norms.detach().clamp(1e-3, 100)
        if self.training and len(lengths) > 1:
            self.batch_mean.lerp_(lengths.mean(), 1 - said.memory)
            self.batch_std.lerp_(lengths.std(), 1 - said.memory)
        scaler = margins.adaface_scaler(lengths, self.batch_mean, self.batch_std, said.h)
        target = partial(margins.adaface, scaler=scaler[labels >= 0], margin=said.margin)
        bounded = cosine.clamp(-1 + margins.ADAFACE_EDGE, 1 - margins.ADAFACE_EDGE)
        logits = with_target(bounded, labels, _with_gradient(target, said))
        return loss.cross_entropy(said.scale * logits, labels)


class CurricularFace(nn.Module):
    """Hard other classes weigh more as training goes on; needs all classes in one process."""

    hardness: Tensor

    def __init__(self, options: MarginOptions) -> None:
        super().__init__()
        self._options = options
        self.register_buffer("hardness", torch.zeros(1))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        said = self._options
        true = cosine.gather(1, labels[:, None])[:, 0]
        if self.training:
            self.hardness.lerp_(true.detach().mean(), 1 - said.memory)
        # Which classes are hard is asked of the margined cosine without a tail.
        bound = margins.arcface(true.detach(), said.margin)
        hard = margins.harden(cosine, bound, self.hardness)
        target = partial(_arcface, margin=said.margin, tail=said.tail)
        logits = hard.scatter(1, labels[:, None], _with_gradient(target, said)(true)[:, None])
        return loss.cross_entropy(said.scale * logits, labels)


class UniFace(nn.Module):
    """The unified loss: `threshold` is the cosine that it separates people at. Needs all classes in
    one process.
    """

    def __init__(self, options: MarginOptions, classes: int) -> None:
        super().__init__()
        self._options = options
        self.bias = nn.Parameter(torch.tensor([math.log(10 * classes)]))

    @property
    def threshold(self) -> float:
        """The learnt bias as a cosine."""
        return self.bias.item() / self._options.scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, loss: Loss) -> Tensor:
        scale = self._options.scale
        true = scale * (cosine.gather(1, labels[:, None])[:, 0] - self._options.margin)
        others = (scale * cosine).scatter(1, labels[:, None], -math.inf)
        return margins.uniface(true, others, self.bias)


def _arcface(cosine: Tensor, margin: float | Tensor, tail: str = "none") -> Tensor:
    return margins.arcface(cosine, margin, tail)


def _with_gradient(target: Target, options: MarginOptions) -> Target:
    if options.gradient == "exact":
        return target
    return lambda cosine: margins.straight_through(cosine, target(cosine))


def _plain(target: Callable[[MarginOptions], Target]) -> Callable[[MarginOptions, int], nn.Module]:
    return lambda options, classes: PlainMargin(target(options), options)


def _combined(o: MarginOptions) -> Target:
    return partial(margins.combined, multiple=o.multiple, added=o.margin, subtracted=o.subtracted)


# By name: options and a number of classes to a Margin.
MARGINS: Mapping[str, Callable[[MarginOptions, int], nn.Module]] = {
    "softmax": _plain(lambda o: lambda cosine: cosine),
    "cosface": _plain(lambda o: partial(margins.cosface, margin=o.margin)),
    "arcface": _plain(lambda o: partial(_arcface, margin=o.margin, tail=o.tail)),
    "combined": _plain(_combined),
    "sphereface": lambda o, classes: SphereFace(o),
    "magface": lambda o, classes: MagFace(o),
    "elastic_arc": lambda o, classes: ElasticFace(o, arc=True, ordered=False),
    "elastic_arc_plus": lambda o, classes: ElasticFace(o, arc=True, ordered=True),
    "elastic_cos": lambda o, classes: ElasticFace(o, arc=False, ordered=False),
    "elastic_cos_plus": lambda o, classes: ElasticFace(o, arc=False, ordered=True),
    "adaface": lambda o, classes: AdaFace(o),
    "curricularface": lambda o, classes: CurricularFace(o),
    "uniface": UniFace,
}
WHOLE = ("curricularface", "uniface")  # their formulas need all classes in one process


def build_margin(name: str, options: MarginOptions, classes: int) -> nn.Module:
    """A margin by name. Raises ConfigurationError for a name or an option that there is not."""
    for value, known, what in (
        (name, tuple(MARGINS), "margin"),
        (options.tail, tuple(margins.TAILS), "tail"),
        (options.gradient, GRADIENTS, "gradient"),
    ):
        if value not in known:
            mend = did_you_mean(value, known)
            raise ConfigurationError(
                f"unknown {what} {value!r}; known: {', '.join(known)}", mend=mend
            )
    return MARGINS[name](options, classes)
