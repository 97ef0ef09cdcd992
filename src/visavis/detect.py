"""One picture through a detection network at several scales or in tiles, merged into faces.

What is the same for every decoder is here; what differs is the decoder. Knows no photo, only
pixels: which faces are wanted, and in whose pixels, is a matter of visavis.faces.
"""

import logging
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
from visavis.types import Face, Image

log = logging.getLogger(__name__)

# Longer side of the picture as the network sees it. At 640 small faces are found; a face that fills
# the picture is then larger than any the network was trained on, and is found at the small scale.
SCALES = (640, 224)
# A picture as small as this is scanned once, enlarged: a face that fills it is found at that size,
# and YuNet's landmarks follow a tilted face of 100 pixels better when it is enlarged. Where that
# finds nothing, the smaller scale may find a face: it smooths the noise of a dark picture.
SMALL, ENLARGE = 384, 2.0
TILE = 640  # pixels
# Pixels: a face up to this size lies whole in one tile, larger ones are found at SCALES.
TILE_OVERLAP = 128
# Those of the best scores; ten or more of them belong to one face.
MOST_CANDIDATES = 20_000
FARTHEST = 1e6  # pixels from the picture's corner: there is no face beyond


@dataclass(frozen=True, slots=True)
class ScanDetector:
    """A detector that scans a picture: at two scales or in tiles, one network call each."""

    model: Callable[[Pictures], Outputs]
    decode: Decode
    min_score: float
    max_overlap: float
    tiled: bool = False
    frame: Frame = field(default=FRAME, kw_only=True)

    def __post_init__(self) -> None:
        if not (0 <= self.min_score <= 1 and 0 <= self.max_overlap <= 1):
            raise ModelError(
                "expected a least score and a most overlap of 0..1, got "
                f"{self.min_score} and {self.max_overlap}"
            )

    def __call__(self, image: Image, /) -> list[Face]:
        """Faces of an (H, W, 3) uint8 RGB image, in its pixels, largest first; of one size from
        left to right, then downwards. Boxes may reach past its border.

        Raises ImageError for any other array, ModelError where the network answers with NaN.
        """
        candidates = _best(joined(list(self._passes(check_image(image)))))
        kept = candidates[nms(candidates.boxes, candidates.scores, max_overlap=self.max_overlap)]
        faces = [
            Face(box, landmarks, float(score))
            for box, landmarks, score in zip(kept.boxes, kept.landmarks, kept.scores, strict=True)
        ]
        return sorted(faces, key=lambda face: (-face.area, *face.box.tolist()))

    def _passes(self, image: Image) -> Iterator[Candidates]:
        """The candidates of each scale and tile, in pixels of the image.

        A network of one size larger than the first scale is given the picture at that size.
        """
        height, width = image.shape[:2]
        if max(height, width) <= SMALL:
            enlarged = self._look(image, SMALL, ENLARGE)
            yield enlarged if len(enlarged.scores) else self._look(image, SCALES[-1])
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
                candidates = self.decode(outputs, *canvas.shape[:2], min_score=self.min_score)
        except (LookupError, ValueError) as error:
            shapes = ", ".join(str(values.shape) for values in outputs)
            raise ModelError(f"the detector's answers do not fit together: {shapes}") from error
        near = np.abs(candidates.boxes).max(initial=0) < FARTHEST  # false for NaN, too
        # NaN is no error here: it stands for landmarks that the detector does not find.
        if not near or (np.abs(candidates.landmarks) >= FARTHEST).any():
            raise ModelError("the detector sees a face far from the picture; its file is damaged")
        return candidates.placed(scale)


def _best(candidates: Candidates) -> Candidates:
    """Those of the best scores, best first; more than MOST_CANDIDATES would take seconds to merge.

    The faces that are lost are the least certain, so a picture of a crowd is no error, but logged.
    """
    best = (-candidates.scores).argsort(kind="stable")
    if len(best) > MOST_CANDIDATES:
        log.info(
            "the detector has %s candidates, only the best %s are merged into faces",
            f"{len(best):,}",
            f"{MOST_CANDIDATES:,}",
        )
    return candidates[best[:MOST_CANDIDATES]]


def detector_device(device: str | Device) -> Device:
    """Where a detector runs: in float32, unless the device asks for bfloat16.

    bfloat16 and int8 would move landmarks by half a pixel, and embeddings with them, to save
    little.
    """
    where = device if isinstance(device, Device) else Device(device)
    return where if where.precision == "bfloat16" else replace(where, precision="float32")


def load_detector(
    pack: Pack,
    *,
    device: str | Device = "auto",
    min_score: float | None = None,
    tiled: bool = False,
) -> ScanDetector:
    """The pack's detector, ready to be called with an image.

    `min_score` (0..1) replaces the pack's own. `tiled` also scans the picture at full resolution,
    tile by tile: for faces of about 20 pixels in photos of many megapixels, at many times the cost.
    Raises PackError for a damaged file or an unknown decoder, DeviceError for a device that this
    machine does not have.
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
