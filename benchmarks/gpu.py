"""Measure throughput on a CUDA device by batch size: plain calls against inputs kept on the device.

    pip install '.[cuda]' && python benchmarks/gpu.py --device cuda:0

For each network and batch: pictures a second through `session.run`, which copies the input to the
device and the outputs back in every call, and through an IOBinding whose input already lies there
and whose outputs stay. The gap is what a flow that decodes and aligns on the device could gain.
YuNet and SFace are the default pack's; the IResNet-50 has random weights; SCRFD-500M, which takes
one picture at a time, is measured where $VISAVIS_DATA (default ../shared) has it.
Where package, driver or device is missing it says so and stops: it never runs on the CPU instead.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from iresnet import random_iresnet50
from onnx import load_model_from_string

from visavis.errors import DeviceError, VisavisError
from visavis.pack import load_pack
from visavis.runtime import Device, Preprocess, load_model

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared"))
BATCHES = (1, 8, 32, 128)
REPEATS = 20
WARM_UP = 5  # calls before the first that counts: CUDA chooses its kernels in them


@dataclass(frozen=True)
class Network:
    """A file to measure."""

    name: str
    onnx: bytes
    side: int  # of its square input
    most: int = max(BATCHES)  # pictures in a call


@dataclass(frozen=True)
class Row:
    """One network at one batch size, in pictures a second."""

    network: str
    batch: int
    plain: float
    bound: float


def main() -> None:
    """Print a table, or with --json one document; exit code 2 where there is no CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    try:
        found = rows(Device(options.device), networks(), options.batches)
        machine = described(options.device)
        if options.json:
            print(json.dumps({"machine": machine, "rows": [asdict(row) for row in found]}))
            return
        print(f"{machine}\n{'network':<16}{'batch':>6}{'plain /s':>12}{'bound /s':>12}{'gain':>8}")
        for row in found:
            gain = row.bound / row.plain
            print(f"{row.network:<16}{row.batch:>6}{row.plain:12.0f}{row.bound:12.0f}{gain:8.2f}")
    except VisavisError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        sys.exit(2)


def networks() -> list[Network]:
    """The default pack's two, an IResNet-50, and SCRFD where its file is here."""
    pack = load_pack()
    detector, embedder = pack.manifest.detector, pack.manifest.embedder
    found = [
        Network("YuNet 640", any_batch(pack.read(detector.file, detector.sha256)), 640),
        Network("SFace", any_batch(pack.read(embedder.file, embedder.sha256)), 112),
        Network("IResNet-50", random_iresnet50().SerializeToString(), 112),
    ]
    scrfd = DATA / "models" / "scrfd_500m_kps.onnx"
    if scrfd.is_file():
        found.insert(1, Network("SCRFD-500M 640", scrfd.read_bytes(), 640, most=1))
    return found


def any_batch(onnx: bytes) -> bytes:
    """The same network without the inner shapes of its export at batch 1, which ONNX Runtime would
    hold bound outputs to.
    """
    model = load_model_from_string(onnx)
    del model.graph.value_info[:]
    return model.SerializeToString()


def rows(device: Device, found: Sequence[Network], batches: Sequence[int]) -> list[Row]:
    """Each network at each batch size it takes. Raises DeviceError where CUDA is not to be had."""
    if not device.on_cuda:
        raise DeviceError(f"expected device cuda:N, got {device.name}")
    measured = []
    for network in found:
        load_model(network.onnx, Preprocess(), device)  # refuses what would fall back to the CPU
        session = open_session(network.onnx, device)
        for batch in batches:
            if batch <= network.most:
                shape = (batch, 3, network.side, network.side)
                pixels = 255 * np.random.default_rng(0).random(shape, np.float32)
                plain, bound = plain_call(session, pixels), bound_call(session, pixels, device)
                measured.append(Row(network.name, batch, rate(plain, batch), rate(bound, batch)))
    return measured


def open_session(onnx: bytes, device: Device) -> Any:
    """A session on the device, whose inputs and outputs can be bound."""
    import onnxruntime  # after visavis.runtime has loaded it, with its reporting off

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    provider = ("CUDAExecutionProvider", {"device_id": index_of(device)})
    return onnxruntime.InferenceSession(onnx, options, providers=[provider])


def plain_call(session: Any, pixels: np.ndarray) -> Callable[[], object]:
    """From an array on the host to arrays on the host."""
    feed = {session.get_inputs()[0].name: pixels}
    return lambda: session.run(None, feed)


def bound_call(session: Any, pixels: np.ndarray, device: Device) -> Callable[[], object]:
    """With input and outputs on the device."""
    import onnxruntime

    binding = session.io_binding()
    index = index_of(device)
    value = onnxruntime.OrtValue.ortvalue_from_numpy(pixels, "cuda", index)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", index)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()  # else only the launch would be timed

    return call


def rate(call: Callable[[], object], batch: int) -> float:
    """Pictures a second: of REPEATS calls the median."""
    return batch / statistics.median(list(seconds(call))[WARM_UP:])


def seconds(call: Callable[[], object]) -> Iterator[float]:
    """Of each call, those of the warm-up first."""
    for _ in range(WARM_UP + REPEATS):
        started = time.perf_counter()
        call()
        yield time.perf_counter() - started


def described(device: str) -> str:
    """The GPU, its driver and the runtime, for whoever reads the numbers."""
    import onnxruntime

    card = "nvidia-smi is not here"
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", f"--id={device.removeprefix('cuda:')}"]
        query += ["--query-gpu=name,driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        card = ", driver ".join(part.strip() for part in done.stdout.split(","))
    return f"{device}: {card}; onnxruntime {onnxruntime.__version__}"


def index_of(device: Device) -> int:
    """N of cuda:N."""
    return int(device.name.removeprefix("cuda:"))


if __name__ == "__main__":
    main()
