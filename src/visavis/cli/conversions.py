"""What `visavis convert` does, step by step."""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.checkpoints.checkpoint import Checkpoint
    from visavis.checkpoints.weights import Weights
    from visavis.convert.detectors import DetectorReport
    from visavis.convert.judge import Form, Judgement
    from visavis.convert.parity import Gap
    from visavis.convert.quantize import Closeness
    from visavis.convert.tflite import TfliteProof
    from visavis.pack.metadata import Metadata
    from visavis.pack.onnx import Network
    from visavis.runtime import Preprocess
    from visavis.types import Crops

MOST_PROVED = 48  # of the user's crops: each goes through every runtime three times
PLAIN = {"checkpoint", "out", "json"}  # parameters of the verb that a detector's has, too
SIZE = 112  # of an ONNX file's input, where it leaves that open


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says of the network, and what to prove it with."""

    family: str
    color: options.ColorName | None
    mean: options.Three | None
    std: options.Three | None
    crops: Path | None

    def preprocess(self, preset: "Preprocess | None") -> "Preprocess":
        """The preset, changed where the user says otherwise. Raises ModelError where neither
        does.
        """
        from visavis.errors import ModelError
        from visavis.runtime import Preprocess

        if preset is None and (self.color is None or self.mean is None or self.std is None):
            raise ModelError(
                "the file does not say how it wants its pixels: give --color, --mean and --std"
            )
        preset = preset or Preprocess()
        return Preprocess(
            self.color or preset.color, self.mean or preset.mean, self.std or preset.std
        )


@dataclass(slots=True)
class Converted:
    """A network on its way into a file, and what has been shown of it."""

    form: "Form"  # as it will be written
    origin: "Form"  # in float32
    metadata: "Metadata | None"
    checkpoint: "Checkpoint | None" = None  # None: it came as ONNX
    gaps: "list[Gap]" = field(default_factory=list)
    closeness: "Closeness | None" = None
    judgement: "Judgement | None" = None
    tflite: bytes = b""
    tflite_proof: "TfliteProof | None" = None

    def to_int8(self, path: Path, preset: str) -> None:
        """Make it int8, calibrated on the user's crops."""
        from visavis.convert.quantize import closeness, to_int8

        crops, preprocess = self._crops(path), self.form.preprocess
        smaller = to_int8(self.form.onnx, crops, preprocess, preset=preset)
        self.closeness = closeness(self.form.onnx, smaller, crops, preprocess)
        self._replace(smaller)

    def to_float16(self) -> None:
        """Store its weights in half precision."""
        from visavis.convert.crops import made_crops
        from visavis.convert.quantize import closeness, to_float16

        crops = made_crops(self.form.height, self.form.width)
        smaller = to_float16(self.form.onnx)
        preprocess = self.form.preprocess
        self.closeness = closeness(self.form.onnx, smaller, crops, preprocess, kind="float16")
        self._replace(smaller)

    def judge(self, images: Path, pairs: Path | None, max_loss: float) -> None:
        """Measure it, and refuse it where being smaller costs too much."""
        from visavis.convert.judge import judge, refuse_loss
        from visavis.dataset import open_pairs
        from visavis.evaluate.protocols import CropSource

        tree, listed = open_pairs(images, pairs=pairs)
        smaller = self.form.embedder() if self.closeness else None
        watch = options.watch(len(listed.names), "embedding")
        self.judgement = judge(
            self.origin.embedder(), smaller, CropSource(tree), listed, watch=watch
        )
        refuse_loss(self.judgement, max_loss)

    def to_tflite(self, int8: Path | None) -> None:
        """Make a TFLite file of the checkpoint, with int8 weights where int8 is asked for."""
        from visavis.convert.tflite import prove_tflite, tflite_int8, to_tflite
        from visavis.errors import ModelError

        if self.checkpoint is None:
            raise ModelError("--tflite needs the checkpoint: an ONNX file cannot be turned into it")
        self.tflite = to_tflite(self.checkpoint)
        self.tflite_proof = prove_tflite(self.checkpoint, self.tflite)
        if int8 is not None:
            crops = self._crops(int8)
            self.tflite = tflite_int8(self.tflite, "dynamic", self.form.preprocess)
            self.tflite_proof = prove_tflite(self.checkpoint, self.tflite, crops=crops, int8=True)

    def write(self, out: Path) -> None:
        """The files, each whole."""
        from visavis.files import write_whole

        if self.tflite:
            write_whole(out.with_suffix(".tflite"), self.tflite)
        write_whole(out, self.form.onnx)

    def _crops(self, path: Path) -> "Crops":
        from visavis.convert.crops import read_crops

        return read_crops(path, self.form.height, self.form.width)

    def _replace(self, onnx: bytes) -> None:
        from visavis.pack.metadata import read_metadata
        from visavis.pack.onnx import read_network

        self.form = replace(self.form, onnx=onnx)
        self.metadata = read_metadata(read_network(onnx))


def check_out(out: Path, *, int8: bool, float16: bool) -> None:
    """Refuse what could not be written in the end, before the work. Raises OutputError."""
    from visavis.errors import OutputError

    if out.suffix.lower() != ".onnx":
        raise OutputError(f"{out}: expected a name that ends in .onnx")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out}: cannot write: no such folder")
    if int8 and float16:
        raise OutputError(f"{out}: cannot be both: ask for --int8 or for --float16")


def check_installed() -> None:
    """Raises DeviceError naming the extra where what converting takes is not installed."""
    from visavis.errors import DeviceError

    missing = [name for name in ("torch", "onnxscript", "safetensors") if find_spec(name) is None]
    if missing:
        raise DeviceError(
            f"converting needs packages that are not installed, {', '.join(missing)}: "
            "pip install '.[convert,ort]'"
        )


def read(path: Path) -> "Path | Weights":
    """A file's weights, read once for all who look at them; a folder and an ONNX file have readers
    of their own.
    """
    from visavis.checkpoints.weights import read_weights

    return path if path.suffix.lower() == ".onnx" or path.is_dir() else read_weights(path)


def is_detector(source: "Path | Weights") -> bool:
    """Whether these are a detector's weights."""
    from visavis.convert import detectors

    return not isinstance(source, Path) and detectors.is_detector(source.tensors)


def only_plain(path: Path, context: typer.Context) -> None:
    """Raises ModelError naming the options given that are for embedders: all but PLAIN."""
    from visavis.errors import ModelError

    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in PLAIN and _given(context, name)
    ]
    if given:
        raise ModelError(
            f"{path}: is a detector's, which is converted as it is: leave out {', '.join(given)}"
        )


def convert_detector(source: "Path | Weights", out: Path) -> "DetectorReport":
    """A detector's checkpoint as a proved ONNX file."""
    from visavis.convert import detectors

    return detectors.convert_detector(source, out)


def convert(
    source: "Path | Weights", given: Given, *, opset: int | None, norm_output: bool
) -> Converted:
    """The network in float32: traced and proved, or as an ONNX file has it."""
    from visavis.errors import ModelError

    if not isinstance(source, Path) or source.suffix.lower() != ".onnx":
        return _traced(source, given, opset, norm_output)
    if opset is not None or norm_output:
        raise ModelError(
            f"{source}: an ONNX file stays as it was traced: leave out --opset and --norm-output"
        )
    return _as_it_is(source, given)


def _given(context: typer.Context, name: str) -> bool:
    """By the user, and not by default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _traced(
    source: "Path | Weights", given: Given, opset: int | None, norm_output: bool
) -> Converted:
    from visavis.checkpoints.checkpoint import load_checkpoint
    from visavis.convert.crops import read_crops
    from visavis.convert.export import OPSET, to_onnx
    from visavis.convert.judge import Form
    from visavis.convert.parity import prove, stamped
    from visavis.pack.metadata import read_metadata
    from visavis.pack.onnx import read_network

    checkpoint = load_checkpoint(source, family=given.family)
    checkpoint = replace(checkpoint, preprocess=given.preprocess(checkpoint.preprocess))
    height, width = checkpoint.height, checkpoint.width
    onnx = to_onnx(checkpoint, opset=opset or OPSET, norm_output=norm_output)
    crops = read_crops(given.crops, height, width, most=MOST_PROVED) if given.crops else None
    gaps = prove(checkpoint, onnx, crops=crops)
    onnx = stamped(onnx, gaps)
    metadata = read_metadata(read_network(onnx))
    dim = metadata.dim if metadata else 0
    form = Form(onnx, checkpoint.preprocess, height, width, dim)
    return Converted(form, form, metadata, checkpoint, gaps)


def _as_it_is(path: Path, given: Given) -> Converted:
    from visavis.convert.crops import made_crops
    from visavis.convert.judge import Form
    from visavis.convert.quantize import embeddings
    from visavis.errors import ModelError
    from visavis.pack.metadata import read_metadata
    from visavis.pack.onnx import read_network

    network = read_network(path)
    metadata = read_metadata(network)
    if metadata is not None and metadata.form != "float32":
        raise ModelError(f"{path}: is {metadata.form} already: start from the float32 file")
    height, width = _size(network)
    preprocess = given.preprocess(metadata.preprocess if metadata else None)
    dim = embeddings(network.data, made_crops(height, width), preprocess).shape[1]
    form = Form(network.data, preprocess, height, width, dim)
    return Converted(form, form, metadata)


def _size(network: "Network") -> tuple[int, int]:
    """Height and width of the pixels it takes."""
    from visavis.errors import ModelError

    if len(network.inputs) != 1 or len(network.inputs[0].dims) != 4:
        raise ModelError(f"{network.source}: expected one input of (N, 3, H, W) pixels")
    height, width = (size if isinstance(size, int) else 0 for size in network.inputs[0].dims[2:])
    return height or SIZE, width or SIZE
