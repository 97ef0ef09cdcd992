"""Five landmarks to a 112x112 crop, and crops that are cut already. Knows no network."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import ImageError, LandmarkError
from visavis.image import Source, check_image, read_image
from visavis.types import Crops, Face, Image

SIZE = 112  # pixels of a crop, high and wide
MIDDLE = (SIZE - 1) / 2  # of a crop: pixels are counted from their middles
# Where eyes, nose and mouth corners lie in a crop, viewer's left first. Deng et al., ArcFace, 2019.
ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
# Which way faces are cut from photos. `Embedder.model` names it, so that templates of another way
# are not compared. 1: by the landmarks that are first found; 2: by those of a second look
# (visavis.steady). A way is never changed under its number.
ALIGNMENT = 2
# Of five points the narrower spread divided by the wider: 0.82 in the template, 0.1 in a profile.
LEAST_SPREAD = 0.01


def align(image: Image, faces: Sequence[Face], *, margin: float = 0.0) -> Crops:
    """Crop each face so that its landmarks land on the ArcFace template: (N, 112, 112, 3) RGB.

    With a `margin` a crop shows more, on each side by this share of its own side, in as many
    pixels: at 0.5 twice as much, and the face half as large.
    Raises LandmarkError where a face's landmarks fix no such crop.
    """
    image = check_image(image)
    template = ARCFACE_112 + (MIDDLE - ARCFACE_112) * (2 * margin / (1 + 2 * margin))
    crops = np.empty((len(faces), SIZE, SIZE, 3), np.uint8)
    for crop, face in zip(crops, faces, strict=True):
        matrix = similarity_transform(face.landmarks, template)
        crop[:] = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    return crops


def read_crop(source: Source) -> Image:
    """Decode a picture that is a crop already: (112, 112, 3).

    Raises ImageError for another size, and for what cannot be decoded.
    """
    image = read_image(source)
    if image.shape != (SIZE, SIZE, 3):
        raise ImageError(
            f"expected a {SIZE}x{SIZE} crop, got {image.shape[1]}x{image.shape[0]}",
            mend="align it first, or cut its faces into files with visavis people cluster",
            option="align",
        )
    return image


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """The (2, 3) rotation, scale and shift that moves `source` (K, 2) closest to `target` (K, 2).

    Least squares, without reflection: Umeyama 1991. In the plane that is a regression of complex
    numbers, target = a * source + b, where a is scale and rotation in one.
    Raises LandmarkError for points that are not finite, in one spot or on one line.
    """
    points = np.asarray(source, np.float64)
    goal = np.asarray(target, np.float64) @ np.array([1, 1j])
    _check_spread(points)
    start = points @ np.array([1, 1j])
    centered = start - start.mean()
    a = np.vdot(centered, goal - goal.mean()) / np.vdot(centered, centered)
    b = goal.mean() - a * start.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _check_spread(points: NDArray[np.float64]) -> None:
    if not np.isfinite(points).all():
        raise LandmarkError(f"expected finite landmarks, got {points.tolist()}")
    wide, narrow = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if wide < 1e-3 or narrow < LEAST_SPREAD * wide:
        raise LandmarkError(
            f"expected five points spread like a face, got {points.round(2).tolist()}: "
            "they lie in one spot or on one line"
        )
