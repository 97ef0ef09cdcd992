"""Other people's checkpoints, and our own, to a network that answers as the original does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from visavis.checkpoints.cvlface import declared, read_settings, weights_in
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
    settings: dict[str, Any]  # how it was wrapped, what was left out, what lay beside it


@dataclass(frozen=True, slots=True)
class _Wants:
    """Our metadata: what a network wants of a crop."""

    preprocess: Preprocess
    height: int
    width: int


def load_checkpoint(source: Path | Weights, *, family: str = "auto") -> Checkpoint:
    """Load a file of torch.save or safetensors, already read or not, or a CVLface folder; nothing
    in it is run.

    `family` is a key of FAMILIES, or auto: by keys and wrapping. Every key must fit, so no weight
    stays as it was made. Raises CheckpointError for a file that cannot be read, keys that fit no
    family or several, and weights that are missing, too many, of another shape, or not finite.
    """
    if family != "auto" and family not in FAMILIES:
        raise CheckpointError(f"unknown family {family!r}; known: auto, {', '.join(FAMILIES)}")
    if isinstance(source, Weights):
        path, weights = source.path, source
    else:
        path = Path(source)
        weights = read_weights(weights_in(path) if path.is_dir() else path)
    try:
        if f"{OURS}family" in weights.metadata:
            return _ours(path.name, weights, family)
        return _theirs(path, weights, family)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__


def save_checkpoint(
    path: Path, network: nn.Module, family: str, preprocess: Preprocess, size: tuple[int, int]
) -> None:
    """Write a network's weights as safetensors, with what load_checkpoint must know of them.

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


def _theirs(path: Path, weights: Weights, name: str) -> Checkpoint:
    unwrapped = unwrap(weights.tensors, weights.container)
    settings: dict[str, Any] = {
        "container": unwrapped.container,
        "prefix": unwrapped.prefix,
        "left_out": unwrapped.left_out,
    }
    family = choose_family(unwrapped, cvlface=path.is_dir()) if name == "auto" else FAMILIES[name]
    preprocess = family.preprocess
    if family.name.startswith("cvlface"):
        settings |= {"model.yaml": read_settings(weights.path)}
        preprocess = declared(preprocess, settings["model.yaml"])
    network = _loaded(unwrapped, family)
    source = path.resolve().name
    size = family.height, family.width
    return Checkpoint(network, family, preprocess, *size, source, weights.sha256, settings)


def _ours(source: str, weights: Weights, name: str) -> Checkpoint:
    said = {key.removeprefix(OURS): value for key, value in weights.metadata.items()}
    if name not in ("auto", said["family"]):
        raise CheckpointError(f"its family is {said['family']}, by its own word, and not {name}")
    family = FAMILIES.get(said["family"])
    if family is None:
        raise CheckpointError(f"its family {said['family']!r} is newer: install a newer visavis")
    wants = _wants(said)
    network = _loaded(Unwrapped(weights.tensors), family)
    size = wants.height, wants.width
    return Checkpoint(network, family, wants.preprocess, *size, source, weights.sha256, said)


def _wants(said: Mapping[str, str]) -> _Wants:
    try:
        height, width = json.loads(said["size"])
        document = {
            "preprocess": {
                "color": said["color"],
                "mean": json.loads(said["mean"]),
                "std": json.loads(said["std"]),
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
