"""What was asked of photos, and what came of it: a decision with everything it rests on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from visavis.decision import Calibration, Decision
from visavis.faces import PhotoFaces
from visavis.quality import Quality
from visavis.types import Crops, Face

if TYPE_CHECKING:  # it takes half of the time of all imports, and two photos need none
    from visavis.gallery import Gallery, Person
    from visavis.gallery.people import Among


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
class GallerySearch:
    """In whom a face is searched for, and how often that may be wrong."""

    gallery: "Gallery"
    rate: float  # share of strangers that may be taken for anybody
    among: "Among" = None  # the group, or the people by their ids, searched alone


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
