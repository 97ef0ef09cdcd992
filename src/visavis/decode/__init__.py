"""Detectors' answers to faces: pure functions of arrays, one for each family of networks.

Knows the layout of every family's outputs. Knows no file, no pack and no device.
"""

from typing import Protocol

from visavis.decode.boxes import Candidates, Frame
from visavis.decode.retinaface import decode_retinaface
from visavis.decode.scrfd import decode_scrfd
from visavis.decode.yolov5face import decode_yolov5face
from visavis.decode.yunet import decode_yunet
from visavis.runtime import Outputs


class Decoder(Protocol):
    """A network's outputs for one picture to candidates, in pixels of that picture."""

    def __call__(
        self, outputs: Outputs, height: int, width: int, /, *, min_score: float
    ) -> Candidates: ...


DECODERS: dict[str, Decoder] = {
    "retinaface": decode_retinaface,
    "scrfd": decode_scrfd,
    "yolov5face": decode_yolov5face,
    "yunet": decode_yunet,
}
# What a decoder's networks were trained to see around a picture, and their largest stride; the
# others: 0 and 32.
FRAMES = {"yolov5face": Frame(multiple=64, padding=114)}
