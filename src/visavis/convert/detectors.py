"""Detectors' checkpoints to ONNX files of any batch, height and width, and the proof of them."""

import hashlib
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from visavis.checkpoints.detectors import DetectorCheckpoint, load_detector_checkpoint
from visavis.checkpoints.weights import Weights
from visavis.convert.export import traced
from visavis.convert.parity import prove_numbers, pytorch_answers
from visavis.files import write_whole
from visavis.pack.metadata import DetectorMetadata, write_metadata
from visavis.runtime import Preprocess

STRIDE = 32
TRAINED_ON = "WIDER FACE"


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What was written, and how it was proved."""

    out: Path
    bytes: int
    sha256: str
    family: str
    decoder: str
    preprocess: Preprocess
    licence: str
    source: str
    source_sha256: str
    parity: dict[str, float]  # by runtime: the largest difference to PyTorch, over 1 + size


def convert_detector(source: Path | Weights, out: Path) -> DetectorReport:
    """Write a detector's checkpoint as an ONNX file, once it is proved; otherwise nothing.

    Raises CheckpointError as `load_detector_checkpoint` does, ModelError where a runtime's answers
    differ from PyTorch's, OutputError where the file cannot be written.
    """
    checkpoint = load_detector_checkpoint(source)
    onnx = detector_to_onnx(checkpoint)
    parity = prove_numbers(partial(pytorch_answers, checkpoint), onnx, checkpoint.preprocess)
    write_whole(out, onnx)
    family = checkpoint.family
    return DetectorReport(
        out=out,
        bytes=len(onnx),
        sha256=hashlib.sha256(onnx).hexdigest(),
        family=family.name,
        decoder=family.decoder.name,
        preprocess=family.decoder.published,
        licence=family.licence,
        source=checkpoint.source,
        source_sha256=checkpoint.sha256,
        parity=parity,
    )


def detector_to_onnx(checkpoint: DetectorCheckpoint) -> bytes:
    """The checkpoint as an ONNX file: input (batch, 3, height, width) float32 normalised pixels,
    sides multiples of 32; outputs as its decoder reads them, by name. Raises ModelError.
    """
    batch, rows, columns = (torch.export.Dim(name) for name in ("batch", "rows", "columns"))
    model = traced(
        checkpoint.network,
        torch.zeros(2, 3, 4 * STRIDE, 6 * STRIDE),
        {0: batch, 2: STRIDE * rows, 3: STRIDE * columns},
        outputs=checkpoint.family.outputs,
    )
    write_metadata(model, _metadata(checkpoint))
    return bytes(model.SerializeToString())


def _metadata(checkpoint: DetectorCheckpoint) -> DetectorMetadata:
    family, pixels = checkpoint.family, checkpoint.preprocess
    return DetectorMetadata(
        family=family.name,
        decoder=family.decoder.name,
        color=pixels.color,
        mean=pixels.mean,
        std=pixels.std,
        licence=family.licence,
        training_data=TRAINED_ON,
        source=checkpoint.source,
        source_sha256=checkpoint.sha256,
        version=version("visavis"),
    )
