"""Networks in ONNX Runtime, on the CPU or on one GPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DeviceError, ModelError, VisavisError
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


class OnnxRuntimeModel:
    """A network in ONNX Runtime, on the CPU or on one GPU."""

    runtime = "onnxruntime"
    precision = "float32"

    def __init__(self, onnx: bytes, preprocess: Preprocess, device: Device) -> None:
        if device.precision in ("bfloat16", "int8"):
            raise DeviceError(
                f"only OpenVINO computes in {device.precision}",
                mend="with onnxruntime use precision auto or float32",
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
        check_one_input([port.name for port in inputs])
        self._input = inputs[0].name
        self.batch, *size = _numbers(inputs[0].shape) or (None,)
        self.size = fixed_size(tuple(size[1:3]))
        self.shapes = [_numbers(output.shape) for output in self._session.get_outputs()]

    def __call__(self, pictures: Pictures, /) -> Outputs:
        if pictures.ndim != 4 or pictures.shape[3] != 3:
            raise ModelError(f"the network refuses {pictures.shape} pictures: not (N, H, W, 3)")
        if self.batch == 1 and len(pictures) > 1:
            return one_at_a_time(self, pictures)
        batch = _preprocessed(pictures, self._preprocess)
        with onnxruntime_errors(ModelError, f"the network refuses {pictures.shape} pictures"):
            results = self._session.run(None, {self._input: batch})
        return [np.asarray(result, np.float32) for result in results]


def onnxruntime_available() -> Available | None:
    """What ONNX Runtime can use here; None where it is not installed.

    Raises DeviceError where it is damaged.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        return None
    providers = onnxruntime.get_available_providers()
    devices = tuple(name.removesuffix("ExecutionProvider").lower() for name in providers)
    return Available("onnxruntime", onnxruntime.__version__, devices)


@contextmanager
def onnxruntime_errors(kind: type[VisavisError], what: str) -> Iterator[None]:
    """Raise ONNX Runtime's errors, which share no public base, as `kind`: `what`, and its words."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise kind(f"{what}: {error}") from error
        raise


def import_onnxruntime() -> Any:
    """The package, reporting nothing. Raises ImportError, or DeviceError where it is damaged."""
    silence()
    import onnxruntime

    if not hasattr(onnxruntime, "get_available_providers"):  # a folder that an uninstall left
        raise DeviceError(
            "onnxruntime has lost its files, as when onnxruntime and onnxruntime-gpu were both "
            "installed",
            mend="pip uninstall both, then pip install '.[ort]' or '.[cuda]'",
        )
    return onnxruntime


def _session(onnx: bytes, provider: Any, device: Device) -> Any:
    onnxruntime = _onnxruntime_for(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = device.threads or cores()
    options.log_severity_level = 3  # errors only
    with onnxruntime_errors(ModelError, "ONNX Runtime cannot load this network"):
        session = onnxruntime.InferenceSession(onnx, options, providers=[provider])
    if device.on_cuda and "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            f"{device.name} was asked for, but ONNX Runtime could not start it",
            mend="install the driver, and the CUDA and cuDNN that onnxruntime-gpu was built for",
        )
    return session


def _onnxruntime_for(device: Device) -> Any:
    """The package. Raises DeviceError where it is missing, or is built without the device."""
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        raise DeviceError(
            f"{device.name} through ONNX Runtime needs a package that is not installed",
            mend=f"pip install '.[{'cuda' if device.on_cuda else 'ort'}]'",
        ) from None
    if device.on_cuda and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"{device.name} was asked for, but the installed onnxruntime {onnxruntime.__version__} "
            "is built for CPUs",
            mend="pip uninstall onnxruntime, then pip install '.[cuda]'",
        )
    return onnxruntime


def _preprocessed(pictures: Pictures, preprocess: Preprocess) -> NDArray[np.float32]:
    ordered: Pictures = pictures[..., ::-1] if preprocess.color == "bgr" else pictures
    batch = (ordered - np.array(preprocess.mean, np.float32)) / np.array(preprocess.std, np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32)


def _numbers(shape: Sequence[Any]) -> Shape:
    """ONNX Runtime's shape as ours: there a dynamic dimension has a name in place of a number."""
    return tuple(size if isinstance(size, int) else None for size in shape)
