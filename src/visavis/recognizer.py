"""The flow as one object: a photo to its faces, two photos to a decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visavis.alignment import SIZE, align
from visavis.compare import similarity
from visavis.decision import (
    Calibration,
    Decision,
    Policy,
    decide,
    parse_calibration,
    policy_rate,
)
from visavis.detect import load_detector, search
from visavis.embed import load_embedder
from visavis.errors import (
    AmbiguousFaceError,
    CalibrationError,
    MismatchError,
    NoFaceError,
    PersonError,
)
from visavis.gallery import Gallery, Person
from visavis.image import Photo, Source, check_image, open_photo
from visavis.pack import DEFAULT_PACK, load_pack
from visavis.pack.calibration import load_calibration
from visavis.quality import REASONS, Quality, assess
from visavis.runtime import Device
from visavis.types import Crops, Detector, Embedder, Embeddings, Face, Image

# A larger photo is first read at this size: decoding it is most of the work. The chosen face is cut
# from the photo in full where it would have too few pixels.
MAX_SIDE = 1280
ALIKE_AREA = 0.8  # a second face over this share of the largest one's area could as well be meant

EXTRAPOLATED = "the threshold is extrapolated beyond what the calibration's data measures"


@dataclass(frozen=True, eq=False, slots=True)
class PhotoFaces:
    """A photo and the faces found in it."""

    name: str
    image: Image  # as it was searched: at most MAX_SIDE pixels a side, unless given as an array
    width: int  # pixels of the photo itself
    height: int
    faces: tuple[Face, ...]  # in pixels of the photo itself, largest first
    photo: Photo | None  # the photo still encoded; None for an array
    truncated: bool = False  # more faces were found than are here

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of `image` in a pixel of the photo, along x and y."""
        return self.image.shape[1] / self.width, self.image.shape[0] / self.height

    def choose(self, face: int | None = None) -> int:
        """The row of the face meant: number `face` (from 1) where given, else the only or clearly
        largest.

        Raises NoFaceError where there is none, AmbiguousFaceError where that is not clear.
        """
        if not self.faces:
            raise NoFaceError(
                f"{self.name}: no face found; is one to be seen, upright, at least 20 pixels wide?"
            )
        if face is not None:
            if not 1 <= face <= len(self.faces):
                raise NoFaceError(f"{self.name}: no face {face}, there are {len(self.faces)}")
            return face - 1
        if self.truncated and len(self.faces) == 1:
            raise AmbiguousFaceError(
                f"{self.name}: more than the one face that was looked for, maybe of about its "
                "size: look for two (max_faces), or say which with --face N"
            )
        if len(self.faces) > 1 and self.faces[1].area > ALIKE_AREA * self.faces[0].area:
            raise AmbiguousFaceError(
                f"{self.name}: {len(self.faces)} faces, the largest two of about one size "
                f"({_where(self.faces[0])} and {_where(self.faces[1])}): say which with --face N"
            )
        return 0

    def crop(self, face: int) -> Crops:
        """The aligned crop (1, 112, 112, 3) of one face, from the photo in full where it needs the
        pixels.
        """
        chosen = self.faces[face]
        x, y = self.scale
        shown = chosen.scaled(x, y)
        if self.photo is not None and x < 1 and np.min(shown.box[2:] - shown.box[:2]) < SIZE:
            return align(self.photo.decode(), [chosen])
        return align(self.image, [shown])

    def quality(self, face: int, crop: Image | None = None) -> Quality:
        """Measure one face, on its (112, 112, 3) crop; by default as the photo was searched."""
        chosen = self.faces[face]
        if crop is None:
            (crop,) = align(self.image, [chosen.scaled(*self.scale)])
        return assess(chosen, crop, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Verification:
    """Two photos compared: the decision, and everything it rests on."""

    decision: Decision
    model: str
    calibration: Calibration
    photos: tuple[PhotoFaces, PhotoFaces]
    chosen: tuple[int, int]  # rows of each photo's faces
    crops: Crops  # (2, 112, 112, 3): what was compared
    qualities: tuple[Quality, Quality]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nearest:
    """Who of a gallery is closest to one embedding, and what that means."""

    decision: Decision
    person: Person | None  # the closest: who it is, for a match, and who it may be, for a review
    runner_up: tuple[Person, float] | None  # the next closest person, and their similarity


@dataclass(frozen=True, slots=True)
class Identification:
    """One face searched for in a gallery."""

    face: Face
    decision: Decision
    person: Person | None  # the closest: who it is, for a match, and who it may be, for a review
    runner_up: tuple[Person, float] | None  # the next closest person, and their similarity
    warnings: tuple[str, ...]

    @property
    def margin(self) -> float:
        """How much closer the person is than the runner-up; 2 where there is none."""
        return self.decision.similarity - self.runner_up[1] if self.runner_up else 2.0


@dataclass(frozen=True, slots=True)
class Recognizer:
    """A detector, an embedder and the calibration that makes their numbers mean something."""

    detect: Detector
    embed: Embedder
    calibration: Calibration

    def __post_init__(self) -> None:
        if self.embed.model != self.calibration.model:
            raise MismatchError(
                f"the calibration is of {self.calibration.model}, "
                f"the embedder is {self.embed.model}"
            )

    @classmethod
    def load(
        cls, pack: str | Path = DEFAULT_PACK, device: str | Device = "auto", *, flip: bool = True
    ) -> "Recognizer":
        """The pack's models on a device. Raises PackError, DeviceError, CalibrationError."""
        files = load_pack(pack)
        return cls(
            load_detector(files, device=device),
            load_embedder(files, device=device, flip=flip),
            load_calibration(files),
        )

    def calibration_of(self, gallery: Gallery) -> Calibration:
        """The calibration that `visavis calibrate --gallery` made of a gallery's own people, else
        the pack's.
        """
        own = gallery.kept(calibration_name(self.embed.model))
        return parse_calibration(own, gallery.where) if own else self.calibration

    def faces(self, source: Source | Image) -> PhotoFaces:
        """Find the faces of a photo: a path, bytes, a binary file object or an (H, W, 3) uint8 RGB
        array.

        Raises ImageError for what is none of these.
        """
        return find_faces(self.detect, source)

    def verify(
        self,
        a: Source | Image,
        b: Source | Image,
        *,
        policy: str | float = "standard",
        face_a: int | None = None,
        face_b: int | None = None,
    ) -> Verification:
        """Are these two photos of one person?

        `policy` is convenience, standard, strict or a false match rate. `face_a` and `face_b`
        number the face meant (from 1, largest first) where a photo shows several.
        Raises ImageError, NoFaceError, AmbiguousFaceError naming the photo, CalibrationError for a
        rate the calibration cannot show.
        """
        return self.compare(
            self.faces(a), self.faces(b), policy=policy, face_a=face_a, face_b=face_b
        )

    def compare(
        self,
        a: PhotoFaces,
        b: PhotoFaces,
        *,
        policy: str | float = "standard",
        face_a: int | None = None,
        face_b: int | None = None,
    ) -> Verification:
        """`verify` for photos whose faces are found already."""
        points = self.calibration.policy(policy)
        chosen = (a.choose(face_a), b.choose(face_b))
        crops = np.concatenate([a.crop(chosen[0]), b.crop(chosen[1])])
        embeddings = self.embed(crops)
        decision = decide(float(similarity(embeddings[:1], embeddings[1:])[0, 0]), points)
        qualities = (a.quality(chosen[0], crops[0]), b.quality(chosen[1], crops[1]))
        return Verification(
            decision,
            self.embed.model,
            self.calibration,
            photos=(a, b),
            chosen=chosen,
            crops=crops,
            qualities=qualities,
            warnings=_warnings((a, b), chosen, qualities)
            + ((EXTRAPOLATED,) if points.match.extrapolated else ()),
        )

    def identify(
        self, source: Source | Image, gallery: Gallery, *, false_positive_rate: float = 1e-2
    ) -> tuple[Identification, ...]:
        """Who is in this photo? Every face, largest first.

        `false_positive_rate` is the share of strangers that may be taken for anybody at all: each
        of the gallery's templates is asked for its part of it. What the calibration cannot show is
        at most a review.
        Raises ImageError for what is no photo, CalibrationError, GalleryError.
        """
        photo = self.faces(source)
        return self.search(photo, gallery, false_positive_rate=false_positive_rate)

    def verify_person(
        self,
        source: Source | Image,
        gallery: Gallery,
        person: Person,
        *,
        policy: str | float = "standard",
        face: int | None = None,
    ) -> Identification:
        """Is this photo of that person? Compared with each of their templates, and no one else's.

        Raises PersonError where the person has no template of this model, and what `verify` raises.
        """
        photo = self.faces(source)
        chosen = photo.choose(face)
        index = gallery.index_of(person.id, self.embed.model)
        if not len(index):
            raise PersonError(
                f"{person.name} has no template of {self.embed.model}", mend="enrol a photo"
            )
        crop = photo.crop(chosen)
        (closest,) = index.nearest(self.embed(crop), people=1)
        similar = closest[0][1] if closest else -1.0
        comparisons = len(index)
        # The policy's rate is for the answer as a whole: each comparison gets its part of it.
        rate = policy_rate(policy)
        calibration = self.calibration_of(gallery)
        calibration.at(rate)  # a rate that cannot be shown at all is an error, as for verify
        points = calibration.search_policy(rate / comparisons)
        decision = decide(similar, points, comparisons=comparisons)
        warnings = _search_warnings(photo.quality(chosen, crop[0]), points)
        return Identification(photo.faces[chosen], decision, person, None, warnings)

    def search(
        self, photo: PhotoFaces, gallery: Gallery, *, false_positive_rate: float = 1e-2
    ) -> tuple[Identification, ...]:
        """`identify` for a photo whose faces are found already."""
        _check_rate(false_positive_rate)
        if not photo.faces:
            return ()
        crops = np.concatenate([photo.crop(row) for row in range(len(photo.faces))])
        nearest = self.nearest(self.embed(crops), gallery, false_positive_rate=false_positive_rate)
        return tuple(
            Identification(
                face=photo.faces[row],
                decision=near.decision,
                person=near.person,
                runner_up=near.runner_up,
                warnings=_search_warnings(photo.quality(row, crop), near.decision.policy),
            )
            for row, (crop, near) in enumerate(zip(crops, nearest, strict=True))
        )

    def nearest(
        self, embeddings: Embeddings, gallery: Gallery, *, false_positive_rate: float
    ) -> list[Nearest]:
        """Who is closest to each embedding (N, D), and whether that is close enough.

        `false_positive_rate` as for `identify`.
        Raises CalibrationError, GalleryError, MismatchError for embeddings of another length.
        """
        _check_rate(false_positive_rate)
        index = gallery.index(self.embed.model)
        comparisons = max(1, len(index))
        calibration = self.calibration_of(gallery)
        policy = calibration.search_policy(false_positive_rate / comparisons)
        closest = index.nearest(embeddings)
        known = gallery.people_of(person for row in closest for person, _ in row)
        nearest = []
        for row in closest:
            # Whoever is not known was erased a moment ago.
            people = [(known[person], value) for person, value in row if person in known]
            decision = decide(people[0][1] if people else -1.0, policy, comparisons=comparisons)
            person = people[0][0] if people and decision.outcome != "no_match" else None
            nearest.append(Nearest(decision, person, people[1] if len(people) > 1 else None))
        return nearest


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise CalibrationError(f"expected a false positive rate between 0 and 1, got {rate}")


def _search_warnings(quality: Quality, policy: Policy) -> tuple[str, ...]:
    warnings = [REASONS[reason] for reason in quality.reasons]
    if policy.match.extrapolated:
        warnings.append(EXTRAPOLATED)
    elif not policy.supported:
        warnings.append("so large a gallery needs a rate that the calibration cannot show")
    return tuple(warnings)


def calibration_name(model: str) -> str:
    """Under which a gallery keeps its own calibration of a model."""
    return f"calibration {model}"


def find_faces(
    detect: Detector, source: Source | Image | Photo, *, max_side: int | None = MAX_SIDE
) -> PhotoFaces:
    """Find the faces of a photo, in its own pixels; search it at `max_side` pixels, or in full.

    Raises ImageError for what is no photo.
    """
    if isinstance(source, np.ndarray):
        image = check_image(source)
        height, width = image.shape[:2]
        found = search(detect, image)
        return PhotoFaces("picture", image, width, height, found.faces, None, found.truncated)
    photo = source if isinstance(source, Photo) else open_photo(source)
    image = photo.decode(max_side=max_side)
    x, y = photo.width / image.shape[1], photo.height / image.shape[0]
    found = search(detect, image, pixel=min(x, y))
    faces = tuple(face.scaled(x, y) for face in found.faces)
    return PhotoFaces(photo.name, image, photo.width, photo.height, faces, photo, found.truncated)


def _warnings(
    photos: Sequence[PhotoFaces], chosen: Sequence[int], qualities: Sequence[Quality]
) -> tuple[str, ...]:
    found: list[str] = []
    for photo, face, quality in zip(photos, chosen, qualities, strict=True):
        found += [f"{photo.name}: {REASONS[reason]} ({reason})" for reason in quality.reasons]
        if len(photo.faces) > 1 or photo.truncated:
            faces = (
                f"more faces than {len(photo.faces)}"
                if photo.truncated
                else f"{len(photo.faces)} faces"
            )
            found.append(f"{photo.name}: {faces}, number {face + 1} was compared")
    return tuple(found)


def _where(face: Face) -> str:
    left, top, right, bottom = (round(float(value)) for value in face.box)
    return f"{right - left}x{bottom - top} at {left},{top}"
