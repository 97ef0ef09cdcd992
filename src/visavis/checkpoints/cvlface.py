"""CVLface's folders: where the weights lie, and what model.yaml says of them. Runs no code."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from visavis.errors import CheckpointError
from visavis.runtime import Preprocess

WEIGHTS = (
    "model.safetensors", "model.pt",
    "pretrained_model/model.safetensors", "pretrained_model/model.pt",
)  # fmt: skip
MOST_BYTES = 65_536  # of a model.yaml


def weights_in(folder: Path) -> Path:
    """The file of weights in a CVLface folder. Raises CheckpointError for any other folder."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            break
    else:
        raise CheckpointError(
            f"{folder}: a folder without a checkpoint: expected one of CVLface, with "
            f"pretrained_model/model.yaml and {' or '.join(WEIGHTS)}"
        )
    if _beside(folder / name) is None:
        raise CheckpointError(
            f"{folder}: no pretrained_model/model.yaml, which says what colours the network wants"
        )
    return folder / name


def read_settings(weights: Path) -> dict[str, Any]:
    """What the model.yaml beside the weights says; empty if there is none.

    config.json is not read: in published folders it names other colours than the weights want.
    Raises CheckpointError for a model.yaml that cannot be read.
    """
    path = _beside(weights)
    if path is None:
        return {}
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise ValueError(f"over {MOST_BYTES} bytes")
        settings = yaml.safe_load(data)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: expected names with values, got {type(settings).__name__}")
    return settings


def with_settings(preprocess: Preprocess, settings: Mapping[str, Any]) -> Preprocess:
    """The pixels in the colours that model.yaml names: for BGR, CVLface's wrapper reverses the
    channels of RGB crops. Raises CheckpointError for another size or unknown colours.
    """
    size = settings.get("input_size", [3, 112, 112])
    if size != [3, 112, 112]:
        raise CheckpointError(f"model.yaml: expected input_size [3, 112, 112], got {size!r:.80}")
    color = settings.get("color_space", "RGB")
    if color not in ("RGB", "BGR"):
        raise CheckpointError(f"model.yaml: expected color_space RGB or BGR, got {color!r:.80}")
    return replace(preprocess, color="rgb" if color == "RGB" else "bgr")


def _beside(weights: Path) -> Path | None:
    folder = weights.parent
    for path in (folder / "model.yaml", folder / "pretrained_model" / "model.yaml"):
        if path.is_file():
            return path
    return None
