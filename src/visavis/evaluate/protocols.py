"""A data set through an embedder to similarities, pictures without a face counted and never
dropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import ARCFACE_112, SIZE, read_crop
from visavis.batch import Progress
from visavis.compare import UNIT_TOLERANCE
from visavis.dataset import Pairs, People, Tree
from visavis.dataset.embedded import EmbeddedTree
from visavis.embedder import refuse_cut
from visavis.errors import (
    DatasetError,
    EmbeddingError,
    ImageError,
    LandmarkError,
    MismatchError,
    VisavisError,
)
from visavis.faces import find_faces
from visavis.image import read_image
from visavis.metrics.verification import FAILED, Floats, Result, Rows, evaluate
from visavis.quality import assess
from visavis.types import Crops, Detector, Embedder, Embeddings, Face, Image

CHUNK = 256  # pictures between two steps of progress
STEP = 65_536  # pairs at a time
BORDER = np.array([0, 0, SIZE, SIZE], np.float32)
MEASURES = ("sharpness", "brightness", "size", "score", "yaw")  # of visavis.quality

Change = Callable[[Image, NDArray[np.float32] | None], Image]  # a picture and its landmarks


@dataclass(frozen=True, eq=False, slots=True)
class Embedded:
    """One embedding a picture; zeros where no face was found or the picture is bad."""

    embeddings: Embeddings  # (N, D)
    acquired: NDArray[np.bool_]  # (N,)
    bad: dict[int, str] = field(default_factory=dict)  # rows of bad pictures, and what is wrong
    measures: NDArray[np.float32] = field(  # (N, len(MEASURES)), NaN where not acquired
        default_factory=lambda: np.empty((0, len(MEASURES)), np.float32)
    )

    @property
    def failures(self) -> int:
        """Pictures without a face; bad ones are not among them."""
        return int(np.sum(~self.acquired)) - len(self.bad)


@dataclass(frozen=True, eq=False, slots=True)
class CropSource:
    """Where crops come from, and what is done to pictures on the way."""

    tree: Tree
    detect: Detector | None = None  # None: the pictures are crops already, 112x112
    change: Change | None = None  # what a picture is degraded with

    def crop(self, name: str, margin: float = 0.0) -> tuple[Crops, NDArray[np.float32]]:
        """(1, 112, 112, 3) or, where no face is found, (0, ...); and its (1, 5) measures.

        A picture that is a crop already has no margin. Raises ImageError for a picture that cannot
        be decoded or, without `detect`, is of another size; LandmarkError for a face that cannot be
        aligned.
        """
        if self.detect is None:
            return self._as_crop(read_crop(self.tree.read(name)))
        data = self.tree.read(name)
        picture: bytes | Image = data
        if self.change is not None:
            image = read_image(data)
            clean = find_faces(self.detect, image, max_faces=1).faces
            picture = self.change(image, clean[0].landmarks if clean else None)
        photo = find_faces(self.detect, picture, max_faces=1)
        rows = range(len(photo.faces))
        crops, plain = photo.crops_at([margin, 0.0], rows, self.detect)
        return crops, _measures(photo.faces, plain, photo.width, photo.height)

    def _as_crop(self, image: Image) -> tuple[Crops, NDArray[np.float32]]:
        if self.change is not None:
            image = self.change(image, ARCFACE_112.astype(np.float32))
        whole = Face(BORDER, ARCFACE_112.astype(np.float32), 1.0)
        return image[None], _measures([whole], image[None], SIZE, SIZE)


def embed_tree(
    source: CropSource,
    names: Sequence[str],
    embed: Embedder,
    *,
    where: Callable[[int], str] | None = None,
    skip_bad: bool = False,
    progress: Progress = iter,
) -> Embedded:
    """Embed pictures of a data set, one face each, the largest.

    `where` names a row in messages. Raises ImageError for a picture that cannot be decoded or is no
    crop, LandmarkError for a face that cannot be aligned, EmbeddingError for an embedding that is
    not finite and unit; `skip_bad` notes them. MismatchError where an embedder with a margin is to
    take pictures that are crops already, and where the pictures were embedded before by another
    model.
    """
    if isinstance(source.tree, EmbeddedTree):
        return _embedded_before(source, source.tree, names, embed)
    if source.detect is None:
        refuse_cut(embed, mend="give the photos, whose faces are found and cut", option="align")
    measures = np.full((len(names), len(MEASURES)), np.nan, np.float32)

    def cut(row: int) -> Crops:
        crop, measured = source.crop(names[row], embed.margin)
        measures[row : row + len(crop)] = measured
        return crop

    def place(row: int) -> str:
        return f"{where(row) if where else names[row]} of {source.tree.source}"

    embedded = embed_crops(cut, names, embed, where=place, skip_bad=skip_bad, progress=progress)
    return replace(embedded, measures=measures)


def _embedded_before(
    source: CropSource, tree: EmbeddedTree, names: Sequence[str], embed: Embedder
) -> Embedded:
    """The embeddings that a folder of shards holds."""
    if source.change is not None:
        raise DatasetError(f"{tree.source}: holds embeddings, and no pictures to be changed")
    if tree.plan.model != embed.model or not tree.plan.flip:
        held = tree.plan.model if tree.plan.flip else f"{tree.plan.model} without mirrored crops"
        raise MismatchError(
            f"{tree.source}: expected embeddings of {embed.model}, got those of {held}",
            mend="name the pack that made them, or embed the photos with this one",
        )
    embeddings, acquired, figures = tree.faces(names)
    measures = np.stack([figures[measure] for measure in MEASURES], axis=1)
    return Embedded(_unit(embeddings, acquired), acquired, measures=measures)


def embed_crops(
    cut: Callable[[int], Crops],
    names: Sequence[str],
    embed: Embedder,
    *,
    where: Callable[[int], str],
    skip_bad: bool = False,
    progress: Progress = iter,
) -> Embedded:
    """Embed the crop that `cut` makes of each row's picture, if any; no quality is measured.

    Raises ImageError, DatasetError, LandmarkError and EmbeddingError with `where` the row is;
    `skip_bad` notes them.
    """
    embedded = Embedded(np.zeros((len(names), embed.dim), np.float32), np.zeros(len(names), bool))

    def note(row: int, error: VisavisError) -> None:
        if not skip_bad:
            raise error.at(where(row)) from error
        embedded.bad[row] = str(error)

    pending: list[tuple[int, Crops]] = []
    for row, _ in enumerate(progress(names)):
        try:
            crop = cut(row)
        except (ImageError, DatasetError, LandmarkError) as error:
            note(row, error)
        else:
            if len(crop):
                pending.append((row, crop))
        if len(pending) == CHUNK or row == len(names) - 1:
            _embed_pending(pending, embed, embedded, note)
            pending.clear()
    return embedded


def embed_pairs(
    source: CropSource,
    pairs: Pairs,
    embed: Embedder,
    *,
    skip_bad: bool = False,
    progress: Progress = iter,
) -> tuple[Pairs, Embedded]:
    """Embed a list's pictures; returns the list without the pairs that have a bad picture, too.

    Raises what `embed_tree` raises, with the line.
    """
    embedded = embed_tree(
        source, pairs.names, embed, where=pairs.where, skip_bad=skip_bad, progress=progress
    )
    bad = np.isin(pairs.left, [*embedded.bad]) | np.isin(pairs.right, [*embedded.bad])
    return (pairs.keep(~bad) if bad.any() else pairs), embedded


def embed_people(
    source: CropSource,
    people: People,
    embed: Embedder,
    *,
    skip_bad: bool = False,
    progress: Progress = iter,
) -> tuple[People, Embedded]:
    """Embed everybody's pictures; returns the people without pictures that have no face, too.

    `Embedded` has a row for every picture: `acquired` says which are left. Raises what `embed_tree`
    raises.
    """
    embedded = embed_tree(source, people.pictures, embed, skip_bad=skip_bad, progress=progress)
    return people.keep(embedded.acquired), embedded


def similarities(pairs: Pairs, embedded: Embedded) -> NDArray[np.float64]:
    """(P,) cosines; FAILED for a pair with a picture that has no face."""
    cosines = dot_products(embedded.embeddings, pairs.left, pairs.right)
    cosines[~(embedded.acquired[pairs.left] & embedded.acquired[pairs.right])] = FAILED
    return cosines


def dot_products(rows: Embeddings, left: Rows, right: Rows) -> NDArray[np.float64]:
    """(P,) of pairs of rows."""
    products = np.empty(len(left))
    for pairs in (slice(start, start + STEP) for start in range(0, len(left), STEP)):
        products[pairs] = np.einsum("pd,pd->p", rows[left[pairs]], rows[right[pairs]], dtype=float)
    return products


def verification(pairs: Pairs, embedded: Embedded, similarity: Floats | None = None) -> Result:
    """A pairs list's figures. A pair with a picture that has no face counts as answered
    "different".
    """
    return evaluate(
        similarities(pairs, embedded) if similarity is None else similarity,
        pairs.same,
        folds=pairs.fold,
        failures=embedded.failures,
        skipped=pairs.skipped,
    )


def _embed_pending(
    pending: list[tuple[int, Crops]],
    embed: Embedder,
    embedded: Embedded,
    note: Callable[[int, VisavisError], None],
) -> None:
    """Embed crops together; where that fails, each by itself, to find the one it fails for."""
    if not pending:
        return
    rows = [row for row, _ in pending]
    try:
        embedded.embeddings[rows] = _unit(embed(np.concatenate([crop for _, crop in pending])))
        embedded.acquired[rows] = True
    except EmbeddingError as error:
        if len(pending) == 1:
            note(rows[0], error)
            return
        for one in pending:
            _embed_pending([one], embed, embedded, note)


def _unit(rows: Embeddings, among: NDArray[np.bool_] | None = None) -> Embeddings:
    """The rows. Raises EmbeddingError where one (of those `among`) is not finite and unit."""
    lengths = np.linalg.norm(rows if among is None else rows[among], axis=1)
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))  # NaN too
    if bad.size:
        raise EmbeddingError(f"expected unit embeddings, got one of length {lengths[bad[0]]}")
    return rows


def _measures(faces: Sequence[Face], crops: Crops, width: int, height: int) -> NDArray[np.float32]:
    if not len(crops):
        return np.empty((0, len(MEASURES)), np.float32)
    quality = assess(faces[0], crops[0], width, height)
    return np.array([[getattr(quality, measure) for measure in MEASURES]], np.float32)
