"""An ONNX file on a device, as a callable: the only place a model runs.

Knows OpenVINO (on a CPU, in bfloat16 where the CPU has it, or in int8) and ONNX Runtime (on CUDA,
or where the caller asks for it). Preprocessing belongs to the model, so it happens here: callers
pass uint8 RGB pictures. A device that is missing is an error, never replaced by another. Does not
know what a network is for: faces, crops and packs are unknown here.
"""

import re

from visavis.errors import ModelError
from visavis.runtime import onnxruntime, openvino
from visavis.runtime.bounds import check_asked
from visavis.runtime.model import (
    Available,
    Color,
    Device,
    Model,
    Outputs,
    PerChannel,
    Pictures,
    Preprocess,
    cores,
)
from visavis.runtime.trial import try_once

__all__ = [
    "Available",
    "Color",
    "Device",
    "Model",
    "Outputs",
    "PerChannel",
    "Pictures",
    "Preprocess",
    "available_runtimes",
    "cores",
    "int8_is_best",
    "load_model",
]

# The key with which ONNX says that a tensor lies in another file, after its length as protobuf may
# write it. Runtimes would read that file wherever it lies, and no manifest holds its hash.
ELSEWHERE = re.compile(rb"(\x08|\x88\x80*\x00)location")

QUANTISED = re.compile(rb"QuantizeLinear|QLinear")  # operators that compute in int8


def load_model(onnx: bytes, preprocess: Preprocess, device: str | Device = "auto") -> Model:
    """Make an ONNX file's bytes callable on a device.

    The file has one float32 input (N, 3, H, W); N, H and W may be dynamic. The model takes (N, H,
    W, 3) uint8 RGB and returns every output, as float32, in the order of the file.
    Raises DeviceError where the device, runtime or precision is missing here, ModelError for a file
    that is no such network, or asks for more than `visavis.runtime.bounds` or `trial` allows.
    """
    where = device if isinstance(device, Device) else Device(device)
    if b"location" in onnx and ELSEWHERE.search(onnx):  # `in` is ten times as fast
        raise ModelError(
            "expected a network with all weights in its own file, got one with weights in another "
            "file",
            mend="load it with onnx and save it again (if a tensor is called location: rename it)",
        )
    if where.precision == "int8" and not QUANTISED.search(onnx):
        raise ModelError(
            "expected a network that computes in int8, got one without",
            mend="visavis convert writes one in int8, and visavis pack build makes a pack of it",
            option="precision",
        )
    runtime = where.runtime
    if runtime == "auto":
        runtime = "onnxruntime" if where.on_cuda else "openvino"
    if not _is_harmless(onnx):
        try_once(onnx, runtime)
    if runtime == "openvino":
        return openvino.OpenVinoModel(onnx, preprocess, where)
    return onnxruntime.OnnxRuntimeModel(onnx, preprocess, where)


def int8_is_best(device: Device) -> bool:
    """Whether a network does there nothing better than int8: on a CPU without bfloat16."""
    openvino_runs = device.runtime in ("auto", "openvino") and not device.on_cuda
    return openvino_runs and openvino.cpu_favours_int8()


def _is_harmless(onnx: bytes) -> bool:
    try:
        return check_asked(onnx)
    except ValueError as error:
        raise ModelError(f"cannot load this network: it is no ONNX file: {error}") from error


def available_runtimes() -> list[Available]:
    """The runtimes installed here, with what they can really use.

    Raises DeviceError where one cannot be loaded.
    """
    installed = [openvino.openvino_available(), onnxruntime.onnxruntime_available()]
    return [runtime for runtime in installed if runtime is not None]
