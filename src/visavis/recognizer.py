"""The flow as one object: two photos to a decision, a photo's faces to the people of a gallery."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visavis.cascade import ACCEPTED, cascade_of
from visavis.cautions import decision_cautions, photo_cautions, search_cautions, torn_cautions
from visavis.compare import similarity
from visavis.configuration import (
    UNCONFIGURED,
    Configuration,
    Configured,
    calibration_name,
    load_members,
)
from visavis.decision import (
    NOT_COMPARED,
    UNMEASURED,
    Calibration,
    Decision,
    Policy,
    decide,
    parse_calibration,
)
from visavis.detect import load_detector
from visavis.embedder import choose_models
from visavis.errors import MismatchError, PersonError
from visavis.faces import MAX_SIDE, PhotoFaces, find_faces
from visavis.image import Photo, Picture
from visavis.pack import DEFAULT_PACK, load_pack
from visavis.quality import Quality
from visavis.results import GallerySearch, Identification, Nearest, Verification
from visavis.runtime import Device
from visavis.types import Crops, Detector, Embedder, Embeddings

if TYPE_CHECKING:  # it takes half of the time of all imports, and two photos need none
    from visavis.gallery import Gallery, Person
    from visavis.gallery.people import Among


@dataclass(frozen=True, slots=True)
class Recognizer:
    """A detector, an embedder and the calibration that makes their numbers mean something."""

    detect: Detector
    embed: Embedder
    calibration: Calibration
    max_side: int | None = MAX_SIDE  # pixels at which a photo is scanned; None: in full
    configured: Configured = UNCONFIGURED  # by which configuration it decides

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
        with ThreadPoolExecutor(1) as beside:
            members = beside.submit(models.members, device, flip=flip)
            detect = load_detector(models.detector, device=device, tiled=tiled)
            embed = models.together(members.result())
        return cls(detect, embed, known, max_side=None if tiled else MAX_SIDE)

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        device: str | Device = "auto",
        *,
        flip: bool = True,
        tiled: bool = False,
        calibration: Path | None = None,
    ) -> "Recognizer":
        """The models of a configuration, whose rules hold where a question names no other.

        Where a member is missing, broken or disabled, the others answer as an ensemble of their
        own, and nothing is more than a review. Raises ConfigurationError where too few are left,
        PackError where the detector's pack is not there, and what `load` raises.
        """
        members = load_members(configuration, device, flip=flip)
        detector = load_pack(configuration.detecting_pack)
        return cls(
            load_detector(detector, device=device, tiled=tiled),
            members.embed,
            members.models.calibration(calibration),
            max_side=None if tiled else MAX_SIDE,
            configured=members.configured,
        )

    def without(self, models: frozenset[str]) -> "Recognizer":
        """What is left where some members do not answer: a review at most.

        Raises ConfigurationError where fewer are left than must answer.
        """
        if not models:
            return self
        embed, calibration, configured = self.configured.without(self.embed, models)
        return replace(self, embed=embed, calibration=calibration, configured=configured)

    @property
    def rules(self) -> Configuration:
        """What holds where a question does not say otherwise."""
        return self.configured.configuration

    def calibration_of(self, gallery: "Gallery") -> Calibration:
        """The calibration made of the gallery's own people, where it keeps one; otherwise
        the pack's.
        """
        own = gallery.kept(calibration_name(self.embed.model))
        return parse_calibration(own, gallery.where) if own else self.calibration

    def cut(self, photo: PhotoFaces, rows: Sequence[int]) -> tuple[Crops, Crops]:
        """The crops (N, 112, 112, 3) of these faces twice: as the embedder takes them, and without
        its margin, as a face is measured, kept and shown.

        Raises LandmarkError where a face's landmarks fix no crop.
        """
        crops, plain = photo.crops_at([self.embed.margin, 0.0], rows, self.detect)
        return crops, plain

    def embed_faces(self, photo: PhotoFaces, rows: Sequence[int]) -> Embeddings:
        """The embeddings (N, D) of these faces of a photo, in this order.

        Raises LandmarkError where a face's landmarks fix no crop.
        """
        if not rows:
            return np.empty((0, self.embed.dim), np.float32)
        return self.embed(photo.crops(rows, self.detect, margin=self.embed.margin))

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
        policy: str | float | None = None,
        face_a: int | None = None,
        face_b: int | None = None,
    ) -> Verification:
        """Are these two photos of one person?

        `policy` is convenience, standard, strict or a false match rate; None: the configuration's,
        or standard. `face_a` and `face_b` number the face meant (from 1, largest first) where a
        photo shows several.
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
        policy: str | float | None = None,
        face_a: int | None = None,
        face_b: int | None = None,
    ) -> Verification:
        """`verify` for photos whose faces are found already."""
        rate = self.rules.match_rate(policy)  # an unknown one is an error in any case
        chosen = (a.choose(face_a), b.choose(face_b))
        cuts = (self.cut(a, chosen[:1]), self.cut(b, chosen[1:]))
        crops, plain = (np.concatenate(both) for both in zip(*cuts, strict=True))
        qualities = (a.quality(chosen[0], plain[0]), b.quality(chosen[1], plain[1]))
        left = self.without(self.configured.too_poor(crops, *qualities))
        by, decision = left._compared(crops, rate)
        warnings = [
            *photo_cautions(a, chosen[0], qualities[0]),
            *photo_cautions(b, chosen[1], qualities[1]),
        ]
        return Verification(
            decision,
            by.embed.model,
            by.calibration,
            photos=(a, b),
            chosen=chosen,
            crops=crops,
            qualities=qualities,
            warnings=(*warnings, *decision_cautions(decision)),
        )

    def _compared(self, crops: Crops, rate: float) -> "tuple[Recognizer, Decision]":
        """Two crops compared; and by whom, all members or the first alone."""
        points, factor = UNMEASURED, self.rules.review_factor
        if self.calibration.points:
            points = self.calibration.policy(rate, factor)
        first = self._first()
        steps = cascade_of(first.calibration, self.calibration, rate, 1) if first else None
        if first is None or steps is None:
            return self, self._similarity_decided(crops, points)
        shared = first.calibration.search_policy(rate * ACCEPTED, factor)
        decision = first._similarity_decided(crops, shared)
        if steps.sure(decision):
            return first, steps.stated(decision, 1 - ACCEPTED)
        shared = self.calibration.search_policy(rate * (1 - ACCEPTED), factor)
        return self, steps.stated(self._similarity_decided(crops, shared), ACCEPTED)

    def _similarity_decided(self, crops: Crops, points: Policy) -> Decision:
        embeddings = self.embed(crops)
        return self._decide(float(similarity(embeddings[:1], embeddings[1:])[0, 0]), points)

    def _first(self) -> "Recognizer | None":
        """The member that a cascade asks first; None where there is no cascade."""
        if not self.configured.cascades:
            return None
        embed, calibration, configured = self.configured.first(self.embed)
        return replace(self, embed=embed, calibration=calibration, configured=configured)

    def _decide(self, similar: float, points: Policy, comparisons: int = 1) -> Decision:
        return self.configured.decided(decide(similar, points, comparisons=comparisons))

    def identify(
        self,
        source: Picture,
        gallery: "Gallery",
        *,
        false_positive_rate: float | None = None,
        among: str | None = None,
    ) -> tuple[Identification, ...]:
        """Who is in this photo? Every face, largest first; with `among`, of that group's people.

        `false_positive_rate` is the share of strangers that may be taken for anybody at all: each
        of the gallery's templates is asked for its part of it. None: the configuration's, or 1e-2.
        What the calibration cannot show is at most a review.
        Raises ImageError for what is no photo, CalibrationError, GalleryError; PersonError for a
        group of nobody.
        """
        photo = self.faces(source)
        return self.search(photo, gallery, false_positive_rate=false_positive_rate, among=among)

    def verify_person(
        self,
        source: Picture | Photo,
        gallery: "Gallery",
        person: "Person",
        *,
        policy: str | float | None = None,
        face: int | None = None,
    ) -> Identification:
        """Is this photo of that person? Compared with each of their templates, and no one else's.

        Raises PersonError where the person has no template of this model, and what `verify` raises.
        """
        from visavis.gallery.negatives import allowed_nearest

        photo = self.faces(source)
        chosen = photo.choose(face)
        crop, plain = self.cut(photo, [chosen])
        quality = photo.quality(chosen, plain[0])
        left = self.without(self.configured.too_poor(crop, quality))
        index = gallery.index_of(person.id, left.embed.parts)
        if not len(index):
            raise PersonError(
                f"{person.name} has no template of {left.embed.model}", mend="enrol a photo"
            )
        parts = left.embed.parts
        (closest,) = allowed_nearest(gallery, index, parts, left.embed(crop), people=1)
        similar = closest[0][1] if closest else -1.0
        comparisons = len(index)
        # The policy's rate is for the answer as a whole: each comparison gets its part of it.
        rate = self.rules.match_rate(policy)
        calibration = left.calibration_of(gallery)
        calibration.at(rate)  # a rate that cannot be shown at all is an error, as for verify
        points = calibration.search_policy(rate / comparisons, self.rules.review_factor)
        decision = left._decide(similar, points, comparisons)
        warnings = search_cautions(quality, decision)
        return Identification(photo.faces[chosen], decision, person, None, warnings)

    def search(
        self,
        photo: PhotoFaces,
        gallery: "Gallery",
        *,
        false_positive_rate: float | None = None,
        among: "Among" = None,
    ) -> tuple[Identification, ...]:
        """`identify` for a photo whose faces are found already; `among` as for `nearest`."""
        search = GallerySearch(gallery, self.rules.search_rate(false_positive_rate), among)
        if not photo.faces:
            return ()
        crops, plain = self.cut(photo, range(len(photo.faces)))
        qualities = [photo.quality(row, crop) for row, crop in enumerate(plain)]
        nearest = self._nearest_by_quality(crops, qualities, search)
        warned = [
            search_cautions(quality, near.decision)
            + torn_cautions(near.decision, near.closest, near.runner_up)
            for quality, near in zip(qualities, nearest, strict=True)
        ]
        return tuple(
            Identification(photo.faces[row], near.decision, near.closest, near.runner_up, warnings)
            for row, (near, warnings) in enumerate(zip(nearest, warned, strict=True))
        )

    def _nearest_by_quality(
        self, crops: Crops, qualities: Sequence[Quality], search: GallerySearch
    ) -> list[Nearest]:
        """Who is closest to each face, by the members that it is good enough for. Where these are
        too few the face is not compared.
        """
        poor = [
            self.configured.too_poor(crops[row : row + 1], quality)
            for row, quality in enumerate(qualities)
        ]
        nearest: dict[int, Nearest] = {}
        for models in set(poor):
            rows = [row for row, left_out in enumerate(poor) if left_out == models]
            if not self.configured.enough_without(models):
                nearest |= dict.fromkeys(
                    rows, Nearest(self._decide(-1.0, NOT_COMPARED), None, None)
                )
                continue
            left = self.without(models)
            near = left._nearest_in_steps(crops[rows], search)
            nearest |= dict(zip(rows, near, strict=True))
        return [nearest[row] for row in range(len(crops))]

    def _nearest_in_steps(self, crops: Crops, search: GallerySearch) -> list[Nearest]:
        """Who is closest to each face: by a cascade's first member where that is sure, else by all
        members.
        """
        first, gallery = self._first(), search.gallery
        if first is None:
            return self._nearest(crops, search)
        comparisons = max(1, len(gallery.index(self.embed.parts, search.among)))
        own, whole = (one.calibration_of(gallery) for one in (first, self))
        steps = cascade_of(own, whole, search.rate, comparisons)
        if steps is None:
            return self._nearest(crops, search)
        nearest, others = first._nearest(crops, search, ACCEPTED), [1 - ACCEPTED] * len(crops)
        unsure = [row for row, near in enumerate(nearest) if not steps.sure(near.decision)]
        further = self._nearest(crops[unsure], search, 1 - ACCEPTED) if unsure else []
        for row, near in zip(unsure, further, strict=True):
            nearest[row], others[row] = near, ACCEPTED
        return [
            replace(near, decision=steps.stated(near.decision, share))
            for near, share in zip(nearest, others, strict=True)
        ]

    def _nearest(self, crops: Crops, search: GallerySearch, share: float = 1.0) -> list[Nearest]:
        """Who is closest to each crop, where this share of the rate may be used up."""
        rate, among = search.rate * share, search.among
        embeddings = self.embed(crops)
        return self.nearest(embeddings, search.gallery, false_positive_rate=rate, among=among)

    def nearest(
        self,
        embeddings: Embeddings,
        gallery: "Gallery",
        *,
        false_positive_rate: float | None,
        among: "Among" = None,
    ) -> list[Nearest]:
        """Who is closest to each embedding (N, D), and whether that is close enough.

        `false_positive_rate` and `among` as for `identify`, or people by their ids. A match is a
        review where the runner-up is one too, and not so much less alike that the odds are at most
        this rate that it is them: twins.
        Raises CalibrationError, GalleryError, MismatchError for embeddings of another length, and
        where people are in the gallery and none has a template of this model.
        """
        from visavis.gallery.negatives import allowed_nearest

        rate = self.rules.search_rate(false_positive_rate)
        index = gallery.index(self.embed.parts, among)
        if not len(index) and not isinstance(among, frozenset):
            self.unseen(gallery)
            if among is not None:
                raise PersonError(
                    f"nobody in the group {among!r} has a template of {self.embed.model}",
                    mend="enrol their photos with this pack",
                    option="among",
                )
        comparisons = max(1, len(index))
        calibration = self.calibration_of(gallery)
        policy = UNMEASURED
        if calibration.points:
            policy = calibration.search_policy(rate / comparisons, self.rules.review_factor)
        closest = allowed_nearest(gallery, index, self.embed.parts, embeddings)
        known = gallery.people_of(person for row in closest for person, _ in row)
        nearest = []
        for row in closest:
            # Whoever is not known was erased a moment ago.
            people = [(known[person], value) for person, value in row if person in known]
            decision = self._decide(people[0][1] if people else -1.0, policy, comparisons)
            runner_up = people[1] if len(people) > 1 else None
            if decision and runner_up:
                twins = runner_up[1] >= policy.match.threshold
                least = max(
                    calibration.least_margin(rate) if twins else 0.0, self.rules.least_margin
                )
                if decision.similarity - runner_up[1] < least:
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
