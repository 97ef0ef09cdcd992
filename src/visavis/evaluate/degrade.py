"""Named harm done to pictures at named strengths, and what it costs a model.

Every degradation is a function of a picture and its five landmarks alone: the same in, the same
out. Without landmarks, because no face was found, a degradation that is measured by the face does
not change the picture.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.alignment import ARCFACE_112, similarity_transform
from visavis.batch import Progress
from visavis.dataset import Pairs
from visavis.errors import DatasetError
from visavis.evaluate.protocols import (
    Change,
    CropSource,
    Embedded,
    embed_pairs,
    embed_tree,
    similarities,
    verification,
)
from visavis.metrics.verification import Result
from visavis.types import Embedder, Image

Landmarks = NDArray[np.float32]  # (5, 2) x, y in pixels, as Face.landmarks

GAMMA = 2.2  # levels of a picture to light, near enough
FULL_WELL = 2000  # electrons that make a pixel white: a small sensor at a high sensitivity
READ_NOISE = 3  # electrons
EYES = float(np.linalg.norm(ARCFACE_112[1] - ARCFACE_112[0]))  # 35.2 pixels of a 112x112 crop
# Below: x, y in a 112x112 crop, whose eyes are at a height of 52, nose at 72, mouth at 92.
EYE_HEIGHT = 51.6  # pixels from the top
FACE = (18, 28, 94, 112)  # left, top, right, bottom, brow to chin: what shares of area are of
MASK = ((12, 9), (38, 3), (56, 0), (74, 3), (100, 9))  # x of its upper edge, y below its top
JAW = ((94, 104), (76, 119), (36, 119), (18, 104))  # the rest of its outline
BLUE, WHITE, DARK_GREY = (120, 170, 205), (238, 238, 235), (45, 45, 45)  # RGB


@dataclass(frozen=True, slots=True)
class Degradation:
    """One kind of harm at one strength. `change` takes an (H, W, 3) uint8 picture and its (5, 2)
    landmarks or None, and returns a picture of the same shape; it does not change its arguments.
    """

    name: str
    strength: str
    change: Change

    @property
    def label(self) -> str:
        """For people: "blur (strong)"."""
        return f"{self.name} ({self.strength})" if self.strength else self.name


@dataclass(frozen=True, eq=False, slots=True)
class DegradedResult:
    """What is left of verification when one side of each pair is degraded."""

    degradation: Degradation
    result: Result  # its failures to acquire are those of the degraded pictures
    similarity: NDArray[np.float64]  # (P,)
    pictures: int  # that were degraded


def dark(image: Image, landmarks: Landmarks | None, *, stops: float) -> Image:
    """Less light by so many stops, and the noise of a sensor, independent for each pixel."""
    light = (np.arange(256) / 255) ** GAMMA * FULL_WELL / 2**stops  # electrons by level
    clean = light.astype(np.float32)[image]
    noise = _draws(image).standard_normal(image.shape, np.float32) * np.sqrt(clean + READ_NOISE**2)
    levels = 255 * np.clip((clean + noise) / FULL_WELL, 0, 1) ** (1 / GAMMA)
    return levels.round().astype(np.uint8)


def blur(image: Image, landmarks: Landmarks | None, *, share: float) -> Image:
    """Out of focus: a Gaussian whose sigma is a share of the distance between the eyes."""
    if landmarks is None:
        return image
    sigma = share * _eyes(landmarks)
    return _picture(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def lowres(image: Image, landmarks: Landmarks | None, *, pixels: float) -> Image:
    """Shrunk until the eyes are `pixels` apart, and enlarged again; a smaller face is left."""
    factor = 1.0 if landmarks is None else pixels / _eyes(landmarks)
    if factor >= 1:
        return image
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _picture(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def tilt(image: Image, landmarks: Landmarks | None, *, degrees: float) -> Image:
    """Turned clockwise about the middle of the landmarks (without them: of the picture).

    The face stays where it is and as large; of its surroundings what turns out of the frame is
    lost, and the border's pixels fill what turns in. A photo is aligned again afterwards, if its
    face is found; a crop is not: there, this is misalignment.
    """
    height, width = image.shape[:2]
    middle = (width / 2 - 0.5, height / 2 - 0.5)
    if landmarks is not None:
        middle = (float(landmarks[:, 0].mean()), float(landmarks[:, 1].mean()))
    turn = cv2.getRotationMatrix2D(middle, -degrees, 1)
    turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return _picture(turned)


def mask(
    image: Image, landmarks: Landmarks | None, *, top: float, color: tuple[int, int, int]
) -> Image:
    """A plain mask from chin to nose; `top` is the height of its upper edge in a 112x112 crop."""
    outline = [(x, top + below) for x, below in MASK]
    return _paint(image, landmarks, [*outline, *JAW], color)


def occlusion(
    image: Image, landmarks: Landmarks | None, *, share: float, eyes: bool = False
) -> Image:
    """A dark block over a share of the face's area: over the eyes, or at a place of its own in each
    picture, drawn from the picture's pixels.
    """
    left, top, right, bottom = FACE
    if eyes:
        half = share * (bottom - top) / 2
        start, width, height = (left, EYE_HEIGHT - half), right - left, 2 * half
    else:
        width, height = (right - left) * share**0.5, (bottom - top) * share**0.5
        x, y = _draws(image).uniform((left, top), (right - width, bottom - height))
        start = (x, y)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    return _paint(image, landmarks, corners + start, DARK_GREY)


# By name and strength.
DEGRADATIONS: dict[str, dict[str, Change]] = {
    "dark": {
        "light": partial(dark, stops=2),
        "medium": partial(dark, stops=4),
        "strong": partial(dark, stops=6),
    },
    "blur": {
        "light": partial(blur, share=0.03),
        "medium": partial(blur, share=0.06),
        "strong": partial(blur, share=0.12),
    },
    "lowres": {
        "light": partial(lowres, pixels=16),
        "medium": partial(lowres, pixels=10),
        "strong": partial(lowres, pixels=6),
    },
    "tilt": {
        "light": partial(tilt, degrees=10),
        "medium": partial(tilt, degrees=20),
        "strong": partial(tilt, degrees=40),
    },
    "mask": {
        "light": partial(mask, top=70, color=BLUE),
        "medium": partial(mask, top=64, color=BLUE),
        "strong": partial(mask, top=58, color=WHITE),
    },
    "occlusion": {
        "light": partial(occlusion, share=0.1),
        "medium": partial(occlusion, share=0.2),
        "strong": partial(occlusion, share=0.3, eyes=True),
    },
}
CLEAN = Degradation("clean", "", lambda image, landmarks: image)


def degradations(names: str) -> list[Degradation]:
    """Parse "all", or names with commas between: "dark,mask" at every strength, "blur:strong" at
    one. Each once, in the order given.

    Raises DatasetError for an unknown name or strength, and lists the known ones.
    """
    wanted = ",".join(DEGRADATIONS) if names.strip() == "all" else names
    chosen: dict[str, Degradation] = {}
    for word in wanted.split(","):
        name, colon, strength = (part.strip() for part in word.partition(":"))
        strengths = DEGRADATIONS.get(name, {})
        if not strengths or (colon and strength not in strengths):
            raise DatasetError(
                f"unknown degradation {word.strip()!r}; known: all, {', '.join(DEGRADATIONS)}, "
                f"each with :{' or :'.join(next(iter(DEGRADATIONS.values())))}"
            )
        for one in [strength] if colon else strengths:
            chosen[f"{name}:{one}"] = Degradation(name, one, strengths[one])
    return [*chosen.values()]


def degraded(
    source: CropSource,
    pairs: Pairs,
    embed: Embedder,
    chosen: Sequence[Degradation],
    *,
    clean: Embedded | None = None,
    progress: Progress = iter,
) -> list[DegradedResult]:
    """A pairs list's figures with its right-hand pictures degraded, the left ones as they are: a
    probe from the field against a reference taken with care. First comes the row CLEAN.

    `clean` are the list's pictures as `embed_pairs` embeds them; without, that is done here. A
    picture stands on either side of different pairs, and is degraded on the right alone;
    `source.change` is not used. Raises what `embed_pairs` raises.
    """
    plain = replace(source, change=None)
    if clean is None:
        pairs, clean = embed_pairs(plain, pairs, embed, progress=progress)
    rows, probe = np.unique(pairs.right, return_inverse=True)
    names = [pairs.names[row] for row in rows]

    def where(row: int) -> str:
        return pairs.where(int(rows[row]))

    results = [_result(CLEAN, pairs, clean, _rows(clean, rows), probe)]
    for one in chosen:
        probes = embed_tree(
            replace(source, change=one.change), names, embed, where=where, progress=progress
        )
        results.append(_result(one, pairs, clean, probes, probe))
    return results


def _result(
    degradation: Degradation,
    pairs: Pairs,
    clean: Embedded,
    probes: Embedded,
    probe: NDArray[np.intp],
) -> DegradedResult:
    """`probe` (P,) is each pair's row of `probes`."""
    both = Embedded(
        np.concatenate([clean.embeddings, probes.embeddings]),
        np.concatenate([clean.acquired, probes.acquired]),
    )
    similarity = similarities(replace(pairs, right=len(clean.acquired) + probe), both)
    result = verification(pairs, probes, similarity)
    return DegradedResult(degradation, result, similarity, len(probes.acquired))


def _rows(embedded: Embedded, rows: NDArray[np.intp]) -> Embedded:
    return Embedded(embedded.embeddings[rows], embedded.acquired[rows])


def _draws(image: Image) -> np.random.Generator:
    """Seeded by the picture itself: else every picture would carry the same noise."""
    return np.random.default_rng(zlib.crc32(image.tobytes()))


def _eyes(landmarks: Landmarks) -> float:
    """Pixels between the eyes of the same face seen from the front."""
    matrix = similarity_transform(ARCFACE_112, landmarks)
    return EYES * float(np.hypot(*matrix[:, 0]))


def _paint(
    image: Image, landmarks: Landmarks | None, outline: ArrayLike, color: tuple[int, int, int]
) -> Image:
    """Fill an outline given in a 112x112 crop, laid on the face: turned and narrowed with it."""
    if landmarks is None:
        return image
    onto = np.linalg.lstsq(_with_ones(ARCFACE_112), landmarks, rcond=None)[0]  # (3, 2)
    corners = np.round(256 * (_with_ones(outline) @ onto)).astype(np.int32)
    painted = image.copy()
    cv2.fillPoly(painted, [corners], color, cv2.LINE_AA, shift=8)
    return painted


def _with_ones(points: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(points, np.float64)
    return np.column_stack([rows, np.ones(len(rows))])


def _picture(pixels: ArrayLike) -> Image:
    return np.asarray(pixels, np.uint8)
