"""Networks in OpenVINO on the CPU: compiled once, and kept in the user's cache."""

import hashlib
import json
import logging
import os
import queue
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.errors import DeviceError, ModelError, OutputError
from visavis.files import write_whole
from visavis.folders import cache_folder
from visavis.runtime.model import (
    Available,
    Device,
    Outputs,
    Pictures,
    Preprocess,
    Shape,
    check_one_input,
    cores,
    fixed_size,
    one_at_a_time,
)
from visavis.runtime.telemetry import silence

log = logging.getLogger(__name__)

DIGEST_BYTES = 32
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}  # for all that is not quantised
# OpenVINO's own switch: the most instructions that it may use. Its list of what the CPU can do
# leaves the switch out, and bfloat16 beyond it ends the process.
SWITCHES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
WITHOUT_AVX2 = ("SSE41", "AVX")
WITHOUT_BFLOAT16 = (*WITHOUT_AVX2, "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
# A network for one size runs without the cost of changing sizes, but takes 0.2 s to compile.
USES_BEFORE_OWN = 5
MOST_SIZES = 16


class OpenVinoModel:
    """A network in OpenVINO: compiled once and kept in the user's cache, with a request for each
    thread that calls it. A size of pictures that comes often gets a network compiled for it alone.
    """

    runtime = "openvino"
    device = "cpu"

    def __init__(self, onnx: bytes, preprocess: Preprocess, device: Device) -> None:
        if device.on_cuda:
            raise DeviceError(
                f"OpenVINO has no {device.name}", mend="leave the runtime at auto, or use cpu"
            )
        self._core = _openvino().Core()
        self.precision = _cpu_precision(self._core, device.precision)
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": device.threads or cores(),
            "NUM_STREAMS": device.streams,
        }
        if device.threads is not None and device.threads < cores():
            # Pinned, the threads of every such process would share the first cores.
            settings["ENABLE_CPU_PINNING"] = False
        self._compile = partial(_compiled, self._core, onnx, preprocess, settings)
        compiled = self._compile()
        self.shapes = [_sides(port.partial_shape) for port in compiled.outputs]
        self.batch, *size = _sides(compiled.inputs[0].partial_shape)[:3]
        self.size = fixed_size(tuple(size))
        self._any_size = _Requests(compiled)
        self._sizes: dict[tuple[int, int], _Requests] = {}
        self._uses: Counter[tuple[int, int]] = Counter()

    def __call__(self, pictures: Pictures, /) -> Outputs:
        if self.batch == 1 and len(pictures) > 1:
            return one_at_a_time(self, pictures)
        try:
            return self._requests(pictures.shape)(np.ascontiguousarray(pictures))
        except RuntimeError as error:
            raise ModelError(
                f"the network refuses {pictures.shape} pictures: {_last_line(error)}"
            ) from error

    def _requests(self, shape: Shape) -> "_Requests":
        if self.size or len(shape) != 4:
            return self._any_size
        size = (shape[1] or 0, shape[2] or 0)
        self._uses[size] += 1  # threads may lose a count: the next call makes up for it
        if self._uses[size] == USES_BEFORE_OWN and len(self._sizes) < MOST_SIZES:
            self._sizes[size] = _Requests(self._compile(size))
        return self._sizes.get(size, self._any_size)


class _Requests:
    """A compiled network and its idle requests: as many as threads have called it at once."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, pictures: Pictures) -> Outputs:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            return list(request.infer([pictures]).values())
        finally:
            self._idle.put(request)


def openvino_available() -> Available:
    """What OpenVINO can use here. Raises DeviceError where it cannot be loaded."""
    openvino = _openvino()
    core = openvino.Core()
    cpu = "cpu with bfloat16" if _has_bfloat16(core) else "cpu"
    return Available("openvino", openvino.__version__.split("-")[0], (cpu,))


def _openvino() -> Any:
    silence()
    try:
        import openvino
    except ImportError as error:
        raise DeviceError(f"OpenVINO cannot be loaded: {error}", mend="pip install .") from error
    return openvino


def cpu_favours_int8() -> bool:
    """Whether this CPU does nothing better than int8: it multiplies 8-bit integers fast, from AVX2
    on, and has no bfloat16, which is nearly as fast and nearer to float32.
    """
    # OpenVINO has no name for AVX2. What the CPU lacks ends in a question mark here.
    features = cv2.getCPUFeaturesLine().replace("*", "").split()
    fast = "AVX2" in features and _most_instructions() not in WITHOUT_AVX2
    return fast and not _has_bfloat16(_openvino().Core())


def _cpu_precision(core: Any, wanted: str) -> str:
    if wanted == "int8":
        return wanted
    has_bfloat16 = _has_bfloat16(core)
    if wanted == "bfloat16" and not has_bfloat16:
        raise DeviceError("this CPU has no bfloat16", mend="use precision auto or float32")
    return "bfloat16" if has_bfloat16 and wanted != "float32" else "float32"


def _has_bfloat16(core: Any) -> bool:
    capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return capable and _most_instructions() not in WITHOUT_BFLOAT16


def _most_instructions() -> str:
    """What OpenVINO's switch limits it to; empty where it does not."""
    return next((os.environ[name].upper() for name in SWITCHES if os.environ.get(name)), "")


def _compiled(
    core: Any,
    onnx: bytes,
    preprocess: Preprocess,
    settings: dict[str, Any],
    size: tuple[int, int] | None = None,
) -> Any:
    """The compiled network from the user's cache, or compiled now and put there.

    With `size` (height, width) it takes pictures of that size alone.
    """
    path = _cache_path(core, onnx, preprocess, {**settings, "size": size})
    blob = _read_blob(path) if path else None
    if blob is not None:
        try:
            return core.import_model(_openvino().Tensor(blob), "CPU", settings)
        except RuntimeError as error:  # written by another build of the same version
            log.info("compiling again, %s cannot be loaded: %s", path, _last_line(error))
    try:
        model = core.read_model(onnx)
        if size is not None:
            model.reshape([model.inputs[0].partial_shape[0], 3, *size])
        compiled = core.compile_model(_with_preprocess(model, preprocess), "CPU", settings)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot load this network: {_last_line(error)}") from error
    if path:
        _write_blob(path, compiled)
    return compiled


def _with_preprocess(model: Any, preprocess: Preprocess) -> Any:
    """The same network, taking (N, H, W, 3) uint8 RGB: conversion runs in the compiled graph."""
    import openvino.preprocess

    check_one_input([port.any_name for port in model.inputs])
    openvino = _openvino()
    builder = openvino.preprocess.PrePostProcessor(model)
    builder.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    builder.input().model().set_layout(openvino.Layout("NCHW"))
    steps = builder.input().preprocess().convert_element_type(openvino.Type.f32)
    if preprocess.color == "bgr":
        steps.reverse_channels()
    if any(preprocess.mean):
        steps.mean(list(preprocess.mean))
    if set(preprocess.std) != {1.0}:
        steps.scale(list(preprocess.std))
    for index in range(len(model.outputs)):
        builder.output(index).tensor().set_element_type(openvino.Type.f32)
    return builder.build()


def _cache_path(
    core: Any, onnx: bytes, preprocess: Preprocess, settings: dict[str, Any]
) -> Path | None:
    """Where the compiled network is kept; None for a user without a home folder."""
    key = {
        "onnx": hashlib.sha256(onnx).hexdigest(),
        "preprocess": asdict(preprocess),
        "settings": settings,
        "openvino": _openvino().__version__,
        "cpu": core.get_property("CPU", "FULL_DEVICE_NAME"),
        "instructions": _most_instructions(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    try:
        return cache_folder() / "compiled" / f"{digest[:32]}.blob"
    except OutputError:
        return None


def _read_blob(path: Path) -> NDArray[np.uint8] | None:
    """The compiled network, or None where there is none, or where its digest (the last 32 bytes)
    does not fit.
    """
    try:
        stored = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError):  # absent, or empty
        return None
    blob, digest = stored[:-DIGEST_BYTES], stored[-DIGEST_BYTES:]
    if hashlib.sha256(blob.data).digest() == digest.tobytes():
        return blob
    log.warning("compiling again: %s is damaged", path)
    return None


def _write_blob(path: Path, compiled: Any) -> None:
    exported = compiled.export_model()
    blob = exported if isinstance(exported, bytes) else exported.getbuffer()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, blob, hashlib.sha256(blob).digest())
    except (OSError, OutputError) as error:  # the next start takes half a second longer
        log.info("cannot keep the compiled network in %s: %s", path.parent, error)


def _sides(shape: Any) -> Shape:
    """OpenVINO's shape as ours."""
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)


def _last_line(error: BaseException) -> str:
    lines: Sequence[str] = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
