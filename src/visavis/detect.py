"""One picture through a detection network at several scales or in tiles, merged into faces.

What is the same for every decoder is here; what differs is the decoder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from visavis.decode import Decode
from visavis.decode.boxes import FRAME, Candidates, Frame, joined, letterbox, nms, tiles
from visavis.decode.yolov5face import AS_PUBLISHED, RawOutputs, decode_as
from visavis.errors import ModelError
from visavis.image import check_image
from visavis.pack.check import check_network, declared_decoder
from visavis.pack.manifest import DetectorSpec, Pack
from visavis.runtime import Device, Outputs, Pictures, load_model
from visavis.types import Detector, Face, Image

# Longer side of the picture as the network sees it. At 640 small faces are found; a face that fills
# the picture is then larger than any the network was trained on, and is found at the small scale.
SCALES = (640, 224)
# A picture as small as this is looked at once, enlarged: a face that fills it is found at that
# size, and YuNet's landmarks follow a tilted face of 100 pixels better when it is enlarged. Where
# that finds nothing, the smaller scale may: it smooths the noise of the dark.
SMALL, ENLARGE = 384, 2.0
TILE = 640  # pixels
TILE_OVERLAP = (
    128  # pixels: a face up to this size lies whole in one tile, larger ones are found at SCALES
)
MOST_CANDIDATES = 20_000  # of the best scores: ten and more are one face
FARTHEST = 1e6  # pixels from the picture's corner: beyond is no face


@dataclass(frozen=True, slots=True)
class Found:
    """The faces of a picture, and whether that is all of them."""

    faces: tuple[Face, ...]  # largest first; of one size, from left to right, then downwards
    truncated: bool = False  # there were more faces than are wanted, or than are looked at


@dataclass(frozen=True, slots=True)
class ScanDetector:
    """A detector: scales or tiles, one network call each, one merge."""

    model: Callable[[Pictures], Outputs]
    decode: Decode
    min_score: float
    max_overlap: float
    tiled: bool = False
    frame: Frame = field(default=FRAME, kw_only=True)
    max_faces: int | None = field(default=None, kw_only=True)  # the largest; None: all
    min_size: float = field(default=0, kw_only=True)  # pixels, of a box's shorter side

    def __post_init__(self) -> None:
        if not (0 <= self.min_score <= 1 and 0 <= self.max_overlap <= 1):
            raise ModelError(
                "expected a least score and a most overlap of 0..1, got "
                f"{self.min_score} and {self.max_overlap}"
            )
        if not 0 <= self.min_size < np.inf:
            raise ModelError(f"expected a least size of 0 pixels or more, got {self.min_size}")
        if self.max_faces is not None and self.max_faces < 1:
            raise ModelError(f"expected to look for 1 face or more, got {self.max_faces}")

    def __call__(self, image: Image, /) -> list[Face]:
        """Faces of an (H, W, 3) uint8 RGB image, largest first; boxes may reach past its border.

        Raises ImageError for any other array, ModelError where the network answers with NaN.
        """
        return [*self.search(image).faces]

    def search(self, image: Image, *, pixel: float = 1.0) -> Found:
        """The same, and whether there were more. `min_size` is in pixels of a photo of which
        `pixel` make one of this image.
        """
        found = joined(list(self._passes(check_image(image))))
        best = (-found.scores).argsort(kind="stable")
        found = found[best[:MOST_CANDIDATES]]
        found = found[nms(found.boxes, found.scores, max_overlap=self.max_overlap)]
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1)
        found = found[np.flatnonzero(sides * pixel >= self.min_size)]
        faces = [
            Face(box, landmarks, float(score))
            for box, landmarks, score in zip(
                found.boxes, found.landmarks, found.scores, strict=True
            )
        ]
        faces.sort(key=lambda face: (-face.area, *face.box.tolist()))
        more = self.max_faces is not None and len(faces) > self.max_faces
        return Found(tuple(faces[: self.max_faces]), more or len(best) > MOST_CANDIDATES)

    def _passes(self, image: Image) -> Iterator[Candidates]:
        """A network of one size that is larger than the first scale sees all that it can."""
        height, width = image.shape[:2]
        if max(height, width) <= SMALL:
            found = self._look(image, SMALL, ENLARGE)
            yield found if len(found.scores) else self._look(image, SCALES[-1])
            return
        for longest in (max((SCALES[0], *(self.frame.size or ()))), SCALES[1]):
            yield self._look(image, longest)
        side = min(self.frame.size or (TILE,))
        if self.tiled and max(height, width) > side:
            for left, top in tiles(height, width, side=side, overlap=min(TILE_OVERLAP, side // 2)):
                part = image[top : top + side, left : left + side]
                yield self._look(part, side).placed(1.0, left, top)

    def _look(self, image: Image, longest: int, enlarge: float = 1.0) -> Candidates:
        canvas, scale = letterbox(image, longest, self.frame, enlarge=enlarge)
        outputs = self.model(canvas[None])
        if not all(np.isfinite(values).all() for values in outputs):
            raise ModelError("the detector answered with NaN or infinity; its file is damaged")
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                found = self.decode(outputs, *canvas.shape[:2], min_score=self.min_score)
        except (LookupError, ValueError) as error:
            shapes = ", ".join(str(values.shape) for values in outputs)
            raise ModelError(f"the detector's answers do not fit together: {shapes}") from error
        near = np.abs(found.boxes).max(initial=0) < FARTHEST  # false for NaN, too
        if not near or (np.abs(found.landmarks) >= FARTHEST).any():  # NaN: there are none
            raise ModelError("the detector sees a face far from the picture; its file is damaged")
        return found.placed(scale)


def search(detect: Detector, image: Image, *, pixel: float = 1.0) -> Found:
    """What any detector finds: `ScanDetector.search`, or the faces alone, taken for all."""
    if isinstance(detect, ScanDetector):
        return detect.search(image, pixel=pixel)
    return Found(tuple(detect(image)))


def detector_device(device: str | Device) -> Device:
    """Where a detector runs: in float32, unless another precision is asked for by name.

    bfloat16 would move landmarks by half a pixel, and embeddings with them, to save little.
    """
    where = device if isinstance(device, Device) else Device(device)
    return replace(where, precision="float32") if where.precision == "auto" else where


def load_detector(
    pack: Pack,
    *,
    device: str | Device = "auto",
    min_score: float | None = None,
    max_faces: int | None = None,
    min_size: float = 0,
    tiled: bool = False,
) -> ScanDetector:
    """The pack's detector, ready to be called with an image.

    `min_score` (0..1) replaces the pack's own. `max_faces` keeps the largest; `min_size` leaves out
    faces whose box's shorter side has fewer pixels. `tiled` also looks at full resolution, tile by
    tile: for faces of about 20 pixels in photos of many megapixels, at many times the cost.
    Raises PackError for a damaged file or an unknown decoder, DeviceError for a device that is not
    here.
    """
    spec = pack.manifest.detector
    source = str(pack.folder / spec.file)
    decode = _decoder(spec, str(pack.folder))
    model = load_model(pack.read(spec.file, spec.sha256), spec.preprocess, detector_device(device))
    check_network(spec, model.shapes, model.size, source)
    return ScanDetector(
        model,
        decode,
        spec.min_score if min_score is None else min_score,
        spec.max_overlap,
        tiled,
        frame=_frame(model.size, spec),
        max_faces=max_faces,
        min_size=min_size,
    )


def _decoder(spec: DetectorSpec, source: str) -> Decode:
    """How the outputs are read: as the decoder's networks are, or as the manifest declares."""
    decoder = declared_decoder(spec, source)
    raw = RawOutputs(spec.anchors, spec.squashed_landmarks)
    return decoder.decode if raw == AS_PUBLISHED else decode_as(raw)


def _frame(size: tuple[int, int] | None, spec: DetectorSpec) -> Frame:
    usual = declared_decoder(spec, spec.file).frame
    padding = usual.padding if spec.padding is None else spec.padding
    return replace(usual, size=size, padding=padding)
