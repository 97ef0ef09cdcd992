"""Print what starting costs: imports, --help, the very first verify, later ones, memory.

    python benchmarks/start.py A.jpg B.jpg [--isa avx2]

A and B are two photos with a face each: build/photos/obama.jpg and obama2.jpg after `make photos`.
Each command is a process of its own, timed from outside; of five runs the median is printed. Python
keeps what it compiles, as pip does for a package that it installs.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
WARM = """
import sys, time
from io import BytesIO
from PIL import Image
from visavis import Recognizer

def megapixel(path):
    picture = Image.open(path).convert("RGB")
    scale = (1e6 / (picture.width * picture.height)) ** 0.5
    buffer = BytesIO()
    size = round(picture.width * scale), round(picture.height * scale)
    picture.resize(size).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()

a, b = (megapixel(path) for path in sys.argv[1:])
recognizer = Recognizer.load()
times = []
for _ in range(30):
    started = time.perf_counter()
    recognizer.verify(a, b)
    times.append(time.perf_counter() - started)
print(1000 * sorted(times)[15])
"""


def main() -> None:
    """Print one line for each figure, with the goal it is held to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs=2, type=Path)
    parser.add_argument("--isa", default="", help="the most instructions OpenVINO may use: avx2")
    arguments = parser.parse_args()
    photos = [str(path) for path in arguments.photos]
    if arguments.isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = arguments.isa.upper()
    visavis = [str(Path(sys.executable).with_name("visavis"))]
    python = [sys.executable, "-c"]
    verify = [*visavis, "verify", *photos]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bare = median(seconds([*python, "pass"]))
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home
        first = next(seconds(verify))
        spent = processor_time()
        later = median(seconds(verify))
        spent = (processor_time() - spent) / RUNS
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        warm = subprocess.run([*python, WARM, *photos], capture_output=True, text=True, check=True)
    report("import visavis", median(seconds([*python, "import visavis"])) - bare, 0.15)
    report("visavis --help", median(seconds([*visavis, "--help"])), 0.5)
    report("first verify", first, 10)
    report("later verify", later, 1.2)
    print(f"{'later verify, processor time':<45}{spent:8.2f} s")
    report("warm verify, two photos of 1 megapixel", float(warm.stdout) / 1000, 0.06)
    print(f"{'peak memory of a verify, the first included':<45}{memory:8.0f} MB  (goal 400)")


def seconds(command: list[str]):
    """Wall seconds of the command, run after run."""
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        yield time.perf_counter() - started


def processor_time() -> float:
    """Seconds that all commands so far have computed: what else runs here changes it little."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def median(times) -> float:
    """The middle one."""
    return statistics.median(list(times))


def report(name: str, value: float, goal: float) -> None:
    """One line."""
    print(f"{name:<45}{value:8.3f} s   (goal {goal})")


if __name__ == "__main__":
    main()
