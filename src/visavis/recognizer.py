"""The flow as one object: two photos to a decision, a photo's faces to the people of a gallery."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visavis.compare import similarity
from visavis.decision import (
    UNMEASURED,
    Calibration,
    Decision,
    Policy,
    decide,
    parse_calibration,
    policy_rate,
)
from visavis.detect import load_detector
from visavis.embedder import choose_models
from visavis.errors import CalibrationError, MismatchError, PersonError
from visavis.faces import MAX_SIDE, PhotoFaces, find_faces
from visavis.image import Photo, Picture
from visavis.pack import DEFAULT_PACK
from visavis.quality import REASONS, Quality
from visavis.runtime import Device
from visavis.types import Crops, Detector, Embedder, Embeddings, Face

if TYPE_CHECKING:  # it takes half of the time of all imports, and two photos need none
    from visavis.gallery import Gallery, Person

TOO_LARGE = "so large a gallery needs a rate that the calibration cannot show"
NO_CALIBRATION = "no error rate is known: make a calibration with visavis calibrate"
EXTRAPOLATED = "the threshold is extrapolated beyond what the calibration's data measures"


@dataclass(frozen=True, slots=True)
class Verification:
    """Two photos compared: the decision, and everything it rests on. True for a match alone."""

    decision: Decision
    model: str
    calibration: Calibration
    photos: tuple[PhotoFaces, PhotoFaces]
    chosen: tuple[int, int]  # rows of each photo's faces
    crops: Crops  # (2, 112, 112, 3): what was compared
    qualities: tuple[Quality, Quality]
    warnings: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.matched

    @property
    def matched(self) -> bool:
        """Whether it is a match: a review is none until a person has looked."""
        return self.decision.matched


@dataclass(frozen=True, slots=True)
class Nearest:
    """Who of a gallery is closest to one embedding, and what that means. True for a match alone."""

    decision: Decision
    closest: "Person | None"  # however unlike; None in an empty gallery
    runner_up: "tuple[Person, float] | None"  # the next closest person, and their similarity

    def __bool__(self) -> bool:
        return self.matched

    @property
    def matched(self) -> bool:
        """Whether it is a match: a review is none until a person has looked."""
        return self.decision.matched

    @property
    def person(self) -> "Person | None":
        """Who it is; None unless it is a match."""
        return self.closest if self.matched else None


@dataclass(frozen=True, slots=True)
class Identification:
    """One face searched for in a gallery. True for a match alone."""

    face: Face
    decision: Decision
    closest: "Person | None"  # however unlike; None in an empty gallery
    runner_up: "tuple[Person, float] | None"  # the next closest person, and their similarity
    warnings: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.matched

    @property
    def matched(self) -> bool:
        """Whether it is a match: a review is none until a person has looked."""
        return self.decision.matched

    @property
    def person(self) -> "Person | None":
        """Who it is; None unless it is a match."""
        return self.closest if self.matched else None

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
    max_side: int | None = MAX_SIDE  # pixels at which a photo is scanned; None: in full

    def __post_init__(self) -> None:
        if self.embed.model != self.calibration.model:
            raise MismatchError(
                f"the calibration is of {self.calibration.model}, "
                f"the embedder is {self.embed.model}"
            )

    @classmethod
    def load(
        cls,
        pack: str | Path = DEFAULT_PACK,
        device: str | Device = "auto",
        *,
        flip: bool = True,
        tiled: bool = False,
        calibration: Path | None = None,
    ) -> "Recognizer":
        """The pack's models on a device, with the calibration of a file in place of the pack's.

        `A+B` and `A:0.3+B:0.7` are packs that answer as one: `choose_models`.
        `tiled` as for `load_detector`, with photos scanned in full. Without any calibration
        similarities are told, no error rate is known, and nothing is a match.
        Raises PackError, DeviceError, CalibrationError, ModelError.
        """
        models = choose_models(pack)
        known = models.calibration(calibration)  # first: a wrong one is told before networks load
        return cls(
            load_detector(models.detector, device=device, tiled=tiled),
            models.together(models.members(device, flip=flip)),
            known,
            max_side=None if tiled else MAX_SIDE,
        )

    def calibration_of(self, gallery: "Gallery") -> Calibration:
        """The calibration made of the gallery's own people, where it keeps one; otherwise
        the pack's.
        """
        own = gallery.kept(calibration_name(self.embed.model))
        return parse_calibration(own, gallery.where) if own else self.calibration

    def embed_faces(self, photo: PhotoFaces, rows: Sequence[int]) -> Embeddings:
        """The embeddings (N, D) of these faces of a photo, in this order.

        Raises LandmarkError where a face's landmarks fix no crop.
        """
        if not rows:
            return np.empty((0, self.embed.dim), np.float32)
        return self.embed(photo.crops(rows, self.detect))

    def faces(self, source: Picture | Photo) -> PhotoFaces:
        """Find the faces of a photo: a path, bytes, a binary file object, a Pillow picture, an
        (H, W, 3) uint8 RGB array, or a photo that is opened.

        Raises ImageError for what is none of these.
        """
        return find_faces(self.detect, source, max_side=self.max_side)

    def verify(
        self,
        a: Picture,
        b: Picture,
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
        points = self._policy(policy)
        chosen = (a.choose(face_a), b.choose(face_b))
        crops = np.concatenate([a.crops(chosen[:1], self.detect), b.crops(chosen[1:], self.detect)])
        embeddings = self.embed(crops)
        decision = decide(float(similarity(embeddings[:1], embeddings[1:])[0, 0]), points)
        qualities = (a.quality(chosen[0], crops[0]), b.quality(chosen[1], crops[1]))
        warnings = _warnings(a, chosen[0], qualities[0]) + _warnings(b, chosen[1], qualities[1])
        return Verification(
            decision,
            self.embed.model,
            self.calibration,
            photos=(a, b),
            chosen=chosen,
            crops=crops,
            qualities=qualities,
            warnings=(*warnings, *_policy_warnings(points)),
        )

    def _policy(self, policy: str | float) -> Policy:
        policy_rate(policy)  # an unknown one is an error in any case
        return self.calibration.policy(policy) if self.calibration.points else UNMEASURED

    def identify(
        self,
        source: Picture,
        gallery: "Gallery",
        *,
        false_positive_rate: float = 1e-2,
        among: str | None = None,
    ) -> tuple[Identification, ...]:
        """Who is in this photo? Every face, largest first; with `among`, of that group's people.

        `false_positive_rate` is the share of strangers that may be taken for anybody at all: each
        of the gallery's templates is asked for its part of it. What the calibration cannot show is
        at most a review.
        Raises ImageError for what is no photo, CalibrationError, GalleryError; PersonError for a
        group of nobody.
        """
        photo = self.faces(source)
        return self.search(photo, gallery, false_positive_rate=false_positive_rate, among=among)

    def verify_person(
        self,
        source: Picture,
        gallery: "Gallery",
        person: "Person",
        *,
        policy: str | float = "standard",
        face: int | None = None,
    ) -> Identification:
        """Is this photo of that person? Compared with each of their templates, and no one else's.

        Raises PersonError where the person has no template of this model, and what `verify` raises.
        """
        photo = self.faces(source)
        chosen = photo.choose(face)
        index = gallery.index_of(person.id, self.embed.parts)
        if not len(index):
            raise PersonError(
                f"{person.name} has no template of {self.embed.model}", mend="enrol a photo"
            )
        crop = photo.crops([chosen], self.detect)
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
        self,
        photo: PhotoFaces,
        gallery: "Gallery",
        *,
        false_positive_rate: float = 1e-2,
        among: str | None = None,
    ) -> tuple[Identification, ...]:
        """`identify` for a photo whose faces are found already."""
        _check_rate(false_positive_rate)
        if not photo.faces:
            return ()
        crops = photo.crops(range(len(photo.faces)), self.detect)
        nearest = self.nearest(
            self.embed(crops), gallery, false_positive_rate=false_positive_rate, among=among
        )
        warned = [
            (*_search_warnings(photo.quality(row, crop), near.decision.policy), *_torn(near))
            for row, (crop, near) in enumerate(zip(crops, nearest, strict=True))
        ]
        return tuple(
            Identification(photo.faces[row], near.decision, near.closest, near.runner_up, warnings)
            for row, (near, warnings) in enumerate(zip(nearest, warned, strict=True))
        )

    def nearest(
        self,
        embeddings: Embeddings,
        gallery: "Gallery",
        *,
        false_positive_rate: float,
        among: str | None = None,
    ) -> list[Nearest]:
        """Who is closest to each embedding (N, D), and whether that is close enough.

        `false_positive_rate` and `among` as for `identify`. A match is a review where the runner-up
        is one too, and not so much less alike that the odds are at most this rate that it is them:
        twins.
        Raises CalibrationError, GalleryError, MismatchError for embeddings of another length, and
        where people are in the gallery and none has a template of this model.
        """
        _check_rate(false_positive_rate)
        index = gallery.index(self.embed.parts, among)
        if not len(index):
            self.unseen(gallery)
            if among is not None:
                raise PersonError(
                    f"nobody in the group {among!r} has a template of {self.embed.model}",
                    mend="enrol their photos with this pack",
                    option="among",
                )
        comparisons = max(1, len(index))
        calibration = self.calibration_of(gallery)
        policy = _search_policy(calibration, false_positive_rate / comparisons)
        closest = index.nearest(embeddings)
        known = gallery.people_of(person for row in closest for person, _ in row)
        nearest = []
        for row in closest:
            # Whoever is not known was erased a moment ago.
            people = [(known[person], value) for person, value in row if person in known]
            decision = decide(people[0][1] if people else -1.0, policy, comparisons=comparisons)
            runner_up = people[1] if len(people) > 1 else None
            if decision and runner_up and runner_up[1] >= policy.match.threshold:
                margin = decision.similarity - runner_up[1]
                if margin < calibration.least_margin(false_positive_rate):
                    decision = replace(decision, outcome="review")
            nearest.append(Nearest(decision, people[0][0] if people else None, runner_up))
        return nearest

    def unseen(self, gallery: "Gallery") -> set[str]:
        """The ids of people who are never found: they have templates, but no photo has those of
        all this embedder's models.

        Raises MismatchError where that is everybody.
        """
        from visavis.gallery.models import people_by_model, people_seen

        by_model = people_by_model(gallery)
        seen = people_seen(gallery, self.embed.parts)
        unseen = set[str]().union(*by_model.values()) - seen
        if unseen and not seen:
            models = ", ".join(f"{len(by_model[name])} of {name}" for name in sorted(by_model))
            raise MismatchError(
                f"{gallery.where}: of {len(unseen)} people nobody has a template of "
                f"{self.embed.model}; their templates are of other models: {models}",
                mend="use the pack of that model, or enrol the photos again with this one",
                option="pack",
            )
        return unseen


def _search_policy(calibration: Calibration, rate: float) -> Policy:
    return calibration.search_policy(rate) if calibration.points else UNMEASURED


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise CalibrationError(f"expected a false positive rate between 0 and 1, got {rate}")


def _search_warnings(quality: Quality, policy: Policy) -> tuple[str, ...]:
    warnings = [REASONS[reason] for reason in quality.reasons]
    if not policy.supported and not policy.match.extrapolated:
        warnings.append(TOO_LARGE)
    return (*warnings, *_policy_warnings(policy))


def _policy_warnings(policy: Policy) -> tuple[str, ...]:
    if policy == UNMEASURED:
        return (NO_CALIBRATION,)
    return (EXTRAPOLATED,) if policy.match.extrapolated else ()


def _torn(near: Nearest) -> tuple[str, ...]:
    """Whether it is a review because two people are alike enough."""
    policy, runner_up = near.decision.policy, near.runner_up
    enough = policy.supported and near.decision.similarity >= policy.match.threshold
    if near.closest is None or runner_up is None or near.matched or not enough:
        return ()
    names = f"{near.closest.name} and {runner_up[0].name}"
    return (f"{names} are both alike enough, and too near each other to say which of them it is",)


def calibration_name(model: str) -> str:
    """Under which a gallery keeps its own calibration of a model."""
    return f"calibration {model}"


def _warnings(photo: PhotoFaces, chosen: int, quality: Quality) -> tuple[str, ...]:
    """What speaks against the face that was compared, and that the photo has others."""
    warnings = [f"{photo.name}: {REASONS[reason]} ({reason})" for reason in quality.reasons]
    if photo.turn:
        warnings.append(f"{photo.name}: lies turned by {photo.turn} degrees, looked at upright")
    count = len(photo.faces)
    if count > 1 or photo.truncated:
        faces = f"more faces than {count}" if photo.truncated else f"{count} faces"
        warnings.append(f"{photo.name}: {faces}, number {chosen + 1} was compared")
    return tuple(warnings)
