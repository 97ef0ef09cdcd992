"""The margins of margin-softmax losses: what becomes of the true class's cosine before the scale.

Functions of tensors. Knows no weights, no scale and no state: visavis.train.heads does. Every
function computes in the precision it gets; cosines are (N,) unless their shape is given.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

# The arc cosine's slope is infinite at 1: this far from it, 707 in float32.
EDGE = 1e-6
ADAFACE_EDGE = 1e-3  # its paper's epsilon, of cosines and of angles
LEAST_LAMBDA, BASE_LAMBDA, GAMMA = 5.0, 1000.0, 0.12  # SphereFace's annealing


def angle(cosine: Tensor) -> Tensor:
    """The angle of a cosine, with a finite slope everywhere."""
    return torch.acos(cosine.clamp(-1 + EDGE, 1 - EDGE))


def straight_through(cosine: Tensor, target: Tensor) -> Tensor:
    """The value of `target` with the gradient of `cosine`: what arcface_torch trains with.

    Its heads edit logits where no gradient is recorded. No arc cosine is differentiated, and the
    gradient does not turn round past pi - margin.
    """
    return cosine + (target - cosine).detach()


def cosface(cosine: Tensor, margin: float | Tensor = 0.4) -> Tensor:
    """cos - m: Wang et al., CosFace, CVPR 2018, equation 4."""
    return cosine - margin


def arcface(cosine: Tensor, margin: float | Tensor = 0.5, tail: str = "none") -> Tensor:
    """cos(theta + m): Deng et al., ArcFace, CVPR 2019, equation 3; `tail` is one of TAILS."""
    return TAILS[tail](cosine, torch.as_tensor(margin, dtype=cosine.dtype, device=cosine.device))


def _no_tail(cosine: Tensor, margin: Tensor) -> Tensor:
    return torch.cos(angle(cosine) + margin)


def _clip(cosine: Tensor, margin: Tensor) -> Tensor:
    return torch.cos((angle(cosine) + margin).clamp(1e-4, math.pi - 1e-4))


def _linear(cosine: Tensor, margin: Tensor) -> Tensor:
    below = cosine - margin * torch.sin(margin)
    return torch.where(cosine > -torch.cos(margin), _no_tail(cosine, margin), below)


def _easy(cosine: Tensor, margin: Tensor) -> Tensor:
    return torch.where(cosine > 0, _no_tail(cosine, margin), cosine)


def _mirror(cosine: Tensor, margin: Tensor) -> Tensor:
    arc = _no_tail(cosine, margin)
    return torch.where(cosine > -torch.cos(margin), arc, -2 - arc)


def _lesser(cosine: Tensor, margin: Tensor) -> Tensor:
    return torch.minimum(_no_tail(cosine, margin), cosine)


# What six implementations of ArcFace do where theta + m passes pi.
TAILS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "none": _no_tail,  # arcface_torch, ElasticFace: the target rises again
    "clip": _clip,  # AdaFace's: the angle stops short of pi
    "linear": _linear,  # foamliu, CurricularFace: cos - m sin m, with a jump
    "easy": _easy,  # MagFace's default: no margin at angles past 90 degrees
    "mirror": _mirror,  # Keras_insightface: goes on falling, without a jump
    "lesser": _lesser,  # Keras_insightface's MagFace: never above the cosine
}


def combined(cosine: Tensor, multiple: float, added: float, subtracted: float) -> Tensor:
    """cos(m1 theta + m2) - m3: Deng et al., ArcFace, CVPR 2019, equation 4, all three at work."""
    return torch.cos(multiple * angle(cosine) + added) - subtracted


def sphereface(cosine: Tensor, multiple: float = 4.0) -> Tensor:
    """(-1)^k cos(m theta) - 2k, which falls from 0 to pi: Liu et al., SphereFace, CVPR 2017."""
    turned = multiple * angle(cosine)
    k = torch.floor(turned.detach() / math.pi)
    return (1 - 2 * torch.remainder(k, 2)) * torch.cos(turned) - 2 * k


def annealing(step: int) -> float:
    """SphereFace's lambda: how much cos weighs beside its own target, which weighs 1."""
    return max(LEAST_LAMBDA, BASE_LAMBDA / (1 + GAMMA * step))


def magface_margin(norms: Tensor, norm: tuple[float, float], margin: tuple[float, float]) -> Tensor:
    """A margin that grows with an embedding's length: Meng et al., MagFace, CVPR 2021."""
    slope = (margin[1] - margin[0]) / (norm[1] - norm[0])
    return slope * (norms.clamp(*norm) - norm[0]) + margin[0]


def magface_penalty(norms: Tensor, norm: tuple[float, float]) -> Tensor:
    """a / u^2 + 1 / a, meant over the batch: it pulls embeddings to their greatest length."""
    a = norms.clamp(*norm)
    return (a / norm[1] ** 2 + 1 / a).mean()


def magface_least_penalty(
    norm: tuple[float, float], margin: tuple[float, float], scale: float
) -> float:
    """The least weight of the penalty with which the loss has one minimum: the paper's lemma 1."""
    slope = (margin[1] - margin[0]) / (norm[1] - norm[0])
    low, high = norm[0] ** 2, norm[1] ** 2
    return scale * slope * low * high / (high - low)


def elastic_order(cosine: Tensor, margins: Tensor) -> Tensor:
    """ElasticFace+: the largest of the margins to the smallest cosine (Boutros et al., 2022).

    The paper's code permutes by the wrong one of two permutations, so that its order is random.
    """
    ordered = torch.empty_like(margins)
    ordered[cosine.argsort()] = margins.sort(descending=True).values
    return ordered


def adaface(cosine: Tensor, scaler: Tensor | float, margin: float = 0.4) -> Tensor:
    """cos(theta - m z) - (m + m z): Kim et al., AdaFace, CVPR 2022, equation 7.

    `scaler` z, -1 to 1, is how long an embedding is for its batch: how good its picture is.
    """
    theta = torch.acos(cosine.clamp(-1 + ADAFACE_EDGE, 1 - ADAFACE_EDGE))
    turned = (theta - margin * scaler).clamp(ADAFACE_EDGE, math.pi - ADAFACE_EDGE)
    return torch.cos(turned) - (margin + margin * scaler)


def adaface_scaler(norms: Tensor, mean: Tensor, std: Tensor, h: float) -> Tensor:
    """AdaFace's z: how many deviations from the mean a norm is, times h, within -1 and 1."""
    return (h * (norms - mean) / (std + ADAFACE_EDGE)).clamp(-1, 1)


def harden(cosine: Tensor, target: Tensor, hardness: Tensor) -> Tensor:
    """CurricularFace: (N, C) cosines, those above their row's (N,) target times t + cos.

    Huang et al., CurricularFace, CVPR 2020, equation 5.
    """
    return torch.where(cosine > target[:, None], cosine * (hardness + cosine), cosine)


def uniface(target: Tensor, others: Tensor, bias: Tensor, balance: float = 1.0) -> Tensor:
    """The unified loss of scaled (N,) targets and (N, C) others, -inf where they are none.

    Zhou et al., UniFace, ICCV 2023: each logit against one learnt bias, so that bias / scale is
    the cosine that separates same from different.
    """
    apart = functional.softplus(others - bias).sum(1)
    return (functional.softplus(bias - target) + balance * apart).mean()


def without_alike(cosine: Tensor, labels: Tensor, above: float) -> Tensor:
    """Inter-class filtering: (N, C) cosines of other classes above a bound become 0.

    An et al., Partial FC, CVPR 2022: two classes that are one person do not push each other away.
    """
    other = torch.ones_like(cosine, dtype=torch.bool)
    rows = torch.nonzero(labels >= 0).flatten()
    other[rows, labels[rows]] = False
    return torch.where(other & (cosine > above), torch.zeros_like(cosine), cosine)
