"""A checkpoint as a TFLite file for phones, and the proof that it answers as PyTorch does.

The batch is one: the format's tools cannot leave it open.
"""

import contextlib
import importlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.checkpoints.checkpoint import Checkpoint
from visavis.convert.crops import made_crops, pixels
from visavis.convert.parity import LIMIT, cosine_gaps, pytorch_answers
from visavis.convert.quantize import LEAST_COSINE, Closeness
from visavis.errors import DeviceError, ModelError
from visavis.runtime import Preprocess, cores
from visavis.types import Crops

INT8 = ("dynamic", "static")
LAYOUTS = ("NHWC", "NCHW")
INPUT, SIGNATURE = "args_0", "serving_default"  # as litert-torch names them


@dataclass(frozen=True, slots=True)
class TfliteEnd:
    """An input or output as the file declares it."""

    shape: tuple[int, ...]
    type: str  # "float32" or "int8"
    scale: float  # of int8: value = scale * (number - zero); 0 of float32
    zero: int


@dataclass(frozen=True, slots=True)
class TfliteProof:
    """What a file takes and gives, and how close its answers are to PyTorch's."""

    layout: str  # of its input
    input: TfliteEnd
    output: TfliteEnd
    closeness: Closeness
    difference: float  # of one number of an embedding, at worst


def to_tflite(checkpoint: Checkpoint, *, layout: str = "NHWC") -> bytes:
    """The checkpoint as a float32 file: (1, H, W, 3) normalised pixels, or (1, 3, H, W) where the
    layout is NCHW, to (1, D) as the network gives it.

    Raises DeviceError where litert-torch is not installed, ModelError where it cannot convert.
    """
    if layout not in LAYOUTS:
        raise ModelError(f"unknown layout {layout!r}; known: {', '.join(LAYOUTS)}")
    network = checkpoint.network.eval()
    example = torch.zeros(1, 3, checkpoint.height, checkpoint.width)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        litert_torch = _import("litert_torch")
        if layout == "NHWC":
            network = litert_torch.to_channel_last_io(network, args=[0]).eval()
            example = example.permute(0, 2, 3, 1).contiguous()
        path = Path(folder) / "network.tflite"
        try:
            litert_torch.convert(network, (example,)).export(str(path))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ModelError(f"the network cannot be written as TFLite: {error}") from error
        return path.read_bytes()


def tflite_int8(
    model: bytes, kind: str, preprocess: Preprocess, *, crops: Crops | None = None
) -> bytes:
    """A float32 file with int8 weights. `dynamic` takes and gives float32 and needs no crops;
    `static` computes in int8 throughout, at either end too, and is calibrated on (N, H, W, 3).
    """
    if kind not in INT8 or (kind == "static" and crops is None):
        raise ModelError(f"expected int8 dynamic, or static with crops, got {kind!r}")
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        quantizer = _import("ai_edge_quantizer.quantizer")
        recipe = _import("ai_edge_quantizer.recipe")
        before, after = Path(folder) / "before.tflite", Path(folder) / "after.tflite"
        before.write_bytes(model)
        work = quantizer.Quantizer(str(before))
        ranges = None
        if kind == "static" and crops is not None:
            work.load_quantization_recipe(recipe.static_wi8_ai8())
            items = _inputs(crops, preprocess, _layout(_Interpreter(model).input))
            ranges = work.calibrate({SIGNATURE: [{INPUT: item} for item in items]})
        else:
            work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        work.quantize(ranges).export_model(str(after), overwrite=True)
        return after.read_bytes()


def prove_tflite(
    checkpoint: Checkpoint, model: bytes, *, crops: Crops | None = None, int8: bool = False
) -> TfliteProof:
    """Compare PyTorch and the file: `crops`, or made ones, go through both, one at a time.

    Raises ModelError where 1 - cosine is over 1e-5 anywhere or, of a file that is `int8`, where
    the mean cosine is under 0.95.
    """
    if crops is None:
        crops = made_crops(checkpoint.height, checkpoint.width)
    with _quiet():
        network = _Interpreter(model)
        layout = _layout(network.input)
        items = _inputs(crops, checkpoint.preprocess, layout)
        answers = np.concatenate([network(item) for item in items])
    expected = np.concatenate([pytorch_answers(checkpoint, crop[None])[0] for crop in crops])
    gaps = cosine_gaps(answers, expected)
    closeness = Closeness(float(1 - gaps.mean()), float(1 - gaps.max()))
    if not (gaps.mean() <= 1 - LEAST_COSINE["int8"] if int8 else gaps.max() <= LIMIT):
        raise ModelError(
            f"the TFLite file is not the checkpoint's network: 1 - cosine is {gaps.max():.1e} at "
            f"worst, {gaps.mean():.1e} in the mean; nothing was written"
        )
    difference = float(np.abs(answers - expected).max())
    return TfliteProof(layout, network.input, network.output, closeness, difference)


class _Interpreter:
    """A file in LiteRT: one input as floats in, one output as floats out."""

    def __init__(self, model: bytes) -> None:
        interpreter = _import("ai_edge_litert.interpreter").Interpreter
        try:
            self._runs = interpreter(model_content=model, num_threads=cores())
            self._runs.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"LiteRT cannot load this network: {error}") from error
        self._ends = self._runs.get_input_details()[0], self._runs.get_output_details()[0]
        self.input, self.output = (_end(end) for end in self._ends)

    def __call__(self, item: NDArray[np.float32]) -> NDArray[np.float32]:
        self._runs.set_tensor(self._ends[0]["index"], _quantised(item, self.input))
        self._runs.invoke()
        answer = self._runs.get_tensor(self._ends[1]["index"]).astype(np.float32)
        if self.output.scale:
            answer = self.output.scale * (answer - self.output.zero)
        return np.asarray(answer, np.float32)


def _end(end: dict[str, Any]) -> TfliteEnd:
    scale, zero = end["quantization"]
    return TfliteEnd(
        tuple(int(size) for size in end["shape"]),
        np.dtype(end["dtype"]).name,
        float(scale),
        int(zero),
    )


def _quantised(item: NDArray[np.float32], end: TfliteEnd) -> NDArray[np.generic]:
    if not end.scale:
        return item
    limits = np.iinfo(end.type)
    numbers = np.round(item / end.scale) + end.zero
    whole: NDArray[np.generic] = np.clip(numbers, limits.min, limits.max).astype(end.type)
    return whole


def _layout(end: TfliteEnd) -> str:
    return "NHWC" if end.shape[-1] == 3 else "NCHW"


def _inputs(crops: Crops, preprocess: Preprocess, layout: str) -> NDArray[np.float32]:
    """(N, 1, ...) as a file takes them one by one."""
    items = pixels(crops, preprocess)
    return np.ascontiguousarray(items.transpose(0, 2, 3, 1) if layout == "NHWC" else items)[:, None]


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DeviceError(
            f"TFLite needs a package that is not installed: {error}",
            mend="see docs/convert.md, TFLite",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tools' progress and their advice on each other; their errors are raised."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.ExitStack() as stack:
            for redirect in (contextlib.redirect_stdout, contextlib.redirect_stderr):
                stack.enter_context(redirect(io.StringIO()))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # of torch, jax and torchao about one another
            yield
    finally:
        logging.disable(before)
