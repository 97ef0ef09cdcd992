"""A data set looked through before it is learnt from: what in it is wrong, or not what it seems.

Knows pictures, labels and embeddings. Knows no network that is trained.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import read_crop
from visavis.batch import Progress
from visavis.dataset.images import Images, TreeImages
from visavis.evaluate.protocols import Embedded, embed_crops
from visavis.types import Embedder, Embeddings

BLOCK = 2048  # people compared with all others at a time


@dataclass(frozen=True, slots=True)
class Doubt:
    """A picture that looks more like other people than like its own."""

    picture: str
    person: str
    own: float  # cosine to the mean of its person's other pictures
    other: str
    similarity: float  # to the mean of that other person's


@dataclass(frozen=True, slots=True)
class Alike:
    """Two people whose pictures are alike as one person's are."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, slots=True)
class SparePicture:
    """A picture that a training with several centres a person kept far from the main one."""

    picture: str
    person: str
    own: float  # cosine to the person's main centre
    spare: float  # to the nearest of the spare ones


@dataclass(frozen=True, slots=True)
class CheckedImages:
    """What a data set holds, and what is wrong with it."""

    images: int
    people: int
    gaps: int  # numbers of classes that no picture has
    single: tuple[str, ...]  # people with one picture
    bad: dict[str, str]  # pictures that cannot be read as crops, and why
    twice: tuple[tuple[str, ...], ...]  # pictures of equal bytes that have several labels
    doubts: tuple[Doubt, ...]
    alike: tuple[Alike, ...]  # within the data set
    leaked: tuple[Alike, ...]  # people of the set it will be tested on, and whom of these they are
    spare: tuple[SparePicture, ...] = ()  # where a training with spare centres was asked

    @property
    def clean(self) -> bool:
        """Whether nothing has to be mended before it is learnt from."""
        faults = self.bad, self.twice, self.doubts, self.alike, self.leaked, self.spare
        return not any(faults)


def check_images(
    images: Images,
    embed: Embedder,
    threshold: float,
    *,
    tested_on: Images | None = None,
    progress: Progress = iter,
) -> CheckedImages:
    """Look through a data set of crops; `threshold` is the cosine from which two are one person.

    `tested_on` is the set that a model learnt from this one is to be measured on: people of both
    would be measured on what was learnt. Raises DatasetError, EmbeddingError.
    """
    used, labels, counts = np.unique(images.labels, return_inverse=True, return_counts=True)
    names = [person_of(images, int(label)) for label in used]
    embedded = embed_images(images, embed, progress)
    rows, theirs = embedded.embeddings[embedded.acquired], labels[embedded.acquired]
    pictures = [images.where(int(row)) for row in np.flatnonzero(embedded.acquired)]
    sums = _sums(rows, theirs, len(used))
    means = _unit(sums)
    leaked: list[Alike] = []
    if tested_on is not None:
        others, known = _means_of(tested_on, embed, progress)
        leaked = _pairs_alike(others, means, (known, names), threshold)
    return CheckedImages(
        images=len(labels),
        people=len(used),
        gaps=int(used[-1]) + 1 - len(used) if len(used) else 0,
        single=tuple(name for name, count in zip(names, counts, strict=True) if count == 1),
        bad={images.where(row): why for row, why in embedded.bad.items()},
        twice=_twice(images, labels),
        doubts=tuple(_doubts(rows, theirs, sums, (names, pictures), threshold)),
        alike=tuple(_pairs_alike(means, means, (names, names), threshold, once=True)),
        leaked=tuple(leaked),
    )


def person_of(images: Images, label: int) -> str:
    """Whom a label stands for: a name, or the label itself."""
    return images.names[label] if isinstance(images, TreeImages) else str(label)


def embed_images(images: Images, embed: Embedder, progress: Progress) -> Embedded:
    """Embed every crop of a data set; those that cannot be read are noted as bad."""
    names = [images.where(row) for row in range(len(images.labels))]
    return embed_crops(
        lambda row: read_crop(images.read(row))[None],
        names,
        embed,
        where=images.where,
        skip_bad=True,
        progress=progress,
    )


def _means_of(images: Images, embed: Embedder, progress: Progress) -> tuple[Embeddings, list[str]]:
    used, labels = np.unique(images.labels, return_inverse=True)
    embedded = embed_images(images, embed, progress)
    kept = embedded.acquired
    means = _unit(_sums(embedded.embeddings[kept], labels[kept], len(used)))
    return means, [person_of(images, int(label)) for label in used]


def _sums(rows: Embeddings, labels: NDArray[np.intp], people: int) -> NDArray[np.float64]:
    sums = np.zeros((people, rows.shape[1]))
    np.add.at(sums, labels, rows)
    return sums


def _unit(rows: NDArray[np.float64]) -> Embeddings:
    """Rows of length 1; of somebody without a picture that can be read, zeros."""
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / lengths.clip(1e-9), np.float32)


def _twice(images: Images, labels: NDArray[np.intp]) -> tuple[tuple[str, ...], ...]:
    seen: dict[bytes, list[int]] = defaultdict(list)
    for row in range(len(labels)):
        seen[hashlib.sha256(images.read(row)).digest()].append(row)
    return tuple(
        tuple(images.where(row) for row in rows)
        for rows in seen.values()
        if len({int(labels[row]) for row in rows}) > 1
    )


def _doubts(
    rows: Embeddings,
    labels: NDArray[np.intp],
    sums: NDArray[np.float64],
    names: tuple[Sequence[str], Sequence[str]],
    threshold: float,
) -> list[Doubt]:
    """Pictures below the threshold to their own person, and above it to another."""
    people, pictures = names
    means, doubts = _unit(sums), []
    for start in range(0, len(rows), BLOCK):
        some, mine = rows[start : start + BLOCK], labels[start : start + BLOCK]
        # A picture does not speak for itself: of a lone one nobody can tell.
        rest = _unit(sums[mine] - some)
        lone = np.bincount(labels)[mine] == 1
        own = np.einsum("nd,nd->n", some, rest)
        cosines = some @ means.T
        cosines[np.arange(len(some)), mine] = -1
        other = cosines.argmax(axis=1)
        best = cosines[np.arange(len(some)), other]
        doubts += [
            Doubt(
                pictures[start + int(n)],
                people[int(mine[n])],
                float(own[n]),
                people[int(other[n])],
                float(best[n]),
            )
            for n in np.flatnonzero((best >= threshold) & (own < threshold) & ~lone)
        ]
    return doubts


def _pairs_alike(
    first: Embeddings,
    second: Embeddings,
    names: tuple[Sequence[str], Sequence[str]],
    threshold: float,
    *,
    once: bool = False,
) -> list[Alike]:
    """Pairs of people at or above the threshold, the most alike first; of one list each `once`."""
    alike = []
    for start in range(0, len(first), BLOCK):
        cosines = first[start : start + BLOCK] @ second.T
        for a, b in np.argwhere(cosines >= threshold).tolist():
            if not once or start + a < b:
                alike.append(Alike(names[0][start + a], names[1][b], float(cosines[a, b])))
    return sorted(alike, key=lambda pair: -pair.similarity)
