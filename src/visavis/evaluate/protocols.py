"""A data set through an embedder to similarities, pictures without a face counted and never
dropped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.align import SIZE, align
from visavis.dataset import Pairs, Tree
from visavis.errors import ImageError
from visavis.evaluate.verification import FAILED, Result, evaluate
from visavis.image import read_image
from visavis.types import Crops, Detector, Embedder, Embeddings

CHUNK = 256  # pictures between two steps of progress

Watch = Callable[[Iterable[str]], Iterable[str]]  # names through, progress shown


@dataclass(frozen=True, eq=False, slots=True)
class Embedded:
    """One embedding a picture; zeros where no face was found."""

    embeddings: Embeddings  # (N, D)
    acquired: NDArray[np.bool_]  # (N,)


def embed_tree(
    tree: Tree,
    names: Sequence[str],
    embed: Embedder,
    *,
    detect: Detector | None = None,
    watch: Watch = iter,
) -> Embedded:
    """Embed pictures of a data set, one face each.

    Without `detect` the pictures are crops already, 112x112; with it the largest face of each is
    aligned.
    Raises ImageError for a picture that cannot be decoded or, without `detect`, is of another size.
    """
    embeddings = np.zeros((len(names), embed.dim), np.float32)
    acquired = np.zeros(len(names), bool)
    pending: list[tuple[int, Crops]] = []
    for row, name in enumerate(watch(names)):
        crop = _crop(tree, name, detect)
        if len(crop):
            pending.append((row, crop))
        if len(pending) == CHUNK or row == len(names) - 1:
            rows = [place for place, _ in pending]
            if rows:
                embeddings[rows] = embed(np.concatenate([crop for _, crop in pending]))
                acquired[rows] = True
            pending.clear()
    return Embedded(embeddings, acquired)


def verification(pairs: Pairs, embedded: Embedded) -> Result:
    """A pairs list's figures. A pair with a picture that has no face counts as answered
    "different".
    """
    left, right = embedded.embeddings[pairs.left], embedded.embeddings[pairs.right]
    similarity = np.einsum("pd,pd->p", left, right, dtype=np.float64)
    both = embedded.acquired[pairs.left] & embedded.acquired[pairs.right]
    similarity[~both] = FAILED
    return evaluate(
        similarity, pairs.same, folds=pairs.folds, failures=int(np.sum(~embedded.acquired))
    )


def _crop(tree: Tree, name: str, detect: Detector | None) -> Crops:
    try:
        image = read_image(tree.read(name))
    except ImageError as error:
        raise ImageError(f"{name} of {tree.source}: {error}") from error
    if detect is not None:
        return align(image, detect(image)[:1])
    if image.shape != (SIZE, SIZE, 3):
        raise ImageError(
            f"{name} of {tree.source}: expected a {SIZE}x{SIZE} crop, got "
            f"{image.shape[1]}x{image.shape[0]}: align it first (--align)"
        )
    return image[None]
