"""WIDER FACE through a detector to average precisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visavis.batch import Progress
from visavis.dataset.wider import Wider, read_wider
from visavis.detect import load_detector
from visavis.errors import DatasetError, ImageError
from visavis.evaluate.subjects import Packs
from visavis.image import read_image
from visavis.metrics.detection import Detections, average_precision, precision_recall
from visavis.pack import load_pack
from visavis.types import Detector

LEAST_SCORE = 0.02  # of a detected box, for its average precision: the field's choice


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """WIDER FACE's figures."""

    pictures: int
    found: int  # boxes
    faces: dict[str, int]  # counted, by level
    average_precision: dict[str, float]  # by level: easy, medium, hard
    skipped: int = 0  # pictures that cannot be read; their faces count as missed


def evaluate_wider(
    folder: Path, packs: Packs, *, skip_bad: bool = False, progress: Progress = iter
) -> dict[str, DetectionResult]:
    """Each pack's detector over a folder as `read_wider` reads it, by the pack's name.

    Boxes are kept down to a score of LEAST_SCORE; of `packs` only names and device count. Raises
    what `read_wider` raises, and ImageError for a picture that cannot be decoded; `skip_bad`
    counts it.
    """
    wider = read_wider(folder)
    results = {}
    for name in packs.names:
        pack = load_pack(name)
        detect = load_detector(pack, device=packs.device, min_score=LEAST_SCORE)
        results[pack.manifest.name] = measure_wider(
            wider, detect, skip_bad=skip_bad, progress=progress
        )
    return results


def measure_wider(
    wider: Wider, detect: Detector, *, skip_bad: bool = False, progress: Progress = iter
) -> DetectionResult:
    """One detector's average precisions.

    `detect` should keep boxes down to a score near 0: what it drops cannot be recalled. Raises
    ImageError or DatasetError for a picture that cannot be read; `skip_bad` counts it.
    """
    detections, skipped = detect_all(wider, detect, skip_bad=skip_bad, progress=progress)
    return wider_result(wider, detections, skipped=skipped)


def detect_all(
    wider: Wider, detect: Detector, *, skip_bad: bool = False, progress: Progress = iter
) -> tuple[list[Detections], int]:
    """The boxes of each picture, none for one that cannot be read; and how many cannot be read."""
    detections, skipped = [], 0
    for name in progress(wider.names):
        try:
            faces = detect(read_image(wider.tree.read(name)))
        except (ImageError, DatasetError) as error:
            if not skip_bad:
                raise error.at(f"{name} of {wider.tree.source}") from error
            faces, skipped = [], skipped + 1
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
        detections.append(Detections(boxes, np.array([face.score for face in faces], np.float64)))
    return detections, skipped


def wider_result(
    wider: Wider, detections: Sequence[Detections], *, skipped: int = 0
) -> DetectionResult:
    """The figures of each picture's boxes, in the order of `wider.names`."""
    return DetectionResult(
        pictures=len(wider.names),
        found=sum(len(one.boxes) for one in detections),
        faces={
            level: sum(int(faces.sum()) for faces in counted)
            for level, counted in wider.counted.items()
        },
        average_precision={
            level: average_precision(*precision_recall(detections, wider.boxes, counted))
            for level, counted in wider.counted.items()
        },
        skipped=skipped,
    )
