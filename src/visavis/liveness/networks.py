"""MiniFASNet: two small networks that look at a face and its surroundings, close and from afar.

Silent-Face-Anti-Spoofing, minivision, 2020, Apache-2.0. They were trained on camera pictures of the
shape 3:4, faces within 30 degrees; of press photos they call one in twelve spoofed: never run them
on photos that are enrolled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.errors import ModelError, PackError
from visavis.pack import Pack
from visavis.pack.manifest import LivenessSpec
from visavis.runtime import Device, Model, load_model
from visavis.types import Face, Image

LivenessMember = tuple[Model, LivenessSpec]


@dataclass(frozen=True, eq=False, slots=True)
class LivenessNetworks:
    """The loaded networks of a pack. Their mean is the score: 0..1, the higher the more alive."""

    members: tuple[LivenessMember, ...]

    @property
    def model(self) -> str:
        """name@hash of each: what a threshold was measured with."""
        return "+".join(spec.model for _, spec in self.members)

    def __call__(self, image: Image, faces: Sequence[Face], /) -> NDArray[np.float32]:
        """(N,) scores of faces of a whole frame: the surroundings say as much as the face.

        Raises ModelError for a network that answers with NaN.
        """
        scores = np.zeros(len(faces), np.float32)
        for row, face in enumerate(faces):
            scores[row] = np.mean([_score(image, face, *one) for one in self.members])
        return scores


def load_liveness(pack: Pack, device: str | Device = "auto") -> LivenessNetworks:
    """A pack's liveness networks, in float32 whatever the others compute in: thresholds are of
    their exact scores.

    Raises PackError for a pack without any and for a damaged file, ModelError for one that cannot
    be loaded.
    """
    if not pack.manifest.liveness:
        raise PackError(
            f"pack {pack.manifest.name}: it has no liveness networks",
            mend="make one that has: visavis pack pull minifasnet, then visavis pack liveness",
            option="pack",
        )
    asked = Device(device) if isinstance(device, str) else device
    exact = replace(asked, precision="float32")
    members = [
        (load_model(pack.read(spec.file, spec.sha256), spec.preprocess, exact), spec)
        for spec in pack.manifest.liveness
    ]
    return LivenessNetworks(tuple(members))


def _score(image: Image, face: Face, model: Model, spec: LivenessSpec) -> float:
    (logits,) = model(surroundings(image, face, spec.scale, spec.size)[None])
    if logits.shape != (1, spec.outputs) or not np.isfinite(logits).all():
        raise ModelError(
            f"{spec.name}: expected {spec.outputs} numbers of a liveness network, got "
            f"{logits.tolist()}"
        )
    odds = np.exp(logits[0].astype(np.float64) - logits.max())
    return float(odds[spec.live] / odds.sum())


def surroundings(image: Image, face: Face, scale: float, size: tuple[int, int] = (80, 80)) -> Image:
    """(*size, 3): a face with what is around it, as the networks were trained to see it.

    The box `scale` times as large, less where the picture is smaller, shifted so that it lies
    within.
    """
    left, top, right, bottom = scaled_box(face, image.shape[1], image.shape[0], scale)
    part = image[top : bottom + 1, left : right + 1]
    return np.asarray(cv2.resize(part, (size[1], size[0])), np.uint8)


def scaled_box(face: Face, width: int, height: int, scale: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom pixel, all within. Raises ModelError for a box without any."""
    corner, size = face.box[:2].astype(np.float64), np.diff(face.box.reshape(2, 2), axis=0)[0]
    room = np.array([width - 1, height - 1], np.float64)
    if not np.isfinite(face.box).all() or min(size) <= 0 or min(room) < 1:
        raise ModelError(f"expected a box in a picture, got {face.box.tolist()}")
    larger = size * min(scale, *(room / size))
    first = corner + size / 2 - larger / 2
    # Shifted, not cut: the networks expect the face in the middle, and its size.
    first = np.clip(first, 0, np.maximum(room - larger, 0))
    last = np.minimum(first + larger, room)
    left, top, right, bottom = (int(value) for value in (*first, *last))
    return left, top, right, bottom
