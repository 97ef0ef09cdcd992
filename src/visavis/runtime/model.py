"""What a model is, how it wants its pixels, and where it may run. Loads no runtime."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DeviceError, ModelError

Pictures = NDArray[np.uint8]  # (N, H, W, 3) RGB
Outputs = Sequence[NDArray[np.float32]]  # in the order of the file
Color = Literal["rgb", "bgr"]  # the order of channels
PerChannel = tuple[float, float, float]

Shape = tuple[int | None, ...]

RUNTIMES = ("auto", "openvino", "onnxruntime")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a network wants its pixels: (value - mean) / std on 0..255, in this colour order."""

    color: Color = "rgb"
    mean: PerChannel = (0.0, 0.0, 0.0)  # in the order of `color`
    std: PerChannel = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not min(self.std) > 0:
            raise ModelError(
                f"preprocess.std: expected numbers above zero, got {[*self.std]}", option="std"
            )


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how a model runs; `auto` is OpenVINO on the CPU, as fast as the CPU allows."""

    name: str = "auto"  # "auto", "cpu" or "cuda:N"
    # or "openvino", "onnxruntime"; auto: OpenVINO on a CPU, ONNX Runtime on CUDA
    runtime: str = "auto"
    # or "float32", "bfloat16", "int8": a network that is quantised; auto: bfloat16 where the CPU
    # has it
    precision: str = "auto"
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
        """What it really computes in: "float32", "bfloat16" or "int8"."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """Of each output, in the order of the file; None for a dynamic dimension."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the pictures it takes; None where it takes any."""

    @property
    def batch(self) -> int | None:
        """How many pictures the network takes at once; of 1 it is called for each picture."""

    def __call__(self, pictures: Pictures, /) -> Outputs: ...


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fixed_size(size: Shape) -> tuple[int, int] | None:
    """Height and width, where both are fixed."""
    height, width = size if len(size) == 2 else (None, None)
    return (height, width) if height and width else None


def one_at_a_time(model: Model, pictures: Pictures) -> Outputs:
    """The answers of a network that takes one picture at a time, as if it took them together."""
    answers = [model(pictures[row : row + 1]) for row in range(len(pictures))]
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]


def check_one_input(names: Sequence[str]) -> None:
    """Raise ModelError for a network with several inputs, or none."""
    if len(names) != 1:
        raise ModelError(f"expected a network with one input, got {len(names)}: {', '.join(names)}")
