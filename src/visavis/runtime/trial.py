"""A network's first run, in a process that is watched: what it takes of memory and of time.

For networks of which `visavis.runtime.bounds` cannot tell that they do no harm. One that has been
run once is remembered by its hash in the user's cache. POSIX alone: Windows has no such limits.

Memory is measured and not limited: where an allocation fails, OpenVINO answers with nothing and
raises no error.
"""

import hashlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from visavis.errors import DeviceError, ModelError, OutputError
from visavis.files import write_whole
from visavis.folders import cache_folder
from visavis.runtime.model import Device, Model, Preprocess
from visavis.runtime.onnxruntime import OnnxRuntimeModel
from visavis.runtime.openvino import OpenVinoModel

if sys.platform != "win32":
    import resource

MEGABYTE = 1 << 20
# Of memory, beyond what a runtime alone has; and for each byte of the network, which is read
# and compiled. A watcher that comes late lets through some 80 MB more.
MOST_BYTES, BYTES_EACH = 160 * MEGABYTE, 8
# Of processor time, as many times what the runtime alone took to start: 0.4 s, or more on a slow
# machine.
MOST_TIMES, TIMES_EACH_MEGABYTE = 4, 0.5
# Of seconds on the clock: other programs run, too.
MOST_WAIT, WAIT_EACH_MEGABYTE = 120, 5
POLL = 0.02  # seconds between looks at its memory
SIDES = (112, 640)  # of pictures, where a network takes any
MOST_WORDS = 2000  # characters of an error
REFUSED = 3  # the exit code of a network that its runtime refuses
ALLOWED, WORDS = "allowed", "words"  # files beside the network's: bytes of memory, and an error
# An ONNX file of one node, a Relu of one pixel.
SMALLEST = bytes.fromhex(
    "08083a4b0a0c0a0178120179220452656c751201675a1b0a017812160a14080112100a0208010a02"
    "08030a0208010a020801621b0a017912160a14080112100a0208010a0208030a0208010a02080142"
    "040a001011"
)
START = "from visavis.runtime.trial import run_apart; run_apart()"

Load = Callable[[bytes, Preprocess, Device], Model]


def try_once(onnx: bytes, runtime: str) -> None:
    """Run a network in a process that is watched, unless that has been done.

    Raises ModelError for one that takes more memory or time than any face network of its size, or
    that its runtime refuses.
    """
    if sys.platform == "win32" or not sys.executable:  # or within a program that is no Python
        return
    mark = _mark(onnx, runtime)
    if mark is not None and mark.exists():
        return
    try:
        _try(onnx, runtime)
    except OSError as error:
        raise ModelError(
            f"a network that may take much cannot be run apart first: {error.strerror or error}",
            mend="make room in the temporary folder",
        ) from error
    if mark is not None:
        with suppress(OSError, OutputError):  # it is run again the next time
            mark.parent.mkdir(parents=True, exist_ok=True)
            write_whole(mark, b"")


def _try(onnx: bytes, runtime: str) -> None:
    with tempfile.TemporaryDirectory(prefix="visavis-") as folder:
        file = Path(folder) / "network.onnx"
        file.write_bytes(onnx)
        code = _watched(file, runtime)
        if code == REFUSED:
            raise ModelError((file.parent / WORDS).read_text(encoding="utf-8"))
        if code != 0:
            raise _too_much(len(onnx))


def run_apart() -> None:
    """The process: load and run the network of argv[1] by the runtime of argv[2]."""
    file, runtime = Path(sys.argv[1]), sys.argv[2]
    onnx = file.read_bytes()
    load: Load = OpenVinoModel if runtime == "openvino" else OnnxRuntimeModel
    where = Device("cpu", runtime=runtime, precision="float32", threads=1)
    try:
        # What a runtime takes itself is not counted.
        load(SMALLEST, Preprocess(), where)(np.zeros((1, 1, 1, 3), np.uint8))
    except DeviceError:
        return  # whoever loads the network says so
    allowed = _limited(len(onnx))
    write_whole(file.parent / ALLOWED, str(allowed).encode())
    try:
        _run_all(load(onnx, Preprocess(), where))
    except ModelError as error:
        write_whole(file.parent / WORDS, str(error)[:MOST_WORDS].encode("utf-8", "replace"))
        sys.exit(REFUSED)
    finally:
        if _peak() > allowed:  # between two looks of the watcher
            os.kill(os.getpid(), signal.SIGKILL)


def _run_all(model: Model) -> None:
    """Run it on a picture of its size; of others, on each that it takes. Raises ModelError where it
    takes none.
    """
    sizes = [model.size] if model.size else [(side, side) for side in SIDES]
    faults: list[ModelError] = []
    for height, width in sizes:
        try:
            model(np.zeros((1, height, width, 3), np.uint8))
        except ModelError as error:
            faults.append(error)
    if len(faults) == len(sizes):
        raise faults[0]


def _limited(size: int) -> int:
    """Limit this process's time, counted from now; the memory that it may come to have."""
    taken = resource.getrusage(resource.RUSAGE_SELF)
    started = taken.ru_utime + taken.ru_stime
    times = 1 + MOST_TIMES + TIMES_EACH_MEGABYTE * size / MEGABYTE
    seconds = math.ceil(times * started)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _peak() + MOST_BYTES + BYTES_EACH * size


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    # Not ru_maxrss: on Linux that counts the process which this one was forked from, too.
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _watched(file: Path, runtime: str) -> int:
    """The exit code of the process, which is killed where it takes too much."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", START, str(file), runtime],
        env=_environment(file.parent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait = MOST_WAIT + WAIT_EACH_MEGABYTE * file.stat().st_size / MEGABYTE
        end = time.monotonic() + wait
        while process.poll() is None:
            if time.monotonic() > end or _resident(process.pid) > _allowed(file):
                process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
        return process.returncode


def _environment(folder: Path) -> dict[str, str]:
    """This process's, with the package itself, and a cache that goes with the folder."""
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(folder)}


def _allowed(file: Path) -> float:
    """The memory that the process may have; all, while it only loads the runtime."""
    try:
        return int((file.parent / ALLOWED).read_text())
    except FileNotFoundError:
        return math.inf


def _resident(pid: int) -> int:
    """The memory that a process has, in bytes; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):  # it has ended, too
        return 0


def _too_much(size: int) -> ModelError:
    memory = (MOST_BYTES + BYTES_EACH * size) // MEGABYTE
    return ModelError(
        f"expected a network of {size:,} bytes to load and run in little time and {memory} MB: it "
        "was run once apart, and stopped when it took more",
        mend="take another network, or one for pictures of one size",
    )


def _mark(onnx: bytes, runtime: str) -> Path | None:
    """The file that says that it has been run; None for a user without a home folder."""
    limits = f"{runtime} {MOST_BYTES} {BYTES_EACH} {MOST_TIMES} {TIMES_EACH_MEGABYTE}"
    digest = hashlib.sha256(hashlib.sha256(onnx).digest() + limits.encode()).hexdigest()
    try:
        return cache_folder() / "tried" / digest[:32]
    except OutputError:
        return None
