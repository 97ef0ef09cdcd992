"""Photos and videos of living people and of attacks to liveness scores. Knows no people's names."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.batch import Progress
from visavis.errors import SourceError
from visavis.faces import find_faces
from visavis.formats import kind_of
from visavis.image import read_image
from visavis.liveness.measure import LivenessScore
from visavis.types import Detector, Face, Image
from visavis.watch.following import without_angles
from visavis.watch.frames import Shot
from visavis.watch.sources import open_sources

EACH = 15  # frames of a video that are one presentation: as many as a track is judged by
EVERY = 0.1  # seconds between them
Scorer = Callable[[Image, Sequence[Face]], NDArray[np.float32]]


def score_presentations(
    detect: Detector,
    score: Scorer,
    paths: Sequence[Path],
    progress: Progress = lambda names: names,
) -> list[LivenessScore]:
    """The presentations of these files: a photo is one, and so are 15 looks at a video.

    Raises SourceError, ImageError for a file that is neither.
    """
    places = {str(path): path for path in paths}
    return [
        one
        for name in progress(list(places))
        for one in _presentations(without_angles(detect), score, places[name])
    ]


def presentation_files(folder: Path) -> list[Path]:
    """The files of a folder, by name. Raises SourceError where there is none."""
    if folder.is_file():
        return [folder]
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        raise SourceError(f"{folder}: no photos or videos here")
    return files


def attack_folders(folder: Path) -> dict[str, list[Path]]:
    """The files of each species of attack, a folder each. Raises SourceError for none."""
    species = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not species:
        raise SourceError(
            f"{folder}: expected a folder for each species of attack",
            mend="such as print/, screen/, mask/",
            option="attacks",
        )
    return {path.name: presentation_files(path) for path in species}


def _presentations(detect: Detector, score: Scorer, path: Path) -> Iterator[LivenessScore]:
    with path.open("rb") as file:
        is_photo = kind_of(file.read(64)).readable
    if is_photo:
        yield LivenessScore(str(path), _score(detect, score, read_image(path)))
        return
    looks = [_score(detect, score, image) for image in _frames(path)]
    for number in range(0, len(looks), EACH):
        part = [one for one in looks[number : number + EACH] if one is not None]
        yield LivenessScore(
            f"{path}: {number // EACH + 1}", float(np.median(part)) if part else None
        )


def _frames(path: Path) -> Iterator[Image]:
    due = 0.0
    with open_sources([str(path)]) as sources:
        for _, what in sources:
            if isinstance(what, Shot) and what.at >= due:
                due = what.at + EVERY - 1e-3
                yield what.image


def _score(detect: Detector, score: Scorer, image: Image) -> float | None:
    """Of the largest face."""
    faces = find_faces(detect, image).faces
    return float(score(image, faces[:1])[0]) if faces else None
