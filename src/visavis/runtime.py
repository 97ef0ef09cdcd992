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
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from visavis.errors import DeviceError, ModelError, OutputError
from visavis.files import write_whole

log = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]  # (N, H, W, 3) RGB
Outputs = Sequence[NDArray[np.float32]]  # in the order of the file

Shape = tuple[int | None, ...]

RUNTIMES = ("auto", "openvino", "onnxruntime")
PRECISIONS = ("auto", "float32", "bfloat16")
DIGEST_BYTES = 32
# The key by which ONNX names another file as a tensor's place, after its length as protobuf may
# write it. Runtimes would read that file wherever it lies, and no manifest holds its hash.
ELSEWHERE = re.compile(rb"(\x08|\x88\x80*\x00)location")
# A network for one size runs without the cost of changing sizes, but takes 0.2 s to compile.
USES_BEFORE_OWN = 5
MOST_SIZES = 16


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a network wants its pixels: (value - mean) / std on 0..255, in this colour order."""

    color: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # in the order of `color`
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how a model runs; `auto` is OpenVINO on the CPU, as fast as the CPU allows."""

    name: str = "auto"  # "auto", "cpu" or "cuda:N"
    runtime: str = (
        "auto"  # "openvino" or "onnxruntime"; auto: OpenVINO on a CPU, ONNX Runtime on CUDA
    )
    precision: str = "auto"  # or "float32", "bfloat16"; auto: bfloat16 where the CPU has it
    threads: int | None = None  # in all; None: as many as this process has cores
    streams: int = 1  # calls that run side by side, sharing the threads: 1 answers soonest

    def __post_init__(self) -> None:
        if not re.fullmatch("auto|cpu|cuda:[0-9]{1,3}", self.name):
            raise DeviceError(
                f"expected device auto, cpu or cuda:N (cuda:0 is the first GPU), got {self.name!r}"
            )
        if self.runtime not in RUNTIMES:
            raise DeviceError(f"expected runtime {', '.join(RUNTIMES)}, got {self.runtime!r}")
        if self.precision not in PRECISIONS:
            raise DeviceError(f"expected precision {', '.join(PRECISIONS)}, got {self.precision!r}")
        if min(1 if self.threads is None else self.threads, self.streams) < 1:
            raise DeviceError(
                f"expected at least 1 thread and 1 stream, got {self.threads} and {self.streams}"
            )

    def for_many(self) -> "Device":
        """The same device, for many photos at once: a core for each call, not all for one."""
        return replace(self, streams=self.threads or cores())

    @property
    def on_cuda(self) -> bool:
        """Whether a GPU was asked for."""
        return self.name.startswith("cuda")


@dataclass(frozen=True, slots=True)
class Available:
    """A runtime that is installed, and the devices it can use."""

    name: str
    version: str
    devices: tuple[str, ...]  # in words: "cpu with bfloat16", "cuda"


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

    @property
    def shapes(self) -> Sequence[Shape]:
        """Of each output, in the order of the file; None for a dynamic dimension."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the pictures it takes, where it takes no others."""

    def __call__(self, pictures: Pictures, /) -> Outputs: ...


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
        return OpenVinoModel(onnx, preprocess, where)
    return OnnxRuntimeModel(onnx, preprocess, where)


def available_runtimes() -> list[Available]:
    """The runtimes installed here, with what they can really use.

    Raises DeviceError where one cannot be loaded.
    """
    openvino = _openvino()
    features = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    cpu = "cpu with bfloat16" if "BF16" in features else "cpu"
    found = [Available("openvino", openvino.__version__.split("-")[0], (cpu,))]
    try:
        onnxruntime = _onnxruntime()
    except ImportError:
        return found
    providers = onnxruntime.get_available_providers()
    devices = tuple(name.removesuffix("ExecutionProvider").lower() for name in providers)
    return [*found, Available("onnxruntime", onnxruntime.__version__, devices)]


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OpenVinoModel:
    """A network in OpenVINO: compiled once, kept in the user's cache, one request for each thread
    at work. A size of pictures that comes again and again gets a network compiled for it alone.
    """

    runtime = "openvino"
    device = "cpu"

    def __init__(self, onnx: bytes, preprocess: Preprocess, device: Device) -> None:
        if device.on_cuda:
            raise DeviceError(
                f"OpenVINO has no {device.name}; leave the runtime at auto, or use device cpu"
            )
        self._core = _openvino().Core()
        self.precision = _cpu_precision(self._core, device.precision)
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[self.precision],
            "INFERENCE_NUM_THREADS": device.threads or cores(),
            "NUM_STREAMS": device.streams,
        }
        self._compile = partial(_compiled, self._core, onnx, preprocess, settings)
        compiled = self._compile()
        self.shapes = [_sides(port.partial_shape) for port in compiled.outputs]
        self.size = _fixed(_sides(compiled.inputs[0].partial_shape)[1:3])
        self._any_size = _Requests(compiled)
        self._sizes: dict[tuple[int, int], _Requests] = {}
        self._uses: Counter[tuple[int, int]] = Counter()

    def __call__(self, pictures: Pictures, /) -> Outputs:
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
    """A compiled network and its idle requests: as many as there are threads at work."""

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
        inputs = self._session.get_inputs()
        _one_input([port.name for port in inputs])
        self._input = inputs[0].name
        self.size = _fixed(_numbers(inputs[0].shape)[2:4])
        self.shapes = [_numbers(output.shape) for output in self._session.get_outputs()]

    def __call__(self, pictures: Pictures, /) -> Outputs:
        if pictures.ndim != 4 or pictures.shape[3] != 3:
            raise ModelError(f"the network refuses {pictures.shape} pictures: not (N, H, W, 3)")
        batch = _preprocessed(pictures, self._preprocess)
        try:
            results = self._session.run(None, {self._input: batch})
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):  # its errors share no public base
                raise ModelError(
                    f"the network refuses {pictures.shape} pictures: {error}"
                ) from error
            raise
        return [np.asarray(result, np.float32) for result in results]


def _sides(shape: Any) -> Shape:
    """OpenVINO's shape as ours."""
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)


def _numbers(shape: Sequence[Any]) -> Shape:
    """ONNX Runtime's shape as ours: what is dynamic has a name there."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def _fixed(size: Shape) -> tuple[int, int] | None:
    """Height and width, where both are fixed."""
    height, width = size if len(size) == 2 else (None, None)
    return (height, width) if height and width else None


def _openvino() -> Any:
    # Importing openvino reports to its vendor, unless its telemetry module cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise DeviceError(f"OpenVINO cannot be loaded: {error}: pip install .") from error
    return openvino


def _onnxruntime() -> Any:
    # Since 1.29 it reports to its vendor, unless this is set before it is loaded.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    if not hasattr(onnxruntime, "get_available_providers"):  # a folder that an uninstall left
        raise DeviceError(
            "onnxruntime has lost its files, as when onnxruntime and onnxruntime-gpu were both "
            "installed: pip uninstall both, then pip install '.[ort]' or '.[cuda]'"
        )
    return onnxruntime


def _cpu_precision(core: Any, wanted: str) -> str:
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bfloat16" and not has_bfloat16:
        raise DeviceError("this CPU has no bfloat16; use precision auto or float32")
    return "bfloat16" if has_bfloat16 and wanted != "float32" else "float32"


def _compiled(
    core: Any,
    onnx: bytes,
    preprocess: Preprocess,
    settings: dict[str, Any],
    size: tuple[int, int] | None = None,
) -> Any:
    """The compiled network from the user's cache, or compiled now and put there; `size` (height,
    width) is the only one it will take.
    """
    path = _cache_path(core, onnx, preprocess, {**settings, "size": size})
    blob = _read_blob(path)
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
    _write_blob(path, compiled)
    return compiled


def _with_preprocess(model: Any, preprocess: Preprocess) -> Any:
    """The same network, taking (N, H, W, 3) uint8 RGB: conversion runs in the compiled graph."""
    import openvino.preprocess

    _one_input([port.any_name for port in model.inputs])
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
        onnxruntime = _onnxruntime()
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


def _one_input(names: Sequence[str]) -> None:
    if len(names) != 1:
        raise ModelError(f"expected a network with one input, got {len(names)}: {', '.join(names)}")


def _last_line(error: BaseException) -> str:
    lines: Sequence[str] = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
