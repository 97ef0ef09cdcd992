"""Time the same commands with two versions of the source, in turn: is the newer one slower?

    python benchmarks/versions.py OLD/src NEW/src PEOPLE [--photos 200] [--runs 5]

PEOPLE is a folder of people, such as lfw_people. Each command is a process of its own, timed from
outside; the two versions alternate, and the ratio is that of their medians: new / old.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OUTPUTS = ("people", "faces.npz")  # what a command makes anew in each run


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs=2, type=Path)
    parser.add_argument("people", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        first, second = copy_photos(options.people, work / "photos", options.photos)
        for name, words in commands(work, first, second).items():
            sides: list[list[float]] = [[], []]
            for _ in range(options.runs + 1):
                for source, times in zip(options.sources, sides, strict=True):
                    times.append(seconds(words, source.absolute(), work))
            old, new = (statistics.median(times[1:]) for times in sides)
            print(f"{name:<28}{old:7.2f} s {new:7.2f} s   {new / old:.3f}")


def copy_photos(people: Path, to: Path, count: int) -> list[Path]:
    """The first photos, in their people's folders; two of one person."""
    photos = sorted(people.rglob("*.jpg"))[:count]
    for photo in photos:
        (to / photo.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, to / photo.parent.name)
    return photos[:2]


def commands(work: Path, first: Path, second: Path) -> dict[str, list[str]]:
    """Each command's words, by what it is called."""
    photos = str(work / "photos")
    gallery = ["--gallery", str(work / "people")]
    return {
        "--help": ["--help"],
        "verify": ["verify", str(first), str(second)],
        "embed a folder": ["embed", photos, "--out", str(work / "faces.npz")],
        "enroll a folder": ["enroll", "--folder", photos, *gallery],
        "identify a folder": ["identify", photos, *gallery],
    }


def seconds(words: list[str], source: Path, work: Path) -> float:
    """How long one process takes; what it wrote before is removed first."""
    if words[0] != "identify":
        for name in OUTPUTS:
            shutil.rmtree(work / name, ignore_errors=True)
            (work / name).unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(source), "XDG_CONFIG_HOME": str(work / "keys")}
    started = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("visavis")), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, 3):
        raise SystemExit(f"{words}: exit {done.returncode}: {done.stderr}")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
