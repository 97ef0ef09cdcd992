"""Other people's checkpoints, and our own, to a network that answers as the original does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from visavis.checkpoints.cvlface import read_settings, with_settings
from visavis.checkpoints.families import FAMILIES, Family, detect_family
from visavis.checkpoints.loading import load_weights
from visavis.checkpoints.weights import Weights, read_weights
from visavis.checkpoints.wrapping import Unwrapped, choose_family, unwrap
from visavis.document import parse
from visavis.errors import CheckpointError
from visavis.files import write_whole
from visavis.runtime import Preprocess

OURS = "visavis."  # begins the names of our metadata in a safetensors file


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network with a checkpoint's weights, in evaluation mode, and what it wants of a crop."""

    network: nn.Module  # (N, 3, height, width) float32, preprocessed, to (N, D) raw embeddings
    family: Family
    preprocess: Preprocess
    height: int
    width: int
    source: str  # the name of the file or folder
    sha256: str  # of the file of weights
    settings: dict[str, Any]  # the wrapping, the keys that were left out, the model.yaml beside it


@dataclass(frozen=True, slots=True)
class _Wants:
    """Our metadata: what a network wants of a crop."""

    preprocess: Preprocess
    height: int
    width: int


def load_checkpoint(source: Path | Weights, *, family: str = "auto") -> Checkpoint:
    """Load a file of torch.save or safetensors, read already or not, or a CVLface folder; nothing
    in it is run.

    `family` is a key of FAMILIES, or auto: keys and wrapping tell it. Every key must fit, so every
    weight is the checkpoint's. Raises CheckpointError for a file that cannot be read, keys that fit
    no family or several, and weights that are missing, too many, of another shape, or not finite.
    """
    if family != "auto" and family not in FAMILIES:
        known = ", ".join(("auto", *FAMILIES))
        raise CheckpointError(f"unknown family {family!r}; known: {known}", option="family")
    weights = read_weights(source)
    try:
        if f"{OURS}family" in weights.metadata:
            return _ours(weights, family)
        return _theirs(weights, family)
    except CheckpointError as error:
        raise error.at(str(weights.source)) from error.__cause__


def save_checkpoint(
    path: Path, network: nn.Module, family: str, preprocess: Preprocess, size: tuple[int, int]
) -> None:
    """Write a network's weights as safetensors, with what load_checkpoint must know of it.

    `size` is a crop's height and width. Raises OutputError where the file cannot be written.
    """
    metadata = {
        "family": FAMILIES[family].name,
        "color": preprocess.color,
        "mean": json.dumps(preprocess.mean),
        "std": json.dumps(preprocess.std),
        "size": json.dumps(size),
    }
    tensors = {
        key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()
    }
    write_whole(path, save(tensors, {f"{OURS}{key}": value for key, value in metadata.items()}))


def _theirs(weights: Weights, name: str) -> Checkpoint:
    folder = weights.source.is_dir()
    unwrapped = unwrap(weights.tensors, weights.container)
    settings: dict[str, Any] = {
        "container": unwrapped.container,
        "prefix": unwrapped.prefix,
        "left_out": unwrapped.left_out,
    }
    family = choose_family(unwrapped, cvlface=folder) if name == "auto" else FAMILIES[name]
    preprocess = family.preprocess
    if family.name.startswith("cvlface"):
        settings |= {"model.yaml": read_settings(weights.path)}
        preprocess = with_settings(preprocess, settings["model.yaml"])
    network = _loaded(unwrapped, family)
    source = weights.source.resolve().name
    size = family.height, family.width
    return Checkpoint(network, family, preprocess, *size, source, weights.sha256, settings)


def _ours(weights: Weights, name: str) -> Checkpoint:
    declared = {key.removeprefix(OURS): value for key, value in weights.metadata.items()}
    own = declared["family"]
    if name not in ("auto", own):
        raise CheckpointError(
            f"its own metadata say that its family is {own}, not {name}", option="family"
        )
    family = FAMILIES.get(own)
    if family is None:
        raise CheckpointError(f"its family {own!r} is newer", mend="install a newer visavis")
    wants = _wants(declared)
    network = _loaded(Unwrapped(weights.tensors), family)
    size, source = (wants.height, wants.width), weights.source.name
    return Checkpoint(network, family, wants.preprocess, *size, source, weights.sha256, declared)


def _wants(declared: Mapping[str, str]) -> _Wants:
    try:
        height, width = json.loads(declared["size"])
        document = {
            "preprocess": {
                "color": declared["color"],
                "mean": json.loads(declared["mean"]),
                "std": json.loads(declared["std"]),
            },
            "height": height,
            "width": width,
        }
    except (LookupError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"its metadata do not say what crops it wants: {error!r}") from error
    return parse(_Wants, json.dumps(document).encode(), "its metadata", CheckpointError)


def _loaded(unwrapped: Unwrapped, family: Family) -> nn.Module:
    """The family's network with these weights as float32. Raises CheckpointError naming the keys
    that do not fit.
    """
    shapes = unwrapped.shapes
    if not family.recognise(shapes):
        others = ", ".join(detect_family(shapes)) or "no known family"
        raise CheckpointError(f"its keys are not {family.name}'s: they are those of {others}")
    return load_weights(partial(family.build, shapes), unwrapped.state)
