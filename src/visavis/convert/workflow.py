"""A checkpoint to a file that others run: traced, proved, made smaller, judged, written.

Knows no single step: export, parity, quantize, judge, tflite and detectors do.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from visavis.batch import Progress
from visavis.checkpoints.checkpoint import Checkpoint, load_checkpoint
from visavis.checkpoints.detectors import is_detector
from visavis.checkpoints.weights import Weights, read_weights
from visavis.convert.crops import MOST, read_crops
from visavis.convert.detectors import DetectorReport, convert_detector
from visavis.convert.export import OPSET, to_onnx
from visavis.convert.form import DeclaredPixels, Form, read_form
from visavis.convert.judge import Judgement, judge_forms, refuse_loss
from visavis.convert.parity import Gap, prove, worst_gaps
from visavis.convert.quantize import (
    PRESETS,
    Closeness,
    Smaller,
    check_preset,
    to_float16,
    to_int8,
)
from visavis.convert.tflite import TfliteProof, prove_tflite, tflite_int8, to_tflite
from visavis.dataset import open_pairs
from visavis.errors import ModelError, OutputError
from visavis.evaluate.protocols import CropSource
from visavis.files import write_whole
from visavis.pack.metadata import Metadata
from visavis.runtime import Preprocess
from visavis.types import Crops

MOST_PROVED = 48  # of the user's crops: each goes through every runtime three times
MOST_LOSS = 0.5  # points of accuracy
MOST_OPSET = 99  # ONNX is at 26, and adds two a year
ONNX, TFLITE = ".onnx", ".tflite"
NOTHING_DECLARED = DeclaredPixels()
TRACING = ("family", "opset", "norm_output", "crops", "tflite")  # parameters of a checkpoint alone


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """What is wanted of a conversion. Of a detector nothing can be: it is converted as it is."""

    family: str = "auto"  # a key of FAMILIES; auto: keys and wrapping tell it
    pixels: DeclaredPixels = NOTHING_DECLARED
    opset: int | None = None  # None: OPSET
    norm_output: bool = False  # also give the embedding's length
    crops: Path | None = None  # a folder or zip to prove it with, besides the made ones
    int8: Path | None = None  # a folder or zip to calibrate it with
    preset: str | None = None  # of int8; None: the first of PRESETS
    float16: bool = False
    tflite: bool = False  # also write a TFLite file beside it
    images: Path | None = None  # crops, or a .bin, to judge it on
    pairs: Path | None = None  # a list; None: the one among the images
    max_loss: float | None = None  # points of accuracy; None: MOST_LOSS

    def asked(self) -> list[str]:
        """The names of the parameters that are not left at their defaults."""
        names = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        declared = [one.name for one in fields(self.pixels) if getattr(self.pixels, one.name)]
        return [name for name in names if name != "pixels"] + declared


PLAIN = ConversionRequest()


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """A TFLite file that was written, and the proof of it."""

    out: Path
    bytes: int
    proof: TfliteProof


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written of an embedder, and what was shown of it."""

    out: Path
    bytes: int
    float32_bytes: int  # of the same network, not made smaller
    preprocess: Preprocess
    height: int  # of a crop
    width: int
    dim: int
    metadata: Metadata | None  # None: another tool's file, which says nothing
    gaps: list[Gap]  # to PyTorch; empty for an ONNX file
    closeness: Closeness | None  # to float32, of a network that was made smaller
    judgement: Judgement | None
    tflite: TfliteFile | None
    left_out: tuple[str, ...] = ()  # keys of the checkpoint that are not the backbone's


def convert(
    source: Path,
    out: Path,
    request: ConversionRequest = ConversionRequest(),
    *,
    progress: Progress = iter,
) -> Conversion | DetectorReport:
    """Write a checkpoint as the ONNX file `out`, or make an ONNX file smaller. Nothing is written
    before all that is asked for has been proved.

    `source` is an embedder's or detector's file of weights, a CVLface folder, or a float32 .onnx
    of an embedder. Raises OutputError for an `out` that cannot be written, ModelError for
    parameters that do not go together, for a network that cannot be converted, answers with NaN or
    differs from PyTorch's, and for a loss of accuracy that is too large; CheckpointError as
    `load_checkpoint` does, PackError for an .onnx that is no network, DatasetError and ImageError
    for crops and pairs that cannot be read, DeviceError for a package that is not installed.
    """
    _check_out(out)
    if source.suffix.lower() == ONNX:
        _refuse(source, request, TRACING, "is an ONNX file, which stays as it was traced")
        _check_request(request)
        return _finished(out, request, read_form(source, request.pixels), progress=progress)
    weights = read_weights(source)
    if is_detector(weights.tensors):
        _refuse(source, request, request.asked(), "is a detector's, which is converted as it is")
        return convert_detector(weights, out)
    _check_request(request)
    checkpoint = _checkpoint(weights, request)
    form, gaps = _traced(checkpoint, request)
    return _finished(out, request, form, checkpoint, gaps, progress=progress)


def _check_out(out: Path) -> None:
    if out.suffix.lower() != ONNX:
        raise OutputError(f"{out}: expected a name that ends in {ONNX}", option="out")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out}: cannot write: no such folder", option="out")


def _check_request(request: ConversionRequest) -> None:
    """Raises ModelError for parameters out of bounds, or that do not go together."""
    if request.opset is not None and not 1 <= request.opset <= MOST_OPSET:
        raise ModelError(
            f"expected an operator set from 1 to {MOST_OPSET}, got {request.opset}", option="opset"
        )
    if request.max_loss is not None and not 0 <= request.max_loss <= 100:
        raise ModelError(f"expected a loss of 0 to 100 points, got {request.max_loss}")
    if request.int8 and request.float16:
        raise ModelError("the file cannot be both: ask for int8 or for float16")
    if request.preset is not None:
        check_preset(request.preset)
        if request.int8 is None:
            raise ModelError("a preset is for int8 alone", mend="leave it out", option="preset")
    for name in ("pairs", "max_loss"):
        if getattr(request, name) is not None and request.images is None:
            raise ModelError(
                f"{name} is for judging the network, which needs pictures", option="images"
            )


def _refuse(
    source: Path, request: ConversionRequest, names: list[str] | tuple[str, ...], why: str
) -> None:
    """Raises ModelError if one of these parameters is asked for."""
    vain = [name for name in request.asked() if name in names]
    if vain:
        raise ModelError(f"{source}: {why}", mend=f"leave out {', '.join(vain)}")


def _checkpoint(weights: Weights, request: ConversionRequest) -> Checkpoint:
    checkpoint = load_checkpoint(weights, family=request.family)
    return replace(checkpoint, preprocess=request.pixels.over(checkpoint.preprocess))


def _traced(checkpoint: Checkpoint, request: ConversionRequest) -> tuple[Form, list[Gap]]:
    """The checkpoint in float32, proved, with the proof in its metadata."""
    form = to_onnx(checkpoint, opset=request.opset or OPSET, norm_output=request.norm_output)
    crops = _crops(request.crops, form, most=MOST_PROVED)
    gaps = prove(checkpoint, form.network, crops=crops)
    if form.metadata is not None:
        form = replace(form, metadata=replace(form.metadata, parity=worst_gaps(gaps)))
    return form, gaps


def _finished(
    out: Path,
    request: ConversionRequest,
    origin: Form,
    checkpoint: Checkpoint | None = None,
    gaps: list[Gap] | None = None,
    *,
    progress: Progress,
) -> Conversion:
    """Make it smaller, judge it and write it."""
    crops = _crops(request.int8, origin)
    smaller = _smaller(origin, request, crops)
    form = smaller.form if smaller else origin
    judgement = _judged(origin, form, request, progress)
    tflite = _tflite(checkpoint, crops, out) if checkpoint and request.tflite else None
    onnx = form.onnx
    write_whole(out, onnx)
    return Conversion(
        out=out,
        bytes=len(onnx),
        float32_bytes=len(origin.onnx),
        preprocess=form.preprocess,
        height=form.height,
        width=form.width,
        dim=form.dim,
        metadata=form.metadata,
        gaps=gaps or [],
        closeness=smaller.closeness if smaller else None,
        judgement=judgement,
        tflite=tflite,
        left_out=tuple(checkpoint.settings.get("left_out", ())) if checkpoint else (),
    )


def _crops(folder: Path | None, form: Form, *, most: int = MOST) -> Crops | None:
    return None if folder is None else read_crops(folder, form.height, form.width, most=most)


def _smaller(origin: Form, request: ConversionRequest, crops: Crops | None) -> Smaller | None:
    """The smaller form, if one is asked for."""
    if crops is not None:
        return to_int8(origin, crops, preset=request.preset or PRESETS[0])
    return to_float16(origin) if request.float16 else None


def _judged(
    origin: Form, form: Form, request: ConversionRequest, progress: Progress
) -> Judgement | None:
    """Accuracy before and after. Raises ModelError where being smaller costs too much."""
    if request.images is None:
        return None
    tree, pairs = open_pairs(request.images, pairs=request.pairs)
    smaller = None if form is origin else form.embedder()
    judgement = judge_forms(origin.embedder(), smaller, CropSource(tree), pairs, progress=progress)
    refuse_loss(judgement, MOST_LOSS if request.max_loss is None else request.max_loss)
    return judgement


def _tflite(checkpoint: Checkpoint, crops: Crops | None, out: Path) -> TfliteFile:
    """Write a TFLite file of the checkpoint beside `out`, with int8 weights if there are crops to
    prove them with.
    """
    data = to_tflite(checkpoint)
    proof = prove_tflite(checkpoint, data)
    if crops is not None:
        data = tflite_int8(data, "dynamic", checkpoint.preprocess)
        proof = prove_tflite(checkpoint, data, crops=crops, int8=True)
    beside = out.with_suffix(TFLITE)
    write_whole(beside, data)
    return TfliteFile(beside, len(data), proof)
