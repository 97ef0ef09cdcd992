"""A photo's faces: found, chosen, cut and measured. Knows no embedder, no people and no threshold.

This is the one way from photo to crop: whoever compares faces cuts the same crop of the same photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from visavis.alignment import SIZE, align
from visavis.errors import AmbiguousFaceError, LandmarkError, ModelError, NoFaceError
from visavis.image import LIMITS, Photo, Picture, check_image, of_pillow, open_photo
from visavis.quality import FLOOR, Quality, QualityFloor, assess, pose
from visavis.steady import steady
from visavis.types import CERTAIN, LEAST_SIDE, Crops, Detector, Face, Faces, Image

# A larger photo is scanned at this size: decoding it is most of the work. A face that has too few
# pixels there is cut from the photo in full.
MAX_SIDE = 1280
# A face is nearly as certain as the best one if its score is at most this much lower. Of 790
# photos of lfw_people the largest face is by up to 0.03 less certain in 789, by 0.30 in one; a
# raised hand beside faces was so by 0.16.
NEARLY = 0.12
# A second face of more than this share of the largest one's area could as well be meant.
ALIKE_AREA = 0.8
BLACK = 10.0  # mean of a picture, 0..255, in which hardly anything can be seen


@dataclass(frozen=True, eq=False, slots=True)
class PhotoFaces:
    """A photo and the faces found in it."""

    name: str
    image: Image  # as it was scanned: shrunk to at most `max_side` pixels, or the array itself
    width: int  # pixels of the photo itself
    height: int
    faces: tuple[Face, ...]  # in pixels of the photo itself, largest first
    photo: Photo | None  # the photo still encoded; None for an array
    truncated: bool = False  # more faces were found than `max_faces` kept
    doubt: float = 0.0  # best score of what was seen and is no face, where there is no face
    least_side: float = LEAST_SIDE  # pixels of the photo that a face must be wide
    enrol_from: float = CERTAIN  # the score from which a face may be enrolled

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of `image` in a pixel of the photo, along x and y."""
        return self.image.shape[1] / self.width, self.image.shape[0] / self.height

    @property
    def turn(self) -> int:
        """Degrees clockwise by which the photo lies: 0, 90, 180 or 270, as its most certain face
        does; 0 where it has none with landmarks.
        """
        faces = [face for face in self.faces if face.has_landmarks]
        if not faces:
            return 0
        roll = pose(max(faces, key=lambda face: face.score).landmarks)[2]
        return round(roll / 90) % 4 * 90

    @property
    def certain(self) -> list[int]:
        """The rows of the faces that are nearly as certain as the most certain one."""
        least = max((one.score for one in self.faces), default=0.0) - NEARLY
        return [row for row, one in enumerate(self.faces) if one.score >= least]

    @property
    def enrolment_floor(self) -> QualityFloor:
        """What a face must be to be enrolled: what is compared with for years must be certain."""
        return replace(FLOOR, score=self.enrol_from)

    def shown(self, row: int) -> Face:
        """A face in pixels of `image`: to draw on it, or to cut from it."""
        return self.faces[row].scaled(*self.scale)

    def choose(self, face: int | None = None) -> int:
        """The row of face number `face`, from 1; without a number of the only or clearly largest
        of those that are nearly as certain as the most certain one.

        Raises NoFaceError where there is no such face, AmbiguousFaceError where none is clearly
        meant.
        """
        if not self.faces:
            raise NoFaceError(f"{self.name}: no face found", mend=self._why_none())
        if face is None:
            self._check_clear(self.certain)
            return self.certain[0]
        if not 1 <= face <= len(self.faces):
            raise NoFaceError(f"{self.name}: no face {face}, there are {len(self.faces)}")
        return face - 1

    def crops(
        self, rows: Sequence[int], detect: Detector | None = None, *, margin: float = 0.0
    ) -> Crops:
        """The aligned crops (N, 112, 112, 3) of these faces, in this order: `crops_at` one margin,
        the embedder's.
        """
        (crops,) = self.crops_at([margin], rows, detect)
        return crops

    def crops_at(
        self, margins: Sequence[float], rows: Sequence[int], detect: Detector | None = None
    ) -> list[Crops]:
        """The aligned crops (N, 112, 112, 3) of these faces, in this order, at each margin.

        With `detect` each face is looked at again before it is cut (visavis.steady): whoever
        compares faces does so. Each is cut from `image`, or from the photo in full where it is too
        small in `image`.
        The photo is decoded in full at most once, for all its small faces, and not kept: decoded, a
        photo of 200 megapixels takes 600 MB.
        Raises LandmarkError where a face's landmarks fix no crop.
        """
        chosen = np.array(rows, np.intp)
        small = np.array([self._is_small(row) for row in rows], bool)
        crops = {margin: np.empty((len(rows), SIZE, SIZE, 3), np.uint8) for margin in margins}

        def cut(some: NDArray[np.bool_], image: Image, faces: list[Face]) -> None:
            if detect is not None:
                faces = [steady(detect, image, face) for face in faces]
            for margin, cuts in crops.items():
                cuts[some] = align(image, faces, margin=margin)

        cut(~small, self.image, [self.shown(row) for row in chosen[~small].tolist()])
        if self.photo is not None and small.any():
            full = self.photo.decode()
            cut(small, full, [self.faces[row] for row in chosen[small].tolist()])
        return [crops[margin] for margin in margins]

    def quality(self, row: int, crop: Image | None = None, floor: QualityFloor = FLOOR) -> Quality:
        """Measure one face, on its (112, 112, 3) crop without a margin; without a crop, on one cut
        from `image`.

        Raises LandmarkError where the face's landmarks fix no crop.
        """
        if crop is None:
            (crop,) = align(self.image, [self.shown(row)])
        return assess(self.faces[row], crop, self.width, self.height, floor)

    def qualities(self) -> list[Quality | None]:
        """Measure every face, on crops cut from `image`; None for a face that has no crop."""
        return [self._quality_or_none(row) for row in range(len(self.faces))]

    def _quality_or_none(self, row: int) -> Quality | None:
        try:
            return self.quality(row)
        except LandmarkError:
            return None

    def _is_small(self, row: int) -> bool:
        """Whether the photo in full has more pixels of a face that has too few in `image`."""
        return self.photo is not None and self.scale[0] < 1 and self.shown(row).side < SIZE

    def _why_none(self) -> str:
        """What is wrong with the picture, or what a face must be in it."""
        if self.image.mean() < BLACK:
            return "the picture is nearly black; it needs more light"
        if self.doubt:
            return (
                f"something may be a face, but only with a score of {self.doubt:.2f}; a face must "
                "be clearly seen, from the front"
            )
        return f"a face must be at least {self.least_side:.0f} pixels wide in this photo"

    def _check_clear(self, meant: list[int]) -> None:
        """Raise AmbiguousFaceError where a second face could as well be meant as the first."""
        if self.truncated and len(self.faces) == 1:
            raise AmbiguousFaceError(
                f"{self.name}: more faces than the one that max_faces keeps, another may be as "
                "large",
                mend="keep two, or say which one is meant, counted from 1, largest first",
                option="face",
            )
        largest = [self.faces[row] for row in meant[:2]]
        if len(largest) > 1 and largest[1].area > ALIKE_AREA * largest[0].area:
            first, second = (_place(face) for face in largest)
            raise AmbiguousFaceError(
                f"{self.name}: {len(self.faces)} faces, the largest two of about one size "
                f"({first} and {second})",
                mend="say which one is meant, counted from 1, largest first",
                option="face",
            )


def find_faces(
    detect: Detector,
    source: Picture | Photo,
    *,
    max_faces: int | None = None,
    min_size: float = 0,
    max_side: int | None = MAX_SIDE,
) -> PhotoFaces:
    """Find the faces of a photo, in its own pixels, largest first.

    The photo is scanned at `max_side` pixels, or in full for None; an array is scanned as it is. A
    photo that shows nothing when it is shrunk is scanned in full.
    `min_size` leaves out faces whose box has a shorter side of fewer pixels of the photo;
    `max_faces` keeps the largest of the others.
    Raises ImageError for what is no photo, ModelError for a size or number that finds nothing.
    """
    _check_wanted(max_faces, min_size)
    scanned = _opened(source, max_side)
    faces = _seen(detect, scanned, scanned.image)
    if not faces and scanned.photo is not None and scanned.scale[0] < 1:
        faces = _seen(detect, scanned, scanned.photo.decode())
    large = [face for face in faces if face.side >= min_size]
    kept = tuple(large[:max_faces])
    return replace(
        scanned,
        faces=kept,
        truncated=len(kept) < len(large),
        doubt=faces.doubt,
        least_side=max(faces.least_side, min_size),
        enrol_from=faces.enrol_from,
    )


def _seen(detect: Detector, scanned: PhotoFaces, image: Image) -> Faces:
    """What a detector sees in the photo's picture of any size, in pixels of the photo."""
    faces = Faces.of(detect(image))
    x, y = scanned.width / image.shape[1], scanned.height / image.shape[0]
    moved = [face.scaled(x, y) for face in faces]
    return Faces(
        moved, doubt=faces.doubt, least_side=x * faces.least_side, enrol_from=faces.enrol_from
    )


def _opened(source: Picture | Photo, max_side: int | None) -> PhotoFaces:
    """The photo as it is scanned, before any face is found."""
    if isinstance(source, Pillow.Image):
        source = of_pillow(source)
    if isinstance(source, np.ndarray):
        image = check_image(source)
        height, width = image.shape[:2]
        return PhotoFaces("picture", image, width, height, faces=(), photo=None)
    photo = source if isinstance(source, Photo) else open_photo(source)
    image = photo.decode(max_side=max_side)
    return PhotoFaces(photo.name, image, photo.width, photo.height, faces=(), photo=photo)


def _check_wanted(max_faces: int | None, min_size: float) -> None:
    if max_faces is not None and max_faces < 1:
        raise ModelError(f"expected to look for 1 face or more, got {max_faces}")
    if not 0 <= min_size <= LIMITS.side:
        raise ModelError(f"expected a least size of 0 to {LIMITS.side} pixels, got {min_size}")


def _place(face: Face) -> str:
    left, top, right, bottom = (round(float(value)) for value in face.box)
    return f"{right - left}x{bottom - top} at {left},{top}"
