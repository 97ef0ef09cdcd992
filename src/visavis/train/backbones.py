"""The backbones that recipes name, each in the layout of a family of checkpoints.

What is trained here is read by whatever reads that family's files. Knows no loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from visavis.checkpoints.checkpoint import load_checkpoint
from visavis.checkpoints.families import FAMILIES, Family
from visavis.errors import CheckpointError, ConfigurationError, did_you_mean
from visavis.networks import ir, iresnet, mobile, mobilefacenet, vit
from visavis.runtime import Preprocess
from visavis.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Layout:
    """A network, and whose checkpoints have its keys."""

    family: str
    build: Callable[[int], nn.Module]  # of an embedding's numbers


@dataclass(frozen=True, slots=True)
class TrainableBackbone:
    """A network to train, and what it wants of a crop."""

    network: nn.Module
    family: Family
    preprocess: Preprocess


def _iresnet(depth: int) -> Layout:
    return Layout("arcface_torch", partial(iresnet.IResNet, depth))


def _ir(depth: int) -> Layout:
    return Layout("adaface", partial(ir.IR, depth))


def _vit(name: str) -> Layout:
    return Layout("arcface_torch_vit", partial(vit.ViT, vit.ARCFACE[name], masked=True))


BACKBONES = {
    **{f"iresnet{depth}": _iresnet(depth) for depth in (18, 34, 50, 100, 200)},
    "iresnet50_magface": Layout("magface", partial(iresnet.IResNet, 50, epsilon=2e-5)),
    "iresnet100_magface": Layout("magface", partial(iresnet.IResNet, 100, epsilon=2e-5)),
    **{f"ir{depth}": _ir(depth) for depth in (18, 34, 50, 101)},
    "mobilefacenet": Layout("arcface_torch_mbf", partial(mobilefacenet.MobileFaceNet, 2)),
    "foamliu": Layout("mobilefacenet_foamliu", mobile.Foamliu),
    **{f"vit_{name}": _vit(name) for name in ("t", "s", "b", "l")},
}


def build_backbone(recipe: Recipe) -> TrainableBackbone:
    """A recipe's network: new, with weights that follow from its seed, or a checkpoint's.

    Raises ConfigurationError for one that there is not, CheckpointError for a checkpoint of another
    layout, or of other numbers.
    """
    try:
        layout = BACKBONES[recipe.backbone]
    except KeyError:
        raise ConfigurationError(
            f"unknown backbone {recipe.backbone!r}; known: {', '.join(BACKBONES)}",
            mend=did_you_mean(recipe.backbone, BACKBONES),
        ) from None
    family = FAMILIES[layout.family]
    torch.manual_seed(recipe.seed)
    network = layout.build(recipe.dim)
    preprocess = family.preprocess
    if recipe.init:
        begun = load_checkpoint(Path(recipe.init), family=layout.family)
        preprocess = begun.preprocess
        _take(network, begun.network.state_dict(), recipe)
    _freeze(network, recipe)
    return TrainableBackbone(network, family, preprocess)


def _take(network: nn.Module, weights: dict[str, Tensor], recipe: Recipe) -> None:
    unlike = [
        key
        for key, tensor in network.state_dict().items()
        if key not in weights or weights[key].shape != tensor.shape
    ]
    if unlike:
        raise CheckpointError(
            f"{recipe.init}: no {recipe.backbone} of {recipe.dim} numbers: {unlike[0]} differs",
            mend="name its backbone and dim in the recipe",
        )
    network.load_state_dict(weights)


def _freeze(network: nn.Module, recipe: Recipe) -> None:
    for name, parameter in network.named_parameters():
        # arcface_torch's last norm has weights of 1, which stay.
        last = recipe.backbone.startswith("iresnet") and name == "features.weight"
        # A token for hidden patches, of which there are none here.
        if last or name == "mask_token" or name.startswith(recipe.frozen):
            parameter.requires_grad_(False)
    for prefix in recipe.frozen:
        if not any(name.startswith(prefix) for name, _ in network.named_parameters()):
            raise ConfigurationError(f"frozen: no parameter of {recipe.backbone} begins {prefix!r}")
