"""What a run with spare centres learnt to keep apart: pictures filed under the wrong person.

Deng et al., Sub-center ArcFace, ECCV 2020: of a class's centres one takes its clean pictures, the
spare ones what does not belong there. Knows a run's folder. Trains nothing.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.batch import Progress
from visavis.checkpoints.embedder import NetworkEmbedder
from visavis.checkup import SparePicture, embed_images, person_of
from visavis.dataset.images import Images
from visavis.errors import ConfigurationError, MismatchError
from visavis.train.backbones import build_backbone
from visavis.train.loop import RECIPE, STATE, read_state
from visavis.train.recipe import Recipe, read_recipe

FAR = math.cos(math.radians(75))  # the paper's: what is farther from the main centre is noise


def spare_pictures(run: Path, images: Images, *, progress: Progress = iter) -> list[SparePicture]:
    """Pictures far from their person's main centre, to which most others are nearest; worst first.

    Raises
    ConfigurationError for a run of one centre a class, MismatchError where the pictures are not
    those that it learns from, CheckpointError for a folder that is no run.
    """
    recipe = read_recipe(str(run / RECIPE))
    count = recipe.classes.centres
    if count < 2:
        raise ConfigurationError(
            f"{run}: has one centre for each person, and none to spare",
            mend="train with classes.centres=3",
            option="trained",
        )
    used, labels = np.unique(images.labels, return_inverse=True)
    state = read_state(run / STATE)
    rows = state["weight"].numpy()
    if len(rows) != count * len(used):
        raise MismatchError(
            f"{run}: was trained on {len(rows) // count} people, the pictures show {len(used)}",
            mend="name the data of that run",
        )
    centres = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).reshape(len(used), count, -1)
    embedded = embed_images(images, _embedder(recipe, state), progress)
    kept = np.flatnonzero(embedded.acquired)
    cosines = np.einsum("nd,nkd->nk", embedded.embeddings[kept], centres[labels[kept]])
    main = _main_centres(labels[kept], cosines.argmax(1), centres.shape[:2])[labels[kept]]
    own = cosines[np.arange(len(kept)), main]
    cosines[np.arange(len(kept)), main] = -1
    taken = np.flatnonzero(own < FAR)
    return [
        SparePicture(
            images.where(int(kept[n])),
            person_of(images, int(used[labels[kept[n]]])),
            float(own[n]),
            float(cosines[n].max()),
        )
        for n in taken[np.argsort(own[taken])]
    ]


def _embedder(recipe: Recipe, state: dict[str, Any]) -> NetworkEmbedder:
    """The run's network as its last checkpoint has it."""
    made = build_backbone(recipe)
    made.network.load_state_dict(state["mean"])
    cpu = torch.device("cpu")
    return NetworkEmbedder("run", recipe.dim, made.network, made.preprocess, cpu, flip=False)


def _main_centres(
    labels: NDArray[np.intp], nearest: NDArray[np.intp], shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """(C,) the centre of each class that most of its pictures are nearest to."""
    votes = np.zeros(shape, np.intp)
    np.add.at(votes, (labels, nearest), 1)
    return votes.argmax(1)
