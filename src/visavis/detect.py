"""One picture through a detection network at several scales or in tiles, merged into faces.

What is the same for every decoder is here; what differs is the decoder. Knows no photo, only
pixels: which faces are wanted, and in whose pixels, is a matter of visavis.faces.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from visavis.decode import Decode
from visavis.decode.boxes import FRAME, Candidates, Frame, joined, letterbox, nms, tiles
from visavis.decode.yolov5face import AS_PUBLISHED, RawOutputs, decode_as
from visavis.errors import ModelError
from visavis.image import check_image
from visavis.pack.check import check_network, declared_decoder
from visavis.pack.manifest import DetectorSpec, Pack
from visavis.runtime import Device, Outputs, Pictures, load_model
from visavis.turned import (
    best_of,
    best_score,
    in_place,
    seen_tilted,
    seen_turned,
    tilt_of,
    turned,
    turned_back,
)
from visavis.types import CERTAIN, LEAST_SIDE, Face, Faces, Image

log = logging.getLogger(__name__)

# Longer side of the picture as the network sees it. At 640 small faces are found; a face that fills
# the picture is then larger than any the network was trained on, and is found at the small scale.
SCALES = (640, 224)
# A picture as small as this is scanned once, enlarged: a face that fills it is found at that size,
# and YuNet's landmarks follow a tilted face of 100 pixels better when it is enlarged. Where that
# finds nothing, the smaller scale may find a face: it smooths the noise of a dark picture.
SMALL, ENLARGE = 384, 2.0
TILE = 640  # pixels
# A picture with a longer side of more pixels, in which nothing is found, is scanned in tiles, too.
LARGE = 1280
# Pixels: a face up to this size lies whole in one tile, larger ones are found at SCALES.
TILE_OVERLAP = 128
# Those of the best scores; ten or more of them belong to one face.
MOST_CANDIDATES = 20_000
# A score that is no further below `sure` shows a face for certain, if not which way is up.
NEARLY = 0.07
# A face is found another way up only where it is then more certain by this: of faces under a white
# mask the ring of angles tells 4 of 60 wrongly, and none of those gains so much.
MARGIN = 0.015
MOST_TILTED = 4  # faces that are looked at upright beside the most certain one
UPRIGHT = 15.0  # degrees: a face is tilted by more than this, or left as it is
DOUBT = 0.3  # from this score something is seen that may be a face
FARTHEST = 1e6  # pixels from the picture's corner: there is no face beyond


@dataclass(frozen=True, slots=True)
class ScanDetector:
    """A detector that scans a picture: at two scales or in tiles, one network call each.

    A picture in which it is sure of an upright face is scanned once. Where it is not, it looks
    whether the picture lies turned or the face is tilted (`angles`); where it finds nothing in a
    LARGE picture, it looks in tiles.
    """

    model: Callable[[Pictures], Outputs]
    decode: Decode
    min_score: float
    max_overlap: float
    tiled: bool = False
    frame: Frame = field(default=FRAME, kw_only=True)
    sure: float = field(default=0.0, kw_only=True)  # as in visavis.decode.Decoder
    enrol_from: float = field(default=CERTAIN, kw_only=True)  # as in visavis.decode.Decoder
    angles: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if not (0 <= self.min_score <= 1 and 0 <= self.max_overlap <= 1):
            raise ModelError(
                "expected a least score and a most overlap of 0..1, got "
                f"{self.min_score} and {self.max_overlap}"
            )

    def __call__(self, image: Image, /) -> Faces:
        """Faces of an (H, W, 3) uint8 RGB image, in its pixels, largest first; of one size from
        left to right, then downwards. Boxes may reach past its border.

        Raises ImageError for any other array, ModelError where the network answers with NaN.
        """
        seen = self._seen(check_image(image))
        kept = self._merged(seen[self._certain(seen)])
        faces = [
            Face(box, landmarks, float(score))
            for box, landmarks, score in zip(kept.boxes, kept.landmarks, kept.scores, strict=True)
        ]
        ordered = sorted(faces, key=lambda face: (-face.area, *face.box.tolist()))
        doubt = 0.0 if faces else best_score(seen)
        return Faces(
            ordered, doubt=doubt, least_side=self._least_side(image), enrol_from=self.enrol_from
        )

    def _least_side(self, image: Image) -> float:
        """Pixels that a face must be wide to be found, where there is no larger one."""
        longest = max(image.shape[:2])
        in_tiles = self.tiled or longest > LARGE
        return LEAST_SIDE * (1.0 if in_tiles else longest / self._most(longest))

    def _seen(self, image: Image) -> Candidates:
        """All candidates, those that are no faces (below `min_score`) among them."""
        seen = joined(list(self._passes(image)))
        if self.angles and best_score(seen) < max(self.sure, self.min_score):
            seen = self._at_angles(image, seen)
        large = max(image.shape[:2]) > LARGE
        if large and not self.tiled and best_score(seen) < self.min_score:
            seen = joined([seen, *self._tiles(image)])
        return seen

    def _at_angles(self, image: Image, seen: Candidates) -> Candidates:
        """The candidates of the turn and tilt in which the most certain face is upright; or those
        seen, where it is so as it is.
        """
        height, width = image.shape[:2]
        face = best_of(seen)
        if best_score(seen) < max(self.min_score, self.sure - NEARLY):
            side = self._most(max(height, width))
            face = best_of(joined([face, seen_turned(self._whole, image, side)]))
        if not len(face.scores):
            return seen
        tilt = tilt_of(self._whole, image, face)
        turn = round(tilt / 90) % 4 * 90
        again = joined(list(self._passes(turned(image, turn)))) if turn else seen
        again = turned_back(again, turn, height, width)
        tilted = abs((tilt - turn + 180) % 360 - 180) >= UPRIGHT
        if tilted:
            again = in_place(again, seen_tilted(self._whole, image, face, tilt))
        if best_score(again) <= best_score(seen) + MARGIN:
            return seen
        return self._others_upright(image, again, tilt) if tilted else again

    def _others_upright(self, image: Image, seen: Candidates, tilt: float) -> Candidates:
        """The same, with the largest faces beside the most certain one as they are found turned
        upright, too: the faces of a photo are mostly tilted alike.
        """
        faces = self._merged(seen)
        areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1)
        areas[:1] = 0  # the most certain one
        largest = (-areas).argsort(kind="stable")[: min(MOST_TILTED, len(areas) - 1)]
        for row in largest:
            seen = in_place(seen, seen_tilted(self._whole, image, faces[np.array([row])], tilt))
        return seen

    def _merged(self, seen: Candidates) -> Candidates:
        """One candidate for each face, most certain first."""
        candidates = _best(seen)
        return candidates[nms(candidates.boxes, candidates.scores, max_overlap=self.max_overlap)]

    def _whole(self, picture: Image) -> Candidates:
        """Of a picture that is put together for the network, as it is."""
        return self._look(picture, max(picture.shape[:2]))

    def _certain(self, seen: Candidates) -> NDArray[np.intp]:
        return np.flatnonzero(seen.scores >= self.min_score)

    def _most(self, longest: int) -> int:
        """Pixels of the longer side of a picture as it is first scanned."""
        if longest <= SMALL:
            return min(SMALL, round(ENLARGE * longest))
        most: int = max((SCALES[0], *(self.frame.size or ())))
        return min(longest, most)

    def _passes(self, image: Image) -> Iterator[Candidates]:
        """The candidates of each scale and tile, in pixels of the image.

        A network of one size larger than the first scale is given the picture at that size.
        """
        height, width = image.shape[:2]
        if max(height, width) <= SMALL:
            enlarged = self._look(image, SMALL, ENLARGE)
            some = len(self._certain(enlarged))
            yield enlarged if some else self._look(image, SCALES[-1])
            return
        for longest in (self._most(max(height, width)), SCALES[1]):
            yield self._look(image, longest)
        if self.tiled:
            yield from self._tiles(image)

    def _tiles(self, image: Image) -> Iterator[Candidates]:
        """The candidates of each tile, in pixels of the image; none where it is no larger."""
        height, width = image.shape[:2]
        side = min(self.frame.size or (TILE,))
        if max(height, width) > side:
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
                candidates = self.decode(
                    outputs, *canvas.shape[:2], min_score=min(self.min_score, DOUBT)
                )
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
        sure=declared_decoder(spec, source).sure,
        enrol_from=declared_decoder(spec, source).enrol_from,
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
