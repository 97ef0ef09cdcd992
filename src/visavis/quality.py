"""Is this face good enough to be compared, and if not, why. Measures a face; refuses none."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.alignment import ARCFACE_112, similarity_transform
from visavis.errors import LandmarkError
from visavis.types import CERTAIN, Face, Image

# How far eyes, nose and mouth corners stand out of the plane of the eyes, in units of the template:
# a nose tip stands out by about 0.45, mouth corners by 0.1 of the distance between the eyes.
# Anthropometric means.
DEPTH = 35.2 * np.array([0.0, 0.0, 0.45, 0.1, 0.1])
HEAD = np.column_stack([ARCFACE_112, DEPTH])
HEAD = HEAD - HEAD.mean(axis=0)  # (5, 3) x right, y down, z towards the viewer
FROM_HEAD = np.linalg.pinv(HEAD)  # (3, 5)

# Where the brows begin, in the template: above the eyes by 0.4 of the distance between them.
BROWS = np.array([[30.0, 38.0], [82.0, 38.0]])

REASONS = {
    "uncertain": "the detector is not sure that this is a face",
    "small": "the face is small",
    "blurred": "the face is blurred",
    "dark": "the face is dark",
    "bright": "the face is overexposed",
    "turned": "the face is turned away",
    "cut": "the face is cut by the border, or through the brow",
}


@dataclass(frozen=True, slots=True)
class QualityFloor:
    """Below these a face gets a reason code. Where they come from: docs/experiments.md, quality."""

    score: float = CERTAIN
    size: float = 40.0  # pixels, the shorter side of the box
    sharpness: float = 35.0
    dark: float = 40.0  # mean grey, 0..255
    bright: float = 225.0
    yaw: float = 45.0  # degrees to either side
    pitch: float = 35.0
    inside: float = 0.85  # share of the box that lies within the picture


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on one face, and the codes of what is wrong with it."""

    score: float  # the detector's, 0..1
    size: float  # pixels, the shorter side of the box
    sharpness: float  # variance of the Laplacian of the grey crop
    brightness: float  # mean of the grey crop, 0..255
    yaw: float  # degrees, positive: turned to the viewer's right
    pitch: float  # degrees, positive: looking down
    roll: float  # degrees, positive: tilted clockwise
    inside: float  # share of the box that lies within the picture, 0..1
    reasons: tuple[str, ...]  # keys of REASONS


FLOOR = QualityFloor()


def assess(
    face: Face, crop: Image, width: int, height: int, floor: QualityFloor = FLOOR
) -> Quality:
    """Measure one face, its (112, 112, 3) crop, and how it lies in a picture of `width` x `height`
    pixels. Raises LandmarkError for a box or landmarks that are not finite.
    """
    if not (np.isfinite(face.box).all() and face.has_landmarks):
        raise LandmarkError(
            f"expected a finite box and landmarks, got {face.box.tolist()} "
            f"and {face.landmarks.tolist()}"
        )
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    yaw, pitch, roll = pose(face.landmarks)
    inside = _inside(face, width, height)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    brightness = float(grey.mean())
    checks = {
        "uncertain": face.score < floor.score,
        "small": face.side < floor.size,
        "blurred": sharpness < floor.sharpness,
        "dark": brightness < floor.dark,
        "bright": brightness > floor.bright,
        "turned": abs(yaw) > floor.yaw or abs(pitch) > floor.pitch,
        "cut": inside < floor.inside or not is_whole(face, width, height),
    }
    reasons = tuple(code for code, wrong in checks.items() if wrong)
    return Quality(
        face.score, face.side, sharpness, brightness, yaw, pitch, roll, inside, reasons=reasons
    )


def pose(landmarks: NDArray[np.float32]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, from five points (5, 2): coarse, to about 10 degrees.

    The rotation of an average head whose weak-perspective picture lies closest to the points; a
    face like the ArcFace template is (0, 0, 0).
    """
    points = np.asarray(landmarks, np.float64)
    # (2, 3): scale times two rows of a rotation
    camera = (FROM_HEAD @ (points - points.mean(axis=0))).T
    u, _, v = np.linalg.svd(camera, full_matrices=False)
    rows = u @ v  # (2, 3) the nearest two rows of a rotation
    roll = np.arctan2(rows[1, 0], rows[0, 0])
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    across, along = upright @ rows[:, 2]  # where the nose points, in the upright face's plane
    pitch = np.arcsin(np.clip(along, -1, 1))
    yaw = np.arcsin(np.clip(across / max(np.cos(pitch), 1e-6), -1, 1))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def is_whole(face: Face, width: int, height: int) -> bool:
    """Whether a face's five points and its brows lie within a picture of `width` x `height` pixels.

    Raises LandmarkError for points that fix no place of the brows.
    """
    way = similarity_transform(ARCFACE_112, face.landmarks)
    points = np.concatenate([face.landmarks, BROWS @ way[:, :2].T + way[:, 2]])
    return bool(((points >= 0) & (points < (width, height))).all())


def _inside(face: Face, width: int, height: int) -> float:
    corner = np.clip(face.box[:2], 0, [width, height])
    other = np.clip(face.box[2:], 0, [width, height])
    return float(np.prod(other - corner)) / max(face.area, 1e-6)
