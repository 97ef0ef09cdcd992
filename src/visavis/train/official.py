"""What is trained here, in the files that the authors of its layout write: for their own tools.

visavis itself reads the .safetensors. Knows files and names of keys. Trains nothing.
"""

import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from visavis.files import write_whole

_State = dict[str, Tensor]
BARE = "backbone.pth"


def write_official(folder: Path, family: str, state: _State, classes: Tensor | None) -> Path:
    """Write a backbone's weights, and the classes' where the format has a place for them, (C, dim).

    Raises OutputError where it cannot be written.
    """
    name, document = FORMATS.get(family, (BARE, _bare))
    kept = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    file = io.BytesIO()
    torch.save(document(kept, classes), file)
    write_whole(folder / name, file.getvalue())
    return folder / name


def _bare(state: _State, classes: Tensor | None) -> object:
    return state


def _adaface(state: _State, classes: Tensor | None) -> object:
    head = {} if classes is None else {"head.kernel": classes.detach().cpu().T.contiguous()}
    return {"state_dict": {f"model.{key}": tensor for key, tensor in state.items()} | head}


def _magface(state: _State, classes: Tensor | None) -> object:
    head = {} if classes is None else {"parallel_fc.weight": classes.detach().cpu().T.contiguous()}
    return {"state_dict": {f"features.module.{key}": one for key, one in state.items()} | head}


# By family: the file's name, and what is in it. All others are arcface_torch's: the weights alone.
FORMATS: dict[str, tuple[str, Callable[[_State, Tensor | None], object]]] = {
    "adaface": ("model.ckpt", _adaface),
    "magface": ("magface.pth", _magface),
}
