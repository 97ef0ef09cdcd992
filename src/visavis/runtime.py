"""An ONNX file on a device, as a callable: the only place a model runs.

OpenVINO on a CPU, in bfloat16 where the CPU has it; ONNX Runtime for CUDA and where it is asked
for. Preprocessing belongs to the model, so it happens here: callers hand over uint8 RGB pictures.
What was asked for and is not here is an error, never another device.
"""

import hashlib
import json
import logging
import os
import queue
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from visavis.errors import DeviceError, ModelError, OutputError
from visavis.files import write_whole

log = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]  # (N, H, W, 3) RGB
Outputs = Sequence[NDArray[np.float32]]  # in the order of the file

RUNTIMES = ("auto", "openvino", "onnxruntime")
PRECISIONS = ("auto", "float32", "bfloat16")
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a network wants its pixels: (value - mean) / std on 0..255, in this colour order."""

    color: str = "rgb"  # or "bgr"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # in the order of `color`
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how a model runs; `auto` is OpenVINO on the CPU, as fast as the CPU allows."""

    name: str = "auto"  # "auto", "cpu" or "cuda:N"
    runtime: str = (
        "auto"  # "openvino" or "onnxruntime"; auto: OpenVINO on a CPU, ONNX Runtime on CUDA
    )
    precision: str = "auto"  # "float32" or "bfloat16"; auto: bfloat16 where the CPU has it
    threads: int | None = None  # for one call; None: as many as this process has cores

    def __post_init__(self) -> None:
        if self.name not in ("auto", "cpu") and not self.name.removeprefix("cuda:").isdecimal():
            raise DeviceError(
                f"expected device auto, cpu or cuda:N (cuda:0 is the first GPU), got {self.name!r}"
            )
        if self.runtime not in RUNTIMES:
            raise DeviceError(f"expected runtime {', '.join(RUNTIMES)}, got {self.runtime!r}")
        if self.precision not in PRECISIONS:
            raise DeviceError(f"expected precision {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.threads is not None and self.threads < 1:
            raise DeviceError(f"expected at least 1 thread, got {self.threads}")

    @property
    def on_cuda(self) -> bool:
        """Whether a GPU was asked for."""
        return self.name.startswith("cuda")


class Model(Protocol):
    """A loaded network: pictures in, float32 arrays out. Safe to call from many threads."""

    @property
    def runtime(self) -> str:
        """What runs it: "openvino" or "onnxruntime"."""

    @property
    def device(self) -> str:
        """Where it really runs: "cpu" or "cuda:N"."""

    @property
    def precision(self) -> str:
        """What it really computes in: "float32" or "bfloat16"."""

    def __call__(self, pictures: Pictures, /) -> Outputs: ...


def load_model(onnx: bytes, preprocess: Preprocess, device: str | Device = "auto") -> Model:
    """Make an ONNX file's bytes callable on a device.

    The file has one float32 input (N, 3, H, W); N, H and W may be dynamic. The model takes (N, H,
    W, 3) uint8 RGB and returns every output, as float32, in the order of the file.
    Raises DeviceError where the device, runtime or precision is not to be had, ModelError for a
    file that is no such network.
    """
    where = device if isinstance(device, Device) else Device(device)
    runtime = where.runtime
    if runtime == "auto":
        runtime = "onnxruntime" if where.on_cuda else "openvino"
    if runtime == "openvino":
        return OpenVinoModel(onnx, preprocess, where)
    return OnnxRuntimeModel(onnx, preprocess, where)


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OpenVinoModel:
    """A network in OpenVINO: compiled once, kept in the user's cache, one request for each thread
    at work.
    """

    runtime = "openvino"
    device = "cpu"

    def __init__(self, onnx: bytes, preprocess: Preprocess, device: Device) -> None:
        if device.on_cuda:
            raise DeviceError(
                f"OpenVINO has no {device.name}; leave the runtime at auto, or use device cpu"
            )
        core = _openvino().Core()
        self.precision = _cpu_precision(core, device.precision)
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[self.precision],
            "INFERENCE_NUM_THREADS": device.threads or cores(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled = _compiled(core, onnx, preprocess, settings)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, pictures: Pictures, /) -> Outputs:
        request = self._request()
        try:
            results = request.infer([np.ascontiguousarray(pictures)])
        except RuntimeError as error:
            raise ModelError(
                f"the network refuses {pictures.shape} pictures: {_last_line(error)}"
            ) from error
        finally:
            self._idle.put(request)
        return list(results.values())

    def _request(self) -> Any:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._compiled.create_infer_request()


class OnnxRuntimeModel:
    """A network in ONNX Runtime, on the CPU or on one GPU."""

    runtime = "onnxruntime"
    precision = "float32"

    def __init__(self, onnx: bytes, preprocess: Preprocess, device: Device) -> None:
        if device.precision == "bfloat16":
            raise DeviceError(
                "bfloat16 is OpenVINO's alone; with onnxruntime use precision auto or float32"
            )
        provider: Any = "CPUExecutionProvider"
        if device.on_cuda:
            provider = (
                "CUDAExecutionProvider",
                {"device_id": int(device.name.removeprefix("cuda:"))},
            )
        self.device = device.name if device.on_cuda else "cpu"
        self._preprocess = preprocess
        self._session = _session(onnx, provider, device)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pictures: Pictures, /) -> Outputs:
        batch = _preprocessed(pictures, self._preprocess)
        try:
            results = self._session.run(None, {self._input: batch})
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):  # its errors share no public base
                raise ModelError(
                    f"the network refuses {pictures.shape} pictures: {error}"
                ) from error
            raise
        return list(results)


def _openvino() -> Any:
    # Importing openvino reports to its vendor, unless its telemetry module cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _cpu_precision(core: Any, wanted: str) -> str:
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bfloat16" and not has_bfloat16:
        raise DeviceError("this CPU has no bfloat16; use precision auto or float32")
    return "bfloat16" if has_bfloat16 and wanted != "float32" else "float32"


def _compiled(core: Any, onnx: bytes, preprocess: Preprocess, settings: dict[str, Any]) -> Any:
    """The compiled network from the user's cache, or compiled now and put there."""
    path = _cache_path(core, onnx, preprocess, settings)
    blob = _read_blob(path)
    if blob is not None:
        try:
            return core.import_model(_openvino().Tensor(blob), "CPU", settings)
        except RuntimeError as error:  # written by another build of the same version
            log.info("compiling again, %s cannot be loaded: %s", path, _last_line(error))
    try:
        compiled = core.compile_model(
            _with_preprocess(core.read_model(onnx), preprocess), "CPU", settings
        )
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot load this network: {_last_line(error)}") from error
    _write_blob(path, compiled)
    return compiled


def _with_preprocess(model: Any, preprocess: Preprocess) -> Any:
    """The same network, taking (N, H, W, 3) uint8 RGB: conversion runs in the compiled graph."""
    import openvino.preprocess

    if len(model.inputs) != 1:
        names = ", ".join(port.any_name for port in model.inputs)
        raise ModelError(f"expected a network with one input, got {len(model.inputs)}: {names}")
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


def _cache_path(core: Any, onnx: bytes, preprocess: Preprocess, settings: dict[str, Any]) -> Path:
    key = {
        "onnx": hashlib.sha256(onnx).hexdigest(),
        "preprocess": asdict(preprocess),
        "settings": settings,
        "openvino": _openvino().__version__,
        "cpu": core.get_property("CPU", "FULL_DEVICE_NAME"),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return Path(platformdirs.user_cache_dir("visavis")) / "compiled" / f"{digest[:32]}.blob"


def _read_blob(path: Path) -> NDArray[np.uint8] | None:
    """The compiled network, or None where there is none or its digest, the last 32 bytes, does not
    fit.
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
    except (OSError, OutputError) as error:  # costs half a second at the next start, nothing else
        log.info("cannot keep the compiled network in %s: %s", path.parent, error)


def _session(onnx: bytes, provider: Any, device: Device) -> Any:
    extra = "cuda" if device.on_cuda else "ort"
    try:
        import onnxruntime
    except ImportError:
        raise DeviceError(
            f"{device.name} through ONNX Runtime needs a package that is not installed: "
            f"pip install '.[{extra}]'"
        ) from None
    if device.on_cuda and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"{device.name} was asked for, but the installed onnxruntime {onnxruntime.__version__} "
            "is built for CPUs: pip uninstall onnxruntime, then pip install '.[cuda]'"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = device.threads or cores()
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(onnx, options, providers=[provider])
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise ModelError(f"ONNX Runtime cannot load this network: {error}") from error
        raise
    if device.on_cuda and "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            f"{device.name} was asked for, but ONNX Runtime could not start it: is the driver "
            "there, and do CUDA and cuDNN fit onnxruntime-gpu?"
        )
    return session


def _preprocessed(pictures: Pictures, preprocess: Preprocess) -> NDArray[np.float32]:
    ordered: Pictures = pictures[..., ::-1] if preprocess.color == "bgr" else pictures
    batch = (ordered - np.array(preprocess.mean, np.float32)) / np.array(preprocess.std, np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32)


def _last_line(error: BaseException) -> str:
    lines: Sequence[str] = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
