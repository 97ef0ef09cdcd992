"""Detectors' answers to faces: pure functions of arrays, a module for each family of networks.

Knows how each family's outputs are laid out, told apart and read, and how its networks are fed.
Knows no file, no pack and no device.
"""

from visavis.decode.decoder import Decode, Decoder, OutputShapes
from visavis.decode.retinaface import RETINAFACE
from visavis.decode.scrfd import SCRFD
from visavis.decode.yolov5face import YOLOV5FACE
from visavis.decode.yolov8face import YOLOV8FACE
from visavis.decode.yunet import YUNET

__all__ = ["DECODERS", "Decode", "Decoder", "OutputShapes", "decoder_of", "tells_places"]

DECODERS = {row.name: row for row in (RETINAFACE, SCRFD, YOLOV5FACE, YOLOV8FACE, YUNET)}


def decoder_of(shapes: OutputShapes) -> Decoder | None:
    """The decoder for a network with outputs of these shapes; None where none fits."""
    return next((decoder for decoder in DECODERS.values() if decoder.fits(shapes)), None)


def tells_places(shapes: OutputShapes) -> bool:
    """Whether outputs of these shapes are of places in a picture, as a detector's are; what is told
    of a whole picture, such as an embedding, has one axis beside the batch's.
    """
    return any(sum(side != 1 for side in shape[1:]) > 1 for shape in shapes)
