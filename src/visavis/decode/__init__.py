"""Detectors' answers to faces: pure functions of arrays, a module for each family of networks.

Knows how each family's outputs are laid out, told apart and read, and how its networks are fed.
Knows no file, no pack and no device.
"""

from visavis.decode.decoder import Decode, Decoder, OutputShapes
from visavis.decode.retinaface import RETINAFACE
from visavis.decode.scrfd import SCRFD
from visavis.decode.yolov5face import YOLOV5FACE
from visavis.decode.yunet import YUNET

__all__ = ["DECODERS", "Decode", "Decoder", "OutputShapes", "decoder_of"]

DECODERS = {row.name: row for row in (RETINAFACE, SCRFD, YOLOV5FACE, YUNET)}


def decoder_of(shapes: OutputShapes) -> Decoder | None:
    """The decoder for a network with outputs of these shapes; None where none fits."""
    return next((decoder for decoder in DECODERS.values() if decoder.fits(shapes)), None)
