"""An ONNX file on a device, as a callable: the only place a model runs.

OpenVINO on a CPU, in bfloat16 where the CPU has it; ONNX Runtime for CUDA and where it is asked
for. Preprocessing belongs to the model, so it happens here: callers hand over uint8 RGB pictures.
What was asked for and is not here is an error, never another device.
"""

import re

from visavis.errors import ModelError
from visavis.runtime import onnxruntime, openvino
from visavis.runtime.model import (
    Available,
    Color,
    Device,
    Model,
    Outputs,
    Pictures,
    Preprocess,
    cores,
)

__all__ = [
    "Available",
    "Color",
    "Device",
    "Model",
    "Outputs",
    "Pictures",
    "Preprocess",
    "available_runtimes",
    "cores",
    "load_model",
]

# The key by which ONNX names another file as a tensor's place, after its length as protobuf may
# write it. Runtimes would read that file wherever it lies, and no manifest holds its hash.
ELSEWHERE = re.compile(rb"(\x08|\x88\x80*\x00)location")


def load_model(onnx: bytes, preprocess: Preprocess, device: str | Device = "auto") -> Model:
    """Make an ONNX file's bytes callable on a device.

    The file has one float32 input (N, 3, H, W); N, H and W may be dynamic. The model takes (N, H,
    W, 3) uint8 RGB and returns every output, as float32, in the order of the file.
    Raises DeviceError where the device, runtime or precision is not to be had, ModelError for a
    file that is no such network.
    """
    where = device if isinstance(device, Device) else Device(device)
    if b"location" in onnx and ELSEWHERE.search(onnx):  # `in` is ten times as fast
        raise ModelError(
            "the network has weights in another file; expected all in its own: load it with onnx "
            "and save it again (a tensor named location is taken for this too: rename it)"
        )
    runtime = where.runtime
    if runtime == "auto":
        runtime = "onnxruntime" if where.on_cuda else "openvino"
    if runtime == "openvino":
        return openvino.OpenVinoModel(onnx, preprocess, where)
    return onnxruntime.OnnxRuntimeModel(onnx, preprocess, where)


def available_runtimes() -> list[Available]:
    """The runtimes installed here, with what they can really use.

    Raises DeviceError where one cannot be loaded.
    """
    found = [openvino.available(), onnxruntime.available()]
    return [runtime for runtime in found if runtime is not None]
